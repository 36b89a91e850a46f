"""The planner: from the stored state and the time to the work that is due. Pure.

    directory events, timers, finished jobs ──► only wake it
    state, now ──► new_boot_points  boot points that are missing   (to be stored as PENDING)
               ──► next_jobs        jobs that may start            (to be queued)

Nothing is remembered between two calls, so there is no recovery: what an interrupted job left
undone is simply planned again. The same state and time give the same answer.

Rules: one live job on a standby; the oldest unfinished boot point first, after its parent; a
failed one again after a pause that doubles; after ten tries not until its images change; one whose
guest cannot be made bootable only when asked for; nothing for a held standby; boot points over the
limit go, oldest first, as `retention` judges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from engine.model import schedule
from engine.model.conversion import ConversionMode
from engine.model.images import PointId, RecoveryPoint
from engine.model.layers import LayerKind, layer_name
from engine.model.line import (
    Source,
    follow,
    forks,
    is_usable,
    lies_in,
    match_source,
    path_for,
)
from engine.model.line import points_by_machine as by_machine
from engine.model.points import WORKING, BootPoint, BootPointId, Stage, boot_point_id, in_order
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.upkeep import Upkeep, is_full, surplus, upkeep_of, with_room
from engine.model.work import JobKind, WantedJob

__all__ = [
    "Limits",
    "Source",
    "build_now",
    "forks",
    "interrupted",
    "is_due",
    "is_parked",
    "match_source",
    "new_boot_points",
    "next_jobs",
    "path_for",
    "retry_at",
    "try_again",
]

_SLACK = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how patient.

    Attributes:
        jobs: SYNC and RETIRE jobs at once.
        retry_first_s, retry_longest_s: Pause after the first failure; it doubles up to the longest.
        attempts: Tries after which a boot point is parked until its images change.
    """

    jobs: int = 2
    retry_first_s: int = 30
    retry_longest_s: int = 3600
    attempts: int = 10


# --- boot points ----------------------------------------------------------------------------


def new_boot_points(
    standbys: Mapping[str, Standby],
    sources: Mapping[str, str],
    state: State,
    now: datetime,
    zone: tzinfo,
) -> Sequence[BootPoint]:
    """Return the boot points to store as PENDING now, for all standbys, numbered on.

    Args:
        standbys: By name.
        sources: Standby -> UUID of the machine it follows (`match_source`); absent: unknown.
        state: The picture; ids go on from its `next_boot_point`.
        now: Aware.
        zone: Of the times of day in triggers.
    """
    machines, made = by_machine(state), _by_standby(state)
    found: list[BootPoint] = []
    for name in sorted(standbys.keys() & sources.keys()):
        number = state.next_boot_point + len(found)
        points = machines.get(sources[name], [])
        found += _missing(standbys[name], points, made[name], now, zone, number)
    return found


def build_now(
    standby: Standby, machine: str | None, state: State, now: datetime
) -> BootPoint | None:
    """Return a boot point of the newest complete recovery point, whatever the trigger says.

    Returns:
        A new PENDING one; or the FAILED one that exists, to be tried again at once; None when
        there is nothing newer to make, or it is on its way already.
    """
    made = _by_standby(state)[standby.name]
    points = by_machine(state).get(machine or "", [])
    line = follow([p for p in points if lies_in(p, standby.images)], made)
    if line is None:
        return None
    if line.anchor is not None and line.anchor.recovery_point == line.head.id:
        return try_again(line.anchor) if line.anchor.stage is Stage.FAILED else None
    if not line.fresh:
        return None
    return _chain(standby, [line.head], line.anchor, now, state.next_boot_point)[0]


def try_again(point: BootPoint) -> BootPoint:
    """Return a FAILED boot point as one that was never tried, so that it is due at once."""
    return replace(point, attempts=0, failed_at=None, obstacle="")


def _missing(
    standby: Standby,
    points: Iterable[RecoveryPoint],
    made: Sequence[BootPoint],
    now: datetime,
    zone: tzinfo,
    number: int,
) -> Sequence[BootPoint]:
    if standby.held:
        return []
    line = follow([p for p in points if lies_in(p, standby.images)], made)
    if line is None or not line.fresh:
        return []
    return _chain(
        standby, schedule.wanted(standby, line, made, now, zone), line.anchor, now, number
    )


def _chain(
    standby: Standby,
    points: Iterable[RecoveryPoint],
    anchor: BootPoint | None,
    now: datetime,
    number: int,
) -> list[BootPoint]:
    """Return boot points of `points`, each the child of the one before, the first of `anchor`."""
    parent = None if anchor is None else anchor.id
    made: list[BootPoint] = []
    for point in points:
        boot_point = _boot_point(standby, point, parent, now, number + len(made))
        made.append(boot_point)
        parent = boot_point.id
    return made


def _boot_point(
    standby: Standby,
    point: RecoveryPoint,
    parent: BootPointId | None,
    now: datetime,
    number: int,
) -> BootPoint:
    name = boot_point_id(number)
    return BootPoint(
        id=name,
        standby=standby.name,
        recovery_point=point.id,
        set_id=point.set_id,
        parent=parent,
        sequence=point.sequence,
        taken_at=point.taken_at,
        stage=Stage.PENDING,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=now,
    )


# --- jobs -----------------------------------------------------------------------------------


def next_jobs(
    standbys: Mapping[str, Standby],
    state: State,
    now: datetime,
    limits: Limits,
    upkeep: Mapping[str, Upkeep] | None = None,
) -> Sequence[WantedJob]:
    """Return the SYNC and RETIRE jobs to queue now, the most urgent first.

    START and STOP are queued by whoever asks for them; while one lives its standby gets no other.
    Free slots go to the standbys that were served longest ago.

    Args:
        standbys: By name.
        state: The picture.
        now: Aware.
        limits: How much at once.
        upkeep: Standby -> what retention goes by; absent: by its definition alone.
    """
    live = list(state.live_jobs())
    busy = {job.standby for job in live}
    slots = limits.jobs - sum(job.kind in (JobKind.SYNC, JobKind.RETIRE) for job in live)
    served = _last_served(state)
    made, replaced = _by_standby(state), _replaced(state)
    wanted: list[tuple[bool, int, str, WantedJob]] = []
    for name in standbys.keys() - busy:
        care = upkeep_of(upkeep or {}, standbys[name])
        job = _next_job(standbys[name], made[name], state, replaced, now, limits, care)
        if job is not None:
            can_wait = job.kind is JobKind.RETIRE
            wanted.append((can_wait, served.get(name, 0), name, job))
    return [entry[-1] for entry in sorted(wanted, key=lambda e: e[:3])[: max(slots, 0)]]


def _next_job(
    standby: Standby,
    made: Sequence[BootPoint],
    state: State,
    replaced: Mapping[PointId, PointId],
    now: datetime,
    limits: Limits,
    care: Upkeep,
) -> WantedJob | None:
    if standby.held:
        return None
    for point in made:
        if why := _given_up(point, state, replaced):
            return WantedJob(JobKind.RETIRE, standby.name, point.id, why)
    over = surplus(standby.name, made, state, care)
    sync = next((p for p in made if is_due(_as_told(standby, p), state, now, limits)), None)
    if sync is not None and is_full(sync, state, care):
        over = surplus(standby.name, made, state, with_room(care))
    elif sync is not None and len(over) <= _SLACK:
        return WantedJob(JobKind.SYNC, standby.name, sync.id, _why_sync(sync))
    return over[0] if over else None


def _as_told(standby: Standby, point: BootPoint) -> BootPoint:
    """Return the boot point without its obstacle when conversion was switched off meanwhile."""
    is_off = standby.conversion is ConversionMode.NONE
    return replace(point, obstacle="") if is_off and point.obstacle else point


def _why_sync(point: BootPoint) -> str:
    if point.stage is Stage.FAILED:
        return f"Try {point.attempts + 1} after: {point.reason}"
    return f"Recovery point {point.sequence} has arrived."


def is_due(point: BootPoint, state: State, now: datetime, limits: Limits) -> bool:
    """Tell whether a SYNC of this boot point can and should run now."""
    if point.stage not in (Stage.PENDING, Stage.FAILED):
        return False
    parent = None if point.parent is None else state.boot_points.get(point.parent)
    if point.parent is not None and not _can_go_on(parent):
        return False
    path = path_for(point, state)
    if not path or not (point.has_trunk or all(is_usable(one) for one in path)):
        return False
    if point.obstacle or is_parked(point, state, limits):
        return False
    again = retry_at(point, limits)
    return again is None or again <= now or (point.failed_at is not None and point.failed_at > now)


def _can_go_on(parent: BootPoint | None) -> bool:
    """Tell whether an increment can be laid on this boot point, startable or not."""
    if parent is None:
        return False
    return parent.stage is Stage.READY or (parent.stage is Stage.FAILED and parent.has_trunk)


def retry_at(point: BootPoint, limits: Limits) -> datetime | None:
    """Return when a FAILED boot point is tried again; None: at once."""
    if point.stage is not Stage.FAILED or point.failed_at is None:
        return None
    doublings = min(max(point.attempts - 1, 0), 30)
    pause = min(limits.retry_first_s << doublings, limits.retry_longest_s)
    return point.failed_at + timedelta(seconds=pause)


def is_parked(point: BootPoint, state: State, limits: Limits) -> bool:
    """Tell whether a FAILED boot point is not tried any more until its images change."""
    if point.stage is not Stage.FAILED or point.attempts < limits.attempts:
        return False
    failed_at = point.failed_at
    if failed_at is None:
        return False
    return not any(_changed_since(one, failed_at) for one in path_for(point, state))


def _changed_since(point: RecoveryPoint, moment: datetime) -> bool:
    if point.arrived_at is not None and point.arrived_at > moment:
        return True
    moment_ns = int(moment.timestamp()) * 10**9
    return any(disk.mark is not None and disk.mark.ctime_ns > moment_ns for disk in point.disks)


def _given_up(point: BootPoint, state: State, replaced: Mapping[PointId, PointId]) -> str:
    """Return why a boot point that never was ready cannot be made any more; empty if it can.

    It is retired, and `new_boot_points` makes another one of what is there now.
    """
    if point.stage not in (Stage.PENDING, Stage.FAILED) or point.ready_at is not None:
        return ""
    parent = None if point.parent is None else state.boot_points.get(point.parent)
    if point.parent is not None and (parent is None or parent.stage is Stage.RETIRED):
        return f"{point.parent}, from which it was to be made, is gone."
    own = state.recovery_points.get(point.recovery_point)
    if own is None:
        return "Its recovery point is not known any more."
    if own.id in replaced and (point.stage is Stage.FAILED or not is_usable(own)):
        return "The source consolidated its images into a later one."
    if not path_for(point, state):
        return "A recovery point between it and the one it continues is gone."
    return ""


def _replaced(state: State) -> dict[PointId, PointId]:
    """Return the ids of points that were folded into a usable one -> that one."""
    return {
        old: point.id
        for point in state.recovery_points.values()
        if point.replaces and is_usable(point)
        for old in point.replaces
        if old != point.id
    }


def _last_served(state: State) -> dict[str, int]:
    served: dict[str, int] = {}
    for job in state.jobs.values():
        served[job.standby] = max(served.get(job.standby, 0), job.id)
    return served


def _by_standby(state: State) -> defaultdict[str, list[BootPoint]]:
    """Return the boot points of each standby, in the order they were planned."""
    found: defaultdict[str, list[BootPoint]] = defaultdict(list)
    for point in sorted(state.boot_points.values(), key=lambda one: in_order(one.id)):
        found[point.standby].append(point)
    return found


# --- after a crash --------------------------------------------------------------------------


def interrupted(
    state: State, running: Collection[BootPointId] = frozenset()
) -> Sequence[BootPoint]:
    """Return as FAILED, and due at once, the boot points that were being made when all ended.

    Args:
        state: The picture.
        running: Boot points that this engine's own jobs really work on; none right after a start.

    Returns:
        The try that was interrupted does not count: being killed is no fault of the images.
    """
    return [
        replace(
            point,
            stage=Stage.FAILED,
            reason="Interrupted: the engine stopped while this boot point was being made.",
            attempts=max(point.attempts - 1, 0),
            failed_at=None,
        )
        for point in state.boot_points.values()
        if point.stage in WORKING and point.id not in running
    ]
