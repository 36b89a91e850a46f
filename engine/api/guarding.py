"""The ransomware guard at the door: its view of a machine, and the action that releases it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from engine.api import asks
from engine.api.roles import Role
from engine.api.views import Done, Step, View
from engine.api.wishes import Action, Described, Wish, standby_of
from engine.daemon.service import Service, Snapshot
from engine.model.errors import Problem, Refused
from engine.model.guard import GUARD, GuardVerdict, Judged, guard, increments_of
from engine.model.text import safe

SHOWN = 60
"""Newest increments in a view."""


class IncrementView(msgspec.Struct, kw_only=True):
    """One increment as the guard sees it.

    `rate`: share of the disks that changed; `density`: bytes stored for each byte changed;
    `evidence`: 0 as usual to 4; `known`: the like was there before, or was released.
    """

    sequence: int
    data_as_of: datetime
    changed: int
    rate: float
    density: float
    usual_rate: float
    usual_density: float
    evidence: int
    known: bool


class GuardView(View, kw_only=True):
    """Answer to `guard`; `id` is the machine.

    `frozen`: the guard holds its retention; `reason`: why it would, now; `hold`: the hold there
    is, by whomever; `increments`: oldest first; `judged`: how many there are in all.
    """

    frozen: bool
    reason: str = ""
    hold: str = ""
    released_at: datetime | None = None
    judged: int = 0
    increments: list[IncrementView] = msgspec.field(default_factory=list)


def guard_view(service: Service, ask: asks.MachineAsk) -> GuardView:
    """Return what the guard thinks of a machine. NotFound without such a standby."""
    snapshot = service.snapshot()
    standby, verdict = standby_of(snapshot, ask.machine), _verdict(snapshot, ask.machine)
    hold = standby.retention.hold
    return GuardView(
        id=standby.name,
        frozen=hold.startswith(GUARD),
        reason=verdict.reason,
        hold=safe(hold, 700),
        released_at=standby.guard_released,
        judged=len(verdict.judged),
        increments=[_increment(one) for one in verdict.judged[-SHOWN:]],
    )


def _verdict(snapshot: Snapshot, name: str) -> GuardVerdict:
    standby = snapshot.standbys[name]
    points = snapshot.state.by_machine.get(snapshot.sources.get(name, ""), ())
    return guard(increments_of(points, standby.images), standby.guard_released)


def _increment(one: Judged) -> IncrementView:
    told = one.increment
    return IncrementView(
        sequence=told.sequence,
        data_as_of=told.taken_at,
        changed=told.changed,
        rate=told.rate,
        density=told.density,
        usual_rate=one.usual_rate,
        usual_density=one.usual_density,
        evidence=one.evidence,
        known=one.is_known,
    )


class ReleaseGuard(Action):
    """Say that all is well with a machine; its retention works again."""

    role = Role.ADMIN

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what was found, and what goes on."""
        hold = snapshot.standbys[wish.machine].retention.hold
        if not hold.startswith(GUARD):
            raise Refused(
                Problem(
                    "guard.not-frozen",
                    f"The ransomware guard does not hold the retention of {wish.machine}.",
                    "Nothing was changed.",
                    f"See what it thinks: bootpoint guard {wish.machine}",
                )
            )
        return Described(
            steps=[Step(text=f"let retention work on {wish.machine} again")],
            checks=[
                safe(hold, 700),
                "What has arrived by now raises no alarm any more.",
                "Boot points over the limit are taken away from now on, those from before first.",
            ],
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Release it."""
        service.release_guard(wish.machine, wish.reason, actor)
        return Done(text=f"The guard's hold of {wish.machine} is released; retention works again.")
