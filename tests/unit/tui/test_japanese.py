"""The console in Japanese: every screen keeps its shape, and says what it is to say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from tests.unit.tui.sample import HOSTILE, fleet, look
from tests.unit.tui.test_lines import board
from tui import keymap, words
from tui.format import clock, moment, when, wrap
from tui.places import CONTENT
from tui.words import _

NAMES = ("erp-db01", HOSTILE[1], HOSTILE[3])
EVERY, LOST = fleet(), fleet(lost=True)
LABEL, SIGN = 12, 14
"""Cells for the label of a paragraph, and for an action in the menu."""


@pytest.fixture(autouse=True)
def japanese() -> Iterator[None]:
    """Speak Japanese."""
    words.use("ja")
    yield
    words.use("en")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("place", CONTENT)
def test_every_row_is_as_wide_as_the_screen(place: str, size: tuple[int, int]) -> None:
    """With wide, plain and hostile names each screen has its rows, each as wide as the terminal."""
    for name in NAMES:
        for picture in (EVERY, LOST):
            rows = board(picture, look(place, name, size, notice=name), ascii_only=False)
            assert len(rows) == size[1]
            assert {cell_len(row) for row in rows} == {size[0]}
            assert {row[-1:] for row in rows} == {" "}


def test_the_answer_and_the_keys_are_japanese() -> None:
    """The fleet answers in Japanese; codes, names and the signs of keys stay as they are."""
    rows = board(fleet(("a", "b", "c")), look("fleet"), ascii_only=False)
    assert rows[1].startswith(" 今すぐ起動できる: 3 台中 2 台")
    assert "Enter 開く" in rows[-1]
    assert any("FAIL" in row for row in rows)


def test_an_action_fits_its_column_of_the_menu() -> None:
    """What an action is called in the line of keys also fits the menu of actions."""
    for key in keymap.TABLE:
        assert cell_len(_(key.words)) <= SIGN, key.id


def test_japanese_is_wrapped_between_signs_and_never_inside_a_word() -> None:
    """Without blanks to wrap at, words of ASCII stay whole and no line begins with a full stop."""
    text = "同じことは bootpoint plain でもできます。二重(にじゅう)に確認。"
    for cells in range(12, 60):
        lines = wrap(text, cells)
        assert any("bootpoint" in line for line in lines)
        assert all(line[0] not in "。、)" and line[-1] != "(" for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_dates_are_written_in_numbers() -> None:
    """Weekday, month and day stand in the order a Japanese reader expects."""
    zone = ZoneInfo("Asia/Tokyo")
    now = datetime(2026, 11, 22, 4, 42, 7, tzinfo=UTC)
    assert clock(now, zone) == "13:42 JST"
    assert when(now, now, zone) == "13:42"
    assert when(datetime(2026, 11, 21, 14, tzinfo=UTC), now, zone) == "土 23:00"
    assert when(datetime(2026, 11, 13, 13, tzinfo=UTC), now, zone) == "11/13 22:00"
    assert when(datetime(2025, 11, 13, 13, tzinfo=UTC), now, zone) == "2025/11/13"
    assert moment(datetime(2026, 11, 13, 13, 0, 4, tzinfo=UTC), zone) == "11/13(金) 22:00:04"
