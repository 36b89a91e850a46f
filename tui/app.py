"""The console: one board, a stack of places, one line to the engine.

    key ──► act ──► Actions ──► another place, or a call on the door
    Feed ─► event ─► apply ─► fleet ─┐
    clock, size ─► Look ─────────────┴─► lines ─► Board (only changed lines are painted)

One screen and one widget hold for all places: a change of place then costs the lines that differ,
where a pushed Textual screen would be sent whole.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.driver import Driver

from engine.api.views import JournalView
from tui import clock, keys
from tui.actions import Actions
from tui.feed import Feed, Refusal, Wish
from tui.glyphs import ASCII, BOX
from tui.look import Look, Subject
from tui.places import CONTENT
from tui.screens import frame
from tui.state import Event, Fleet, Read, apply
from tui.terminal import Kind
from tui.widgets.board import Board
from tui.widgets.prompt import Prompt, Question

DEAF_S = 0.3
"""A page that decides something ignores keys this long: they were meant for the page before."""
JOURNAL_PAGE = 200
DECIDING = ("plan", "form")


@dataclass(frozen=True, slots=True)
class Setup:
    """What the console is opened with.

    Attributes:
        first: Picture to show until the engine answers, such as one read from a file.
    """

    socket: Path
    kind: Kind
    read_only: bool = False
    zone: tzinfo | None = None
    first: Fleet | None = None


@dataclass(slots=True)
class Spot:
    """One place on the stack and where the operator stands in it."""

    place: str
    arg: str = ""
    chosen: str = ""
    top: int = 0
    page: int = 1
    query: str = ""
    worst: bool = False
    subject: Subject = None
    token: str = ""
    opened: float = 0.0


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
        kind = setup.kind
        self.setup = setup
        self.glyphs = BOX if kind.unicode else ASCII
        self.fleet = setup.first or Fleet()
        self.spots = [Spot("fleet")]
        self.feed = Feed(
            setup.socket,
            self.hear,
            Wish("viewer" if setup.read_only else "admin", kind.max_hz),
        )
        self.board = Board(self.glyphs, colours=kind.colours)
        self.prompt = Prompt()
        self.actions = Actions(self)
        self.notice = ""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._due: asyncio.TimerHandle | None = None
        self._painted = 0.0
        self._reading = False

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
        self.spawn(self.feed.run())
        self.set_interval(1.0, self._tick)

    async def on_unmount(self) -> None:
        """Let go of the engine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _signalled(self, number: int) -> None:
        self.exit(128 + number, return_code=128 + number)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work beside the screen; it is cancelled when the console ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            if isinstance(error, Exception):
                self._handle_exception(error)

    # --- what the engine tells --------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Take an event of the feed into the picture."""
        self.fleet = apply(self.fleet, event)
        known = int(self.fleet.journal[-1].id) if self.fleet.journal else 0
        if self.fleet.journal_end > known and not self._reading and not isinstance(event, Read):
            self._reading = True
            self.spawn(self._read_journal(known))
        self.repaint_soon()

    async def _read_journal(self, after: int) -> None:
        try:
            params = {"after": after, "limit": JOURNAL_PAGE}
            lines = await self.feed.call("journal.read", params, list[JournalView])
            self.hear(Read(lines))
        except Refusal:
            pass  # the next change asks again
        finally:
            self._reading = False

    # --- painting ---------------------------------------------------------------------------

    def look(self, spot: Spot | None = None) -> Look:
        """Return the present look at a place, the top one by default."""
        spot = spot or self.spots[-1]
        size = self.size
        return Look(
            width=size.width,
            height=size.height,
            now=clock.now() + self.fleet.skew,
            place=spot.place,
            arg=spot.arg,
            zone=self.setup.zone,
            glyphs=self.glyphs,
            chosen=spot.chosen,
            top=spot.top,
            query=spot.query,
            worst=spot.worst,
            subject=spot.subject,
            notice=self.notice,
            read_only=self.setup.read_only,
            socket=str(self.setup.socket),
        )

    def paint(self) -> None:
        """Draw the top place on the board."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._painted = asyncio.get_running_loop().time()
        spot = self.spots[-1]
        look = self.look(spot)
        drawing = frame.draw(CONTENT[spot.place](self.fleet, look), self.fleet, look)
        spot.chosen, spot.top, spot.page = drawing.chosen, drawing.top, drawing.page
        self.board.show(drawing.lines, drawing.cursor)

    def repaint_soon(self) -> None:
        """Draw at the pace of this terminal: changes that come faster share one picture."""
        if self._due is not None or not self.is_running:
            return
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self._painted + 1 / self.setup.kind.max_hz)
        self._due = loop.call_at(at, self.paint)

    def _tick(self) -> None:
        self.actions.follow_serial()
        self.paint()

    def on_resize(self, _event: events.Resize) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.paint)

    # --- places -----------------------------------------------------------------------------

    @property
    def spot(self) -> Spot:
        """Return where the operator is."""
        return self.spots[-1]

    def go(self, place: str, arg: str = "", **more: Any) -> None:  # noqa: ANN401  (fields of Spot)
        """Open a place on top of the present one."""
        self.notice = ""
        opened = asyncio.get_running_loop().time()
        self.spots.append(Spot(place, arg, opened=opened, **more))
        self.spawn(self.feed.watch(self.look().machine))
        self.paint()

    def switch(self, place: str) -> None:
        """Open one of the main places; only the fleet stays below it."""
        del self.spots[1:]
        if place == "fleet":
            self.notice = ""
            self.paint()
        else:
            self.go(place)

    def back(self) -> None:
        """Leave the present place."""
        if len(self.spots) > 1:
            self.spots.pop()
        machine = self.look().machine if self.spot.place != "fleet" else ""
        self.spawn(self.feed.watch(machine))
        self.paint()

    def note(self, words: str) -> None:
        """Show one line to the operator until the next key."""
        self.notice = words
        self.paint()

    def ask(self, question: Question) -> None:
        """Let the operator type a line; Esc and Enter give the keys back to the board."""

        def done(text: str) -> None:
            self.board.focus()
            question.done(text)
            self.paint()

        def left() -> None:
            self.board.focus()
            if question.left is not None:
                question.left()
            self.paint()

        self.prompt.ask(replace(question, done=done, left=left))

    # --- keys -------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Drop keys that arrive while the console closes: Textual has no screen for them then."""
        if not (isinstance(event, events.Key) and not self.screen_stack):
            await super().on_event(event)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key belongs to this place now."""
        if action != "act":
            return True
        key = keys.BY_ID[str(parameters[0])]
        look = self.look()
        return not self.prompt.is_open and look.place in key.places and key.when(self.fleet, look)

    def action_act(self, name: str) -> None:
        """Do what a key stands for, or say why it does not work now."""
        spot = self.spot
        waited = asyncio.get_running_loop().time() - spot.opened
        if spot.place in DECIDING and waited < DEAF_S:
            return
        self.notice = ""
        why = keys.refusal(keys.BY_ID[name], self.fleet, self.look())
        if why:
            self.note(why)
        else:
            self.actions.do(name)
            self.paint()
