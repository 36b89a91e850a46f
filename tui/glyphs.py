"""Which signs a terminal can show, and foreign text brought down to them, cell for cell."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from rich.cells import get_character_cell_size

MAX_MARKS = 2
"""Combining marks kept on one letter: more only hide the neighbouring rows."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Signs of our own drawings.

    Attributes:
        rule: Horizontal line; `bar`: vertical line, both one cell.
        full: Done part of a progress bar; `rest`: the part to come.
        ascii: True when nothing beyond ASCII may be written.
    """

    rule: str
    bar: str
    full: str = "#"
    rest: str = "."
    ascii: bool = True

    def fit(self, text: str) -> str:
        """Return `text` with every sign this terminal must not get replaced, the width kept.

        Text arrives safe; this is the last gate all the same, because one escape sequence let
        through steers the operator's terminal.
        """
        if text.isascii() and text.isprintable():
            return text
        return "".join(self._each(text))

    def _each(self, text: str) -> list[str]:
        shown: list[str] = []
        marks = 0
        for sign in text:
            width = get_character_cell_size(sign)
            if width == 0 and sign.isprintable() and unicodedata.category(sign)[0] == "M":
                marks += 1
                if not self.ascii and marks <= MAX_MARKS:
                    shown.append(sign)
                continue
            marks = 0
            shown.append(self._one(sign, width))
        return shown

    def _one(self, sign: str, width: int) -> str:
        if sign.isascii() and sign.isprintable():
            return sign
        if not sign.isprintable() or width == 0:
            return "?" * width
        if not self.ascii:
            return sign
        return "." if sign == "…" else "?" * width


ASCII = Glyphs(rule="-", bar="|")
BOX = Glyphs(rule="─", bar="│", ascii=False)
