"""Lines of text with tones: how screens are put together before any terminal is involved. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from tui.format import cut, pad, wrap
from tui.tones import Pixels, Tone
from tui.words import _

Span = tuple[str, Tone | Pixels]
Line = tuple[Span, ...]
BLANK: Line = ()


def text(words: str, tone: Tone = Tone.PLAIN) -> Line:
    """Return a line of one tone."""
    return ((words, tone),)


def cells(line: Line) -> int:
    """Return how many cells a line takes."""
    return sum(cell_len(words) for words, _ in line)


def fit(line: Line, width: int) -> Line:
    """Return the line in at most `width` cells."""
    fitted: list[Span] = []
    left = width
    for words, tone in line:
        if left <= 0:
            break
        words = cut(words, left)
        left -= cell_len(words)
        fitted.append((words, tone))
    return tuple(fitted)


def spread(left: Line, right: Line, width: int) -> Line:
    """Return `left` and `right` at the two ends of a line; `right` is cut when both do not fit."""
    left = fit(left, width)
    right = fit(right, width - cells(left) - 2)
    gap = width - cells(left) - cells(right)
    return (*left, (" " * gap, Tone.PLAIN), *right)


def paragraph(
    label: str, words: str, width: int, *, tone: Tone = Tone.PLAIN, named: bool = False
) -> list[Line]:
    """Return wrapped words behind a label of 13 cells, as in ` Happened     Job 12 could not …`.

    The label is looked up in the operator's language, unless it is `named`: somebody's name.
    """
    if not words:
        return []
    lines = wrap(words, max(8, width - 15)) or [repr(words)]  # a name may be blanks only
    heads = [label if named else _(label)] + [""] * (len(lines) - 1)
    return [
        ((f" {pad(head, 12)} ", Tone.HEAD), (words, tone))
        for head, words in zip(heads, lines, strict=True)
    ]


def clip(lines: Sequence[Line], most: int, width: int) -> list[Line]:
    """Return at most `most` lines; where any with words were cut the last one ends in `..`."""
    while len(lines) > most and lines[-1] == BLANK:
        lines = lines[:-1]
    if len(lines) <= most or not most:
        return list(lines[:most])
    kept = fit(lines[most - 1], width - 3)
    return [*lines[: most - 1], (*kept, (" ..", Tone.PLAIN))]


def prose(words: str, width: int, tone: Tone = Tone.PLAIN, indent: int = 1) -> list[Line]:
    """Return wrapped words with a margin."""
    return [text(" " * indent + part, tone) for part in wrap(words, max(8, width - indent))]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Looked up in the operator's language when it is shown.
        width: Cells; 0 takes what is left.
        right: Numbers stand on the right.
        least: Narrowest screen that still shows it.
    """

    title: str
    width: int
    right: bool = False
    least: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Columns fitted to a width; the first two cells belong to the row's mark."""

    columns: tuple[Column, ...]
    shown: tuple[int, ...]
    widths: tuple[int, ...]

    def head(self) -> Line:
        """Return the line of titles."""
        parts = [
            pad(_(self.columns[n].title), w, right=self.columns[n].right) for n, w in self._all()
        ]
        return text("   " + " ".join(parts).rstrip(), Tone.HEAD)

    def row(self, mark: Span, fields: Sequence[str | Span]) -> Line:
        """Return one row; `fields` has an entry for every column, shown or not."""
        line: list[Span] = [(" ", Tone.PLAIN), mark]
        for number, width in self._all():
            field = fields[number]
            words, tone = field if isinstance(field, tuple) else (field, Tone.PLAIN)
            line += [
                (" ", Tone.PLAIN),
                (pad(words, width, right=self.columns[number].right), tone),
            ]
        return tuple(line)

    def _all(self) -> list[tuple[int, int]]:
        return list(zip(self.shown, self.widths, strict=True))


def table(columns: Sequence[Column], width: int) -> Table:
    """Return a table for a screen of `width` usable cells."""
    shown = [n for n, column in enumerate(columns) if width >= column.least]
    fixed = sum(columns[n].width for n in shown) + len(shown) + 2
    flexible = [n for n in shown if columns[n].width == 0]
    share = max(4, (width - fixed) // len(flexible)) if flexible else 0
    return Table(tuple(columns), tuple(shown), tuple(columns[n].width or share for n in shown))
