"""The planner: from the stored state and the time to the work that is due. Pure.

    directory events, timers, finished jobs ──► only wake it
    state, now ──► new_boot_points  boot points that are missing   (to be stored as PENDING)
               ──► next_jobs        jobs that may start            (to be queued)

Nothing is remembered between two calls, so there is no recovery: what an interrupted job left
undone is simply planned again. The same state and time give the same answer.

Rules: one live job on a standby; boot points in the order of `backlog`, after their parents; a
failed one again after a pause that doubles; after ten tries not until its images change; one whose
guest cannot be made bootable only when asked for; for a held standby only what was asked for since;
boot points over the limit go, oldest first, as `retention` judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import lru_cache, partial
from typing import cast

from engine.model import schedule
from engine.model.backlog import as_told, next_step, open_now, reaimed, rebedded
from engine.model.due import (
    given_up,
    interrupted,
    is_due,
    is_parked,
    replaced_points,
    retry_at,
)
from engine.model.images import RecoveryPoint
from engine.model.layers import LayerKind, layer_name
from engine.model.line import (
    Line,
    Source,
    bed,
    follow,
    forks,
    lies_in,
    match_source,
    path_for,
)
from engine.model.memo import Memo
from engine.model.points import UNMADE, BootPoint, BootPointId, Stage, boot_point_id
from engine.model.schedule import Calendar
from engine.model.slots import Limits, choose
from engine.model.standby import Backlog, Standby, TriggerKind
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
    "still_missing",
    "try_again",
]

_SLACK = 1


# --- boot points ----------------------------------------------------------------------------


def new_boot_points(
    standbys: Mapping[str, Standby],
    sources: Mapping[str, str],
    state: State,
    now: datetime,
    zone: tzinfo,
    memo: Memo | None = None,
) -> Sequence[BootPoint]:
    """Return the boot points to store as PENDING now, for all standbys, new ones numbered on.

    Args:
        standbys: By name.
        sources: Standby -> UUID of the machine it follows (`match_source`); absent: unknown.
        state: The picture; ids go on from its `next_boot_point`.
        now: Aware.
        zone: Of the times of day in triggers.
        memo: Of earlier calls; None: everything is worked out anew.
    """
    memo = memo or Memo(keeps=False)
    made, machines = state.by_standby, state.by_machine
    followed = {name: machines.get(uuid, ()) for name, uuid in sources.items()}
    told = (standbys, followed, made)
    news, kept = memo.news("lines", told)
    looked = set().union(*news, cast("frozenset[str]", kept or ()))
    looked &= standbys.keys() & sources.keys()
    goes_on: set[str] = set()
    found: list[BootPoint] = []
    busy = {job.standby for job in state.live_jobs()} if looked else set()
    number = state.next_boot_point
    for name in sorted(looked):
        standby, mine, points = standbys[name], made.get(name, ()), followed[name]
        bedded = partial(rebedded, mine, state)
        aside = () if name in busy else memo.of(("bed", name), (points, mine), bedded)
        found += aside
        work = partial(_line, standby, points, mine)
        line = memo.of(("line", name), (standby, points, mine), work)
        if name in busy or aside or (line is not None and line.fresh):
            goes_on.add(name)
        while line is not None:
            fresh = _missing(standby, line, mine, now, zone, number)
            fresh = fresh if name in busy else _gathered(standby, line, fresh)
            number += sum(point.id not in state.boot_points for point in fresh)
            found += fresh
            mine = (*mine, *fresh)
            line = _line(standby, points, mine) if fresh and line.goes_on else None
    memo.settle("lines", told, frozenset(goes_on))
    return found


def still_missing(due: Sequence[BootPoint], seen: State, state: State) -> Sequence[BootPoint]:
    """Return those of the `new_boot_points` of one picture that can be stored in a later one.

    Of a standby about which anything changed between the two, none: the next round has them.
    """
    if state.next_boot_point != seen.next_boot_point:
        return ()
    before = {job.standby for job in seen.live_jobs()}
    begun = before ^ {job.standby for job in state.live_jobs()}
    points = seen.recovery_points
    machines = {point.standby: points[point.recovery_point].machine_uuid for point in due}
    same = {
        name
        for name, uuid in machines.items()
        if name not in begun
        and seen.by_standby.get(name) is state.by_standby.get(name)
        and seen.by_machine.get(uuid) is state.by_machine.get(uuid)
    }
    return [point for point in due if point.standby in same]


def _gathered(standby: Standby, line: Line, fresh: Sequence[BootPoint]) -> Sequence[BootPoint]:
    """Return what is new, as part of the boot point nobody began where only the newest counts."""
    if not fresh or standby.backlog is not Backlog.NEWEST:
        return fresh
    last = [point.id for point in line.way].index(fresh[-1].recovery_point)
    again = reaimed(line.anchor, line.way[: last + 1])
    return fresh if again is None else [again]


def build_now(
    standby: Standby, machine: str | None, state: State, now: datetime
) -> BootPoint | None:
    """Return a boot point of the newest complete recovery point, whatever the trigger says.

    Returns:
        A new PENDING one; or the FAILED or PENDING one that exists, to be made at once; None when
        there is nothing newer to make, or it is on its way already. Neither a window nor a pause
        holds it up.
    """
    made = state.by_standby.get(standby.name, ())
    points = state.by_machine.get(machine or "", ())
    line = follow([p for p in points if lies_in(p, standby.images)], made)
    if line is None:
        return None
    if line.anchor is not None and line.anchor.recovery_point == line.head.id:
        return _asked_again(line.anchor)
    if not line.fresh:
        return None
    found = _chain(standby, [line.head], line, bed(made), now, state.next_boot_point)
    return replace(found[0], asked=True)


def _asked_again(point: BootPoint) -> BootPoint | None:
    """Return an unfinished boot point as one that waits for no window; None: nothing is to do."""
    if point.stage is Stage.FAILED:
        return replace(try_again(point), asked=True)
    waits = point.stage is Stage.PENDING and not point.asked
    return replace(point, asked=True) if waits else None


def try_again(point: BootPoint) -> BootPoint:
    """Return a FAILED boot point as one that was never tried, so that it is due at once."""
    return replace(point, attempts=0, failed_at=None, obstacle="")


def _line(
    standby: Standby, points: Iterable[RecoveryPoint], made: Sequence[BootPoint]
) -> Line | None:
    each = standby.trigger.kind is TriggerKind.IMMEDIATE and standby.backlog is Backlog.EVERY
    return follow([p for p in points if lies_in(p, standby.images)], made, every=each)


def _missing(
    standby: Standby,
    line: Line,
    made: Sequence[BootPoint],
    now: datetime,
    zone: tzinfo,
    number: int,
) -> Sequence[BootPoint]:
    if standby.is_held(now) or not line.fresh:
        return []
    points = schedule.wanted(standby, line, made, now, zone)
    return _chain(standby, points, line, bed(made), now, number)


def _chain(
    standby: Standby,
    points: Iterable[RecoveryPoint],
    line: Line,
    below: BootPoint | None,
    now: datetime,
    number: int,
) -> list[BootPoint]:
    """Return boot points of `points`, each the child of the one before.

    The first is the child of the anchor; of `below`, if there is one, where a generation begins.
    """
    anchor = line.anchor or below
    parent = None if anchor is None else anchor.id
    places = {point.id: place for place, point in enumerate(line.way, 1)}
    last = 0
    made: list[BootPoint] = []
    for point in points:
        skipped = places[point.id] - last - 1
        made.append(_boot_point(standby, point, parent, now, number + len(made), skipped))
        parent, last = made[-1].id, places[point.id]
    return made


def _boot_point(
    standby: Standby,
    point: RecoveryPoint,
    parent: BootPointId | None,
    now: datetime,
    number: int,
    skipped: int,
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
        skipped=skipped,
    )


# --- jobs -----------------------------------------------------------------------------------


def next_jobs(
    standbys: Mapping[str, Standby],
    state: State,
    now: datetime,
    limits: Limits,
    upkeep: Mapping[str, Upkeep] | None = None,
    calendar: Calendar | None = None,
    memo: Memo | None = None,
) -> Sequence[WantedJob]:
    """Return the SYNC and RETIRE jobs to queue now, the most urgent first.

    START and STOP are queued by whoever asks for them; while one lives its standby gets no other.
    Free slots are given out by `slots`.

    Args:
        standbys: By name.
        state: The picture.
        now: Aware.
        limits: How much at once.
        upkeep: Standby -> what retention goes by; absent: by its definition alone.
        calendar: When nothing is begun; None: by the standbys' own windows, in UTC.
        memo: Of earlier calls; None: everything is worked out anew.
    """
    wanted = wanted_jobs(standbys, state, now, limits, upkeep, calendar, memo)
    return choose(wanted, standbys, state, limits, memo=memo).jobs


def wanted_jobs(
    standbys: Mapping[str, Standby],
    state: State,
    now: datetime,
    limits: Limits,
    upkeep: Mapping[str, Upkeep] | None = None,
    calendar: Calendar | None = None,
    memo: Memo | None = None,
) -> Sequence[WantedJob]:
    """Return what each standby without a live job would do next, whatever slots are free."""
    memo, known, calendar = memo or Memo(keeps=False), upkeep or {}, calendar or Calendar()
    busy = {job.standby for job in state.live_jobs()}
    found = []
    for name, standby in standbys.items():
        made = state.by_standby.get(name, ())
        if name in busy or not made:
            continue
        care = known.get(name)
        clock: tuple[object, ...] = _OPEN
        if standby.held or calendar.blackouts_of(standby):
            clock = _same(standby.is_held(now), calendar.closed_until(standby, now))
        parts = (standby, made, _images(made, state), state.runs.get(name), limits, care, *clock)
        job = memo.at(
            ("job", name), parts, now, _decide, standby, made, state, now, limits, care, calendar
        )
        if job is not None:
            found.append(job)
    return found


_OPEN = (False, None)


@lru_cache(maxsize=4096)
def _same(*told: object) -> tuple[object, ...]:
    """Return one object for what is equal, as a memo wants it."""
    return told


def _images(made: Sequence[BootPoint], state: State) -> object:
    """Return what stands for the recovery points that boot points of one standby were made of."""
    newest = state.recovery_points.get(made[-1].recovery_point)
    return state.recovery_points if newest is None else state.by_machine[newest.machine_uuid]


def _until(made: Sequence[BootPoint], now: datetime, limits: Limits) -> datetime | None:
    """Return when the clock makes another boot point due; None: it does not."""
    again = (retry_at(point, limits) for point in made if point.stage is Stage.FAILED)
    return min((moment for moment in again if moment is not None and moment > now), default=None)


def _decide(
    standby: Standby,
    made: Sequence[BootPoint],
    state: State,
    now: datetime,
    limits: Limits,
    care: Upkeep | None,
    calendar: Calendar,
) -> tuple[WantedJob | None, datetime | None]:
    """Return a standby's next job, and when that may become another one by the clock alone."""
    care = care or upkeep_of({}, standby)
    job = _next_job(standby, made, state, now, limits, care, calendar)
    return job, _until(made, now, limits)


def _next_job(
    standby: Standby,
    made: Sequence[BootPoint],
    state: State,
    now: datetime,
    limits: Limits,
    care: Upkeep,
    calendar: Calendar,
) -> WantedJob | None:
    held = standby.is_held(now)
    unmade: Sequence[BootPoint] = [point for point in made if point.stage in UNMADE]
    if held and not (unmade := open_now(unmade, by_hand=True)):
        return None
    replaced = replaced_points(unmade, state)
    for point in unmade:
        if why := given_up(point, state, replaced):
            return WantedJob(JobKind.RETIRE, standby.name, point.id, why)
    over = surplus(standby.name, made, state, care)
    allowed = open_now(unmade, by_hand=calendar.closed_until(standby, now) is not None)
    asked = any(point.asked for point in allowed)
    due = [p for p in allowed if is_due(as_told(standby, p), state, now, limits)]
    full = any(is_full(point, state, care) for point in due if not point.has_trunk)
    step = next_step(due, made, state, is_full=full)
    if held and step is None:
        return None
    if step is not None and full and not step[0].has_trunk:
        over = surplus(standby.name, made, state, with_room(care))
    elif step is not None and len(over) <= _SLACK:
        point, kind = step
        return WantedJob(kind, standby.name, point.id, _why_sync(point, kind), asked)
    return replace(over[0], asked=asked) if over else None


def _why_sync(point: BootPoint, kind: JobKind) -> str:
    if point.stage is Stage.FAILED:
        return f"Try {point.attempts + 1} after: {point.reason}"
    if kind is JobKind.APPLY:
        return f"Recovery point {point.sequence} has arrived; newer ones are made ready first."
    if point.has_trunk:
        return f"Recovery point {point.sequence} was applied before; its conversion waited."
    return f"Recovery point {point.sequence} has arrived."
