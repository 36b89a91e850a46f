"""What the console knows: one frozen picture, and how messages change it. Pure.

wire line ─► Feed ─► event ─► apply(fleet, event) ─► Fleet ─► lines(fleet, look)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from engine.api.views import (
    AlertView,
    FindingView,
    FleetView,
    Hello,
    JobView,
    JournalView,
    MachineView,
    Picture,
    SetView,
    TargetView,
    View,
)
from tui.lists import Kind, Listed, Order, arrange, natural
from tui.look import Look
from tui.tones import STATES
from tui.words import N_

JOURNAL_KEPT = 1000
LIVE_JOBS = ("running", "queued")
V = TypeVar("V", bound=View)


@dataclass(frozen=True, slots=True)
class Up:
    """The engine answered; `at` is the console's own clock."""

    hello: Hello
    at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """A picture or changes to it arrived."""

    picture: Picture


@dataclass(frozen=True, slots=True)
class Read:
    """Journal lines arrived, oldest first."""

    lines: Sequence[JournalView]


@dataclass(frozen=True, slots=True)
class Down:
    """The engine does not answer; `next_at` is when it is tried again."""

    why: str
    at: datetime
    tries: int
    next_at: datetime


Event = Up | Told | Read | Down


@dataclass(frozen=True, slots=True)
class Link:
    """How the line to the engine is.

    Attributes:
        since: When the engine stopped answering, by the console's clock; None while it does.
        ever: True once it has answered, or a last picture was read from a file.
    """

    since: datetime | None = None
    why: str = ""
    tries: int = 0
    next_at: datetime | None = None
    ever: bool = False

    @property
    def is_lost(self) -> bool:
        """Tell whether what is shown is the last known state."""
        return self.since is not None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The whole picture.

    Attributes:
        skew: Engine's clock minus the console's; ages go by the engine's clock.
        machines, jobs, sets, findings, targets, alerts: Whole objects by id.
        details: Machine -> everything about it, for the machines that were opened.
        journal: Newest lines, oldest first; `journal_end`: number of the newest there is.
    """

    hello: Hello | None = None
    link: Link = field(default_factory=Link)
    skew: timedelta = timedelta(0)
    epoch: str = ""
    seq: int = 0
    machines: Mapping[str, FleetView] = field(default_factory=dict)
    jobs: Mapping[str, JobView] = field(default_factory=dict)
    sets: Mapping[str, SetView] = field(default_factory=dict)
    findings: Mapping[str, FindingView] = field(default_factory=dict)
    targets: Mapping[str, TargetView] = field(default_factory=dict)
    alerts: Mapping[str, AlertView] = field(default_factory=dict)
    details: Mapping[str, MachineView] = field(default_factory=dict)
    journal: tuple[JournalView, ...] = ()
    journal_end: int = 0

    @property
    def started_at(self) -> datetime | None:
        """Return when the engine started, by its own clock; None until it answered."""
        return self.hello.now - timedelta(seconds=self.hello.up_s) if self.hello else None

    @property
    def role(self) -> str:
        """Return the role the engine gave us; `viewer` until it has."""
        return self.hello.role if self.hello else "viewer"


def apply(fleet: Fleet, event: Event) -> Fleet:
    """Return the picture after an event."""
    match event:
        case Up(hello, at):
            if fleet.hello and fleet.hello.epoch != hello.epoch:
                fleet = replace(fleet, journal=(), journal_end=0)
            return replace(fleet, hello=hello, link=Link(ever=fleet.link.ever), skew=hello.now - at)
        case Told(picture):
            return _told(fleet, picture)
        case Read(lines):
            return _read(fleet, lines)
        case Down(why, at, tries, next_at):
            since = fleet.link.since or at
            return replace(fleet, link=Link(since, why, tries, next_at, fleet.link.ever))


def _told(fleet: Fleet, picture: Picture) -> Fleet:
    gone = _gone(picture.gone)
    full = picture.full
    return replace(
        fleet,
        link=replace(fleet.link, ever=True),
        epoch=picture.epoch or fleet.epoch,
        seq=picture.seq,
        machines=_merged({} if full else fleet.machines, picture.fleet, gone.get("fleet", ())),
        jobs=_merged({} if full else fleet.jobs, picture.jobs, gone.get("jobs", ())),
        sets=_merged({} if full else fleet.sets, picture.sets, gone.get("sets", ())),
        findings=_merged(
            {} if full else fleet.findings, picture.findings, gone.get("findings", ())
        ),
        targets=_merged({} if full else fleet.targets, picture.targets, gone.get("targets", ())),
        alerts=_merged({} if full else fleet.alerts, picture.alerts, gone.get("alerts", ())),
        details=_merged({} if full else fleet.details, picture.machines, gone.get("machine", ())),
        journal_end=max(fleet.journal_end, picture.journal),
    )


def _gone(ids: Iterable[str]) -> dict[str, list[str]]:
    by_topic: dict[str, list[str]] = {}
    for entry in ids:
        topic, _, name = entry.partition("/")
        by_topic.setdefault(topic.partition(":")[0], []).append(name)
    return by_topic


def _merged(old: Mapping[str, V], new: Sequence[V], gone: Iterable[str]) -> Mapping[str, V]:
    if not new and not gone:
        return old
    merged = {**old, **{view.id: view for view in new}}
    for name in gone:
        merged.pop(name, None)
    return merged


def _read(fleet: Fleet, lines: Sequence[JournalView]) -> Fleet:
    known = {int(line.id): line for line in fleet.journal}
    known |= {int(line.id): line for line in lines}
    kept = sorted(known)[-JOURNAL_KEPT:]
    end = max([fleet.journal_end, *kept[-1:]])
    return replace(fleet, journal=tuple(known[number] for number in kept), journal_end=end)


_NEED = {code: place for place, code in enumerate(STATES)}


def by_need(fleet: Fleet) -> list[FleetView]:
    """Return all machines, those that need somebody first, then by name."""
    return sorted(fleet.machines.values(), key=lambda one: (_NEED.get(one.state, 0), one.id))


MACHINES: Kind[FleetView] = Kind(
    N_("machine"),
    N_("machines"),
    text=lambda one: one.id,
    orders=(
        Order("need", "who needs somebody first", "who needs somebody last"),
        Order("name", "name", "name, from the end", lambda one: natural(one.id)),
        Order("age", "oldest data first", "newest data first", lambda one: one.data_as_of),
        Order("image", "oldest image first", "newest image first", lambda one: one.image_as_of),
        Order("points", "most boot points", "fewest boot points", lambda one: one.points, True),
        Order("target", "target", "target, from the end", lambda one: natural(one.target)),
    ),
    facets={"state": lambda one: one.state, "on": lambda one: one.target},
)


def matching(fleet: Fleet, look: Look) -> Listed[FleetView]:
    """Return the machines a filter leaves: `state:late,fail`, `on:kvm-01`, else part of the name.

    With `look.worst` what is READY is hidden as well.
    """
    rows = by_need(fleet)
    listed = arrange(MACHINES, rows, look)
    if not look.worst:
        return listed
    return replace(listed, rows=[one for one in listed.rows if one.state != "READY"])


def counts(fleet: Fleet) -> dict[str, int]:
    """Return how many machines are in each state, only the states that occur, by need."""
    states = [machine.state for machine in fleet.machines.values()]
    return {code: states.count(code) for code in STATES if code in states}


def live_jobs(fleet: Fleet) -> list[JobView]:
    """Return running jobs, then waiting ones, each in the order they were queued."""
    jobs = [job for job in fleet.jobs.values() if job.status in LIVE_JOBS]
    return sorted(jobs, key=lambda job: (LIVE_JOBS.index(job.status), _number(job.id)))


def all_jobs(fleet: Fleet) -> list[JobView]:
    """Return live jobs, then ended ones, the newest first."""
    ended = [job for job in fleet.jobs.values() if job.status not in LIVE_JOBS]
    return live_jobs(fleet) + sorted(ended, key=lambda job: _number(job.id), reverse=True)


def raised_alerts(fleet: Fleet) -> list[AlertView]:
    """Return the alerts that are not over."""
    return [one for one in fleet.alerts.values() if one.cleared_at is None]


def unprotected(fleet: Fleet) -> list[SetView]:
    """Return the image sets no standby follows, by machine."""
    free = [one for one in fleet.sets.values() if not one.standby]
    return sorted(free, key=lambda one: (one.machine, one.id))


def _number(text: str) -> tuple[int, str]:
    return (int(text) if text.isdigit() else 0, text)
