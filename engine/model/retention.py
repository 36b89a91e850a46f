"""Which boot points stay. Retention only decides; a RETIRE job folds the others away.

bp1   bp2   bp3   bp4   bp5        keep = 2, a VM runs from bp2
goes  runs  goes  └ newest 2 ┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model.points import BootPoint, BootPointId, Stage, in_order

UNFINISHED = frozenset({Stage.PENDING, Stage.APPLYING, Stage.CONVERTING, Stage.FAILED})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a boot point stays, and why: a phrase for the operator."""

    keep: bool
    reason: str


def retain(
    points: Sequence[BootPoint], keep: int, running: BootPointId | None
) -> Mapping[BootPointId, Verdict]:
    """Judge all boot points of one standby.

    The wall clock has no say: age is the order in which boot points were taken and made.

    Args:
        points: Boot points of one standby; retired ones are passed over.
        keep: Ready boot points to keep, at least 1.
        running: The one a VM was started from; None when no VM runs.

    Returns:
        A verdict for each that is not retired, oldest first.
    """
    alive = sorted((p for p in points if p.stage is not Stage.RETIRED), key=by_age)
    ready = [point for point in alive if point.stage is Stage.READY]
    held = _held(alive, ready, running)
    verdicts = {}
    newer, newer_hopeless = len(ready), sum(bool(point.obstacle) for point in alive)
    for point in alive:
        newer -= point.stage is Stage.READY
        newer_hopeless -= bool(point.obstacle)
        count = max(newer, newer_hopeless) if point.obstacle else newer
        reason = held.get(point.id) or _counted(point, count, max(keep, 1))
        verdicts[point.id] = Verdict(bool(reason), reason or _surplus(point, count))
    return verdicts


def by_age(point: BootPoint) -> tuple[object, ...]:
    """Return the order of boot points: by what they hold, then by when they were made."""
    return point.taken_at, in_order(point.id)


def _held(
    alive: Sequence[BootPoint], ready: Sequence[BootPoint], running: BootPointId | None
) -> Mapping[BootPointId, str]:
    """Return why boot points must stay whatever the count says; the last reason given shows."""
    held: dict[BootPointId, str] = {}
    for point in alive:
        if point.stage in UNFINISHED and point.parent is not None:
            held[point.parent] = f"{point.id} is made from it"
    if ready:
        held[max(ready, key=lambda one: in_order(one.id)).id] = "the next boot point continues it"
        held[ready[-1].id] = "newest ready boot point"
    held |= {point.id: f"pinned: {point.pin}" for point in alive if point.pin}
    if running is not None:
        held[running] = "a VM runs from it"
    unmade = UNFINISHED - {Stage.FAILED}
    return held | {point.id: "is being made" for point in alive if point.stage in unmade}


def _surplus(point: BootPoint, newer: int) -> str:
    return f"{newer} newer ones are {'there' if point.obstacle else 'ready'}"


def _counted(point: BootPoint, newer: int, keep: int) -> str:
    if newer >= keep:
        return ""
    if point.obstacle:
        return f"one of the newest {keep} that cannot be made bootable"
    if point.stage is Stage.FAILED:
        return "is tried again"
    return f"one of the newest {keep}"
