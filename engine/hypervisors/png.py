"""Pictures of consoles: PPM, as QEMU draws them, to PNG, as everything shows them."""

from __future__ import annotations

import re
import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"
LARGEST = 8192
_PPM = re.compile(rb"P6\s(?:#[^\n]*\n)*\s*(\d{1,5})\s+(\d{1,5})\s+255\s", re.DOTALL)


def to_png(picture: bytes) -> bytes:
    """Return a picture, PPM (binary, 8 bits) or PNG already, as PNG.

    Raises:
        ValueError: It is neither, or not whole, or larger than any screen.
    """
    if picture.startswith(MAGIC):
        return picture
    head = _PPM.match(picture)
    if head is None:
        raise ValueError("the picture is neither PPM nor PNG")
    return encode(int(head[1]), int(head[2]), picture[head.end() :])


def encode(width: int, height: int, pixels: bytes) -> bytes:
    """Return pixels (3 bytes each: red, green, blue) as PNG.

    Raises:
        ValueError: The bytes are not as many as the picture needs.
    """
    row = 3 * width
    if not 0 < width <= LARGEST or not 0 < height <= LARGEST or len(pixels) != row * height:
        raise ValueError(f"{len(pixels)} bytes are no picture of {width}×{height}")
    lines = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return MAGIC + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
