"""Serial bytes as safe text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.api.serial import last_lines, read_serial

UNSAFE = {chr(n) for n in (*range(32), *range(127, 160))}


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_control_character_gets_through(data: bytes) -> None:
    """Whatever a guest writes, no control character reaches the reader's terminal."""
    told = read_serial(data)
    assert not UNSAFE & set("".join([*told.lines, told.tail]))


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 300))
def test_reading_in_two_parts_gives_the_same_lines(data: bytes, cut: int) -> None:
    """Going on from `used` loses nothing and repeats nothing."""
    first = read_serial(data[:cut])
    second = read_serial(data[first.used :])
    whole = read_serial(data)
    assert first.lines + second.lines == whole.lines
    assert second.tail == whole.tail


def test_colours_and_titles_are_taken_out() -> None:
    """Colour, cursor and title sequences vanish; the words stay."""
    told = read_serial(b"\x1b]0;title\x07\x1b[1;32mok\x1b[0m\x1b[K done\n")
    assert told.lines == ["ok done"]


def test_a_line_written_over_itself_shows_its_last_form() -> None:
    """A progress display that rewrites its line is one line."""
    assert read_serial(b"10%\r50%\r100%\r\n").lines == ["100%"]


def test_an_endless_line_is_not_waited_for() -> None:
    """A guest that never ends its line is cut, so memory stays bounded."""
    told = read_serial(b"x" * 5000)
    assert (len(told.lines), told.tail, told.used) == (1, "", 5000)


def test_the_last_lines_include_the_unfinished_one() -> None:
    """A login prompt has no line end, and is the line that matters."""
    assert last_lines(b"a\nb\nc\nlogin: ", 2) == ["c", "login: "]
