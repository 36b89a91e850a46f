"""What a conversion changed, before and after: kept, exported, compared.

A ledger shows texts up to 64 KiB in full and everything else as size and digest. Values of keys
that look like passwords are never kept, on either side, nor is their digest: a short password
could be guessed from it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.model.errors import FormatError, Problem
from engine.model.guest import (
    Action,
    ConversionPlan,
    FileEdit,
    Ledger,
    LedgerEntry,
    RegistryEdit,
    VolumeId,
)
from engine.model.text import safe

TEXT = 64 << 10
"""Longest text in bytes that is kept in full."""
VERSION = 1
HIDDEN = "«not kept»"
_WORD = (
    rb"(?:psk|pass(?:word|wd|phrase)?|secret|password_pbkdf2|pin|token"
    rb"|(?:private|pre-?shared|wep|wireless)[-_ ]?key\d?)(?:[-_]raw)?"
)
_SECRET = re.compile(
    rb"(?im)(?P<key>(?<![a-z0-9])" + _WORD + rb"[\"']?[ \t]*+[=:][ \t]*+"
    rb"|^[ \t]*+(?:[a-z0-9]{1,20}[-_]){0,3}" + _WORD + rb"[ \t]++"
    rb"|^[ \t]*+key\d?=)(?P<value>\S[^\r\n]*+)"
)
"""`key = value` anywhere in a line, `key value` at its start."""

Before = Callable[[VolumeId, bytes], bytes | None]
"""Returns what is at a place before the edits; None when nothing is."""


def make_ledger(
    plan: ConversionPlan,
    before: Before,
    *,
    backend: str,
    seconds: float,
    bytes_written: int,
    check: str,
) -> Ledger:
    """Return the ledger of a plan that was replayed, or is shown before it.

    Args:
        plan: What was done.
        before: Reads the guest as it was.
        backend: Name of the backend.
        seconds: How long it took.
        bytes_written: Of the twig.
        check: `full`, `files` or `skipped(reason)`.
    """
    entries = [_entry(edit, before) for edit in plan.edits]
    return Ledger(
        tuple(sorted(entries, key=_order)),
        backend,
        seconds,
        bytes_written,
        tuple(plan.warnings),
        check,
    )


def _order(entry: LedgerEntry) -> tuple[str, str]:
    return entry.volume, entry.path


def _entry(edit: FileEdit, before: Before) -> LedgerEntry:
    old = None if edit.before is None else before(edit.volume, edit.path)
    new = edit.after if edit.action in (Action.WRITE, Action.SYMLINK) else b""
    if edit.action is Action.RENAME:
        return _renamed(edit)
    hides = _has_secret(old or b"") or _has_secret(new)
    return LedgerEntry(
        volume=edit.volume,
        path=safe(edit.path, 4096),
        action=edit.action,
        reason=edit.reason,
        before=_text(old or b""),
        after=_text(new),
        before_digest="" if hides or edit.before is None else edit.before,
        after_digest="" if hides or edit.action is Action.MKDIR else _digest(new),
        after_size=len(new),
        details=tuple(_without_secret(detail) for detail in edit.details),
    )


def _without_secret(detail: RegistryEdit) -> RegistryEdit:
    if not re.search(_WORD, detail.value.lower().encode()):
        return detail
    before, after = (None if v is None else HIDDEN for v in (detail.before, detail.after))
    return replace(detail, before=before, after=after)


def _renamed(edit: FileEdit) -> LedgerEntry:
    return LedgerEntry(
        volume=edit.volume,
        path=safe(edit.path, 4096),
        action=edit.action,
        reason=edit.reason,
        before="",
        after=safe(edit.after, 4096),
        before_digest=edit.before or "",
        after_digest=edit.before or "",
        after_size=len(edit.after),
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _has_secret(content: bytes) -> bool:
    return _is_text(content) and _SECRET.search(content) is not None


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:TEXT]


def _text(content: bytes) -> str:
    """Return a text line by line as it may be shown, without secrets; empty when it is none."""
    if len(content) > TEXT or not _is_text(content):
        return ""
    hidden = _SECRET.sub(lambda match: match["key"] + HIDDEN.encode(), content)
    lines = hidden.decode("utf-8", "surrogateescape").split("\n")
    return "\n".join(safe(line.replace("\t", "    "), TEXT) for line in lines)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two ledgers differ; None: not in that one."""

    volume: VolumeId
    path: str
    earlier: LedgerEntry | None
    later: LedgerEntry | None


def compare(earlier: Ledger, later: Ledger) -> Sequence[Difference]:
    """Return what one conversion did differently from another, sorted by volume and path."""
    old = {_order(entry): entry for entry in earlier.entries}
    new = {_order(entry): entry for entry in later.entries}
    return tuple(
        Difference(VolumeId(key[0]), key[1], old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def export_ledger(ledger: Ledger) -> str:
    """Return a ledger as JSON: the same ledger gives the same text."""
    content = {
        "version": VERSION,
        "backend": ledger.backend,
        "seconds": ledger.seconds,
        "bytes_written": ledger.bytes_written,
        "warnings": list(ledger.warnings),
        "check": ledger.check,
        "entries": [
            {name: getattr(entry, name) for name in LedgerEntry.__slots__}
            | {"details": [asdict(detail) for detail in entry.details]}
            for entry in ledger.entries
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def import_ledger(text: str) -> Ledger:
    """Return the ledger that was exported as JSON.

    Raises:
        FormatError: The text is no ledger, or one of a later version.
    """
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}")
        return Ledger(
            tuple(_imported(entry) for entry in content["entries"]),
            str(content["backend"]),
            float(content["seconds"]),
            int(content["bytes_written"]),
            tuple(str(warning) for warning in content["warnings"]),
            str(content["check"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(
            Problem(
                "ledger.format",
                f"The text is no conversion ledger: {safe(str(error))}.",
                remedy="Export the ledger again.",
            )
        ) from error


def _imported(raw: Mapping[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        volume=VolumeId(str(raw["volume"])),
        path=str(raw["path"]),
        action=Action(raw["action"]),
        reason=str(raw["reason"]),
        before=str(raw["before"]),
        after=str(raw["after"]),
        before_digest=str(raw["before_digest"]),
        after_digest=str(raw["after_digest"]),
        after_size=int(raw["after_size"]),
        details=tuple(_detail(detail) for detail in raw.get("details", ())),
    )


def _detail(raw: Mapping[str, Any]) -> RegistryEdit:
    before, after = raw["before"], raw["after"]
    return RegistryEdit(
        hive=str(raw["hive"]),
        key=str(raw["key"]),
        value=str(raw["value"]),
        type=str(raw["type"]),
        before=None if before is None else str(before),
        after=None if after is None else str(after),
        reason=str(raw["reason"]),
    )
