"""The console without a screen: where the operator is, what is known, what a key does.

    key, word ─► act ─► Actions ─► another place, or a call on the door
    Feed ─► event ─► apply ─► fleet ─┐
    clock, size ─► Look ─────────────┴─► lines, drawn by a face

A face is what an operator looks at: the full screen (`app.py`) or lines (`line_mode.py`). Both show
the same places and know the same actions, because all of it is here. Nothing here knows Textual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol

from engine.api.views import JournalView
from engine.local.drafts import Draft, Drafts
from tui import clock, keys, preferences, words
from tui.actions import Actions
from tui.feed import Feed, Refusal, Wish
from tui.glyphs import ASCII, BOX
from tui.look import Look, Subject
from tui.places import CONTENT
from tui.question import Page, Question
from tui.screens import frame
from tui.state import Event, Fleet, Read, apply
from tui.terminal import Kind

DEAF_S = 0.3
"""A page that decides something ignores keys this long: they were meant for the page before."""
JOURNAL_PAGE = 200
DECIDING = ("plan", "review", "form", "answer", "target", "trust", "removal", "certificate")


@dataclass(frozen=True, slots=True)
class Setup:
    """What the console is opened with.

    Attributes:
        first: Picture to show until the engine answers, such as one read from a file.
        deaf_s: How long a page that decides something ignores keys.
        kind: The terminal as it was found; the operator's own choices are worn over it.
        drafts: Folder of definitions that were begun; None: none are kept.
        config: Where an engine of this computer looks for engine.toml; None: not known.
    """

    socket: Path
    kind: Kind
    read_only: bool = False
    zone: tzinfo | None = None
    first: Fleet | None = None
    deaf_s: float = DEAF_S
    drafts: Path | None = None
    config: Path | None = None


@dataclass(slots=True)
class Spot:
    """One place on the stack and where the operator stands in it."""

    place: str
    arg: str = ""
    chosen: str = ""
    at: int = 0
    top: int = 0
    page: int = 1
    query: str = ""
    worst: bool = False
    subject: Subject = None
    token: str = ""
    opened: float = 0.0


class Face(Protocol):
    """What the operator looks at."""

    def room(self) -> tuple[int, int]:
        """Return columns and rows."""

    def paint(self) -> None:
        """Show the top place as it is now."""

    def paint_soon(self) -> None:
        """Show the top place at the pace of this terminal."""

    def redraw(self) -> None:
        """Show everything anew, whatever may stand there."""

    def ask(self, question: Question) -> None:
        """Let the operator type a line."""

    def edit(self, page: Page) -> None:
        """Let the operator edit a text."""

    def attach(self, machine: str) -> None:
        """Let the operator type into a guest's serial line."""

    def detach(self) -> None:
        """End that, if it was going on."""

    def dress(self) -> None:
        """Take colours and signs anew: the operator chose others."""

    def leave(self, code: int) -> None:
        """End the console."""

    def failed(self, error: Exception) -> None:
        """Report a fault of this program."""


class Core:
    """One operator's console; lives on one event loop."""

    def __init__(self, setup: Setup, face: Face) -> None:
        """Prepare; `start` connects."""
        self.setup, self.face = setup, face
        self._wear()
        self.fleet = setup.first or Fleet()
        self.spots = [Spot("fleet")]
        self.orders: dict[str, tuple[str, bool]] = {}
        kept = Drafts(setup.drafts).all() if setup.drafts is not None else ()
        self.drafts: tuple[Draft, ...] = tuple(kept)
        self.feed = Feed(
            setup.socket,
            self.hear,
            Wish("viewer" if setup.read_only else "admin", self.kind.max_hz),
        )
        self.actions = Actions(self)
        self.broken: Exception | None = None
        """Why a page could not be drawn, the last time that happened."""
        self.notice = ""
        self.typing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._line: asyncio.Task[Any] | None = None
        self._reading = False

    def _wear(self) -> None:
        """Put the operator's choices on: zone, colours and signs."""
        kind = preferences.dressed(self.setup.kind)
        if words.language() != words.SOURCE:
            kind = replace(kind, unicode=True)  # its signs are needed to say anything
        self.kind, self.glyphs = kind, BOX if kind.unicode else ASCII
        self.zone = preferences.times() or self.setup.zone
        self.chosen = {name: preferences.chosen(name) for name in preferences.CHOICES}

    def dress(self) -> None:
        """Wear what the operator has chosen now."""
        self._wear()
        self.face.dress()

    # --- beginning and end ------------------------------------------------------------------

    def start(self) -> None:
        """Connect to the engine."""
        self._line = self.spawn(self.feed.run())

    async def close(self) -> None:
        """Let go of the engine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        """Do work beside the screen; it is cancelled when the console ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            if isinstance(error, Exception):
                self.face.failed(error)

    async def settle(self) -> bool:
        """Wait until all that was asked of the engine is answered; tell whether there was any."""
        asked = False
        while work := [task for task in self._tasks if task is not self._line]:
            asked = True
            await asyncio.wait(work)
        return asked

    # --- what the engine tells --------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Take an event of the feed into the picture."""
        self.fleet = apply(self.fleet, event)
        known = int(self.fleet.journal[-1].id) if self.fleet.journal else 0
        if self.fleet.journal_end > known and not self._reading and not isinstance(event, Read):
            self._reading = True
            self.spawn(self._read_journal(known))
        self.face.paint_soon()

    async def _read_journal(self, after: int) -> None:
        try:
            params = {"after": after, "limit": JOURNAL_PAGE}
            lines = await self.feed.call("journal.read", params, list[JournalView])
            self.hear(Read(lines))
        except Refusal:
            pass  # the next change asks again
        finally:
            self._reading = False

    # --- what stands on the screen ----------------------------------------------------------

    def look(self, spot: Spot | None = None) -> Look:
        """Return the present look at a place, the top one by default."""
        spot, kind = spot or self.spots[-1], self.kind
        width, height = self.face.room()
        order, turned = self.orders.get(spot.place, ("", False))
        return Look(
            width=width,
            height=height,
            now=clock.now() + self.fleet.skew,
            place=spot.place,
            arg=spot.arg,
            zone=self.zone,
            glyphs=self.glyphs,
            chosen=spot.chosen,
            at=spot.at,
            top=spot.top,
            query=spot.query,
            worst=spot.worst,
            order=order,
            turned=turned,
            subject=spot.subject,
            notice=self.notice,
            read_only=self.setup.read_only,
            blocks=kind.unicode and kind.colours and kind.name in ("local", "ssh"),
            typing=self.typing,
            socket=str(self.setup.socket),
            config=str(self.setup.config or ""),
            choices=self.chosen,
            name=kind.name,
            colours=kind.colours,
            drafts=self.drafts,
        )

    def content(self) -> frame.Content:
        """Return what stands on the top place."""
        return CONTENT[self.spot.place](self.fleet, self.look())

    def draw(self) -> frame.Drawing:
        """Return the top place as lines, and take over what fits of it."""
        spot, look = self.spot, self.look()
        try:
            drawing = frame.draw(self.content(), self.fleet, look)
        except Exception as error:  # noqa: BLE001  (one page must not take all others away at night)
            self.broken = error
            drawing = frame.draw(frame.broken(error, look), self.fleet, look)
        spot.chosen, spot.at = drawing.chosen, drawing.at
        spot.top, spot.page = drawing.top, drawing.page
        return drawing

    def paint(self) -> None:
        """Show the top place as it is now."""
        self.face.paint()

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

    # --- keys -------------------------------------------------------------------------------

    def belongs(self, name: str) -> bool:
        """Tell whether a row of the table of keys belongs to this place now."""
        key, look = keys.BY_ID[name], self.look()
        return look.place in key.places and key.when(self.fleet, look)

    def act(self, name: str) -> None:
        """Do what a key stands for, or say why it does not work now."""
        spot = self.spot
        waited = asyncio.get_running_loop().time() - spot.opened
        if spot.place in DECIDING and name != "back" and waited < self.setup.deaf_s:
            return  # leaving is always safe, so Esc is heard at once
        self.notice = ""
        why = keys.refusal(keys.BY_ID[name], self.fleet, self.look())
        if why:
            self.note(why)
        else:
            self.actions.do(name)
            self.paint()
