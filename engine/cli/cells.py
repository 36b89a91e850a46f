"""Text in terminal cells: width, cutting, columns. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

GAP = "  "
CUT = ".."
NARROW = 12
"""Cells that a column of text keeps however narrow the terminal is."""


def cell_width(text: str) -> int:
    """Return how many cells a text takes on a terminal."""
    return len(text) if text.isascii() else sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fit(text: str, width: int) -> str:
    """Return a text cut to at most `width` cells; a cut is marked with two dots."""
    if cell_width(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += _cells(char)
        if used > width - len(CUT):
            break
        kept.append(char)
    return "".join(kept) + CUT[: max(0, width)]


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled up with blanks to `width` cells, at its left with `right`."""
    blanks = " " * max(0, width - cell_width(text))
    return blanks + text if right else text + blanks


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    """Return lines of aligned columns without borders.

    Args:
        heads: One head for each column; `>` before it puts the column to the right. Without any
            head the line of heads is left out.
        rows: Texts, as many in each row as there are heads.
        width: Cells of a line; the widest columns of text are cut until all fit. None: none is.
    """
    right = [head.startswith(">") for head in heads]
    shown = [head.removeprefix(">") for head in heads]
    lines = [shown, *rows] if any(shown) else list(rows)
    widths = [max((cell_width(row[at]) for row in lines), default=0) for at in range(len(heads))]
    if width is not None:
        widths = _narrowed(widths, right, width - len(GAP) * (len(heads) - 1))
    return [
        GAP.join(
            pad(fit(text, width), width, right=side)
            for text, width, side in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in lines
    ]


def _narrowed(widths: Sequence[int], numbers: Sequence[bool], room: int) -> list[int]:
    """Return widths that fit into `room`: the widest texts give first, numbers never."""
    told = list(widths)
    while sum(told) > room:
        wide = max((at for at, number in enumerate(numbers) if not number), key=told.__getitem__)
        if told[wide] <= NARROW:
            break
        told[wide] -= 1
    return told


def shared(reasons: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return reasons for a column, and sentences below it: what several share is told once.

    Of `on hold: a long story` in several rows each says `on hold`; the whole stands below.
    """
    counts = Counter(reasons)
    long = {one for one, count in counts.items() if count > 1 and ": " in one}
    return [one.partition(": ")[0] if one in long else one for one in reasons], sorted(long)
