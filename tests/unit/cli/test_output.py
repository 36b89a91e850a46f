"""Cells, tables and progress lines."""

from __future__ import annotations

import io
import os
import pty

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cli.cells import cell_width, fit, pad, table
from engine.cli.output import Output
from engine.cli.progress import ProgressLine, line_of
from engine.model.progress import Progress

GIB = 1 << 30


class Time:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("基幹", 4), ("e\u0301", 1), ("ﾊﾝｶｸ", 4), ("", 0)]
)
def test_width_is_counted_in_cells(text: str, cells: int) -> None:
    """Kanji take two cells, combining marks none."""
    assert cell_width(text) == cells


@settings(deadline=None)
@given(st.text(alphabet="abc基幹サ\u0301", max_size=20), st.integers(2, 20))
def test_a_fitted_text_fits(text: str, width: int) -> None:
    """Cut and filled, a text takes exactly the room it has."""
    assert cell_width(pad(fit(text, width), width)) == width


def test_columns_are_aligned_by_cells() -> None:
    """Numbers stand right, words left, whatever script they are in."""
    lines = table(["NAME", ">N"], [["erp", "1"], ["基幹", "22"]])
    assert lines == ["NAME   N", "erp    1", "基幹  22"]


def test_a_table_in_a_pipe_has_no_colour() -> None:
    """Escape sequences are for terminals only, and only where colours are wanted."""
    for out, color, coloured in (
        (io.StringIO(), "auto", False),
        (Terminal(), "never", False),
        (Terminal(), "auto", True),
    ):
        before = dict(os.environ)
        os.environ["TERM"] = "xterm"
        os.environ.pop("NO_COLOR", None)
        try:
            Output(color=color, out=out).table(["STATE"], [["FAIL"]], state=0)
        finally:
            os.environ.clear()
            os.environ.update(before)
        assert ("\x1b" in out.getvalue()) is coloured


def test_progress_has_bytes_rate_and_time_left() -> None:
    """A line of progress says how much, how fast, how long still."""
    told = Progress("apply", 3 * GIB, 5 * GIB, 41 << 20, 100.0)
    assert line_of(told, "job 7") == ("job 7 apply  60%  3.0 GiB of 5.0 GiB  41 MiB/s  1m40s left")
    assert line_of(Progress("scan", 5, None)) == "scan  5 B"


def test_a_log_gets_a_line_every_five_seconds() -> None:
    """Not on a terminal, progress is whole lines, few of them."""
    out, now = io.StringIO(), Time()
    line = ProgressLine("x", out, now)
    for second in range(12):
        now.now = float(second)
        line(Progress("copy", second, 12))
    line.end()
    assert [text.split()[2] for text in out.getvalue().splitlines()] == ["41%", "83%"]


def test_a_terminal_gets_one_line_that_is_cleared() -> None:
    """On a terminal one line is rewritten, at most five times a second, and taken away."""
    out, now = Terminal(), Time()
    line = ProgressLine("x", out, now)
    for tick in range(10):
        now.now = tick / 10
        line(Progress("copy", tick, 10))
    line.end()
    text = out.getvalue()
    assert "\n" not in text
    assert text.count("copy") <= 5
    assert text.endswith(" \r")


def test_the_width_of_a_real_terminal_is_kept() -> None:
    """A line is never longer than the terminal it is drawn on."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        ProgressLine("x" * 500, stream)(Progress("copy", 1, 10))
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert len(shown.strip("\r")) <= 80
