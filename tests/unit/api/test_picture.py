"""Pictures of consoles: read back what any program may have written, and made small."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.picture import decode, picture_view, scale
from engine.hypervisors.png import MAGIC, encode
from engine.model.errors import HypervisorError


def png(width: int, height: int, colour: int, raw: bytes, palette: bytes = b"") -> bytes:
    """Return a PNG of given, filtered lines."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + b"\0\0\0\0"

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"PLTE", palette), chunk(b"IDAT", zlib.compress(raw))]
    return MAGIC + b"".join(parts)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_what_was_written_is_read(width: int, height: int, data: st.DataObject) -> None:
    """Every picture of ours comes back pixel for pixel."""
    pixels = data.draw(st.binary(min_size=3 * width * height, max_size=3 * width * height))
    wide, high, lines = decode(encode(width, height, pixels))
    assert (wide, high, b"".join(lines)) == (width, height, pixels)


@pytest.mark.parametrize("kind", ["rgb24", "rgba", "gray", "pal8"])
def test_pictures_of_others_are_read(kind: str) -> None:
    """Each filter and colour type says the same picture: all five filters over one gradient."""
    width, height = 16, 10
    grey = [bytes((3 * x + 7 * y) % 256 for x in range(width)) for y in range(height)]
    step = {"rgb24": 3, "rgba": 4, "gray": 1, "pal8": 1}[kind]
    plain = [
        b"".join(bytes([v] * 3 + [255])[:step] if step > 1 else bytes([v]) for v in line)
        for line in grey
    ]
    raw, before = b"", bytes(width * step)
    for y, line in enumerate(plain):
        raw += bytes([y % 5]) + filtered(y % 5, line, before, step)
        before = line
    palette = b"".join(bytes([v] * 3) for v in range(256))
    colour = {"rgb24": 2, "rgba": 6, "gray": 0, "pal8": 3}[kind]
    _, _, lines = decode(png(width, height, colour, raw, palette))
    assert lines == [b"".join(bytes([v] * 3) for v in line) for line in grey]


def filtered(kind: int, line: bytes, before: bytes, step: int) -> bytes:
    """Filter a line, by the words of the specification."""
    out = []
    for at, value in enumerate(line):
        a = line[at - step] if at >= step else 0
        b, c = before[at], before[at - step] if at >= step else 0
        near = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        out.append((value - (0, a, b, (a + b) // 2, near)[kind]) & 255)
    return bytes(out)


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        MAGIC,
        MAGIC + b"\0" * 40,
        png(4, 4, 2, b"\0" * 20),
        png(4, 4, 2, b"\x09" * 52),
        png(4, 4, 5, b"\0" * 52),
        png(1 << 30, 1 << 30, 2, b""),
        png(8000, 8000, 6, b""),
        encode(2, 2, bytes(12))[:-30],
    ],
)
def test_what_is_no_picture_is_said_in_words(hostile: bytes) -> None:
    """A target's answer is hostile: no crash, no gigabytes, one sentence."""
    with pytest.raises(HypervisorError) as refused:
        picture_view(hostile, 80, 24)
    assert refused.value.problem.key == "vm.screen"


def test_a_box_is_the_mean_of_its_pixels() -> None:
    """Two by two pixels become one; a picture smaller than its room is stretched."""
    lines = [bytes([0, 10, 255] * 2), bytes([100, 30, 255] * 2)]
    assert scale(lines, 2, 2, 1, 1) == bytes([50, 20, 255])
    assert scale([bytes([9, 9, 9])], 1, 1, 2, 2) == bytes([9] * 12)


def test_the_shape_is_kept_and_a_known_picture_is_not_sent() -> None:
    """A cell is twice as high as wide: 4:3 in 80 columns is 30 rows; known ones cost nothing."""
    picture = encode(640, 480, bytes([200]) * (640 * 480 * 3))
    view = picture_view(picture, 80, 60)
    assert (view.columns, view.rows, view.width, view.height) == (80, 30, 640, 480)
    assert base64.b64decode(view.pixels) == bytes([200]) * (80 * 60 * 3)
    low = picture_view(picture, 80, 20)
    assert (low.columns, low.rows) == (53, 20)
    again = picture_view(picture, 80, 60, view.digest)
    assert (again.digest, again.pixels) == (view.digest, "")
    assert picture_view(picture, 40, 60, view.digest).pixels
