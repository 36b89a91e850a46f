"""The console in Japanese: every screen keeps its shape, and says what it is to say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from tests.unit.tui.sample import HOSTILE, fleet, look
from tests.unit.tui.test_lines import board
from tui import heard, keymap, words
from tui.format import clock, moment, when, wrap
from tui.heard import KNOWN
from tui.places import CONTENT
from tui.words import _

TOP = Path(__file__).parents[3]
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


def test_the_engines_sentences_are_translated_with_their_facts() -> None:
    """A sentence is known by its template; names in it stay, and the unknown stays English."""
    assert heard.heard("one of the newest 24") == "最新 24 件のうち"
    said = heard.heard("Boot point bp000007 of {x} %s is pinned.")
    assert said == "{x} %s のブートポイント bp000007 を固定しました。"
    assert heard.heard("A sentence of a newer engine.") == "A sentence of a newer engine."
    said = heard.heard("It is tried again by itself. Nobody knows this one.")
    assert said == "自動的に再試行します。 Nobody knows this one."
    assert heard.heard("check: no new thing") == "check: no new thing"
    told = "usually every 1h, the newest came 9h ago; silence is no alarm"
    assert heard.heard(f"check: {told}") == f"check: {heard.heard(told)}" != f"check: {told}"
    said = heard.heard("the newest came 9h ago; silent from Mon 23 Nov 06:34")
    assert "11/23(月) 06:34" in said
    assert heard.heard("check is resumed.").startswith("check ")  # a name, though a known word
    words.use("en")
    assert heard.heard("one of the newest 24") == "one of the newest 24"


def _said_by_the_engine() -> str:
    """Return all texts in the engine's sources, placeholders as `{}`, one a line."""
    told = []
    for file in sorted((TOP / "engine").rglob("*.py")):
        if file.is_relative_to(TOP / "engine" / "cli"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                told.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "{}"
                        for part in node.values
                    )
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                told.append(node.value)
    return "\n".join(told)


def test_each_template_is_something_the_engine_says() -> None:
    """No template outlives its sentence: its longest part stands in the engine's sources."""
    said = _said_by_the_engine()
    for template in KNOWN:
        parts = [
            part for text in re.split(r"\{\w+\}", template) for part in re.split("[;,] ", text)
        ]
        longest = max(parts, key=len).strip(" .()").removeprefix("waits for ")
        assert longest in said, template
