"""What the door may ask of the running engine: one protocol between `api` and `daemon`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from engine.daemon.adding import Adding
from engine.daemon.reports import Reports
from engine.model.conversion import Record
from engine.model.errors import Problem
from engine.model.images import RootView
from engine.model.layers import Gain, Layer, LayerName
from engine.model.machine import Asked, Capabilities, Signs
from engine.model.points import BootPointId
from engine.model.progress import Progress
from engine.model.retention import Retention, Verdict
from engine.model.schedule import Calendar
from engine.model.space import Room
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.upkeep import Upkeep
from engine.model.waits import Wait
from engine.model.work import Job, JobId, JournalLine
from engine.ports import DriverSource, Finding

if TYPE_CHECKING:
    from engine.daemon.taking import Taking


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target as last seen.

    Attributes:
        problem: Why it cannot be used, sentences; empty when it can.
        looked_at: When its preflight last ran by night; None: not yet.
        away: Why its store cannot be used, which is a problem too.
        slow: Why fewer jobs are begun on it, a sentence; empty: it is not slow.
        latency, usual_latency: Seconds of a small durable write, at present and usually.
        call_latency, usual_call_latency: Of a small question to its hypervisor.
        room, days_left: On its datastore, and until that is full.
        trouble: What `problem` says, in its parts.
    """

    name: str
    kind: str
    capabilities: Capabilities | None
    problem: str
    store: str
    store_path: str
    free: int | None
    findings: Sequence[Finding]
    reserve: int | None = None
    outlook: str = ""
    looked_at: datetime | None = None
    away: str = ""
    slow: str = ""
    latency: float | None = None
    usual_latency: float | None = None
    call_latency: float | None = None
    usual_call_latency: float | None = None
    room: Room | None = None
    days_left: float | None = None
    trouble: Problem | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """How a test of one way out went. `problem`: empty when it worked."""

    name: str
    where: str
    problem: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything views are made of, at one moment; all parts immutable.

    Attributes:
        seq: Rises with each change; `Service.wait_change` waits for a higher one.
        sources: Standby name -> machine UUID of the image set it follows; absent while unknown.
        roots: Watched folder -> its last scan.
        signs: Standby -> signs of life of its started VM.
        layers: Standby -> its layers on the target, as last seen.
        drivers: Registered ISO files and folders with drivers for Windows, as last read.
        waiting: Standby -> sentences about what it waits for (missing parent, ambiguous set, …).
        slots: Standby -> why its next job got no slot.
        verdicts: Boot point -> whether retention keeps it, and why.
        upkeep: Standby -> what retention goes by.
        usual: What is kept of standbys that do not say it themselves.
        misfits: Standby -> why its file in `standbys.d` is not what the engine works by.
    """

    seq: int
    now: datetime
    state: State
    standbys: Mapping[str, Standby]
    sources: Mapping[str, str]
    roots: Mapping[str, RootView]
    progress: Mapping[JobId, Progress]
    signs: Mapping[str, Signs]
    layers: Mapping[str, Mapping[LayerName, Layer]]
    waiting: Mapping[str, Sequence[str]]
    verdicts: Mapping[BootPointId, Verdict]
    upkeep: Mapping[str, Upkeep]
    targets: Sequence[TargetStatus]
    journal_end: int
    usual: Retention = field(default_factory=Retention)
    drivers: Sequence[DriverSource] = ()
    calendar: Calendar = field(default_factory=Calendar)
    slots: Mapping[str, Wait] = field(default_factory=dict)
    misfits: Mapping[str, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What reading `standbys.d` again did: names of standbys, and what is wrong by name."""

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    misfits: Mapping[str, Problem] = field(default_factory=dict)


class Service(Protocol):
    """The running engine. Thread-safe; calls return at once unless they say otherwise.

    All raise `Refused`, `NotFound`, `WrongUse` or `Failure` with a `Problem`.
    """

    site: str
    epoch: str
    started_at: datetime
    reports: Reports
    adding: Adding | None
    taking: Taking | None

    def snapshot(self) -> Snapshot:
        """Return the present picture."""

    def wait_change(self, seq: int, timeout_s: float) -> int:
        """Block until the picture's `seq` is higher than `seq` or the time is up; return it."""

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return journal lines, oldest first (as `StateStore.journal`)."""

    def job(self, number: JobId) -> Job:
        """Return a job, ended ones included."""

    def add_standby(self, standby: Standby, actor: str) -> str:
        """Validate, write `standbys.d/NAME.toml`, take it up; return the file's path."""

    def standby_text(self, name: str) -> str:
        """Return its file as it is. WrongUse when it cannot be read."""

    def parse_standby(self, name: str, text: str) -> tuple[Standby | None, Sequence[Problem]]:
        """Read a text as if it were a standby's file: the standby, or everything wrong in it.

        Also judges whether it could be handed in now: a known target, a folder that is there, …
        """

    def define_standby(self, name: str, text: str, base: str, actor: str) -> str:
        """Validate a text, write it as the standby's file, take it up; return the file's path.

        Args:
            name: The standby, a new one or one that is there.
            text: TOML.
            base: Digest of the text that was changed; empty: the standby must be new.
            actor: Who does it.
        """

    def reload_standbys(self, actor: str) -> Reloaded:
        """Take up what was changed in `standbys.d` by hand; what is wrong there stays as it was."""

    def remove_standby(self, name: str, actor: str) -> None:
        """Stop its jobs, move its file and layers out of the way (quarantine), forget it."""

    def standby_file(self, name: str) -> str:
        """Return the path of its configuration file."""

    def hold(self, name: str, reason: str, actor: str, until: datetime | None = None) -> None:
        """Pause the making of boot points of this standby, until a moment or `resume`."""

    def resume(self, name: str, actor: str) -> None:
        """Undo `hold`."""

    def pin(self, name: str, point: BootPointId, note: str, actor: str) -> None:
        """Keep a boot point whatever retention is set to."""

    def unpin(self, name: str, point: BootPointId, actor: str) -> None:
        """Undo `pin`."""

    def hold_retention(self, name: str, reason: str, actor: str) -> None:
        """Retire nothing of this standby until `release_retention`; boot points are still made."""

    def release_retention(self, name: str, actor: str) -> None:
        """Undo `hold_retention`."""

    def release_guard(self, name: str, note: str, actor: str) -> None:
        """Undo the ransomware guard's hold; what has arrived by now is known to it."""

    def set_retention(self, name: str, keep: int, told: Retention, actor: str) -> None:
        """Write new settings into its configuration file; `told.hold` counts for nothing."""

    def gain(self, name: str, points: Sequence[BootPointId]) -> Gain:
        """Return what would come back if these boot points were retired; may take seconds."""

    def build(self, name: str, actor: str) -> None:
        """Make a boot point of the newest complete recovery point now, despite the trigger."""

    def start(self, name: str, point: BootPointId | None, actor: str) -> Job:
        """Queue the start of a READY boot point (None: the newest) on scratch, isolated network."""

    def stop(self, name: str, actor: str) -> Job:
        """Queue power off and the dropping of scratch."""

    def home(self, name: str, to: str, actor: str) -> Job:
        """Queue bringing a started VM home, to a datastore (empty: where its own files are)."""

    def record(self, name: str, point: BootPointId | None) -> Record:
        """Return the record kept with a boot point (None: the newest that has one)."""

    def plan_conversion(self, name: str, point: BootPointId | None) -> Record:
        """Return what converting a trunk layer would do; takes seconds, writes nothing."""

    def convert(self, name: str, point: BootPointId | None, actor: str) -> Job | None:
        """Convert the same trunk layer again: a READY one by a job, a FAILED one is due at once."""

    def cancel(self, number: JobId, actor: str) -> None:
        """Ask a job to end; it does within a second."""

    def serial(self, name: str, after: int) -> tuple[bytes, int]:
        """Return raw serial bytes from offset `after` on (at most 64 KiB) and the next offset."""

    def serial_input(self, name: str, data: bytes, actor: str) -> int:
        """Type into the guest's serial console; return how many bytes it took, within 5 s."""

    def question(self, name: str) -> Asked | None:
        """Return what the VM asks now, by the target itself; None: nothing."""

    def answer(self, name: str, mark: str, choice: int, actor: str) -> str:
        """Answer the question of this mark by a choice's number; return what was done.

        Raises:
            Refused: Nothing is asked, or something else by now.
            WrongUse: There is no such choice.
        """

    def screen(self, name: str) -> bytes:
        """Return the guest's screen as PNG; may take a second."""

    def try_alerts(self, way: str) -> Sequence[Tried]:
        """Send a test by one way out (empty: all) and return how it went; takes up to 90 s."""

    def ack_alert(self, key: str, note: str, actor: str) -> None:
        """Note that somebody looks after a raised alert. NotFound without it."""

    def check_target(self, name: str, definition: str) -> None:
        """Look at a target now, for a minute at most; the next snapshot tells what was found.

        Raises:
            NotFound: There is none of that name.
            Refused: `definition` is not empty, and the engine was started with another one.
        """

    def unwell(self) -> Mapping[str, str]:
        """Return what is wrong with the engine itself; empty while it is well."""
