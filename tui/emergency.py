"""The emergency flow: the review of a machine, the choice of a boot point, its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from engine.api.views import Plan, PointView
from tui.conditions import about, point_of
from tui.feed import Refusal

if TYPE_CHECKING:
    from tui.core import Core, Spot


class Emergency:
    """The verbs of the way from a key to the page that asks for the name, over one console."""

    def __init__(self, console: Core) -> None:
        """Serve this console."""
        self._console = console
        self._asking = self._following = False
        self._known: list[PointView] = []

    def verbs(self) -> Mapping[str, Callable[[], None]]:
        """Return what the key does."""
        return {"start": self.open}

    def open(self) -> None:
        """Review the machine under the cursor; a boot point under it stays the chosen one."""
        look = self._console.look()
        machine, point = about(self._console.fleet, look), point_of(look)
        self._ask(machine, point, lambda plan: self._review(plan, point))

    def follow(self) -> None:
        """Keep the review up with the boot points while it is looked at; call it every second.

        The cursor stays on its boot point. What is wrong with the engine, the header says.
        """
        console, spot = self._console, self._console.spot
        points = self._points(spot.arg)
        if spot.place == "review" and points != self._known and not self._following:
            self._following = True
            console.spawn(self._again(spot, points))

    def _points(self, machine: str) -> list[PointView]:
        detail = self._console.fleet.details.get(machine)
        return detail.points if detail is not None else self._known

    async def _again(self, spot: Spot, points: list[PointView]) -> None:
        console = self._console
        try:
            plan = await self._called(spot.arg, "")
            if plan.review is not None and plan.review.choices:
                spot.subject, self._known = plan, points
        except Refusal:
            pass  # the next second asks again
        finally:
            self._following = False
        console.face.paint_soon()

    def choose(self, point: str) -> None:
        """Ask for the plan of a boot point."""
        self._ask(self._console.spot.arg, point, self._plan)

    def _ask(self, machine: str, point: str, then: Callable[[Plan], None]) -> None:
        if not self._asking:
            self._asking = True
            self._console.spawn(self._asked(machine, point, then))

    async def _asked(self, machine: str, point: str, then: Callable[[Plan], None]) -> None:
        console = self._console
        try:
            plan = await self._called(machine, point)
        except Refusal as refusal:
            console.actions.refused(refusal)
            return
        finally:
            self._asking = False
        then(plan)

    async def _called(self, machine: str, point: str) -> Plan:
        """Return the engine's plan of a start. Refusal when it has none."""
        params: dict[str, Any] = {"action": "start", "machine": machine, "point": point}
        return await self._console.feed.call("plan", params, Plan)

    def _review(self, plan: Plan, point: str) -> None:
        if plan.review is None or not plan.review.choices:
            self._plan(plan)  # an engine of before, which tells less
            return
        chosen = point or plan.review.proposed
        self._known = self._points(plan.machine)
        self._console.go("review", plan.machine, subject=plan, chosen=chosen)

    def _plan(self, plan: Plan) -> None:
        self._console.go("plan", plan.machine, subject=plan, token=uuid4().hex, chosen="no")
