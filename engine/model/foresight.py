"""When consolidation comes next: what retention lets go once more boot points are ready. Pure.

    bp1 bp2 bp3 bp4 │ +1 +2 +3        keep = 6: bp1 goes when the third further one is ready
         ready      │  to come

Nothing is estimated but the time: retention itself judges the boot points there are together with
those to come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.model.ladder import usual_gap
from engine.model.layers import LayerName
from engine.model.points import BootPoint, BootPointId, Stage, boot_point_id
from engine.model.retention import by_age, retain
from engine.model.upkeep import Upkeep, with_room

FAR = 512
"""Further boot points that are looked at."""
TIGHT = 5
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The next consolidation of one standby.

    Attributes:
        point: The boot point that goes first; empty when none of those there are does.
        reason: Why it goes, a phrase.
        after: Further boot points until then; 0: it is due. Without `point`: until the chain is
            full and no further one can be made, None where it never is.
        at: About when that is; None: due now, or the rhythm of the images is not known.
        depth: Trunk layers that the newest boot point lies on, its own included; 0: not seen.
    """

    point: BootPointId | None
    reason: str
    after: int | None
    at: datetime | None
    depth: int


def foresee(
    made: Sequence[BootPoint], running: BootPointId | None, upkeep: Upkeep, now: datetime
) -> Foreseen:
    """Return when consolidation comes next.

    Args:
        made: Boot points of one standby, retired ones included.
        running: The one a VM was started from; None when none runs.
        upkeep: What retention goes by.
        now: Aware.
    """
    alive = sorted((p for p in made if p.stage is not Stage.RETIRED), key=by_age)
    moments = sorted({point.taken_at for point in made})
    gap = usual_gap(moments)
    coming = _coming(alive, gap or _HOUR_S)
    depth, most = _depth(alive, upkeep), upkeep.rules.most
    room = FAR if most is None else max(most - depth, 0)

    def first(after: int) -> tuple[BootPointId, str] | None:
        care = with_room(upkeep) if most is not None and after >= room else upkeep
        verdicts = retain([*alive, *coming[:after]], care.rules, running, care.in_use)
        gone = ((point.id, verdicts[point.id]) for point in alive)
        return next(((name, one.reason) for name, one in gone if not one.keep), None)

    def when(after: int) -> datetime | None:
        if not after or gap is None:
            return None
        start = max(now, moments[-1])
        return start + timedelta(seconds=gap * after)

    if not alive:
        return Foreseen(None, "", None, None, 0)
    after = _least(min(room, FAR), lambda count: first(count) is not None)
    if after is None:
        full = room if most is not None else None
        return Foreseen(None, "", full, None if full is None else when(full), depth)
    found = first(after)
    name, reason = found or (None, "")
    if after >= room:
        reason = f"the target can hold {most} boot points"
    return Foreseen(name, reason, after, when(after), depth)


def tight(
    made: Sequence[BootPoint], running: BootPointId | None, upkeep: Upkeep, now: datetime
) -> str:
    """Return that the chain on the target will soon be full, a sentence; empty while it will not.

    Soon: within `TIGHT` further boot points, with none that may go by then.
    """
    most = upkeep.rules.most
    if most is None or not upkeep.depths or most - max(upkeep.depths.values()) > TIGHT:
        return ""
    seen = foresee(made, running, upkeep, now)
    if seen.point is not None or not seen.after:
        return ""
    about = f" (about {seen.at:%Y-%m-%d %H:%M} UTC)" if seen.at else ""
    return (
        f"After {seen.after} more boot points{about} the chain on the target is full, and no "
        "further one is made: none may go. Unpin one, release the hold, or keep fewer."
    )


def _least(most: int, true: Callable[[int], bool]) -> int | None:
    """Return the least number up to `most` for which something is true, and stays so."""
    low, high = 0, 0
    while not true(high):
        if high == most:
            return None
        low, high = high + 1, min(2 * high + 1, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(middle) else (middle + 1, high)
    return low


def _depth(alive: Sequence[BootPoint], upkeep: Upkeep) -> int:
    return max((upkeep.depths.get(point.replica, 0) for point in alive), default=0)


def _coming(alive: Sequence[BootPoint], gap_s: float) -> list[BootPoint]:
    """Return boot points as they will be, one after another, ready and of no note."""
    if not alive:
        return []
    tip, step = alive[-1], timedelta(seconds=gap_s)
    number = max(int(point.id[2:]) for point in alive)
    return [
        BootPoint(
            id=boot_point_id(number + count),
            standby=tip.standby,
            recovery_point=tip.recovery_point,
            set_id=tip.set_id,
            parent=None,
            sequence=tip.sequence + count,
            taken_at=tip.taken_at + step * count,
            stage=Stage.READY,
            replica=LayerName(""),
            boot=LayerName(""),
            created_at=tip.created_at + step * count,
        )
        for count in range(1, FAR + 1)
    ]
