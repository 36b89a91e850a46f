"""Reads a command line by the table of commands; wrong use names the nearest word."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from engine import __version__
from engine.cli.option import Command
from engine.cli.table import COMMANDS, GROUPS
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

_CHOICE = re.compile(r"argument (?P<what>\S+):.*invalid choice: '(?P<word>.*?)' \(", re.DOTALL)
_UNKNOWN = "unrecognized arguments: "
LANGUAGES = ("en", "ja")
ABOUT = "Bootpoint keeps standby VMs ready to start from replicated backup images."


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `WrongUse`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        """Take no abbreviations: a new option must never change what an old line means."""
        super().__init__(
            **options, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        """Raise the error, with the nearest word."""
        raise WrongUse(_problem(message, self))

    def words(self) -> list[str]:
        """Return the words that may stand here: commands and options."""
        found: list[str] = []
        for action in self._actions:
            found += action.option_strings
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no other name for it
                found += action.choices
        return found


def _problem(message: str, parser: Parser) -> Problem:
    see = f"See: {parser.prog} --help"
    found = _CHOICE.search(message)
    word = found["word"] if found else ""
    if message.startswith(_UNKNOWN):
        word = message.removeprefix(_UNKNOWN).split()[0].split("=")[0]
        message = f"unknown: {safe(word)}"
    elif found:
        message = f"{found['what']}: {safe(word)} is not known"
    near = difflib.get_close_matches(word, parser.words(), n=1, cutoff=0.5) if word else []
    if near:
        happened = f"{safe(word)}: did you mean {near[0]}?"
        return Problem(
            "use.unknown",
            happened,
            "Nothing was done.",
            see,
            {"word": safe(word), "nearest": near[0]},
        )
    message = safe(f"{message[:1].upper()}{message[1:]}.", 600)
    return Problem("use.wrong", message, "Nothing was done.", see)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return what a command line says.

    Raises:
        WrongUse: It cannot be understood.
        SystemExit: After --help or --version was printed.
    """
    parser = build()
    told, rest = parser.parse_known_args(_meant(argv))
    if rest:
        chosen: Parser = getattr(told, "parser", parser)
        chosen.error(_UNKNOWN + " ".join(rest))
    return told


def _meant(argv: Sequence[str]) -> list[str]:
    """Return the words with `alert --test` as `alert test`: both are said."""
    words = list(argv)
    for at in range(len(words) - 1):
        if words[at : at + 2] == ["alert", "--test"]:
            words[at + 1] = "test"
    return words


def build() -> Parser:
    """Return the parser of the whole program."""
    parser = Parser(prog="bootpoint", description=ABOUT, epilog=_overview())
    parser.add_argument("--version", action="version", version=f"bootpoint {__version__}")
    _global_options(parser)
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    groups: dict[str, Any] = {}
    for command in COMMANDS:
        place = below
        words = command.name.split()
        if len(words) > 1:
            if words[0] not in groups:
                about = GROUPS[words[0]]
                epilog = _examples(one.examples[0] for one in COMMANDS if _is_in(one, words[0]))
                group = below.add_parser(words[0], help=about, description=about, epilog=epilog)
                _global_options(group)
                group.set_defaults(parser=group, handler=None, group=words[0])
                groups[words[0]] = group.add_subparsers(title="commands", metavar="COMMAND")
            place = groups[words[0]]
        _add(place, words[-1], command)
    return parser


def _is_in(command: Command, group: str) -> bool:
    return command.name.startswith(f"{group} ") and not command.hidden


def _examples(lines: Iterable[str]) -> str:
    return "\n".join(["examples:", *(f"  {line}" for line in lines)])


def _add(place: Any, word: str, command: Command) -> None:  # noqa: ANN401 - argparse's own
    epilog = _examples(command.examples)
    told = {} if command.hidden else {"help": command.about}
    parser = place.add_parser(word, description=command.about, epilog=epilog, **told)
    for option in command.options:
        parser.add_argument(*option.names, **option.how())
    _global_options(parser)
    parser.set_defaults(parser=parser, handler=command)


def _global_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that stand before or after a command."""
    group = parser.add_argument_group("global options")
    off: Any = argparse.SUPPRESS
    group.add_argument("--json", action="store_true", default=off, help="one JSON object")
    group.add_argument(
        "--socket", type=Path, metavar="PATH", default=off, help="the engine's socket"
    )
    group.add_argument(
        "--config", type=Path, metavar="FILE", default=off, help="the engine's engine.toml"
    )
    group.add_argument("--read-only", action="store_true", default=off, help="change nothing")
    group.add_argument(
        "--color", choices=("auto", "never"), default=off, help="colours on a terminal"
    )
    group.add_argument(
        "--lang", choices=LANGUAGES, default=off, help="language of the console and of plain"
    )


def _overview() -> str:
    return (
        "Without a command the console opens; it offers to start an engine when none runs.\n"
        "exit codes: 0 ok, 1 it did not work, 2 wrong use, 3 engine not reachable, "
        "4 refused for safety,\n"
        "            128 + N ended by signal N, so 130 after Ctrl+C; "
        "what the engine was asked for goes on"
    )
