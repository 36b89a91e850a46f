"""Jobs and running VMs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from engine.model.errors import Problem
from engine.model.layers import LayerName
from engine.model.points import BootPointId

JobId = NewType("JobId", int)


class JobKind(StrEnum):
    """What a job does; the order is the order of urgency."""

    STOP = "stop"
    START = "start"
    HOME = "home"
    SYNC = "sync"
    APPLY = "apply"
    MEASURE = "measure"
    CONVERT = "convert"
    RETIRE = "retire"
    ARM = "arm"


class JobStatus(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
MAKING = (JobKind.SYNC, JobKind.APPLY)
"""Jobs that make a trunk layer, and so take room."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of a job, or a sign of life of the VM it started, and when it began or was seen."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work on one standby.

    Attributes:
        boot_point: What it works on; None only for STOP.
        reason: Why it was queued, and after the end why it failed; sentences.
        cancel: True once somebody asked it to end.
        to: Datastore that a HOME brings its VM to; empty: where the VM's own files are.
        phases: Its steps in the order in which they began; a start's are followed by what its VM
            was seen to do (`engine.model.pace`).
    """

    id: JobId
    kind: JobKind
    standby: str
    boot_point: BootPointId | None
    status: JobStatus
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    cancel: bool = False
    phases: tuple[Phase, ...] = ()
    to: str = ""

    @property
    def is_live(self) -> bool:
        """True until it has ended."""
        return self.status in LIVE


@dataclass(frozen=True, slots=True)
class WantedJob:
    """A job the planner asks for. `asked`: somebody did by hand, so it goes before all others."""

    kind: JobKind
    standby: str
    boot_point: BootPointId | None
    reason: str
    asked: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A VM that was started from a boot point and not stopped yet; one per standby."""

    standby: str
    boot_point: BootPointId
    scratch: LayerName
    started_at: datetime


class Severity(StrEnum):
    """How much a journal line asks of the operator."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of the operator's history: appended, never changed.

    Attributes:
        number: From 1, rising.
        standby: Machine concerned; empty for the engine itself.
        key: Stable dotted name; text, unchanged, remedy: the three parts of a message.
    """

    number: int
    at: datetime
    severity: Severity
    standby: str
    key: str
    text: str
    unchanged: str = ""
    remedy: str = ""


def no_job(told: object) -> Problem:
    """Return the problem of a job that is not known."""
    return Problem(
        "job.unknown",
        f"There is no job {told}.",
        "Nothing was changed.",
        "What runs or waits is listed by: bootpoint jobs",
    )
