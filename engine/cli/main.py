"""The entry point of `bootpoint`."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, TextIO

from engine.cli.context import Context
from engine.cli.output import Output, note
from engine.model.errors import Cancelled, Failure, Problem, Refused, WrongUse
from engine.model.text import safe

if TYPE_CHECKING:
    import argparse

OK, FAILED, WRONG, AWAY, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130
GRACE_S = 1.0
"""What a thread may take to end after the work is over."""


def run() -> NoReturn:
    """Run the program with its own arguments and exit."""
    _open_streams()
    code = main(sys.argv[1:])
    if _is_kept():
        os._exit(code)  # everything was written durably, and nothing waits in a stream
    sys.exit(code)


def _is_kept() -> bool:
    """Return whether a thread stays: one that reads from a medium that hangs.

    The interpreter would wait for it for ever, and so would whoever asked the program to end.
    """
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    for one in others:
        if not one.daemon:
            one.join(GRACE_S)
    return any(one.is_alive() and not one.daemon for one in others)


def main(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    code = _answered(argv)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _let_go(stream)
    return code


def _answered(argv: Sequence[str]) -> int:
    """Run one command line, tell what went wrong, and return the exit code."""
    as_json = "--json" in argv
    try:
        code = _command(argv)
        sys.stdout.flush()
    except Failure as failure:
        _tell(failure.problem, as_json=as_json)
        return exit_code(failure)
    except (KeyboardInterrupt, Cancelled):
        with contextlib.suppress(BrokenPipeError):
            note("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        _let_go(sys.stdout)  # when the reader of our output goes away, that is its own affair
        return OK
    except OSError as error:
        _tell(_os_problem(error), as_json=as_json)
        return FAILED
    return code


def _tell(problem: Problem, *, as_json: bool) -> None:
    """Tell what went wrong; the exit code says it too where nobody listens."""
    try:
        Output(as_json=as_json).error(problem)
    except OSError:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _let_go(stream: TextIO) -> None:
    """Let what the interpreter flushes at its exit go nowhere: it would end with code 120."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _stream(number: int, mode: str) -> TextIO:
    """Return a stream of the process, which stays open until its end."""
    raw = io.FileIO(number, mode, closefd=False)
    buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding="utf-8")


def _open_streams() -> None:
    """Open what was closed (`bootpoint status >&-`), and let no character be one too many.

    A stream that is closed is None to Python, and the first file opened would get its number:
    whatever prints would write into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdin = sys.stdin or _stream(0, "r")
    sys.stdout = sys.stdout or _stream(1, "w")
    sys.stderr = sys.stderr or _stream(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _command(argv: Sequence[str]) -> int:
    from engine.cli.parser import parse

    if list(argv[:2]) == ["complete", "line"]:  # its words are no options of its own
        from engine.cli.commands.completing import line

        return line(argv[2:])
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


_REMEDIES = {
    errno.ENOENT: "Look whether the name is right.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EACCES: "Look who owns it and who may read or write it, or use another user.",
    errno.EPERM: "Look who owns it and who may read or write it, or use another user.",
    errno.ENOSPC: "Free some space there, or write to another place.",
    errno.EROFS: "Write to another place.",
}


def _os_problem(error: OSError) -> Problem:
    name = f"{safe(str(error.filename), 400)}: " if error.filename else ""
    why = error.strerror or safe(str(error), 400)
    remedy = _REMEDIES.get(error.errno or 0, "See what the words above say about this host.")
    return Problem("os.error", f"{name}{why}.", "The engine was not touched by this.", remedy)


if __name__ == "__main__":
    run()
