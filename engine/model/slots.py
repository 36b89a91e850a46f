"""Who gets a free slot: limits of engine, target and datastore, priorities, and fairness. Pure.

    wanted jobs ─► asked for by hand ─► overdue ones, the longest first ─► by priority
                   └ making before retiring, then by how long ago they were served
                   └ as many as engine, target and datastore have free

A *round* is as many jobs as there are standbys that want one. Who has not been served for a whole
round goes before every priority; so nobody who could have a slot waits for more than two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.model.memo import Memo
from engine.model.points import BootPoint
from engine.model.space import Layers, Measured, Room, can_measure, promised, short, still_needed
from engine.model.standby import Priority, Standby
from engine.model.state import State
from engine.model.waits import Bound, Wait
from engine.model.work import MAKING, Job, JobKind, WantedJob

SLOTTED = frozenset({JobKind.SYNC, JobKind.APPLY, JobKind.MEASURE, JobKind.RETIRE})
"""Kinds that need a slot; what an operator asks for by hand goes before all of them."""

_NO_LAYERS: Layers = {}
_MEASURE = (
    "Counted whole it has no room; it is compared with the newest trunk layer to see what it takes."
)
RANKS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
"""The lower goes first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how patient.

    Attributes:
        jobs: SYNC and RETIRE jobs at once.
        retry_first_s, retry_longest_s: Pause after the first failure; it doubles up to the longest.
        attempts: Tries after which a boot point is parked until its images change.
        targets: Target -> such jobs at once on it; absent: no limit of its own.
        stores: Target -> name of the datastore its layers lie on; several may share one.
        store_jobs: Datastore -> such jobs at once on it; absent: no limit of its own.
        reserve_percent: Of each datastore, stays free.
        slow: Target -> why no more than one job is started on it now; a sentence.
        away: Target -> why none is started on it now; a sentence.
    """

    jobs: int = 2
    retry_first_s: int = 30
    retry_longest_s: int = 3600
    attempts: int = 10
    targets: Mapping[str, int] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    store_jobs: Mapping[str, int] = field(default_factory=dict)
    reserve_percent: float = 5.0
    slow: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs start now, and why the others do not.

    Attributes:
        jobs: The most urgent first.
        waiting: Standby -> what its job waits for.
        cramped: Standby -> why there is no room for its next boot point, a sentence; these wait
            too.
    """

    jobs: Sequence[WantedJob]
    waiting: Mapping[str, Wait]
    cramped: Mapping[str, str] = field(default_factory=dict)


def choose(
    wanted: Sequence[WantedJob],
    standbys: Mapping[str, Standby],
    state: State,
    limits: Limits,
    rooms: Mapping[str, Room] | None = None,
    layers: Mapping[str, Layers] | None = None,
    measured: Measured | None = None,
    memo: Memo | None = None,
) -> Choice:
    """Give free slots to wanted jobs.

    What has no room counted whole, and may have once it was compared, is measured instead.

    Args:
        wanted: At most one job of each standby, of kinds that need a slot.
        standbys: By name; all that `wanted` names are there.
        state: The picture; its live jobs take slots, its ended ones tell who was served when.
        limits: How much at once.
        rooms: Target -> room on its datastore; absent: not known, and nothing waits for it.
        layers: Standby -> its layers as last seen (`space.still_needed`).
        measured: What boot points write, where that was measured.
        memo: Of earlier calls; None: everything is worked out anew.
    """
    memo, measured = memo or Memo(keeps=False), measured or {}
    left = _Left(rooms or {}, standbys, state, layers or {}, measured, memo)
    taken = _Taken(limits, left)
    for job in state.live_jobs():
        if job.kind in SLOTTED and job.standby in standbys:
            taken.take(standbys[job.standby].target)
        elif job.kind in SLOTTED:
            taken.jobs += 1
    chosen, waiting, cramped = [], {}, {}
    for one in in_turn(wanted, standbys, state.jobs.values()):
        target = standbys[one.standby].target
        if why := taken.limits.away.get(target):
            waiting[one.standby] = Wait(Bound.AWAY, why)
        elif (why := taken.left.short_for(one, target)) and not taken.left.compares(one, target):
            cramped[one.standby] = why
            waiting[one.standby] = Wait(Bound.SPACE, why)
        elif wait := taken.full(target):
            waiting[one.standby] = wait
        else:
            taken.take(target)
            chosen.append(replace(one, kind=JobKind.MEASURE, reason=_MEASURE) if why else one)
            taken.left.promise(chosen[-1], target)
    return Choice(chosen, waiting, cramped)


def in_turn(
    wanted: Sequence[WantedJob], standbys: Mapping[str, Standby], jobs: Iterable[Job]
) -> Sequence[WantedJob]:
    """Return wanted jobs in the order in which they get slots."""
    served: dict[str, int] = {}
    newest, competing = 0, {one.standby for one in wanted}
    for job in jobs:
        newest = max(newest, job.id)
        if job.id > served.get(job.standby, 0):
            served[job.standby] = job.id
        if job.is_live:
            competing.add(job.standby)
    since = newest - len(competing)

    def rank(one: WantedJob) -> tuple[int, int, bool, int, str]:
        last = served.get(one.standby, 0)
        if one.asked:
            return -2, last, False, 0, one.standby
        if last <= since:
            return -1, last, False, 0, one.standby
        priority = RANKS[standbys[one.standby].priority]
        return priority, 0, one.kind is JobKind.RETIRE, last, one.standby

    return sorted(wanted, key=rank)


class _Left:
    """Room that is left on each target, with all that was promised taken off."""

    def __init__(
        self,
        rooms: Mapping[str, Room],
        standbys: Mapping[str, Standby],
        state: State,
        layers: Mapping[str, Layers],
        measured: Measured,
        memo: Memo,
    ) -> None:
        self._rooms, self._state, self._layers, self._memo = rooms, state, layers, memo
        self._measured = measured
        live = list(state.live_jobs())
        self._taken = Counter(
            {name: promised(live, name, standbys, state, layers, measured) for name in rooms}
        )

    def short_for(self, one: WantedJob, target: str) -> str:
        """Return why a job's boot point does not fit; empty if it does, or nothing is known."""
        room = self._rooms.get(target)
        needed = self._need(one) if room else 0
        return short(needed, room, self._taken[target]) if room and needed else ""

    def compares(self, one: WantedJob, target: str) -> bool:
        """Tell whether measuring may show that what does not fit counted whole fits."""
        room, point = self._rooms.get(target), self._point(one)
        if room is None or point is None or one.kind not in MAKING:
            return False
        left = room.usable - self._taken[target]
        return can_measure(point, self._state, self._measured, left)

    def promise(self, one: WantedJob, target: str) -> None:
        self._taken[target] += self._need(one)

    def _need(self, one: WantedJob) -> int:
        point = self._point(one)
        if one.kind not in MAKING or point is None:
            return 0
        layers, state, name = self._layers.get(one.standby, _NO_LAYERS), self._state, one.standby
        if one.boot_point in self._measured:
            return still_needed(point, state, layers, self._measured)
        parts = (one, state.by_standby.get(name), state.recovery_points, layers)
        return self._memo.of(("need", name), parts, lambda: still_needed(point, state, layers))

    def _point(self, one: WantedJob) -> BootPoint | None:
        return self._state.boot_points.get(one.boot_point) if one.boot_point else None


class _Taken:
    """Slots that are taken already, and room."""

    def __init__(self, limits: Limits, left: _Left) -> None:
        self.jobs, self.left = 0, left
        self.limits = limits
        self._targets: Counter[str] = Counter()
        self._stores: Counter[str] = Counter()

    def take(self, target: str) -> None:
        self.jobs += 1
        self._targets[target] += 1
        self._stores[self.limits.stores.get(target, target)] += 1

    def full(self, target: str) -> Wait | None:
        """Return why no job can start on a target now; None if one can."""
        limits, store = self.limits, self.limits.stores.get(target, target)
        on_target, on_store = self._targets[target], self._stores[store]
        if self.jobs >= limits.jobs:
            return Wait(Bound.ENGINE, _all_of(limits.jobs, "the engine"))
        if target in limits.targets and on_target >= limits.targets[target]:
            return Wait(Bound.TARGET, _all_of(limits.targets[target], f"target {target}"))
        if store in limits.store_jobs and on_store >= limits.store_jobs[store]:
            return Wait(Bound.DATASTORE, _all_of(limits.store_jobs[store], f"datastore {store}"))
        if target in limits.slow and on_target >= 1:
            return Wait(Bound.SLOW, limits.slow[target])
        return None


def _all_of(count: int, whose: str) -> str:
    taken = f"All {count} slots of {whose} are" if count > 1 else f"The one slot of {whose} is"
    return f"{taken} taken."
