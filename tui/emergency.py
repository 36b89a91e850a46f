"""The emergency flow: the review of a machine, the choice of a boot point, its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from engine.api.views import Plan
from tui.conditions import about, point_of
from tui.feed import Refusal

if TYPE_CHECKING:
    from tui.core import Core


class Emergency:
    """The verbs of the way from a key to the page that asks for the name, over one console."""

    def __init__(self, console: Core) -> None:
        """Serve this console."""
        self._console = console
        self._asking = False

    def verbs(self) -> Mapping[str, Callable[[], None]]:
        """Return what the key does."""
        return {"start": self.open}

    def open(self) -> None:
        """Review the machine under the cursor; a boot point under it stays the chosen one."""
        look = self._console.look()
        machine, point = about(self._console.fleet, look), point_of(look)
        self._ask(machine, point, lambda plan: self._review(plan, point))

    def choose(self, point: str) -> None:
        """Ask for the plan of a boot point."""
        self._ask(self._console.spot.arg, point, self._plan)

    def _ask(self, machine: str, point: str, then: Callable[[Plan], None]) -> None:
        if not self._asking:
            self._asking = True
            self._console.spawn(self._asked(machine, point, then))

    async def _asked(self, machine: str, point: str, then: Callable[[Plan], None]) -> None:
        console = self._console
        params: dict[str, Any] = {"action": "start", "machine": machine, "point": point}
        try:
            plan = await console.feed.call("plan", params, Plan)
        except Refusal as refusal:
            console.actions.refused(refusal)
            return
        finally:
            self._asking = False
        then(plan)

    def _review(self, plan: Plan, point: str) -> None:
        if plan.review is None or not plan.review.choices:
            self._plan(plan)  # an engine of before, which tells less
            return
        chosen = point or plan.review.proposed
        self._console.go("review", plan.machine, subject=plan, chosen=chosen)

    def _plan(self, plan: Plan) -> None:
        self._console.go("plan", plan.machine, subject=plan, token=uuid4().hex, chosen="no")
