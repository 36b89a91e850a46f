"""Guests and ledgers: what the engine is asked for when somebody wants to read, never before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.api.conversion_views import ConversionView, GuestView, LedgerView
from tui.conditions import REPORTS, point_of
from tui.feed import Refusal
from tui.look import Parts, Report
from tui.question import Question
from tui.screens import reports
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core, Spot

PATIENCE_S = 600.0
"""A look at a guest may start a small virtual machine, under emulation too."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Opens the pages that are asked for, over one console."""

    console: Core

    def open(self, place: str) -> None:
        """Open a page about the boot point that the operator looks at."""
        console = self.console
        look = console.look()
        arg = f"{look.machine}/{point_of(look)}"
        if look.place in REPORTS:
            console.spots.pop()
        console.go(place, arg, subject=Report())
        console.spawn(self._fill(console.spot))

    def compare(self) -> None:
        """Ask for another boot point, the one before by default, and show what differs."""
        console, spot = self.console, self.console.spot
        machine, point = spot.arg.partition("/")[::2]
        detail = console.fleet.details.get(machine)
        others = [
            one.id
            for one in (detail.points if detail else ())
            if one.stage == "ready" and one.id != point
        ]
        if not others:
            console.note(_("{machine} has no other boot point that is ready.", machine=machine))
            return
        before = [name for name in others if (len(name), name) < (len(point), point)]

        def done(text: str) -> None:
            number = text.strip()
            if number.isascii() and number.isdigit():
                number = f"bp{int(number):06d}"
            if number:
                spot.subject, spot.top = Report(), 0
                console.spawn(self._fill(spot, number))

        value = before[-1] if before else others[0]
        console.face.ask(
            Question(
                _("Compare {point} with:", point=point), done=done, value=value, answers=others
            )
        )

    async def _fill(self, spot: Spot, against: str = "") -> None:
        machine, point = spot.arg.partition("/")[::2]
        params = {"machine": machine, "point": point}
        try:
            spot.subject = await self._asked(spot.place, params, against)
        except Refusal as refusal:
            parts = Parts(refusal.happened, refusal.unchanged, refusal.remedy)
            spot.subject = Report(failed=parts, asked=True)
        self.console.face.paint_soon()

    async def _asked(self, place: str, params: dict[str, Any], against: str) -> Report:
        call = self.console.feed.call
        if place == "guest":
            return reports.of_guest(await call("guest", params, GuestView, PATIENCE_S))
        if place == "dry run":
            told = await call("conversion.plan", params, ConversionView, PATIENCE_S)
            return reports.of_dry_run(told)
        params |= {"against": against}
        view = await call("ledger", params, LedgerView, PATIENCE_S)
        while view.next is not None:
            page = await call("ledger", params | {"first": view.next}, LedgerView, PATIENCE_S)
            view.entries += page.entries
            view.differences += page.differences
            view.next = page.next
        return reports.of_ledger(view)
