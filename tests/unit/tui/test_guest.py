"""A guest's picture drawn with characters, and keys as a serial line knows them. Pure."""

from __future__ import annotations

import base64

import pytest

from engine.api.guest_views import PictureView
from tui.keystrokes import sent
from tui.picture import HALF, drawn, nearest
from tui.tones import Pixels, style


def view(columns: int, rows: int, pixels: bytes) -> PictureView:
    """Return a picture of some cells."""
    told = base64.b64encode(pixels).decode()
    return PictureView(digest="x", width=9, height=9, columns=columns, rows=rows, pixels=told)


def test_half_blocks_carry_two_pixels() -> None:
    """Above red, below blue: one cell with two colours; equal neighbours share one span."""
    red, blue = bytes([255, 0, 0]), bytes([0, 0, 255])
    (line,) = drawn(view(3, 1, red * 3 + blue * 2 + red), blocks=True)
    assert [text for text, _ in line] == [HALF * 2, HALF]
    top, low = nearest(15, 0, 0), nearest(0, 0, 15)
    assert [tone for _, tone in line] == [Pixels(top, low), Pixels(top, top)]
    assert style(Pixels(1, 4), colours=True).render(HALF).startswith("\x1b[31;44m")
    assert "\x1b" not in style(Pixels(1, 4), colours=False).render(HALF)


def test_the_lightest_cell_is_the_loudest_sign() -> None:
    """A dim picture uses the whole ramp; black stays blank, and all of it is ASCII."""
    (line,) = drawn(view(3, 1, (bytes(3) + bytes([20] * 3) + bytes([40] * 3)) * 2), blocks=False)
    text = line[0][0]
    assert (text[0], text[2]) == (" ", "@")
    assert text[1] not in " @"
    assert text.isascii()
    assert drawn(view(2, 1, bytes(12)), blocks=False)[0][0][0] == "  "


@pytest.mark.parametrize(
    ("key", "character", "data"),
    [
        ("a", "a", b"a"),
        ("upper_a", "A", b"A"),
        ("enter", "\r", b"\r"),
        ("ctrl+c", "\x03", b"\x03"),
        ("ctrl+d", None, b"\x04"),
        ("backspace", "\x7f", b"\x7f"),
        ("up", None, b"\x1b[A"),
        ("f5", None, b""),
        ("あ", "あ", "あ".encode()),
    ],
)
def test_keys_as_bytes(key: str, character: str | None, data: bytes) -> None:
    """Letters, control keys and arrows reach the guest as from a VT100."""
    assert sent(key, character) == data
