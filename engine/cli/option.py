"""What a command line is made of: commands, their options, and readers of values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.model.amounts import parse_size, parse_span
from engine.model.text import safe

LONGEST = 200
"""Characters of a name."""


def span(text: str) -> int:
    """Read a time span such as 90s, 30m, 4h or 1d; return seconds."""
    try:
        return parse_span(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def silence(text: str) -> int:
    """Read a time span, or `never`, which is 0."""
    return 0 if text == "never" else span(text)


def memory(text: str) -> int:
    """Read a size such as 512M or 4G; return bytes."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def count(text: str) -> int:
    """Read a number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of at least 1")
    return int(text)


def number(text: str) -> int:
    """Read a number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of at least 0")
    return int(text)


def name(text: str) -> str:
    """Read a name that the engine may be asked for."""
    if not text or len(text) > LONGEST or not text.isprintable():
        shown = safe(text, 40) or "nothing"
        raise argparse.ArgumentTypeError(
            f"{shown}: expected a name of 1 to {LONGEST} printable characters"
        )
    return text


def setting(text: str) -> tuple[str, int | None]:
    """Read `keep=10`; `daily=usual` stands for what the whole engine is set to."""
    key, equals, value = text.partition("=")
    if not equals or not (value == "usual" or (value.isascii() and value.isdigit())):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a setting such as keep=10")
    return key.replace("-", "_"), None if value == "usual" else int(value)


def assignment(text: str) -> tuple[str, str]:
    """Read `trigger=every:4`; the value is read where the key is known."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE, such as trigger=every:4")
    return key.strip(), value


def moment(text: str) -> datetime:
    """Read a time such as 2026-11-22T13:40:00Z; one without a zone is the host's own."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a time such as 2026-11-22T13:40:00Z"
        ) from None


@dataclass(frozen=True, slots=True)
class Option:
    """One argument or option.

    Attributes:
        kind: What completion offers for it.
        dest: Name of the flag's parameter, where its own will not do.
    """

    names: Sequence[str]
    help: str
    metavar: str = ""
    type: Callable[[str], Any] | None = None
    default: Any = None
    choices: Sequence[str] = ()
    nargs: str = ""
    flag: bool = False
    required: bool = False
    kind: str = ""
    dest: str = ""

    def how(self) -> dict[str, Any]:
        """Return the keyword arguments of `add_argument`."""
        if self.flag:
            flag = {"action": "store_true", "help": self.help}
            return flag | ({"dest": self.dest} if self.dest else {})
        told: dict[str, Any] = {"help": self.help, "default": self.default}
        if self.kind == "machine" and self.names[0][:1] != "-" and self.nargs != "?":
            told["type"] = name
        for key in ("metavar", "type", "choices", "nargs"):
            if getattr(self, key):
                told[key] = getattr(self, key)
        if self.required:
            told["required"] = True
        return told


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        run: `module:function` below `engine.cli.commands`; it gets the context and the options.
        examples: Three real ones.
    """

    name: str
    about: str
    run: str
    examples: tuple[str, str, str]
    options: Sequence[Option] = ()
    hidden: bool = False


MACHINE = Option(("machine",), "the standby's name", "MACHINE", kind="machine")
WAIT = Option(("--wait",), "follow the job to its end", flag=True)
DRY = Option(("--dry-run",), "only say what would be done", flag=True)
POINT = Option(("--point",), "which one (default: the newest)", "ID", default="", kind="point")
