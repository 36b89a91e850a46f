"""Removing a target in the console: what stays is told, its name is typed, the engine does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.api.contact_views import RemovalView
from tui.feed import Refusal
from tui.screens import removal
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core

PLACE, DONE = "removal", "removed"
Sure = Callable[[Callable[[], object], str, str], None]


class Removing:
    """The verbs about a target that shall go, over one console."""

    def __init__(self, console: Core, sure: Sure) -> None:
        """Serve this console; `sure` lets the operator type a word, asked for by a label."""
        self._console, self._sure = console, sure
        self._busy = False

    def open(self) -> None:
        """Ask the engine what removing the target under the cursor, or of the page, means."""
        spot = self._console.spot
        name = spot.arg if spot.place == "one target" else spot.chosen
        if not self._busy:
            self._busy = True
            self._console.spawn(self._show(name))

    async def _show(self, name: str) -> None:
        console, spot = self._console, self._console.spot
        try:
            going = await console.feed.call("target.removal", {"target": name}, RemovalView)
        except Refusal as refusal:
            if console.spot is spot:
                console.actions.refused(refusal)
            return
        finally:
            self._busy = False
        if console.spot is spot:  # else the operator has left meanwhile
            console.go(PLACE, name, subject=going, token=uuid4().hex, chosen=removal.NO)

    def decide(self, row: str) -> None:
        """Leave it, or remove it once its name was typed."""
        going = self._console.spot.subject
        if row != removal.YES:
            self._console.back()
            self._console.note(_("Nothing was changed."))
        elif isinstance(going, RemovalView) and not self._busy:
            label = _("Type the target's name, {word}, then Enter:", word=going.id)
            self._sure(lambda: self._begin(going), going.id, label)

    def _begin(self, going: RemovalView) -> None:
        self._busy = True
        self._console.spawn(self._remove(going, self._console.spot.token))

    async def _remove(self, going: RemovalView, token: str) -> None:
        console, spot = self._console, self._console.spot
        console.note(_("Asked the engine .."))
        params = {"name": going.id, "confirm": going.id, "key": token}
        try:
            done = await console.feed.call("target.remove", params, RemovalView)
        except Refusal as refusal:
            if console.spot is spot:
                console.back()
                console.actions.refused(refusal)
            return
        finally:
            self._busy = False
        console.switch("targets")
        console.go(DONE, going.id, subject=done)
