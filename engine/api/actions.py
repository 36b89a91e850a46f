"""The actions that go through plan and run: who may, what it means, how it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.api.converting import Convert
from engine.api.guarding import ReleaseGuard
from engine.api.homing import Home
from engine.api.pausing import Build, Hold, Resume
from engine.api.pinning import HoldRetention, Pin, ReleaseRetention, Unpin
from engine.api.review_views import ReviewView
from engine.api.reviewing import review_view
from engine.api.views import Done, Step
from engine.api.wishes import Action, Described, Wish, standby_of, usual
from engine.daemon.service import Service, Snapshot
from engine.model.errors import NotFound, Problem, Refused, WrongUse
from engine.model.points import BootPoint, BootPointId
from engine.model.text import safe
from engine.model.work import Job, JobKind, JobStatus, no_job


class Start(Action):
    """Run a boot point on scratch, isolated."""

    def settle(self, snapshot: Snapshot, wish: Wish) -> Wish:
        """Choose the newest ready boot point where none was named."""
        standby_of(snapshot, wish.machine)
        return replace(wish, point=_ready(snapshot, wish).id)

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what starts, how old it is, and that it is isolated."""
        point = snapshot.state.boot_points[BootPointId(wish.point)]
        run = snapshot.state.runs.get(wish.machine)
        if run is not None:
            raise Refused(
                Problem(
                    "vm.running",
                    f"{wish.machine} runs already, from boot point {run.boot_point}.",
                    "Nothing was changed.",
                    "Stop it first.",
                )
            )
        target = snapshot.standbys[wish.machine].target
        newest = snapshot.state.ready(wish.machine)[-1].id == point.id
        which = "is the newest ready one" if newest else "is not the newest ready one"
        review = review_view(snapshot, wish.machine)
        took = {one.name: one.seconds for one in review.usual}
        powering = [took[name] for name in ("define", "power on") if name in took]
        return Described(
            steps=[
                Step(
                    text=f"make a scratch layer on boot point {point.id}",
                    expected_s=took.get("scratch"),
                ),
                Step(
                    text=f"start the VM on target {target}, on an isolated network",
                    expected_s=sum(powering) if powering else None,
                ),
            ],
            checks=[
                f"Boot point {point.id} {which}.",
                *_doubts(review, point.id),
                "What the VM writes goes to the scratch layer; the boot point stays as it is.",
                "The VM reaches no other network.",
            ],
            lost_s=max(0.0, (snapshot.now - point.taken_at).total_seconds()),
            expected_s=review.power_s,
            review=review,
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Queue the start."""
        job = service.start(wish.machine, BootPointId(wish.point), actor)
        return Done(text=f"Starting {wish.machine} from {wish.point}.", job=str(job.id))


class Stop(Action):
    """Power off and drop scratch."""

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what is lost."""
        run = snapshot.state.runs.get(wish.machine)
        starting = [
            job for job in snapshot.state.live_jobs(wish.machine) if job.kind is JobKind.START
        ]
        if run is None and not starting:
            raise Refused(
                Problem("vm.not-running", f"{wish.machine} does not run.", "Nothing was changed.")
            )
        since = run.started_at if run else starting[0].queued_at
        signs = snapshot.signs.get(wish.machine)
        home = safe(signs.home or signs.leaving) if signs is not None else ""
        drop = "drop its scratch layer: what the VM wrote since its start is gone"
        if home:
            drop = f"DELETE it with its disks on datastore {home}: all that it wrote is gone"
        return Described(
            steps=[Step(text=f"power off the VM of {wish.machine}"), Step(text=drop)],
            confirm=wish.machine if home else "",
            checks=["All boot points stay as they are."],
            lost_s=max(0.0, (snapshot.now - since).total_seconds()),
            expected_s=usual(snapshot, JobKind.STOP, wish.machine),
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Queue the stop."""
        job = service.stop(wish.machine, actor)
        return Done(text=f"Stopping {wish.machine}.", job=str(job.id))


class Cancel(Action):
    """End a job."""

    def settle(self, snapshot: Snapshot, wish: Wish) -> Wish:
        """Find the job's machine."""
        job = _job(snapshot, wish)
        return replace(wish, machine=job.standby, point=job.boot_point or "")

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what is left undone."""
        job = _job(snapshot, wish)
        return Described(
            steps=[Step(text=f"ask job {job.id} ({job.kind.value} of {job.standby}) to end")],
            checks=[
                "Ready boot points stay as they are.",
                "What was half done is cleared, and planned again later.",
            ],
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Ask the job to end."""
        if wish.job is None:
            raise _no_job("")
        service.cancel(wish.job, actor)
        return Done(text=f"Job {wish.job} was asked to end.", job=str(wish.job))


ACTIONS: Mapping[str, Action] = {
    "start": Start(),
    "stop": Stop(),
    "home": Home(),
    "build": Build(),
    "cancel": Cancel(),
    "hold": Hold(),
    "resume": Resume(),
    "convert": Convert(),
    "pin": Pin(),
    "unpin": Unpin(),
    "hold-retention": HoldRetention(),
    "release-retention": ReleaseRetention(),
    "release-guard": ReleaseGuard(),
}


def fingerprint(snapshot: Snapshot, wish: Wish) -> tuple[object, ...]:
    """Return what must be the same when a plan is run: all that its words depend on."""
    state = snapshot.state
    standby = snapshot.standbys.get(wish.machine)
    point = state.boot_points.get(BootPointId(wish.point)) if wish.point else None
    powering = [
        job.id
        for job in state.live_jobs(wish.machine)
        if job.kind in (JobKind.START, JobKind.STOP, JobKind.HOME)
    ]
    job = state.jobs.get(wish.job) if wish.job is not None else None
    return (
        None
        if standby is None
        else (
            standby.target,
            standby.held,
            standby.held_until,
            standby.conversion,
            standby.retention.hold,
        ),
        None if point is None else (point.id, point.stage, point.obstacle, point.pin),
        state.runs.get(wish.machine),
        signs.home if (signs := snapshot.signs.get(wish.machine)) else "",
        powering,
        None if job is None else job.status in (JobStatus.QUEUED, JobStatus.RUNNING),
    )


def _doubts(review: ReviewView, point: str) -> list[str]:
    chosen = next((one for one in review.choices if one.point == point), None)
    if chosen is None or not chosen.suspect:
        return []
    return [f"Its data may be encrypted. {review.guard}".rstrip()]


def _ready(snapshot: Snapshot, wish: Wish) -> BootPoint:
    ready: Sequence[BootPoint] = snapshot.state.ready(wish.machine)
    chosen = [point for point in ready if point.id == wish.point] if wish.point else ready[-1:]
    if chosen:
        return chosen[0]
    known = snapshot.state.boot_points.get(BootPointId(wish.point))
    if not wish.point:
        happened = f"{wish.machine} has no boot point that is ready."
    elif known is None or known.standby != wish.machine:
        happened = f"{wish.machine} has no boot point {safe(wish.point)}."
    else:
        happened = f"Boot point {known.id} of {wish.machine} is not ready: it is {known.stage}."
    listed = ", ".join(point.id for point in ready[-6:])
    remedy = f"Ready are: {listed}." if listed else "Wait until one is ready."
    problem = Problem("point.not-ready", happened, "Nothing was started.", remedy)
    if wish.point and known is None:
        raise NotFound(problem)
    raise Refused(problem)


def _job(snapshot: Snapshot, wish: Wish) -> Job:
    job = snapshot.state.jobs.get(wish.job) if wish.job is not None else None
    if job is None:
        raise _no_job(wish.job)
    if job.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
        raise Refused(
            Problem(
                "job.ended",
                f"Job {job.id} has ended already ({job.status}).",
                "Nothing was changed.",
            )
        )
    return job


def _no_job(number: object) -> WrongUse:
    return NotFound(no_job(number))
