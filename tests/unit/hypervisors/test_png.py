"""Pictures of consoles."""

from __future__ import annotations

import struct
import zlib

import pytest

from engine.hypervisors.png import MAGIC, encode, to_png


def test_a_ppm_becomes_a_png_with_the_same_pixels() -> None:
    """Every pixel of a PPM is in the PNG, row by row."""
    pixels = bytes(range(2 * 3 * 3))
    png = to_png(b"P6\n3 2\n255\n" + pixels)
    at = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[at - 4 : at])
    lines = zlib.decompress(png[at + 4 : at + 4 + length])
    assert lines == b"\0" + pixels[:9] + b"\0" + pixels[9:]
    assert png[16:24] == struct.pack(">II", 3, 2)


def test_a_png_stays_as_it_is() -> None:
    """What is a PNG already is not touched."""
    assert to_png(MAGIC + b"rest") == MAGIC + b"rest"


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"GIF89a",
        b"P6\n3 2\n255\nshort",
        b"P6\n0 0\n255\n",
        b"P6\n99999 1\n255\n" + bytes(299997),
    ],
)
def test_what_is_no_picture_is_refused(picture: bytes) -> None:
    """Neither PPM nor PNG, cut, empty and huge pictures are errors."""
    with pytest.raises(ValueError, match="picture"):
        to_png(picture)


def test_encode_wants_as_many_bytes_as_pixels() -> None:
    """A picture with a pixel too few is an error."""
    with pytest.raises(ValueError, match="picture"):
        encode(2, 2, bytes(11))
