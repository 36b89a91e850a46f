"""The full screen: one board for all places, a prompt over its last line, keys.

One screen and one widget hold for all places: a change of place then costs the lines that differ,
where a pushed Textual screen would be sent whole. What the places are is in `core.py`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.driver import Driver

from tui import keys
from tui.core import Core, Setup
from tui.keystrokes import LEAVE, sent
from tui.question import Page, Question
from tui.widgets.board import Board
from tui.widgets.prompt import Prompt
from tui.words import _


@runtime_checkable
class Steady(Protocol):
    """A driver that knows what stands on its terminal."""

    def ready(self) -> None:
        """Send the first frame: there is something to show."""

    def redraw(self) -> None:
        """Send everything again."""


if TYPE_CHECKING:
    from tui.widgets.pane import Pane


class Console(App[int], inherit_bindings=False):
    """The full-screen program."""

    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    CSS = "Screen { layers: base over; background: ansi_default; overflow: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(key.keys), f"act('{key.id}')", key.words, id=key.id, show=False)
        for key in keys.TABLE
    ]

    def __init__(self, setup: Setup, driver: type[Driver] | None = None) -> None:
        """Prepare; `run` opens the screen."""
        super().__init__(ansi_color=True, driver_class=driver)
        self.theme = "ansi-dark"
        self.core = Core(setup, _OnScreen(self))
        self.board = Board(self.core.glyphs, colours=self.core.kind.colours)
        self.prompt = Prompt(self.core.glyphs)
        self.pane: Pane | None = None
        self._edits = False
        self._due: asyncio.TimerHandle | None = None
        self._painted = 0.0
        self._has_shown = False

    def compose(self) -> ComposeResult:
        """Lay out the board, and the prompt over its last line."""
        yield self.board
        yield self.prompt

    def on_mount(self) -> None:
        """Connect, and begin to paint."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, number)
        self.board.focus()
        self.core.start()
        self.set_interval(1.0, self._tick)

    async def on_unmount(self) -> None:
        """Let go of the engine."""
        await self.core.close()

    def _signalled(self, number: int) -> None:
        self.exit(128 + number, return_code=128 + number)

    # --- painting ---------------------------------------------------------------------------

    @property
    def steady(self) -> Steady | None:
        """Return what writes to the terminal, if it knows what stands there."""
        driver: object = self._driver
        return driver if isinstance(driver, Steady) else None

    def paint(self) -> None:
        """Draw the top place on the board."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._painted = asyncio.get_running_loop().time()
        drawing = self.core.draw()
        self.board.show(drawing.lines, drawing.cursor)
        link = self.core.fleet.link
        if not self._has_shown and (link.ever or link.since is not None):
            self._has_shown = True
            self.call_after_refresh(self._first_frame)

    def _first_frame(self) -> None:
        if self.steady is not None:
            self.steady.ready()

    def paint_soon(self) -> None:
        """Draw at the pace of this terminal: changes that come faster share one picture."""
        if self._due is not None or not self.is_running:
            return
        loop = asyncio.get_running_loop()
        at = loop.time()
        if self._has_shown:  # before that nothing was sent, so there is no pace to keep
            at = max(at, self._painted + 1 / self.core.setup.kind.max_hz)
        self._due = loop.call_at(at, self.paint)

    def _tick(self) -> None:
        self.core.actions.follow()
        self.paint()

    def on_resize(self, _event: events.Resize) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.paint)

    def ask(self, question: Question) -> None:
        """Let the operator type a line; Esc and Enter give the keys back to the board."""

        def done(text: str) -> None:
            self._to_board()
            question.done(text)
            self.paint()

        def left() -> None:
            self._to_board()
            if question.left is not None:
                question.left()
            self.paint()

        self.prompt.ask(replace(question, done=done, left=left))

    def _to_board(self) -> None:
        """Give the keys back: at once, as `focus` waits, and keys come meanwhile."""
        self.screen.set_focus(self.board)

    def edit(self, page: Page) -> None:
        """Let the operator edit a text over the whole screen."""

        def closed(then: Callable[[str], object]) -> Callable[[str], None]:
            def close(text: str) -> None:
                self._edits = False
                self._to_board()
                then(text)
                self.paint()

            return close

        async def show() -> None:
            if self.pane is None:  # the editor costs time and memory: only who edits pays for it
                from tui.widgets.pane import Pane

                self.pane = Pane(self.core.glyphs)
                await self.mount(self.pane)
            self.pane.edit(replace(page, done=closed(page.done), left=closed(page.left)))

        if not self._edits:
            self._edits = True
            self.core.spawn(show())

    # --- keys -------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Take each key to where it belongs when it comes; drop those while the console closes.

        A slow line delivers many at once. Textual would hand all of them to the widget that has the
        focus then, though the first of them moves it.
        """
        if not isinstance(event, events.Key):
            await super().on_event(event)
        elif self.core.typing:
            self._key(event)
        elif not self.screen_stack:
            return  # Textual has no screen for it any more
        elif event.is_forwarded or self._edits:
            await super().on_event(event)
        elif not (self.prompt.is_open and self.prompt.take(event)):
            await self._check_bindings(event.key)

    def _key(self, event: events.Key) -> None:
        """Send a key to the guest, or end that."""
        if event.key == LEAVE:
            self.detach()
            self.core.note(_("Typing has ended; keys are the console's again."))
        else:
            self.core.actions.guest.type(sent(event.key, event.character))

    def attach(self) -> None:
        """Let all keys but one go to the guest."""
        if self.core.spot.place != "run":
            self.core.act("back")
        self.core.typing = True
        self.core.note("")

    def detach(self) -> None:
        """Take the keys back."""
        self.core.typing = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key belongs to this place now."""
        if action != "act":
            return True
        busy = self.prompt.is_open or self._edits
        return not busy and self.core.belongs(str(parameters[0]))

    def action_act(self, name: str) -> None:
        """Do what a key stands for, or say why it does not work now."""
        self.core.act(name)


class _OnScreen:
    """The full screen as the core sees it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def room(self) -> tuple[int, int]:
        size = self._console.size
        return size.width, size.height

    def paint(self) -> None:
        self._console.paint()

    def paint_soon(self) -> None:
        self._console.paint_soon()

    def redraw(self) -> None:
        if self._console.steady is not None:
            self._console.steady.redraw()
        else:
            self._console.refresh(repaint=True, layout=True)

    def dress(self) -> None:
        core = self._console.core
        self._console.board.dress(core.glyphs, colours=core.kind.colours)
        self._console.prompt.dress(core.glyphs)
        if self._console.pane is not None:
            self._console.pane.dress(core.glyphs)

    def ask(self, question: Question) -> None:
        self._console.ask(question)

    def edit(self, page: Page) -> None:
        self._console.edit(page)

    def attach(self, _machine: str) -> None:
        self._console.attach()

    def detach(self) -> None:
        self._console.detach()

    def leave(self, code: int) -> None:
        self._console.exit(code)

    def failed(self, error: Exception) -> None:
        self._console._handle_exception(error)  # noqa: SLF001  (Textual's way to end with a traceback)
