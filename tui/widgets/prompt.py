"""The one line an operator types in."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Key
from textual.strip import Strip
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from tui.format import cut
from tui.glyphs import Glyphs
from tui.question import Question
from tui.widgets.board import fitted

ROOM = 20
"""Cells that are left to type in, however long what is asked."""


class _Typed(Input):
    """Textual's line, which may begin with, or be offered, text that others chose."""

    glyphs: Glyphs

    def render_line(self, y: int) -> Strip:
        """Draw it."""
        return fitted(super().render_line(y), self.glyphs)


class Prompt(Horizontal):
    """A line over the last line of the screen; hidden while nothing is asked."""

    DEFAULT_CSS = """
    Prompt { dock: bottom; layer: over; height: 1; width: 100%; display: none;
             background: ansi_default; }
    Prompt Static { width: auto; height: 1; text-style: bold; background: ansi_default; }
    Prompt Input { width: 1fr; height: 1; border: none; padding: 0; margin: 0;
                   background: ansi_default; color: ansi_default; }
    Prompt Input:focus { border: none; background: ansi_default; background-tint: ansi_default; }
    Prompt Input > .input--cursor { text-style: reverse; }
    Prompt Input > .input--suggestion { color: ansi_default; text-style: none; }
    """

    def __init__(self, glyphs: Glyphs) -> None:
        """Begin hidden."""
        super().__init__(id="prompt")
        self._glyphs = glyphs
        self._question: Question | None = None

    def compose(self) -> ComposeResult:
        """Lay out label and input."""
        yield Static("", markup=False)
        line = _Typed(select_on_focus=False, max_length=200)
        line.glyphs = self._glyphs
        line.cursor_blink = False
        line.can_focus = False
        yield line

    @property
    def is_open(self) -> bool:
        """Tell whether something is being asked."""
        return self._question is not None

    def ask(self, question: Question) -> None:
        """Show the line and take the keys."""
        self._question = question
        line = self.query_one(Input)
        label = cut(self._glyphs.fit(question.label), self.app.size.width - ROOM)
        self.query_one(Static).update(f" {label} ")
        answers = list(question.answers)
        line.suggester = SuggestFromList(answers, case_sensitive=False) if answers else None
        line.value = question.value
        line.cursor_position = len(question.value)
        line.can_focus = True
        self.display = True
        self.screen.set_focus(line)  # at once: `focus` waits, and keys come meanwhile

    def dress(self, glyphs: Glyphs) -> None:
        """Draw with these signs from now on."""
        self._glyphs = self.query_one(_Typed).glyphs = glyphs

    def take(self, event: Key) -> bool:
        """Take a key at once, as it comes; tell whether it is none that moves or deletes."""
        line = self.query_one(Input)
        if event.key == "enter":
            if (question := self.close()) is not None:
                question.done(line.value.strip())
        elif event.key == "escape":
            question = self.close()
            if question is not None and question.left is not None:
                question.left()
        elif event.key == "tab":  # as the right arrow: what is offered is taken, the keys stay
            line.cursor_position = len(line.value)
            line.action_cursor_right()
        elif event.is_printable and event.character:
            line.replace(event.character, *sorted(line.selection))
        else:
            return False
        return True

    def close(self) -> Question | None:
        """Hide the line; return what was asked."""
        question, self._question = self._question, None
        line = self.query_one(Input)
        line.can_focus = False
        self.display = False
        return question

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell who asked while it is typed."""
        event.stop()
        if self._question is not None and self._question.typing is not None:
            self._question.typing(event.value)
