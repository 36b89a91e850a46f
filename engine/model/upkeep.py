"""Retention where layers live: which boot points go now, and whether there is room for another.

rules, chain as last seen on the target ──► surplus   what a RETIRE may take away now
                                        └─► is_full   a SYNC must wait for one of those
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.model.layers import LayerName
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.retention import Retention, Rules, Verdict, occupies, retain, rules_of
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import JobKind, WantedJob


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What retention goes by for one standby; the chain is as last seen on its target.

    Attributes:
        rules: Of the standby; `most`: trunk layers that may lie on one another.
        depths: Trunk layer -> trunk layers from its seed up to it.
        in_use: Layers that cannot be folded now: something reads from their files.
    """

    rules: Rules
    depths: Mapping[LayerName, int] = field(default_factory=dict)
    in_use: frozenset[LayerName] = frozenset()


def upkeep_of(upkeep: Mapping[str, Upkeep], standby: Standby) -> Upkeep:
    """Return a standby's upkeep; by its definition alone where nothing else is known."""
    return upkeep.get(standby.name) or Upkeep(
        rules_of(standby.keep, standby.retention, Retention())
    )


def judged(
    standby: str, made: Sequence[BootPoint], state: State, upkeep: Upkeep
) -> Mapping[BootPointId, Verdict]:
    """Return retention's verdicts on a standby's boot points, oldest first."""
    run = state.runs.get(standby)
    running = None if run is None else run.boot_point
    return retain(made, upkeep.rules, running, upkeep.in_use)


def surplus(
    standby: str, made: Sequence[BootPoint], state: State, upkeep: Upkeep
) -> list[WantedJob]:
    """Return a RETIRE for each boot point that retention lets go, oldest first."""
    return [
        WantedJob(JobKind.RETIRE, standby, point, f"Retention: {verdict.reason}.")
        for point, verdict in judged(standby, made, state, upkeep).items()
        if not verdict.keep
    ]


def is_full(point: BootPoint, state: State, upkeep: Upkeep) -> bool:
    """Tell whether the layers of a boot point that is due would make the chain too deep."""
    most, parent = upkeep.rules.most, point.parent
    if most is None or parent is None or point.replica in upkeep.depths:
        return False
    below = state.boot_points.get(parent)
    known = 0 if below is None else upkeep.depths.get(below.replica, 0)
    return max(known, 0 if known else _alive(state, point.standby)) >= most


def _alive(state: State, standby: str) -> int:
    return sum(occupies(one) for one in state.points_of(standby))


def with_room(upkeep: Upkeep) -> Upkeep:
    """Return the upkeep of a chain in which one more boot point must find its place."""
    rules = upkeep.rules
    most = None if rules.most is None else max(rules.most - 1, 1)
    return replace(upkeep, rules=replace(rules, most=most))


def is_stuck(made: Sequence[BootPoint], state: State, upkeep: Upkeep) -> str:
    """Return why no further boot point can be made, a sentence; empty while one can."""
    due = next((point for point in made if point.stage is Stage.PENDING), None)
    if due is None or not is_full(due, state, upkeep):
        return ""
    verdicts = judged(due.standby, made, state, with_room(upkeep))
    if not all(verdict.keep for verdict in verdicts.values()):
        return ""
    return (
        f"The chain on the target is full: it can hold {upkeep.rules.most} boot points, and each "
        "of them is kept for a reason. No further one can be made before one may go."
    )
