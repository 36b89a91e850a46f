"""A standby's definition key by key: what each means, and its value as people type it. Pure.

    text (TOML) ─► values ─► one key as words ("4h") ─► typed words ─► value ─► text

The engine alone judges a whole definition (`standby.check`); this only spells single values, for
the console's steps and for `bootpoint standby set`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from engine.model.amounts import parse_size, parse_span, size_words, span_words
from engine.model.conversion import ConversionMode
from engine.model.machine import DiskBus, Firmware
from engine.model.standby import Backlog, Priority

Value = str | int | list[str]
MIB = 1 << 20
USUAL = "usual"
"""Typed instead of a value: leave the key out, so that the usual one holds."""
NONE = "none"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a standby's file.

    Attributes:
        id: Dotted, as in messages; `retention.daily` stands in a table.
        label: As on the screen, at most 14 cells.
        says: What it means and what may be typed, a sentence or two.
        usual: What holds when it is left out, a phrase.
        read: Typed words to the value. ValueError says what is expected.
        words: The value as typed words.
        choices: All values there are, when they are few.
    """

    id: str
    label: str
    says: str
    usual: str
    read: Callable[[str], Value]
    words: Callable[[Any], str] = str
    choices: Sequence[str] = ()


def _count(least: int) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise ValueError(f"expected a number of at least {least}")
        return int(text)

    return read


def _choice(*choices: str) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return read


def _is_plain(text: str) -> bool:
    """Tell whether words are a number in the unit of the key's own name, as its file has it."""
    return text.isascii() and text.isdigit() and int(text) > 0


def _seconds(text: str) -> Value:
    return int(text) if _is_plain(text) else parse_span(text)


def _silence(text: str) -> Value:
    return 0 if text in ("never", "0") else _seconds(text)


def _memory(text: str) -> Value:
    if _is_plain(text):
        return int(text)
    size = parse_size(text)
    if size % MIB:
        raise ValueError("expected whole MiB, such as 512M or 4G")
    return size // MIB


def _windows(text: str) -> Value:
    return [] if text == NONE else [part.strip() for part in text.split(",") if part.strip()]


def _chosen(name: str, label: str, says: str, usual: str, choices: Sequence[str]) -> Key:
    return Key(name, label, says, usual, _choice(*choices), choices=choices)


def _slot(name: str, each: str) -> Key:
    says = f"Of the newest so many {each} the first boot point stays. 0: none."
    return Key(f"retention.{name}", name.capitalize(), says, "as in engine.toml", _count(0))


KEYS: Mapping[str, Key] = {
    key.id: key
    for key in (
        Key(
            "images", "Images", "The folder that the image files are replicated to.",
            "must be given", str,
        ),
        Key(
            "machine", "Machine", "Name or UUID of the machine, where the folder holds several.",
            "the only one there", str,
        ),
        Key(
            "target", "Target", "Where the standby VM is kept and runs.", "local", str,
        ),
        Key(
            "trigger", "Trigger",
            "When boot points are made: immediate (each increment), daily@22:00, every:4 "
            "(increments), or cron:0 6-20/2 * * mon-fri.",
            "immediate", str,
        ),
        _chosen(
            "backlog", "Backlog",
            "Of increments that piled up: every makes a boot point of each, the newest first; "
            "newest makes one of all.",
            "every", tuple(Backlog),
        ),
        Key(
            "blackouts", "Blackouts",
            "Windows in which no boot point is begun, with commas between them, such as "
            "mon-fri 08:30-11:00, sun 00:00-06:00; none: never.",
            "as in engine.toml", _windows, lambda value: ", ".join(value) or NONE,
        ),
        _chosen(
            "priority", "Priority", "Who goes first where slots are scarce.", "normal",
            tuple(Priority),
        ),
        Key(
            "keep", "Keep", "Boot points to keep, the newest ones.", "24", _count(1),
        ),
        _slot("hourly", "hours"), _slot("daily", "days"), _slot("weekly", "weeks"),
        _slot("monthly", "months"), _slot("yearly", "years"),
        Key(
            "retention.max_age_days", "Oldest", "Days after which a boot point goes. 0: none does.",
            "as in engine.toml", _count(0),
        ),
        Key(
            "retention.floor", "Floor", "Proven boot points that always stay.",
            "as in engine.toml", _count(1),
        ),
        Key(
            "rpo_s", "Goal", "How old the newest data may be before it is LATE, such as 4h.",
            "no goal", _seconds, span_words,
        ),
        Key(
            "silence_s", "Silence",
            "Alarm after so long without a new image, such as 12h; never: no alarm.",
            "by the machine's own rhythm", _silence,
            lambda value: span_words(value) if value else "never",
        ),
        Key(
            "memory_mib", "Memory", "Of the VM, such as 4G.", "as the image says", _memory,
            lambda value: size_words(value * MIB),
        ),
        Key(
            "cpus", "CPUs", "Of the VM.", "as the image says", _count(1),
        ),
        _chosen(
            "firmware", "Firmware", "What the VM boots with.", "as the image says", tuple(Firmware)
        ),
        _chosen(
            "bus", "Disk bus", "Controller of the disks. Windows needs drivers for all but sata.",
            "the best the guest has drivers for", tuple(DiskBus),
        ),
        _chosen(
            "conversion", "Conversion",
            "auto: each boot point gets the drivers of virtual machines; none: it starts from the "
            "bytes as imaged and must have them already.",
            "auto", tuple(ConversionMode),
        ),
    )
}  # fmt: skip
"""Every key an operator sets, in the order of the steps."""
OTHERS = {
    "held": "bootpoint pause and resume write it",
    "held_until": "bootpoint pause and resume write it",
    "guard_released": "bootpoint guard release writes it",
    "created_at": "the engine writes it",
    "retention.hold": "bootpoint retention --hold and --release write it",
}
"""Keys that only the engine writes, and what does it."""


def values(text: str) -> dict[str, Any]:
    """Return the values of a definition's text by dotted key. ValueError: it is not TOML."""
    told: dict[str, Any] = {}
    for key, value in tomllib.loads(text).items():
        if key == "retention" and isinstance(value, dict):
            told |= {f"retention.{name}": one for name, one in value.items()}
        else:
            told[key] = value
    return told


def value_words(key: str, value: object) -> str:
    """Return a value as it is typed, whatever it is."""
    try:
        return KEYS[key].words(value) if key in KEYS else str(value)
    except (TypeError, ValueError, StopIteration):
        return str(value)


def changed(text: str, changes: Mapping[str, Value | None]) -> str:
    """Return a definition's text with some keys changed; None leaves a key out.

    Raises:
        ValueError: The text is not TOML.
    """
    told: dict[str, Any] = tomllib.loads(text)
    for key, value in changes.items():
        head, dot, name = key.rpartition(".")
        if dot and not isinstance(told.get(head), dict):
            told[head] = {}
        table: dict[str, Any] = told[head] if dot else told
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
        if dot and not table:
            del told[head]
    return tomli_w.dumps({**_scalars(told), **_tables(told)})


def _scalars(told: Mapping[str, Any]) -> dict[str, Any]:
    order = [*KEYS, *OTHERS]
    plain = [key for key, value in told.items() if not isinstance(value, dict)]
    plain.sort(key=lambda key: order.index(key) if key in order else len(order))
    return {key: told[key] for key in plain}


def _tables(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if isinstance(value, dict)}


def read(key: str, words: str) -> Value | None:
    """Return the value that typed words stand for; None: the usual one.

    Raises:
        ValueError: What was found and what is expected, a phrase.
        KeyError: There is no such key.
    """
    words = words.strip()
    if words in ("", USUAL):
        return None
    try:
        return KEYS[key].read(words)
    except ValueError as error:
        raise ValueError(f"{key}: found {words}, {error}") from None
