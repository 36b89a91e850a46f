"""What somebody wants done, what it means, and the base of the actions that do it."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from engine.api.review_views import ReviewView
from engine.api.roles import Role
from engine.api.views import Done, Step
from engine.daemon.service import Service, Snapshot
from engine.model.errors import NotFound, Problem
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.standby import Standby
from engine.model.text import safe
from engine.model.work import JobId, JobKind, JobStatus


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done. `until`: when a pause ends by itself; `to`: a datastore."""

    action: str
    machine: str = ""
    point: str = ""
    job: JobId | None = None
    reason: str = ""
    until: datetime | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """What a wish means at one moment."""

    steps: list[Step]
    checks: list[str] = field(default_factory=list)
    lost_s: float | None = None
    expected_s: float | None = None
    review: ReviewView | None = None
    confirm: str = ""


class Action(ABC):
    """One action. `role`: the lowest that may."""

    role = Role.OPERATOR

    def settle(self, snapshot: Snapshot, wish: Wish) -> Wish:
        """Return the wish with what it left open filled in, so that `run` does just that."""
        standby_of(snapshot, wish.machine)
        return wish

    @abstractmethod
    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Return steps and checks. Refused when it cannot be done now."""

    @abstractmethod
    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Do it."""


def standby_of(snapshot: Snapshot, name: str) -> Standby:
    """Return a standby. NotFound, naming those there are, without it."""
    found = snapshot.standbys.get(name)
    if found is not None:
        return found
    known = ", ".join(sorted(snapshot.standbys)[:8]) or "none yet"
    raise NotFound(
        Problem("standby.unknown", f"There is no standby {safe(name)}.", "", f"Known: {known}.")
    )


def with_trunk(snapshot: Snapshot, machine: str, wanted: str) -> BootPoint:
    """Return a boot point whose trunk layer is sealed (empty: the newest). NotFound without it."""
    fit = [
        point
        for point in snapshot.state.points_of(machine)
        if point.stage is Stage.READY or (point.stage is Stage.FAILED and point.has_trunk)
    ]
    chosen = [point for point in fit if wanted in ("", point.id)]
    if chosen:
        return chosen[-1]
    known = snapshot.state.boot_points.get(BootPointId(wanted))
    if not wanted:
        happened = f"{machine} has no boot point whose disks were copied completely."
    elif known is None or known.standby != machine:
        happened = f"{machine} has no boot point {safe(wanted)}."
    else:
        happened = f"The disks of boot point {known.id} are not copied completely: {known.stage}."
    raise NotFound(
        Problem(
            "point.unknown",
            happened,
            "Nothing was changed.",
            f"Choose one of: {', '.join(point.id for point in fit[-6:]) or 'none yet'}.",
        )
    )


def usual(snapshot: Snapshot, kind: JobKind, machine: str) -> float | None:
    """Return how long such jobs took: the median of this machine's, else of all; None: never."""
    took = [
        (job.standby, (job.ended_at - job.started_at).total_seconds())
        for job in snapshot.state.jobs.values()
        if job.kind is kind and job.status is JobStatus.DONE and job.ended_at and job.started_at
    ]
    own = [seconds for standby, seconds in took if standby == machine]
    every = own or [seconds for _standby, seconds in took]
    return statistics.median(every) if every else None
