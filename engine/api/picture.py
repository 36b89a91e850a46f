"""A guest's screen made small enough for terminal cells: PNG in, a few pixels out. Pure.

PNG 1024 x 768 ─► lines ─► boxes, one a pixel ─► 80 columns x 24 rows of two pixels each
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator

from engine.api.guest_views import PictureView
from engine.model.errors import HypervisorError, Problem

MAGIC = b"\x89PNG\r\n\x1a\n"
LARGEST = 8192
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> bytes a pixel, at 8 bits (PNG specification, table 11.1)."""
_GREYS, _TRUE, _PALETTE = (0, 4), 2, 3
_DEPTH, _UP, _FILTERS = 8, 2, 5


def picture_view(png: bytes, columns: int, rows: int, known: str = "") -> PictureView:
    """Return a picture scaled into cells, its shape kept; without pixels when it is known.

    Args:
        columns, rows: Most cells to fill; a cell is twice as high as wide.
        known: Digest of the picture the asker has.

    Raises:
        HypervisorError: It is no picture this program can read.
    """
    digest = hashlib.blake2b(png, digest_size=12, person=b"%d.%d" % (columns, rows)).hexdigest()
    if digest == known:
        return PictureView(digest=digest)
    try:
        width, height, lines = decode(png)
    except (ValueError, struct.error, zlib.error) as error:
        raise HypervisorError(
            Problem("vm.screen", f"The guest's picture cannot be read: {error}.")
        ) from error
    wide = min(columns, max(1, width * 2 * rows // height))
    high = max(1, min(rows, (height * wide // width + 1) // 2))
    pixels = scale(lines, width, height, wide, high * 2)
    return PictureView(
        digest=digest,
        width=width,
        height=height,
        columns=wide,
        rows=high,
        pixels=base64.b64encode(pixels).decode(),
    )


def scale(lines: list[bytes], width: int, height: int, columns: int, rows: int) -> bytes:
    """Return RGB pixels, each the mean of its box; a picture that is smaller is stretched."""
    out = bytearray()
    across = [
        (at * width // columns, max(1, (at + 1) * width // columns - at * width // columns))
        for at in range(columns)
    ]
    for row in range(rows):
        top = row * height // rows
        box = lines[top : max(top + 1, (row + 1) * height // rows)]
        for left, wide in across:
            start, end = 3 * left, 3 * (left + wide)
            count = wide * len(box)
            for channel in range(3):
                total = sum(sum(line[start + channel : end : 3]) for line in box)
                out.append(total // count)
    return bytes(out)


def decode(png: bytes) -> tuple[int, int, list[bytes]]:
    """Return width, height and the RGB lines of a PNG with 8 bits a channel.

    Raises:
        ValueError, struct.error, zlib.error: It is none, or larger than any screen.
    """
    if not png.startswith(MAGIC):
        raise ValueError("it is no PNG")
    parts: dict[bytes, bytes] = {}
    for kind, data in _chunks(png):
        parts[kind] = parts.get(kind, b"") + data if kind == b"IDAT" else data
    head = parts.get(b"IHDR", b"")
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", head)
    if (depth, interlace) != (_DEPTH, 0) or colour not in _CHANNELS:
        raise ValueError(f"a PNG of {depth} bits, colour type {colour} is not read")
    if not 0 < width <= LARGEST or not 0 < height <= LARGEST:
        raise ValueError(f"{width} x {height} is no screen")
    lines = _lines(parts.get(b"IDAT", b""), width * _CHANNELS[colour], height, _CHANNELS[colour])
    palette = parts.get(b"PLTE", b"")
    return width, height, [_rgb(line, colour, palette) for line in lines]


def _lines(packed: bytes, size: int, height: int, step: int) -> Iterator[bytes]:
    """Yield the lines of a PNG's data, unpacked and without filters."""
    raw = zlib.decompressobj().decompress(packed, (size + 1) * height)
    if len(raw) != (size + 1) * height or max(raw[:: size + 1]) >= _FILTERS:
        raise ValueError("it is cut short")
    before = bytes(size)
    for at in range(0, len(raw), size + 1):
        before = unfilter(raw[at], raw[at + 1 : at + 1 + size], before, step)
        yield before


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(MAGIC)
    while at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8 : at + 8 + length]
        at += 12 + length


def unfilter(kind: int, line: bytes, before: bytes, step: int) -> bytes:
    """Undo the filter of one line (PNG specification, clause 9)."""
    if kind == 0:
        return line
    if kind == _UP:
        return bytes((a + b) & 255 for a, b in zip(line, before, strict=True))
    out = bytearray(step) + line
    above = bytes(step) + before
    for at in range(step, len(out)):
        left, up, corner = out[at - step], above[at], above[at - step]
        guess = (left, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        out[at] = (out[at] + guess) & 255
    return bytes(out[step:])


def _paeth(left: int, up: int, corner: int) -> int:
    straight = left + up - corner
    return min((left, up, corner), key=lambda one: abs(straight - one))


def _rgb(line: bytes, colour: int, palette: bytes) -> bytes:
    """Return a line as red, green, blue."""
    if colour == _TRUE:
        return line
    step = _CHANNELS[colour]
    out = bytearray(3 * len(line) // step)
    for channel in range(3):
        if colour == _PALETTE:
            table = (palette + bytes(768))[channel::3][:256]
            out[channel::3] = line.translate(table)
        else:
            out[channel::3] = line[0 if colour in _GREYS else channel :: step]
    return bytes(out)
