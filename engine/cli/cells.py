"""Text in terminal cells: width, cutting, columns. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

GAP = "  "
CUT = ".."


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


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of aligned columns without borders.

    Args:
        heads: One head for each column; `>` before it puts the column to the right. Without any
            head the line of heads is left out.
        rows: Texts, as many in each row as there are heads.
    """
    right = [head.startswith(">") for head in heads]
    shown = [head.removeprefix(">") for head in heads]
    lines = [shown, *rows] if any(shown) else list(rows)
    widths = [max((cell_width(row[at]) for row in lines), default=0) for at in range(len(heads))]
    return [
        GAP.join(
            pad(text, width, right=side)
            for text, width, side in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in lines
    ]
