"""Pure: one small object per standby, made anew only where something about it changed.

state ─ grouped by standby ─► same parts as before? ─► old standing, lag counted on
                                                   └─► `survey` of this standby alone
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from engine.api.ladder_views import LadderView, RungView
from engine.api.views import FleetView, Next
from engine.api.waiting import WaitView
from engine.daemon.service import Snapshot
from engine.model.fleet import Code, Standing, survey
from engine.model.images import PointId, RecoveryPoint, RootView
from engine.model.ladder import Ladder
from engine.model.outlook import Clock, Outlook, clock_of
from engine.model.planner import Limits
from engine.model.points import BootPoint, BootPointId, Stage, in_order
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.text import safe
from engine.model.waits import Wait, waits
from engine.model.work import Job, Run

_Key = TypeVar("_Key", BootPointId, PointId)
_Item = TypeVar("_Item", BootPoint, RecoveryPoint)
LIMITS = Limits()
SENTENCE = 600
"""Characters shown of one alarm."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """All that the standing of one standby follows from, but for the age of its data."""

    standby: Standby
    source: str
    made: Mapping[BootPointId, BootPoint]
    images: Mapping[PointId, RecoveryPoint]
    jobs: Sequence[Job]
    run: Run | None
    waiting: Sequence[str]
    lost: str
    written: datetime | None
    clock: Clock
    slot: Wait | None


@dataclass(frozen=True, slots=True)
class _Known:
    parts: _Parts
    alarming: tuple[bool, bool, bool]
    standing: Standing
    newest: str
    wait: Wait | None
    proven: BootPoint | None = None


class _Groups(Generic[_Key, _Item]):
    """A mapping split by an owner; split again only when it is another object."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._whole: Mapping[_Key, _Item] = {}
        self._groups: dict[str, dict[_Key, _Item]] = {}

    def of(self, whole: Mapping[_Key, _Item]) -> Mapping[str, Mapping[_Key, _Item]]:
        if whole is not self._whole:
            groups: dict[str, dict[_Key, _Item]] = defaultdict(dict)
            for key, item in whole.items():
                groups[getattr(item, self._owner)][key] = item
            self._whole, self._groups = whole, dict(groups)
        return self._groups


class FleetPresenter:
    """Makes the topic `fleet`; belongs to one thread."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[str, _Known] = {}
        self._made: _Groups[BootPointId, BootPoint] = _Groups("standby")
        self._images: _Groups[PointId, RecoveryPoint] = _Groups("machine_uuid")
        self._seen: dict[str, tuple[RootView, Mapping[str, datetime]]] = {}

    def views(self, snapshot: Snapshot) -> list[FleetView]:
        """Return all standbys, by name."""
        lost = {target.name: target.problem for target in snapshot.targets if target.problem}
        made = self._made.of(snapshot.state.boot_points)
        images = self._images.of(snapshot.state.recovery_points)
        written = self._written(snapshot)
        jobs: dict[str, list[Job]] = defaultdict(list)
        for job in snapshot.state.live_jobs():
            jobs[job.standby].append(job)
        known, found = {}, []
        for name, standby in sorted(snapshot.standbys.items()):
            source = snapshot.sources.get(name, "")
            parts = _Parts(
                standby=standby,
                source=source,
                made=made.get(name, {}),
                images=images.get(source, {}),
                jobs=jobs.get(name, ()),
                run=snapshot.state.runs.get(name),
                waiting=tuple(snapshot.waiting.get(name, ())),
                lost=lost.get(standby.target, ""),
                written=written.get((standby.images, source)),
                clock=clock_of(standby, snapshot.now, snapshot.calendar),
                slot=snapshot.slots.get(name),
            )
            known[name] = self._stand(snapshot, parts)
            found.append(_view(snapshot, known[name]))
        self._known = known
        return found

    def _stand(self, snapshot: Snapshot, parts: _Parts) -> _Known:
        old = self._known.get(parts.standby.name)
        if old is None or old.parts != parts:
            return _survey(snapshot, parts)
        data = old.standing.data_as_of
        lag = None if data is None else max(0.0, (snapshot.now - data).total_seconds())
        if old.alarming != _alarming(old.standing, lag, parts.standby, snapshot.now):
            return _survey(snapshot, parts)
        return replace(old, standing=replace(old.standing, lag_s=lag))

    def _written(self, snapshot: Snapshot) -> Mapping[tuple[str, str], datetime]:
        """Return the moment of the newest image, complete or not, by folder and machine."""
        seen: dict[str, tuple[RootView, Mapping[str, datetime]]] = {}
        for root, view in snapshot.roots.items():
            old = self._seen.get(root)
            seen[root] = old if old and old[0] is view else (view, _newest(view))
        self._seen = seen
        return {
            (root, machine): at for root, (_, told) in seen.items() for machine, at in told.items()
        }


def _newest(view: RootView) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for family in view.sets:
        for point in family.points:
            known = found.get(family.machine_uuid, point.taken_at)
            found[family.machine_uuid] = max(known, point.taken_at)
    return found


def outlooks(snapshot: Snapshot) -> dict[str, Outlook]:
    """Return what happens next on each standby."""
    lost = {target.name: target.problem for target in snapshot.targets if target.problem}
    standings = survey(
        snapshot.standbys,
        snapshot.sources,
        snapshot.state,
        snapshot.now,
        LIMITS,
        snapshot.waiting,
        lost,
        None,
        snapshot.calendar,
    )
    return {name: standing.next for name, standing in standings.items()}


def _survey(snapshot: Snapshot, parts: _Parts) -> _Known:
    name = parts.standby.name
    state = State(
        recovery_points=parts.images,
        boot_points=parts.made,
        jobs={job.id: job for job in parts.jobs},
        runs={name: parts.run} if parts.run else {},
        next_boot_point=snapshot.state.next_boot_point,
    )
    standing = survey(
        {name: parts.standby},
        {name: parts.source} if parts.source else {},
        state,
        snapshot.now,
        LIMITS,
        {name: parts.waiting},
        {parts.standby.target: parts.lost} if parts.lost else {},
        {parts.source: parts.written} if parts.written else {},
        snapshot.calendar,
    )[name]
    ready = [point for point in parts.made.values() if point.stage is Stage.READY]
    newest = max(ready, key=lambda p: in_order(p.id), default=None)
    tried = (p for p in ready if p.proven_at is not None)
    proven = max(tried, key=lambda p: in_order(p.id), default=None)
    alarming = _alarming(standing, standing.lag_s, parts.standby, snapshot.now)
    wait = waits(list(parts.made.values()), standing.job, parts.slot, parts.clock.closed_until)
    wait = parts.slot if parts.clock.is_held else wait
    return _Known(parts, alarming, standing, newest.id if newest else "", wait, proven)


def _alarming(
    standing: Standing, lag: float | None, standby: Standby, now: datetime
) -> tuple[bool, bool, bool]:
    """Return what the time alone may change: late, silent, losing time before anything arrives."""
    late = standby.rpo_s is not None and lag is not None and lag > standby.rpo_s
    ladder = standing.ladder
    silent = ladder.silent_from is not None and now > ladder.silent_from
    written, usual = ladder.steps[0].data_as_of, ladder.usual_s
    waits = (
        None if written is None or usual is None else (now - written).total_seconds() - 2 * usual
    )
    worst = max((step.lost_s or 0.0 for step in ladder.steps[1:-1]), default=0.0)
    return late, silent, waits is not None and waits > max(0.0, worst)


def _view(snapshot: Snapshot, known: _Known) -> FleetView:
    standby, standing, wait, proven = known.parts.standby, known.standing, known.wait, known.proven
    return FleetView(
        id=standby.name,
        state=standing.code.value,
        can_start=standing.can_start,
        image_as_of=standing.image_as_of,
        data_as_of=standing.data_as_of,
        point=known.newest,
        lag_s=standing.lag_s,
        rpo_s=standby.rpo_s,
        next=_next(snapshot, standing),
        points=standing.points,
        keep=standby.keep,
        target=standby.target,
        strip=standing.strip,
        running=standing.running or "",
        alarm=" ".join(safe(text, SENTENCE) for text in standing.alarms),
        remedy=_remedy(standing, standby),
        ladder=ladder_view(standing.ladder),
        wait=WaitView(bound=wait.bound.value, text=safe(wait.text, SENTENCE), until=wait.until)
        if wait
        else None,
        proven=proven.id if proven else "",
        proven_at=proven.proven_at if proven else None,
    )


def ladder_view(ladder: Ladder) -> LadderView:
    """Return the view of a ladder."""
    return LadderView(
        rungs=[
            RungView(
                rung=step.rung.value,
                data_as_of=step.data_as_of,
                reached_at=step.reached_at,
                lost_s=step.lost_s,
            )
            for step in ladder.steps
        ],
        losing=ladder.losing.value if ladder.losing else "",
        usual_s=ladder.usual_s,
        silence_s=ladder.silence_s,
        arrived_at=ladder.arrived_at,
        silent_from=ladder.silent_from,
        silent=ladder.silent,
    )


def _next(snapshot: Snapshot, standing: Standing) -> Next:
    text, at = safe(standing.next.text, SENTENCE), standing.next.at
    progress = snapshot.progress.get(standing.job.id) if standing.job else None
    if progress is None:
        return Next(kind=standing.next.kind.value, text=text, at=at)
    done = progress.done / progress.total if progress.total else None
    return Next(kind=standing.next.kind.value, text=text, done=done, eta_s=progress.eta_s)


def _remedy(standing: Standing, standby: Standby) -> str:
    """Return what to do about the code, where the alarms do not say it themselves."""
    if standing.code is Code.LATE:
        return "Check that the backup ran and that replication brings its files."
    if standing.code is Code.LOST:
        return f"Check the target {standby.target}; work on it goes on by itself once it answers."
    return ""
