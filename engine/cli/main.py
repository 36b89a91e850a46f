"""The entry point of `bootpoint`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from engine.cli.context import Context
from engine.cli.output import Output, note
from engine.model.errors import Cancelled, Failure, Problem, Refused, WrongUse

if TYPE_CHECKING:
    import argparse

OK, FAILED, WRONG, AWAY, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130


def run() -> NoReturn:
    """Run the program with its own arguments and exit."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    as_json = "--json" in argv
    try:
        return _closed_pipe_is_silent(argv)
    except Failure as failure:
        Output(as_json=as_json).error(failure.problem)
        return exit_code(failure)
    except (KeyboardInterrupt, Cancelled):
        note("Interrupted.")
        return INTERRUPTED
    except OSError as error:
        Output(as_json=as_json).error(_os_problem(error))
        return FAILED


def _closed_pipe_is_silent(argv: Sequence[str]) -> int:
    """Run; when the reader of our output goes away, that is its own affair."""
    try:
        code = _command(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def _command(argv: Sequence[str]) -> int:
    from engine.cli.parser import parse

    told = parse(argv)
    context = _context(told)
    options = {key: value for key, value in vars(told).items() if key not in _OWN}
    if told.command is None:
        from engine.cli.commands.running import console

        return console(context)
    if told.handler is None:
        told.parser.error(f"{told.group} needs a command")
    module, _, function = told.handler.run.partition(":")
    chosen = getattr(import_module(f"engine.cli.commands.{module}"), function)
    code: int = chosen(context, **options)
    return code


_OWN = {"command", "handler", "parser", "group"}
_OWN |= {"json", "socket", "config", "read_only", "color", "lang"}


def _context(told: argparse.Namespace) -> Context:
    options = vars(told)
    output = Output(as_json=options.get("json", False), color=options.get("color", "auto"))
    return Context(
        output=output,
        socket=options.get("socket"),
        config=options.get("config"),
        read_only=options.get("read_only", False),
        lang=options.get("lang", ""),
    )


def exit_code(failure: Failure) -> int:
    """Return the exit code of a failure."""
    from engine.api.errors import EngineAway

    match failure:
        case EngineAway():
            return AWAY
        case WrongUse():
            return WRONG
        case Refused():
            return REFUSED
        case _:
            return FAILED


def _os_problem(error: OSError) -> Problem:
    name = f"{error.filename}: " if error.filename else ""
    return Problem("os.error", f"{name}{error.strerror or error}", "", "", {})


if __name__ == "__main__":
    run()
