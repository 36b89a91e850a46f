"""A terminal that gets only the difference shows the same as one that gets everything."""

from __future__ import annotations

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st

from tui.grid import Grid

WIDTH, HEIGHT = 20, 5
TOKENS = st.sampled_from(["a", "b", " ", " ", ".", "日", "本", "e\u0301", "─"])
SIGNS = st.lists(TOKENS, max_size=12).map("".join)
STYLES = st.sampled_from(["0", "1", "7", "1;31", "36", "39;49", "38;5;0", "48;2;0;0;1", "33;44"])
RUNS = st.tuples(
    st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.lists(st.tuples(STYLES, SIGNS))
)
FRAMES = st.lists(st.lists(RUNS, max_size=6), min_size=1, max_size=5)


def cells(text: str) -> int:
    """Return the cells of the test's signs."""
    return sum(2 if sign in "日本" else 0 if sign == "\u0301" else 1 for sign in text)


def frame(runs: list[tuple[int, int, list[tuple[str, str]]]]) -> str:
    """Return what Textual would write: moves, styled texts within the line, resets."""
    told = []
    for y, x, texts in runs:
        told.append(f"\x1b[{y + 1};{x + 1}H")
        for style, text in texts:
            while cells(text) > WIDTH - x:
                text = text[:-1]
            x += cells(text)
            told.append(f"\x1b[{style}m{text}\x1b[0m" if text else "")
    return "".join(told)


def shown(stream: str) -> list[list[tuple[object, ...]]]:
    """Return what stands on a terminal after a stream: each cell's sign and style."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    pyte.Stream(screen).feed("\x1b[?7l" + stream)
    rows = [[screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]
    return [
        [(sign, c.bold, c.reverse, c.fg, c.bg) for sign, c in zip(whole(row), row, strict=True)]
        for row in rows
    ]


def whole(row: list[pyte.screens.Char]) -> list[str]:
    """Return a row's signs; half a wide sign is a blank on real terminals, pyte keeps it."""
    signs = [cell.data for cell in row] + [" "]
    told = []
    for at, sign in enumerate(signs[:-1]):
        left_half = cells(sign) == 2 and signs[at + 1] != ""
        right_half = sign == "" and not (at and cells(signs[at - 1]) == 2)
        told.append(" " if left_half or right_half else sign)
    return told


@settings(max_examples=60, deadline=None)
@given(FRAMES)
def test_the_difference_gives_the_same_screen(
    frames: list[list[tuple[int, int, list[tuple[str, str]]]]],
) -> None:
    """After every frame both terminals agree in each cell, wide signs and colours included."""
    grid, every, sent = Grid(WIDTH, HEIGHT), "\x1b[0m\x1b[2J", ""
    for runs in frames:
        text = frame(runs)
        every += text
        grid.feed(text)
        sent += grid.difference()
        assert shown(sent) == shown(every)


@settings(max_examples=40, deadline=None)
@given(FRAMES)
def test_left_out_frames_are_made_good(
    frames: list[list[tuple[int, int, list[tuple[str, str]]]]],
) -> None:
    """A line too slow for each frame ends up with the newest all the same."""
    grid = Grid(WIDTH, HEIGHT)
    every = "".join(frame(runs) for runs in frames)
    for runs in frames:
        grid.feed(frame(runs))
    assert shown(grid.difference()) == shown("\x1b[0m\x1b[2J" + every)


WORDS = st.lists(st.sampled_from(["日本", "本日", "ab", "      ", "x"]), max_size=6).map("".join)


@settings(max_examples=80, deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=4))
def test_wide_words_with_gaps_stand_where_they_belong(words: list[str]) -> None:
    """Whole lines of wide words and long gaps one after another: each cell as if sent whole."""
    grid, every, sent = Grid(WIDTH, HEIGHT), "\x1b[0m\x1b[2J", ""
    for line in words:
        while cells(line) > WIDTH:
            line = line[:-1]
        text = frame([(0, 0, [("0", line + " " * (WIDTH - cells(line)))])])
        every += text
        grid.feed(text)
        sent += grid.difference()
        assert shown(sent) == shown(every)


def test_a_leap_after_half_a_wide_sign_that_stayed_lands_where_it_should() -> None:
    """Two Japanese labels of one width, then a gap: the value is not a cell too far right."""
    grid = Grid(WIDTH, HEIGHT)
    grid.feed("\x1b[1;1H 日日         11/22")
    sent = grid.difference()
    grid.feed("\x1b[1;1H 本日         日本 ")
    sent += grid.difference()
    assert "".join(sign for sign, *_style in shown(sent)[0]).rstrip() == " 本日         日本"


def test_what_is_the_same_costs_nothing() -> None:
    """The same frame again is no byte; one cell that differs is a move and that cell."""
    grid = Grid(WIDTH, HEIGHT)
    text = "\x1b[2;1H\x1b[1mhello\x1b[0m world              "
    grid.feed(text)
    first = grid.difference()
    assert "  " not in first
    grid.feed(text)
    assert grid.difference() == ""
    grid.feed("\x1b[2;1H\x1b[1mhellO\x1b[0m world")
    assert grid.difference() == "\x1b[2;5H\x1b[1mO\x1b[m"


def test_a_shorter_line_is_ended_by_one_erasure() -> None:
    """What stood beyond the new end goes with three bytes."""
    grid = Grid(WIDTH, HEIGHT)
    grid.feed("\x1b[1;1Ha long line of text")
    grid.difference()
    grid.feed("\x1b[1;1Ha long              ")
    assert grid.difference() == "\x1b[1;7H\x1b[K"


def test_modes_pass_through_before_the_picture() -> None:
    """What is neither text nor move nor style belongs to the terminal itself."""
    grid = Grid(WIDTH, HEIGHT)
    grid.feed("\x1b[?1049h\x1b[?25l")
    assert grid.difference() == "\x1b[?1049h\x1b[?25l"
    grid.feed("\x1b[1;1Hx")
    assert grid.difference() == "\x1b[0m\x1b[2J\x1b[1Hx"


def test_a_new_size_and_a_redraw_are_sent_whole() -> None:
    """Nothing is taken for granted then; the old size's lines are gone."""
    grid = Grid(WIDTH, HEIGHT)
    grid.feed("\x1b[5;1Hlast")
    grid.difference()
    grid.forget_all()
    assert grid.difference().endswith("\x1b[2J\x1b[5Hlast")
    grid.resize(10, 2)
    assert grid.difference() == ""
    grid.feed("\x1b[5;1Hgone\x1b[1;1Hhere")
    assert grid.difference().endswith("\x1b[2J\x1b[1Hhere")
