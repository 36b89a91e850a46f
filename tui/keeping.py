"""What stays of a machine, and pins: asked of the engine, and changed over a plan page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from engine.api.keeping_views import RetentionView
from tui.conditions import point_of
from tui.feed import Refusal
from tui.look import Kept, Parts
from tui.question import Question
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core, Spot

PATIENCE_S = 120.0
"""What comes back is told by a look at each file of the store."""


class Planner(Protocol):
    """Asks the engine for a plan and shows it."""

    def __call__(self, action: str, **more: str) -> None:
        """Plan an action on what the operator looks at."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """The verbs about what stays, over one console."""

    console: Core
    plan: Planner

    def verbs(self) -> Mapping[str, Callable[[], None]]:
        """Return what each key does."""
        return {
            "retention": self.open,
            "pin": self.pin,
            "unpin": lambda: self.plan("unpin"),
        }

    def open(self) -> None:
        """Open the page that says what stays and why."""
        console = self.console
        console.go("retention", console.look().machine, subject=Kept())
        console.spawn(self._fill(console.spot))

    async def _fill(self, spot: Spot) -> None:
        console = self.console
        try:
            params = {"machine": spot.arg}
            view = await console.feed.call("retention", params, RetentionView, PATIENCE_S)
            spot.subject = Kept(view)
        except Refusal as refusal:
            parts = Parts(refusal.happened, refusal.unchanged, refusal.remedy)
            spot.subject = Kept(failed=parts)
        console.face.paint_soon()

    def pin(self) -> None:
        """Ask for a note, then plan the pin."""
        look = self.console.look()
        self.console.face.ask(
            Question(
                _("Why pin {point}? (one line, for the others)", point=point_of(look)),
                done=lambda text: self.plan("pin", reason=text),
            )
        )
