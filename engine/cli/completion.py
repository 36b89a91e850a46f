"""What may stand next on a command line that is being typed. Pure.

words typed so far ─► which command, which of its places ─► words, or the kind of name wanted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.cli.option import Command, Option
from engine.cli.parser import LANGUAGES
from engine.cli.table import COMMANDS

_FLAGS = ("--json", "--read-only", "--help")
_VALUED = (
    Option(("--socket",), "", kind="file"),
    Option(("--config",), "", kind="file"),
    Option(("--color",), "", choices=("auto", "never")),
    Option(("--lang",), "", choices=LANGUAGES),
)
GLOBAL = (*_FLAGS, *(option.names[0] for option in _VALUED))


@dataclass(frozen=True, slots=True)
class Offer:
    """What may stand next.

    Attributes:
        words: As they are.
        kind: Of the names that may stand there: machine, point, target and so on; `file` is the
            shell's own affair; empty: none.
        machine: That boot points are wanted of.
    """

    words: Sequence[str] = ()
    kind: str = ""
    machine: str = ""


def offered(before: Sequence[str], current: str) -> Offer:
    """Return what may stand at `current`, after the words before it (without the program's)."""
    shown = [command for command in COMMANDS if not command.hidden]
    typed = _read(before)
    command = typed.command
    if typed.open is not None:
        return _value(typed.open, command, typed.given)
    own = command.options if command else ()
    if current.startswith("-"):
        names = [name for option in own for name in option.names if name.startswith("--")]
        return Offer((*names, *GLOBAL, *(() if command or typed.group else ("--version",))))
    if command is None:
        words = [one.name.split() for one in shown]
        if typed.group:
            return Offer(tuple(pair[1] for pair in words if pair[0] == typed.group and pair[1:]))
        return Offer(tuple(dict.fromkeys(pair[0] for pair in words)))
    places = [option for option in own if not option.names[0].startswith("-")]
    if not places:
        return Offer()
    at = min(len(typed.given), len(places) - 1)
    if len(typed.given) >= len(places) and places[-1].nargs != "+":
        return Offer()
    return _value(places[at], command, typed.given)


@dataclass
class _Typed:
    """What the words before say. `open`: the option whose value comes next."""

    group: str = ""
    command: Command | None = None
    given: tuple[str, ...] = ()
    open: Option | None = None


def _read(before: Sequence[str]) -> _Typed:
    told = _Typed()
    for word in before:
        if told.open is not None:
            told.open = None
        elif word.startswith("-"):
            told.open = _valued(word, told.command)
        elif told.command is None:
            name = f"{told.group} {word}".strip()
            told.command = next((one for one in COMMANDS if one.name == name), None)
            told.group = "" if told.command else name
        else:
            told.given += (word,)
    return told


def _valued(word: str, command: Command | None) -> Option | None:
    """Return the option that a word begins, where its value is another word."""
    for option in (*(command.options if command else ()), *_VALUED):
        if word in option.names and not option.flag:
            return option
    return None


def _value(option: Option, command: Command | None, given: Sequence[str]) -> Offer:
    if option.choices:
        return Offer(option.choices)
    if option.names[0] == "--yes-i-mean":
        return Offer()  # a name that confirms is typed
    kind = option.kind
    if kind == "point" and command is not None and command.name in ("guest", "convert"):
        kind = "tried-point"
    return Offer((), kind, given[0] if given else "")
