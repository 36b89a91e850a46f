"""What a command says: tables and sentences for people, one JSON object for programs.

Output goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from engine.cli.cells import fit, table
from engine.model.errors import Problem

SCHEMA = 1
_TONES = {
    "LATE": "\x1b[1;33m",
    "LOST": "\x1b[1;33m",
    "FAIL": "\x1b[1;31m",
    "NONE": "\x1b[1;31m",
    "LIVE": "\x1b[7m",
    "TEST": "\x1b[35m",
    "BUILD": "\x1b[36m",
}
_PLAIN = "\x1b[0m"


class Output:
    """Standard output and error of one command."""

    def __init__(
        self, *, as_json: bool = False, color: str = "auto", out: TextIO | None = None
    ) -> None:
        """Write to `out`, standard output without it.

        Args:
            as_json: One JSON object instead of text for people.
            color: `auto` or `never`.
            out: For tests.
        """
        self.as_json = as_json
        self._out = out or sys.stdout
        tty = self._out.isatty()
        self._color = color == "auto" and tty and not os.environ.get("NO_COLOR")
        self._color = self._color and os.environ.get("TERM", "dumb") != "dumb"
        self._columns = columns(self._out) if tty else None

    @property
    def in_colour(self) -> bool:
        """Tell whether colours may be used."""
        return self._color

    def object(self, **told: object) -> None:
        """Write one JSON object on a line; `schema` comes first."""
        self._out.write(json.dumps({"schema": SCHEMA, **plain(told)}) + "\n")
        self._out.flush()

    def say(self, *lines: str) -> None:
        """Write lines for people."""
        for line in lines:
            self._out.write(line + "\n")
        self._out.flush()

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], state: int = -1) -> None:
        """Write a table for people.

        Args:
            heads, rows: As `cells.table` wants them.
            state: Column that holds a state's code, coloured on a terminal.
        """
        codes = [row[state] if state >= 0 else "" for row in rows]
        if any(heads):
            codes.insert(0, "")
        for line, code in zip(table(heads, rows, self._columns), codes, strict=True):
            shown = line if self._columns is None else fit(line, self._columns)
            self.say(self._toned(shown, code))

    def _toned(self, line: str, code: str) -> str:
        tone = _TONES.get(code, "") if self._color else ""
        return f"{tone}{line}{_PLAIN}" if tone else line

    def check(self) -> None:
        """Raise BrokenPipeError once nobody reads the output any more."""
        if reader_is_gone(self._out):
            raise BrokenPipeError

    def error(self, problem: Problem) -> None:
        """Tell a failure: to programs on standard output, to people on standard error."""
        if self.as_json:
            told = {"key": problem.key, "message": problem.happened, "facts": dict(problem.facts)}
            told |= {"unchanged": problem.unchanged, "remedy": problem.remedy}
            self.object(error=told)
            return
        parts = [part for part in (problem.happened, problem.unchanged, problem.remedy) if part]
        note("bootpoint: " + "\n           ".join(parts))


def note(text: str) -> None:
    """Write a line for people beside the output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def reader_is_gone(stream: TextIO) -> bool:
    """Tell whether nobody reads the pipe any more that a stream writes to."""
    watch = select.poll()
    try:
        watch.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _fd, event in watch.poll(0))


def columns(stream: TextIO) -> int:
    """Return the width of a terminal in cells; the last column stays empty."""
    try:
        return max(20, os.get_terminal_size(stream.fileno()).columns - 1)
    except (OSError, ValueError):
        return 79


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return views, dataclasses, paths and times as what JSON knows."""
    import msgspec

    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return msgspec.to_builtins(value, enc_hook=str, str_keys=True)
