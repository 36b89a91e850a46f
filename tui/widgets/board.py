"""Fixed lines of text: only a line that changed is painted, and no markup parser is in the way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import Glyphs
from tui.rows import BLANK, Line
from tui.tones import Tone, style


def strip(line: Line, width: int, glyphs: Glyphs, *, colours: bool, cursor: bool) -> Strip:
    """Return a line as Textual draws it, exactly `width` cells wide.

    The cursor is reverse video, and `=` in the leading blank, so that it is seen without colours.
    """
    if cursor:
        words = "".join(part for part, _ in line)
        line = (("=" + words[1:] if words[:1] == " " else words, Tone.CURSOR),)
        line = ((line[0][0] + " " * (width - 1 - cell_len(line[0][0])), Tone.CURSOR),)
    segments = [Segment(glyphs.fit(words), style(tone, colours=colours)) for words, tone in line]
    return Strip(segments).adjust_cell_length(width)


def fitted(strip: Strip, glyphs: Glyphs) -> Strip:
    """Return what a widget of Textual's draws without signs that the terminal must not get.

    Those widgets show text as it comes, and an escape sequence in it is carried out.
    """
    return Strip(
        [Segment(glyphs.fit(words), style) for words, style, control in strip if not control]
    )


class Board(Widget, can_focus=True):
    """The whole screen as lines; `show` repaints those that differ."""

    DEFAULT_CSS = "Board { width: 100%; height: 100%; background: ansi_default; }"

    def __init__(self, glyphs: Glyphs, *, colours: bool) -> None:
        """Begin empty."""
        super().__init__(id="board")
        self._glyphs, self._colours = glyphs, colours
        self._lines: tuple[Line, ...] = ()
        self._cursor: int | None = None

    def show(self, lines: Sequence[Line], cursor: int | None) -> None:
        """Put these lines on the board."""
        old, was = self._lines, self._cursor
        self._lines, self._cursor = tuple(lines), cursor
        for y in range(max(len(old), len(lines))):
            before = old[y] if y < len(old) else BLANK
            after = lines[y] if y < len(lines) else BLANK
            if before != after or (y in (was, cursor) and was != cursor):
                self.refresh(Region(0, y, self.size.width, 1))

    def dress(self, glyphs: Glyphs, *, colours: bool) -> None:
        """Draw with these signs from now on, in colours or without."""
        self._glyphs, self._colours = glyphs, colours
        self.refresh()

    def text(self) -> str:
        """Return what stands on the board as plain text."""
        return "\n".join(
            self._glyphs.fit("".join(words for words, _ in line)) for line in self._lines
        )

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        line = self._lines[y] if y < len(self._lines) else BLANK
        return strip(
            line, self.size.width, self._glyphs, colours=self._colours, cursor=y == self._cursor
        )
