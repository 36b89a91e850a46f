"""A guest's screen drawn with characters: half blocks in 16 colours, or a ramp of ASCII. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

from engine.api.guest_views import PictureView
from tui.rows import Line
from tui.tones import Pixels, Tone

HALF = "\u2580"
"""Upper half block: its own colour above, the background's below."""
RAMP = " .:-=+*#%@"
LOUD = 255
# The VGA palette, which the 16 colours of text terminals stand for.
_PALETTE = (
    (0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0),
    (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170),
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85),
    (85, 85, 255), (255, 85, 255), (85, 255, 255), (255, 255, 255),
)  # fmt: skip
_COARSE = 4
"""Bits of a channel that tell colours apart."""


def drawn(view: PictureView, *, blocks: bool) -> list[Line]:
    """Return the lines of a picture.

    Args:
        blocks: Half blocks in colours; else ASCII by brightness, the lightest cell the loudest.
    """
    rows = _rows(view)
    return [_blocks(top, low) for top, low in rows] if blocks else _ramp(list(rows))


def _rows(view: PictureView) -> Iterator[tuple[bytes, bytes]]:
    """Yield the upper and the lower pixels of each row of cells."""
    pixels, line = base64.b64decode(view.pixels), 3 * view.columns
    for at in range(0, 2 * line * view.rows, 2 * line):
        yield pixels[at : at + line], pixels[at + line : at + 2 * line]


def _blocks(top: bytes, low: bytes) -> Line:
    cells = [
        Pixels(
            nearest(*(one >> _COARSE for one in top[at : at + 3])),
            nearest(*(one >> _COARSE for one in low[at : at + 3])),
        )
        for at in range(0, len(top), 3)
    ]
    return tuple((HALF * len(list(run)), pair) for pair, run in groupby(cells))


@cache
def nearest(red: int, green: int, blue: int) -> int:
    """Return which of the 16 colours is nearest to one told in 4 bits a channel."""

    def far(number: int) -> int:
        one = _PALETTE[number]
        return sum((17 * a - b) ** 2 for a, b in zip((red, green, blue), one, strict=True))

    return min(range(len(_PALETTE)), key=far)


def _ramp(rows: Sequence[tuple[bytes, bytes]]) -> list[Line]:
    light = [
        [(sum(top[at : at + 3]) + sum(low[at : at + 3])) // 6 for at in range(0, len(top), 3)]
        for top, low in rows
    ]
    most = max((max(line, default=0) for line in light), default=0) or LOUD
    steps = len(RAMP) - 1
    return [(("".join(RAMP[one * steps // most] for one in line), Tone.PLAIN),) for line in light]
