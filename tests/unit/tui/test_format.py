"""Cells, ages, bars."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.format import age, bar, cut, goal, moment, pad, percent, retry_time, wrap
from tui.glyphs import ASCII, BOX

TEXT = st.text(max_size=60) | st.text(alphabet="aあ…─ ", max_size=60)


@given(text=TEXT, cells=st.integers(0, 80))
def test_padding_gives_exactly_the_cells_asked_for(text: str, cells: int) -> None:
    """A padded text has the width asked for, wide signs and cuts included."""
    assert cell_len(pad(text, cells)) == cells
    assert cell_len(pad(text, cells, right=True)) == cells
    assert cell_len(cut(text, cells)) <= cells


@given(text=TEXT, cells=st.integers(8, 80))
def test_wrapping_loses_no_word_and_keeps_the_width(text: str, cells: int) -> None:
    """Wrapped lines fit, and together hold every sign that is no blank."""
    lines = wrap(text, cells)
    assert all(cell_len(line) <= cells for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split())


@given(text=TEXT)
def test_fitting_to_a_terminal_keeps_the_width(text: str) -> None:
    """What a terminal cannot show is replaced cell for cell, and nothing steers it."""
    for glyphs in (ASCII, BOX):
        shown = glyphs.fit(text)
        assert cell_len(shown) == cell_len(text)
        assert shown.isprintable()
    assert ASCII.fit(text).isascii()


@given(first=st.floats(0, 1e8), more=st.floats(0, 1e6))
def test_an_age_never_jumps_back(first: float, more: float) -> None:
    """The later, the older: what is shown never gets younger."""
    assert _seconds(age(first)) <= _seconds(age(first + more))


def _seconds(shown: str) -> int:
    total, number = 0, ""
    for sign in shown.replace("<1m", "0m"):
        if sign.isdigit():
            number += sign
        else:
            total += int(number) * {"m": 60, "h": 3600, "d": 86400}[sign]
            number = ""
    return total


@given(done=st.integers(0, 10**15), total=st.integers(1, 10**15), cells=st.integers(3, 90))
def test_a_bar_has_its_width_and_is_full_only_at_the_end(done: int, total: int, cells: int) -> None:
    """A bar is as wide as asked; it is full exactly when all is done."""
    drawn = bar(done, total, cells, ASCII)
    assert len(drawn) == cells
    assert ("." not in drawn) == (done >= total)


def test_a_hundred_percent_is_kept_for_what_is_sealed() -> None:
    """A running job shows 99% at most."""
    assert percent(5, 5) == "99%"
    assert percent(5, 5, sealed=True) == "100%"
    assert percent(1, 3) == "33%"
    assert percent(1, None) == ""


def test_goals_are_as_short_as_they_go() -> None:
    """An hour is 1h, ninety minutes 90m, a day 1d, none a hyphen."""
    assert [goal(s) for s in (3600, 5400, 86400, None, 90)] == ["1h", "90m", "1d", "-", "1m30s"]


def test_moments_are_exact_to_the_second() -> None:
    """Boot points that are seconds apart can be told apart."""
    assert moment(datetime(2026, 11, 22, 4, 2, 7, tzinfo=UTC), UTC) == "Sun 22 Nov 04:02:07"


def test_the_engines_retry_time_is_read_or_left() -> None:
    """The time of the next try is understood; any other text is not."""
    assert retry_time("2026-11-22 13:50:00 UTC") == datetime(2026, 11, 22, 13, 50, tzinfo=UTC)
    assert retry_time("soon") is None
