"""Removing a target in the console: what stays is told, its name is typed, the engine does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.api.contact_views import RemovalView
from tui.errand import Errands
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
        self._errands = Errands(console)

    def open(self, name: str) -> None:
        """Ask the engine what removing a target means."""
        self._errands.ask("target.removal", {"target": name}, RemovalView, self._show)

    def _show(self, going: RemovalView, is_here: bool) -> None:
        if is_here:
            self._console.go(PLACE, going.id, subject=going, token=uuid4().hex, chosen=removal.NO)

    def decide(self, row: str) -> None:
        """Leave it, or remove it once its name was typed."""
        going = self._console.spot.subject
        if row != removal.YES:
            self._console.back()
            self._console.note(_("Nothing was changed."))
        elif isinstance(going, RemovalView) and not self._errands.busy:
            label = _("Type the target's name, {word}, then Enter:", word=going.id)
            self._sure(lambda: self._remove(going), going.id, label)

    def _remove(self, going: RemovalView) -> None:
        self._console.note(_("Asked the engine .."))
        params = {"name": going.id, "confirm": going.id, "key": self._console.spot.token}
        self._errands.ask("target.remove", params, RemovalView, self._removed, leaves=True)

    def _removed(self, done: RemovalView, _is_here: bool) -> None:
        self._console.switch("targets")
        self._console.go(DONE, done.id, subject=done)
