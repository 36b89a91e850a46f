"""A whole page of text to edit: Textual's own editor over the board."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.strip import Strip
from textual.widgets import Static, TextArea

from tui.glyphs import Glyphs
from tui.question import Page
from tui.widgets.board import fitted
from tui.words import N_, _

KEYS = N_(" Ctrl+O hand in   Esc leave, the text is kept   Ctrl+Z undo")


class _Edited(TextArea):
    """Textual's editor over a file that others may have written."""

    glyphs: Glyphs

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        return fitted(super().render_line(y), self.glyphs)


class Pane(Vertical):
    """An editor over the whole screen; hidden while there is nothing to edit."""

    DEFAULT_CSS = """
    Pane { layer: over; width: 100%; height: 100%; display: none; background: ansi_default; }
    Pane Static { height: auto; width: 100%; background: ansi_default; color: ansi_default; }
    Pane .strong { text-style: bold; }
    Pane TextArea { height: 1fr; width: 100%; border: none; padding: 0 1;
                    background: ansi_default; color: ansi_default; }
    Pane TextArea:focus { border: none; }
    Pane TextArea .text-area--cursor { text-style: reverse; background: ansi_default;
                                       color: ansi_default; }
    Pane TextArea .text-area--cursor-line { background: ansi_default; }
    Pane TextArea .text-area--selection { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "hand_in", show=False),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, glyphs: Glyphs) -> None:
        """Begin hidden."""
        super().__init__(id="pane")
        self._page: Page | None = None
        self._editor = _Edited("", soft_wrap=True, show_line_numbers=False, compact=True)
        self._editor.cursor_blink = False
        self._editor.glyphs = self._glyphs = glyphs
        self._head = Static("", markup=False, classes="strong")
        self._said = Static("", markup=False, classes="strong")
        self._keys = Static("", markup=False)

    def compose(self) -> ComposeResult:
        """Lay out title, editor, what was wrong, and the keys."""
        yield self._head
        yield self._editor
        yield self._said
        yield self._keys

    @property
    def is_open(self) -> bool:
        """Tell whether something is being edited."""
        return self._page is not None

    def edit(self, page: Page) -> None:
        """Show a text and take the keys."""
        self._page = page
        fit = self._glyphs.fit
        self._head.update(f" {fit(page.title)}")
        self._said.update(f" {fit(page.said)}" if page.said else "")
        self._said.display = bool(page.said)
        self._keys.update(_(KEYS))
        self._editor.text = page.text
        self.display = True
        self._editor.focus()

    def dress(self, glyphs: Glyphs) -> None:
        """Draw with these signs from now on."""
        self._editor.glyphs = self._glyphs = glyphs

    def _close(self) -> tuple[Page | None, str]:
        page, self._page = self._page, None
        self.display = False
        return page, self._editor.text

    def action_hand_in(self) -> None:
        """Give the text to whoever asked."""
        page, text = self._close()
        if page is not None:
            page.done(text)

    def action_leave(self) -> None:
        """Leave; whoever asked gets the text all the same."""
        page, text = self._close()
        if page is not None:
            page.left(text)
