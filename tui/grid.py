"""What stands on a terminal and what shall stand there, and the fewest bytes between the two.

    Textual's output ─ feed ─► wanted ─┐
                                       ├─ difference ─► moves, styles, text
                     what was sent ─► shown

Textual sends each region anew, every run of text with its style and a reset, blanks up to the last
column. Here only cells that differ are sent, the style only where it changes, and blank ends as one
erasure. Pure: no terminal is involved.

Source: ECMA-48 for the sequences (CUP, CUF, EL, ED, SGR).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import get_character_cell_size

Cell = tuple[str, str]
"""Text of a cell and its style; empty text: the right half of a wide sign."""
BLANK: Cell = (" ", "")
NEAR = 4
"""Equal cells between two that differ are sent again rather than leapt over, up to so many."""
_PARTS = re.compile(
    r"\x1b\[(?P<move>\d+;\d+)H|\x1b\[(?P<style>[\d;]*)m"
    r"|(?P<other>\x1b(?:\[[^@-~]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.))"
    r"|(?P<text>[^\x1b\n]+)|\n",
    re.DOTALL,
)
_POINTER = "\x1b]22;"
"""The shape of a mouse's pointer, where there is no mouse."""
_DEFAULTS = frozenset({"39", "49"})


class Grid:
    """One terminal."""

    def __init__(self, width: int, height: int) -> None:
        """Know nothing of what stands there; what shall stand there is blank."""
        self.width, self.height = width, height
        self._wanted = _blank(width, height)
        self._shown: list[list[Cell]] | None = None
        self._rows: set[int] = set()
        self._raw: list[str] = []
        self._x = self._y = 0
        self._style = ""

    def resize(self, width: int, height: int) -> None:
        """Begin anew in another size."""
        self.width, self.height = width, height
        self._wanted = _blank(width, height)
        self._shown, self._rows = None, set()

    def forget_all(self) -> None:
        """Send everything again next time: something else may have written there."""
        self._shown = None
        self._rows = set(range(self.height))

    # --- what shall stand there -------------------------------------------------------------

    def feed(self, output: str) -> None:
        """Take what a program writes; sequences that are no text, move or style pass through."""
        for part in _PARTS.finditer(output):
            kind = part.lastgroup
            if kind == "text":
                self._write(part["text"])
            elif kind == "style":
                self._style = _joined(self._style, part["style"])
            elif kind == "move":
                row, column = part["move"].split(";")
                self._x, self._y = int(column) - 1, int(row) - 1
            elif kind == "other":
                if not part["other"].startswith(_POINTER):
                    self._raw.append(part["other"])
            else:
                self._x, self._y = 0, self._y + 1

    def _write(self, text: str) -> None:
        if not 0 <= self._y < self.height:
            return
        row, style, x = self._wanted[self._y], self._style, self._x
        self._rows.add(self._y)
        for sign in text:
            width = 1 if sign.isascii() else get_character_cell_size(sign)
            if width == 0:
                if 0 < x <= self.width:
                    lead = x - 2 if row[x - 1][0] == "" and x > 1 else x - 1
                    row[lead] = (row[lead][0] + sign, row[lead][1])
                continue
            if 0 <= x <= self.width - width:
                _put(row, x, sign, style, width)
            x += width
        self._x = x

    # --- the bytes between ------------------------------------------------------------------

    def difference(self) -> str:
        """Return what to send, and take it as sent."""
        raw, self._raw = self._raw, []
        pen = _Pen()
        if self._shown is None:
            if not self._rows:
                return "".join(raw)
            pen.text.append("\x1b[0m\x1b[2J")
            self._shown, self._rows = _blank(self.width, self.height), set(range(self.height))
        for y in sorted(self._rows):
            if y < self.height and self._shown[y] != self._wanted[y]:
                _send_row(pen, y, self._shown[y], self._wanted[y])
                self._shown[y] = list(self._wanted[y])
        self._rows = set()
        pen.plain()
        return "".join(raw) + "".join(pen.text)


class _Pen:
    """Where the cursor is while a difference is written, and the style it writes in."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self._at: tuple[int, int] | None = None
        self._style = ""

    def move(self, y: int, x: int) -> None:
        if self._at == (y, x):
            return
        if self._at is not None and self._at[0] == y and x > self._at[1]:
            self.text.append(f"\x1b[{x - self._at[1]}C")
        elif x == 0:
            self.text.append(f"\x1b[{y + 1}H")
        else:
            self.text.append(f"\x1b[{y + 1};{x + 1}H")
        self._at = (y, x)

    def write(self, cells: list[Cell], y: int, x: int) -> None:
        self.move(y, x)
        for text, style in cells:
            if style != self._style:
                self.text.append(f"\x1b[0;{style}m" if style and self._style else f"\x1b[{style}m")
                self._style = style
            self.text.append(text)
        self._at = (y, x + len(cells))

    def erase(self, y: int, x: int) -> None:
        """Blank the rest of a line; terminals fill it with the style of the pen."""
        self.move(y, x)
        self.plain()
        self.text.append("\x1b[K")

    def plain(self) -> None:
        if self._style:
            self.text.append("\x1b[m")
            self._style = ""


def _blank(width: int, height: int) -> list[list[Cell]]:
    return [[BLANK] * width for _ in range(height)]


def _put(row: list[Cell], x: int, sign: str, style: str, width: int) -> None:
    """Put a sign into a row; a wide sign that loses a half is gone."""
    if row[x][0] == "" and x > 0:
        row[x - 1] = (" ", row[x - 1][1])
    after = x + width
    if after < len(row) and row[after][0] == "":
        row[after] = (" ", row[after][1])
    row[x] = (sign, style)
    if width == 2:
        row[x + 1] = ("", style)


def _joined(style: str, more: str) -> str:
    """Return a style after another SGR; the default colours are no style."""
    parts = [part for part in more.split(";") if part not in _DEFAULTS]
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] in ("", "0") and not _is_operand(parts, at):
            style, parts = "", parts[at + 1 :]
            break
    return ";".join(part for part in (style, *parts) if part)


def _is_operand(parts: list[str], at: int) -> bool:
    """Tell whether a number belongs to a colour such as `38;5;0` or `48;2;0;0;0`."""
    return any(
        parts[start : start + 2] in (["38", "5"], ["48", "5"], ["38", "2"], ["48", "2"])
        and start + 1 < at <= start + (2 if parts[start + 1] == "5" else 4)
        for start in range(max(0, at - 4), at)
    )


def _send_row(pen: _Pen, y: int, old: list[Cell], new: list[Cell]) -> None:
    end = len(new)
    while end and new[end - 1] == BLANK:
        end -= 1
    for first, last in _runs(old, new, end):
        pen.write(new[first:last], y, first)
    if any(cell != BLANK for cell in old[end:]):
        pen.erase(y, end)


def _runs(old: list[Cell], new: list[Cell], end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges to be sent; never half of a wide sign."""

    def whole(last: int) -> int:
        return last + 1 if last < end and new[last][0] == "" else last

    first = last = -1
    for x in range(end):
        if old[x] == new[x] and not (x + 1 < end and old[x + 1] != new[x + 1] == ("", new[x][1])):
            continue
        start = x - 1 if new[x][0] == "" and x > 0 else x
        if first >= 0 and start - last > NEAR:
            yield first, whole(last)
            first = -1
        if first < 0:
            first = start
        last = x + 1
    if first >= 0:
        yield first, whole(last)
