"""Pure: guests and ledgers in lines of words, the same on every front end.

     1. change  /etc/fstab                                    volume 6c0e... (/)
        The name of the disk is another one in the VM.
        @@ -1,3 +1,3 @@
        -/dev/sda1 / ext4 errors=remount-ro 0 1
        +UUID=6c0e0f3e-33a5-4e0c-8d52-30b7a5a3f001 / ext4 errors=remount-ro 0 1

Our words are ASCII and stay within 79 cells; the guest's own lines are as long as they are.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from engine.api.conversion_views import (
    ChangeView,
    DifferenceView,
    GuestView,
    LedgerView,
    RegistryView,
    ReportView,
    VolumeView,
)
from engine.api.words import size

CONTEXT = 2
"""Unchanged lines around a change."""
MOST_DIFFED = 4000
"""Lines on both sides together that are compared; more are shown whole."""
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
LABEL = 13
"""Cells of a label."""
_WIDTH = 77
_IN = "   "


class Kind(Enum):
    """What a line is."""

    TITLE = "title"
    PLAIN = "plain"
    WHERE = "where"
    OLD = "old"
    NEW = "new"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text and what it is.

    Attributes:
        text: The line; blanks at its start are its margin.
        kind: What it is.
        label: What stands before it, in a column of its own; None: there is none.
        ours: The engine's own words, which a front end may wrap, and say in another language.
    """

    text: str
    kind: Kind = Kind.PLAIN
    label: str | None = None
    ours: bool = False


def printed(lines: Iterable[Words]) -> Iterator[str]:
    """Yield lines as they are printed in English."""
    for line in lines:
        told = line.text if line.label is None else f"{line.label:<{LABEL}}{line.text}"
        if line.ours and len(told) > _WIDTH:
            margin = " " * (len(told) - len(told.lstrip()))
            yield from textwrap.wrap(told, _WIDTH, subsequent_indent=margin)
        else:
            yield told


# --- a guest --------------------------------------------------------------------------------


def guest_words(view: GuestView) -> list[Words]:
    """Return what was found in a guest, in lines."""
    shown = [
        ("System", f"{view.name or 'unknown'} {view.version}".strip() + f" ({view.family})"),
        ("Firmware", view.firmware.upper()),
        ("Boot loader", view.boot_loader or "none found"),
        *([("Boot disk", str(view.boot_disk + 1))] if view.boot_disk else []),
        *_many("Kernel", view.kernels, "none found"),
        *_many("Network", view.networks, "nothing is configured"),
        *([("Drivers", _commas(view.drivers))] if view.drivers else []),
        *(_others(view) if view.others else []),
    ]
    lines = [Words(text, label=label) for label, text in shown]
    heads = f"{'VOLUME':<13}{'SIZE':>9}  {'HOLDS':<9} {'MOUNTED AT':<20} LABEL"
    lines.append(Words(heads, Kind.TITLE))
    for volume in view.volumes:
        lines.append(Words(_volume(volume)))
        if not volume.id.startswith("disk"):
            lines.append(Words(volume.id, label=""))
    if not view.volumes:
        lines.append(Words("no volume was found", ours=True))
    return [*lines, *_report(view.report)]


def _report(view: ReportView | None) -> list[Words]:
    """Return what a self-check found, in lines; none without one."""
    if view is None:
        return []
    told = "as expected" if view.as_expected else f"{_count(len(view.doubts), 'doubt')}"
    head = f"SELF-CHECK   {told}; imported {view.at:%Y-%m-%d %H:%M} UTC by {view.actor}"
    lines = [Words(head, Kind.TITLE, ours=True)]
    lines += [Words(f"! {doubt}", Kind.WARNING, ours=True) for doubt in view.doubts]
    return lines + [Words(fact, ours=True) for fact in view.facts]


def _commas(told: Sequence[str]) -> str:
    return ", ".join(told)


def _many(label: str, told: Sequence[str], none: str) -> list[tuple[str, str]]:
    return [(label if not at else "", text) for at, text in enumerate(told or [none])]


def _others(view: GuestView) -> list[tuple[str, str]]:
    """Return where further systems lie, one line each; they are left as they are."""
    places = {volume.id: _place(volume) for volume in view.volumes}
    told = [f"{places.get(other, other)}; left as it is" for other in view.others]
    return _many("Others", [f"another system on {one}" for one in told], "")


def _place(volume: VolumeView) -> str:
    return f"disk {volume.disk + 1}" + (f" part {volume.number}" if volume.number else "")


def _volume(volume: VolumeView) -> str:
    place = _place(volume)
    mounted = ", ".join(volume.mounted) or "-"
    line = f"{place:<13}{size(volume.size):>9}  {volume.kind:<9} {mounted:<20} {volume.label}"
    return line.rstrip()


# --- a ledger -------------------------------------------------------------------------------


def ledger_summary(view: LedgerView, *, is_dry: bool = False) -> list[Words]:
    """Return how much one conversion changed, by what, and how it was checked."""
    count = _count(view.total, "change")
    if is_dry:
        lines = [Words(f"{count} would be made, by backend {view.backend}.", Kind.TITLE, ours=True)]
    else:
        took = f"{view.seconds:.1f} s, {size(view.bytes_written)} written"
        lines = [Words(f"{count}, {took}, by backend {view.backend}.", Kind.TITLE, ours=True)]
        lines.append(Words(f"Check: {_CHECKS.get(view.check, view.check)}", ours=True))
    lines += [Words(f"Warning: {warning}", Kind.WARNING, ours=True) for warning in view.warnings]
    return lines


_CHECKS = {
    "full": "full: file systems and every written file are as planned.",
    "files": "files: every written file is as planned; of a file system, only the main structures "
    "could be checked.",
}


def ledger_words(view: LedgerView, volumes: Sequence[VolumeView] = ()) -> list[Words]:
    """Return every change of a ledger with its texts, in lines.

    Args:
        view: The ledger, all pages together.
        volumes: Of the guest, to name where a volume is mounted.
    """
    names = {volume.id: ", ".join(volume.mounted) for volume in volumes}
    lines: list[Words] = []
    for number, one in enumerate(view.entries, start=1):
        lines += [
            Words(""),
            Words(f"{number:>2}. {_VERBS.get(one.action, one.action)} {one.path}", Kind.TITLE),
        ]
        lines.append(Words(_IN + one.reason, ours=True))
        lines.append(Words(f"{_IN}on volume {_where(one.volume, names)}", ours=True))
        lines += _change(one)
        lines += [line for edit in one.registry for line in _registry(edit)]
    left = view.total - len(view.entries)
    if left > 0:
        lines += [
            Words(""),
            Words(f"{_count(left, 'more change')} had no room here.", Kind.WARNING, ours=True),
        ]
    return lines


_VERBS = {
    "write": "write  ",
    "mkdir": "folder ",
    "symlink": "link   ",
    "rename": "move   ",
    "remove": "remove ",
}


def _where(volume: str, names: dict[str, str]) -> str:
    mounted = names.get(volume)
    return f"{volume} ({mounted})" if mounted else volume


def _registry(edit: RegistryView) -> Iterator[Words]:
    """Yield one change inside a hive: where, what it was, what it is."""
    name = f"{edit.key}\\{edit.value}" if edit.value else edit.key
    yield Words(f"{_IN}{edit.hive}: {name} ({edit.type})")
    if edit.before is not None:
        yield Words(f"{_IN}- {edit.before}", Kind.OLD)
    if edit.after is not None:
        yield Words(f"{_IN}+ {edit.after}", Kind.NEW)


def _change(one: ChangeView) -> Iterator[Words]:
    if one.cut:
        yield Words(
            f"{_IN}Its texts had no room here; it has {size(one.after_size)} then.", ours=True
        )
    elif one.action == "rename":
        yield Words(f"{_IN}to {one.after}", Kind.NEW)
    elif one.action == "symlink":
        yield from _sides(one, f"-> {one.after}\n")
    elif one.action != "mkdir":
        yield from _sides(one, one.after)


def _sides(one: ChangeView, after: str) -> Iterator[Words]:
    """Yield the difference of texts, or what is known of a side that is none."""
    old_is_text = bool(one.before) or one.before_digest in ("", EMPTY)
    new_is_text = bool(after) or one.after_size == 0
    if old_is_text and new_is_text:
        yield from diff(one.before, after)
        return
    if old_is_text:
        yield from diff(one.before, "")
    else:
        yield Words(f"{_IN}- sha256 {one.before_digest}", Kind.OLD)
    if new_is_text:
        yield from diff("", after)
    else:
        yield Words(f"{_IN}+ {size(one.after_size)}, no text", Kind.NEW)
        yield Words(f"{_IN}+ sha256 {one.after_digest}", Kind.NEW)


def diff(before: str, after: str) -> Iterator[Words]:
    """Yield how two texts differ, as a unified diff without its head."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > MOST_DIFFED:
        lines = [*(f"-{line}" for line in old), *(f"+{line}" for line in new)]
    else:
        lines = list(difflib.unified_diff(old, new, lineterm="", n=CONTEXT))[2:]
    kinds = {"@": Kind.WHERE, "-": Kind.OLD, "+": Kind.NEW}
    for line in lines:
        yield Words(_IN + line, kinds.get(line[:1], Kind.PLAIN))


# --- two ledgers ----------------------------------------------------------------------------


def difference_words(view: LedgerView) -> list[Words]:
    """Return how a conversion differs from the one of the older boot point, in lines."""
    if not view.total:
        return [Words("Both conversions changed the same, to the same.", Kind.TITLE, ours=True)]
    lines = [
        Words(
            f"{_count(view.total, 'file')} differ{'s' * (view.total == 1)}.", Kind.TITLE, ours=True
        ),
        Words(
            f"- in {view.against} only, or so there   + in {view.id} only, or so there", ours=True
        ),
    ]
    for number, one in enumerate(view.differences, start=1):
        lines += [Words(""), Words(f"{number:>2}. {one.path}", Kind.TITLE)]
        lines += _differs(view, one)
    return lines


def _differs(view: LedgerView, one: DifferenceView) -> Iterator[Words]:
    old, new = one.earlier, one.later
    if old is None or new is None:
        only, point = (new, view.id) if old is None else (old, view.against)
        if only is None:
            return
        verb = _VERBS.get(only.action, only.action).strip()
        yield Words(f"{_IN}only in {point}: {verb}", ours=True)
        yield Words(_IN + only.reason, ours=True)
        yield from _change(only)
        return
    if old.cut or new.cut:
        yield Words(f"{_IN}Its texts had no room here.", ours=True)
    elif old.after != new.after or old.action != new.action:
        yield Words(f"{_IN}changed to another text:", ours=True)
        yield from diff(old.after, new.after)
    elif old.after_digest != new.after_digest:
        yield Words(
            f"{_IN}- {size(old.after_size)}, sha256 {old.after_digest or 'not kept'}", Kind.OLD
        )
        yield Words(
            f"{_IN}+ {size(new.after_size)}, sha256 {new.after_digest or 'not kept'}", Kind.NEW
        )
    elif old.before != new.before:
        yield Words(f"{_IN}changed to the same text, from another one:", ours=True)
        yield from diff(old.before, new.before)
    elif old.before_digest != new.before_digest:
        yield Words(f"{_IN}changed to the same, from another content:", ours=True)
        yield Words(f"{_IN}- sha256 {old.before_digest or 'none'}", Kind.OLD)
        yield Words(f"{_IN}+ sha256 {new.before_digest or 'none'}", Kind.NEW)
    else:
        yield Words(f"{_IN}changed to the same, for another reason:", ours=True)
        yield Words(f"{_IN}- {old.reason}", Kind.OLD)
        yield Words(f"{_IN}+ {new.reason}", Kind.NEW)


def _count(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
