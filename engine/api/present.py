"""Pure: snapshots into views.

    Snapshot ─► Presenter.views ─► fleet, jobs, sets, findings, targets
             └► Presenter.machine ─► one MachineView

A presenter remembers what it made of parts that did not change; it belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from engine.api.findings import findings
from engine.api.fleet import FleetPresenter
from engine.api.machines import OBSTACLE, machine_view
from engine.api.reviewing import phase_views
from engine.api.sets import set_views, without_outer
from engine.api.views import (
    AlertView,
    FindingView,
    FleetView,
    JobView,
    JournalView,
    LastView,
    MachineView,
    Next,
    SetView,
    StandbyView,
    TargetView,
)
from engine.daemon.intake import standing
from engine.daemon.service import Snapshot, TargetStatus
from engine.model.alarms import Alert, by_gravity
from engine.model.images import RootView
from engine.model.outlook import Outlook
from engine.model.progress import Progress
from engine.model.standby import Standby
from engine.model.text import safe
from engine.model.work import Job, JobId, JournalLine

REASON = 400
"""Characters shown of a reason."""


@dataclass(frozen=True, slots=True)
class Views:
    """All objects of the topics that everybody may subscribe to."""

    fleet: Sequence[FleetView]
    jobs: Sequence[JobView]
    sets: Sequence[SetView]
    findings: Sequence[FindingView]
    targets: Sequence[TargetView]
    alerts: Sequence[AlertView]
    journal: int


class Presenter:
    """Makes views of snapshots, again only of what changed."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._fleet = FleetPresenter()
        self._roots: dict[str, tuple[RootView, Mapping[str, object], Sequence[SetView]]] = {}
        self._jobs: dict[JobId, tuple[Job, Progress | None, str, JobView]] = {}

    def views(self, snapshot: Snapshot) -> Views:
        """Return the views of one moment."""
        return Views(
            fleet=self._fleet.views(snapshot),
            jobs=self._job_views(snapshot),
            sets=self._set_views(snapshot),
            findings=findings(snapshot),
            targets=[target_view(target, snapshot) for target in snapshot.targets],
            alerts=[alert_view(alert) for alert in by_gravity(snapshot.state.alerts.values())],
            journal=snapshot.journal_end,
        )

    def machine(self, snapshot: Snapshot, name: str) -> MachineView | None:
        """Return one standby's view; None without such a standby."""
        standby = snapshot.standbys.get(name)
        if standby is None:
            return None
        fleet = next(view for view in self._fleet.views(snapshot) if view.id == name)
        return machine_view(snapshot, standby, fleet)

    def _job_views(self, snapshot: Snapshot) -> list[JobView]:
        found: list[JobView] = []
        kept: dict[JobId, tuple[Job, Progress | None, str, JobView]] = {}
        for number, job in snapshot.state.jobs.items():
            standby = snapshot.standbys.get(job.standby)
            target = standby.target if standby else ""
            progress = snapshot.progress.get(number)
            old = self._jobs.get(number)
            if old is None or old[0] is not job or old[1] is not progress or old[2] != target:
                old = (job, progress, target, job_view(job, progress, target))
            kept[number] = old
            found.append(old[3])
        self._jobs = kept
        return found

    def _set_views(self, snapshot: Snapshot) -> list[SetView]:
        owners = {uuid: name for name, uuid in snapshot.sources.items()}
        lacking = standing(snapshot.roots.values(), snapshot.state)
        shown: list[SetView] = []
        for root, view in snapshot.roots.items():
            mine = {s.id: (owners.get(s.machine_uuid, ""), lacking.get(s.id)) for s in view.sets}
            old = self._roots.get(root)
            if old is None or old[0] is not view or old[1] != mine:
                names = {ident: name for ident, (name, _) in mine.items()}
                old = self._roots[root] = (view, mine, set_views(view, names, lacking))
            shown += old[2]
        found: dict[str, SetView] = {}
        for each in without_outer(shown):
            where = f"{each.id} in {each.root}"
            found[where if each.id in found else each.id] = each
        self._roots = {root: kept for root, kept in self._roots.items() if root in snapshot.roots}
        return [each if each.id == key else _renamed(each, key) for key, each in found.items()]


def _renamed(view: SetView, own: str) -> SetView:

    return replace(view, id=own)


# --- jobs, targets, journal, standbys -------------------------------------------------------


def alert_view(alert: Alert) -> AlertView:
    """Return the view of an alert."""
    condition = alert.condition
    return AlertView(
        id=safe(alert.key, 200),
        severity=condition.severity.value,
        machine=condition.machine,
        title=safe(condition.title, REASON),
        text=safe(condition.text, 1000),
        remedy=safe(condition.remedy, REASON),
        raised_at=alert.raised_at,
        cleared_at=alert.cleared_at,
        acked_at=alert.acked_at,
        acked_by=safe(alert.acked_by),
        note=safe(alert.note, REASON),
        told=[f"{way}: {told.what.value}" for way, told in sorted(alert.told.items())],
    )


def job_view(job: Job, progress: Progress | None, target: str) -> JobView:
    """Return the view of a job."""
    return JobView(
        id=str(job.id),
        kind=job.kind.value,
        machine=job.standby,
        point=job.boot_point or "",
        status=job.status.value,
        step=progress.step if progress else "",
        done=progress.done if progress else 0,
        total=progress.total if progress else None,
        rate=progress.rate if progress else None,
        eta_s=progress.eta_s if progress else None,
        queued_at=job.queued_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        reason=safe(job.reason, REASON),
        target=target,
        limit=progress.pace.rate if progress else None,
        limit_until=progress.pace.until if progress and progress.pace.rate is not None else None,
        phases=phase_views(job),
    )


def target_view(target: TargetStatus, snapshot: Snapshot) -> TargetView:
    """Return the view of a target."""
    able = target.capabilities
    state = "lost" if target.problem else ("ready" if able is not None else "opening")
    return TargetView(
        id=target.name,
        kind=target.kind,
        state=state,
        accelerator=able.accelerator if able else "",
        store=target.store,
        store_path=safe(target.store_path, REASON),
        free=target.free,
        reserve=target.reserve,
        standbys=sum(1 for s in snapshot.standbys.values() if s.target == target.name),
        away=safe(target.away, REASON),
        slow=target.slow,
        latency_s=target.latency,
        usual_latency_s=target.usual_latency,
        call_latency_s=target.call_latency,
        usual_call_latency_s=target.usual_call_latency,
        total=target.room.total if target.room else None,
        fold=target.room.fold if target.room else 0,
        days_left=target.days_left,
        findings=[
            *([safe(target.problem, OBSTACLE)] if target.problem else []),
            *([target.slow] if target.slow else []),
            *([target.outlook] if target.outlook else []),
            *(" ".join(part for part in (f.text, f.remedy) if part) for f in target.findings),
        ],
        looked_at=target.looked_at,
    )


def journal_view(line: JournalLine) -> JournalView:
    """Return the view of a journal line."""
    return JournalView(
        id=str(line.number),
        at=line.at,
        severity=line.severity.value,
        machine=line.standby,
        key=line.key,
        text=line.text,
        unchanged=line.unchanged,
        remedy=line.remedy,
    )


def standby_view(snapshot: Snapshot, standby: Standby, file: str, coming: Outlook) -> StandbyView:
    """Return the view of a definition, and when it makes its next boot point."""
    is_held = standby.is_held(snapshot.now)
    return StandbyView(
        id=standby.name,
        images=safe(standby.images, REASON),
        machine=safe(standby.machine),
        target=standby.target,
        trigger=str(standby.trigger),
        keep=standby.keep,
        retention=standby.retention.told(),
        retention_hold=safe(standby.retention.hold, REASON),
        rpo_s=standby.rpo_s,
        silence_s=standby.silence_s,
        held=safe(standby.held, REASON) if is_held else "",
        held_until=standby.held_until if is_held else None,
        backlog=standby.backlog.value,
        blackouts=[one.text for one in snapshot.calendar.blackouts_of(standby)],
        own_blackouts=standby.blackouts is not None,
        blackout_until=snapshot.calendar.closed_until(standby, snapshot.now),
        next=Next(kind=coming.kind.value, text=safe(coming.text, REASON), at=coming.at),
        file=safe(file, REASON),
        conversion=standby.conversion.value,
    )


def last_view(views: Views, site: str, epoch: str, as_of: datetime) -> LastView:
    """Return what `view/last.json` holds."""
    return LastView(
        site=site,
        epoch=epoch,
        as_of=as_of,
        fleet=list(views.fleet),
        targets=list(views.targets),
        jobs=list(views.jobs),
    )
