"""Who looks after an alert: asked for a note, then told to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.api.views import Done
from tui.feed import Refusal
from tui.heard import heard
from tui.question import Question
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core


@dataclass(frozen=True, slots=True)
class Alerts:
    """The verbs about alerts, over one console."""

    console: Core

    def verbs(self) -> Mapping[str, Callable[[], None]]:
        """Return what the key does."""
        return {"ack": self.ask}

    def ask(self) -> None:
        """Ask what is done about the chosen alert, then say that the operator looks after it."""
        alert = self.console.fleet.alerts[self.console.look().chosen]

        def done(text: str) -> None:
            self.console.spawn(self._tell(alert.id, text))

        label = _("{alert}: what is done about it? (may be empty)", alert=alert.id)
        self.console.face.ask(Question(label, done=done, value=alert.note))

    async def _tell(self, alert: str, note: str) -> None:
        try:
            params = {"alert": alert, "note": note}
            done = await self.console.feed.call("alert.ack", params, Done)
        except Refusal as refusal:
            self.console.actions.refused(refusal)
        else:
            self.console.note(heard(done.text))
