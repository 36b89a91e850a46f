"""A scripted engine: a real `Service` whose picture the test sets.

    service = ScriptedService(site(machines=3))
    service.show(progress={...})          the picture changes, its number rises
    service.calls                         what consoles asked to change, in order

With `settles` (the default) what is asked for is done at once: a start makes a run and a DONE job.
Without it jobs stay QUEUED until `end_job`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.config.standby import dump_standby, parse_standby
from engine.daemon.adding import Adding
from engine.daemon.alerting import no_way
from engine.daemon.defining import changes_refused, digest, exists, no_name
from engine.daemon.reports import Reports
from engine.daemon.service import Reloaded, Snapshot, TargetStatus, Tried
from engine.daemon.taking import Taking
from engine.hypervisors import rules
from engine.model.alarms import acknowledged
from engine.model.conversion import Record
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.images import (
    Arrival,
    BadFile,
    DiskPart,
    FileMark,
    ImageSet,
    PointDisk,
    PointId,
    RecoveryPoint,
    RootView,
)
from engine.model.layers import Gain, Layer, LayerKind, LayerName, layer_name
from engine.model.machine import Asked, Capabilities, Firmware, Gravity, Hints, Power, Signs
from engine.model.points import BootPoint, BootPointId, Stage, boot_point_id
from engine.model.progress import Progress
from engine.model.retention import Retention, Verdict, rules_of
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.text import NAME, safe
from engine.model.upkeep import Upkeep
from engine.model.work import LIVE, Job, JobId, JobKind, JobStatus, JournalLine, Run, Severity
from engine.ports import DriverFacts, DriverSource, Finding

NOW = datetime(2026, 11, 22, 4, 42, 7, tzinfo=UTC)
GIB = 1 << 30
FOLDER = "/mnt/replica"

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00"
    b":~\x9bU\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND"
    b"\xaeB`\x82"
)


# --- pieces of a picture --------------------------------------------------------------------


def machine_uuid(name: str) -> str:
    """Return the machine UUID the scripted site gives a machine."""
    return f"uuid-of-{name}"


def recovery_point(
    name: str,
    sequence: int,
    taken_at: datetime,
    *,
    arrival: Arrival = Arrival.COMPLETE,
    reason: str = "",
    size: int = GIB,
) -> RecoveryPoint:
    """Return one recovery point of a machine; sequence 1 is the full."""
    file = f"{name}/{name}-{sequence:06d}-d00.bpi"
    mark = FileMark(1, sequence, size, 0, 0)
    part = DiskPart(0, f"disk-of-{name}", sequence == 1, 40 * GIB, f"{sequence:064x}", "", size)
    return RecoveryPoint(
        id=PointId(f"{name}-rp{sequence}"),
        parent=PointId(f"{name}-rp{sequence - 1}") if sequence > 1 else None,
        set_id=f"set-of-{name}",
        format="bpi",
        root=f"{FOLDER}/{name}",
        machine_uuid=machine_uuid(name),
        machine_name=name,
        sequence=sequence,
        taken_at=taken_at,
        arrival=arrival,
        reason=reason,
        disks=(PointDisk(part, file, mark),),
        hints=Hints(os="Debian", firmware=Firmware.BIOS, cpus=2, memory=GIB),
        size=size,
        arrived_at=taken_at + timedelta(minutes=4),
    )


def boot_point(
    number: int, point: RecoveryPoint, *, standby: str = "", stage: Stage = Stage.READY, **more: Any
) -> BootPoint:
    """Return one boot point made of a recovery point."""
    own = boot_point_id(number)
    trunk = layer_name(own, LayerKind.REPLICA)
    ready = point.taken_at + timedelta(minutes=7) if stage is Stage.READY else None
    told = BootPoint(
        id=own,
        standby=standby or point.machine_name,
        recovery_point=point.id,
        set_id=point.set_id,
        parent=None,
        sequence=point.sequence,
        taken_at=point.taken_at,
        stage=stage,
        replica=trunk,
        boot=trunk,
        created_at=point.taken_at + timedelta(minutes=5),
        ready_at=ready,
        bytes=point.size,
    )
    return replace(told, **more)


def target_status(name: str = "local", problem: str = "") -> TargetStatus:
    """Return a target as last seen; with a problem it does not answer."""
    able = None if problem else Capabilities(None, "kvm", screen=True, serial=True)
    store = f"/var/lib/bootpoint/store-{name}"
    return TargetStatus(name, "libvirt", able, problem, "reflink", store, 500 * GIB, ())


def driver_source() -> DriverSource:
    """Return an ISO of which one package is used and one is not."""
    good = DriverFacts(
        "virtio disk", "viostor", "100.95.104.26200 2024-03-04", "viostor/2k19/amd64/viostor.inf",
        ("2019 amd64", "2022 amd64", "8 x86"), "",
    )  # fmt: skip
    why = "its file netkvm.sys is missing"
    bad = DriverFacts("virtio network", "netkvm", "", "NetKVM/netkvm.inf", (), why)
    text = f"Driver package NetKVM/netkvm.inf is not used: {why}."
    finding = Finding(Gravity.NOTE, "driver:NetKVM/netkvm.inf", text, "Get the package again.")
    return DriverSource("/srv/virtio-win.iso", (good, bad), (finding,))


def root_view(points: Sequence[RecoveryPoint], *, bad: Sequence[BadFile] = ()) -> RootView:
    """Return the scan of the folder that the points of one machine lie in."""
    first = points[0]
    family = ImageSet(
        first.set_id, first.machine_uuid, first.machine_name, first.root, tuple(points), {}
    )
    return RootView(first.root, True, "", (family,), tuple(bad), NOW, len(points) + len(bad))


def empty() -> Snapshot:
    """Return the picture of an engine that protects nothing yet."""
    return Snapshot(
        seq=1,
        now=NOW,
        state=State(),
        standbys={},
        sources={},
        roots={},
        progress={},
        signs={},
        layers={},
        waiting={},
        verdicts={},
        upkeep={},
        targets=(target_status(),),
        journal_end=0,
    )


def site(machines: int = 3, points: int = 4, names: Sequence[str] = ()) -> Snapshot:
    """Return a picture of machines (`erp`, `web`, `dc`, then `m003`…) that all are READY.

    Each has `points` boot points, one hour apart, the newest 12 minutes old, an RPO of an hour.
    """
    names = names or [*("erp", "web", "dc")[:machines], *(f"m{n:03d}" for n in range(3, machines))]
    images: dict[PointId, RecoveryPoint] = {}
    made: dict[BootPointId, BootPoint] = {}
    roots: dict[str, RootView] = {}
    layers: dict[str, Mapping[LayerName, Layer]] = {}
    verdicts: dict[BootPointId, Verdict] = {}
    for name in names:
        own = [
            recovery_point(name, number + 1, NOW - timedelta(minutes=12, hours=points - 1 - number))
            for number in range(points)
        ]
        images |= {point.id: point for point in own}
        roots[f"{FOLDER}/{name}"] = root_view(own)
        mine = [boot_point(len(made) + 1 + at, point) for at, point in enumerate(own)]
        made |= {point.id: point for point in mine}
        layers[name] = {
            point.replica: Layer(
                point.replica, None, LayerKind.REPLICA, True, (40 * GIB,), used=point.bytes
            )
            for point in mine
        }
        verdicts |= {point.id: Verdict(True, "one of the newest 24") for point in mine[:-1]}
        verdicts[mine[-1].id] = Verdict(True, "newest ready boot point")
    standbys = {
        name: Standby(name, f"{FOLDER}/{name}", rpo_s=3600, created_at=NOW - timedelta(days=9))
        for name in names
    }
    return replace(
        empty(),
        state=State(recovery_points=images, boot_points=made, next_boot_point=len(made) + 1),
        standbys=standbys,
        sources={name: machine_uuid(name) for name in names},
        roots=roots,
        layers=layers,
        verdicts=verdicts,
        upkeep={},
    )


# --- the engine -----------------------------------------------------------------------------


class ScriptedService:
    """A `Service` over a picture that the test sets; thread-safe."""

    def __init__(
        self, snapshot: Snapshot | None = None, *, name: str = "osaka-dr", settles: bool = True
    ) -> None:
        """Begin with a picture; None: `site()`."""
        self.site, self.epoch = name, "k3f9"
        self.started_at = NOW - timedelta(days=41)
        self.settles = settles
        self.calls: list[tuple[str, ...]] = []
        self.fails: dict[str, Failure] = {}
        """Call name -> what it raises instead of being done; `start`, `screen`, …"""
        self.plans_soon = False
        self.serials: dict[str, bytes] = {}
        self.picture_png = PNG
        self.records: dict[BootPointId, Record] = {}
        """Kept with boot points; `tests/records.py` makes them."""
        self.dry_runs: dict[BootPointId, Record] = {}
        self.tried: list[Tried] = []
        self.texts: dict[str, str] = {}
        self.reloaded = Reloaded()
        """Files of standbys, as they were written."""
        self.sick: dict[str, str] = {}
        self.definition = ""
        self.lines: list[JournalLine] = []
        self.reports = Reports(Path("/nonexistent/reports"), lambda: NOW, self._told)
        self.adding: Adding | None = None
        self.taking: Taking | None = None
        self._changed = threading.Condition()
        self._snapshot = snapshot or site()
        self._ended: dict[JobId, Job] = {}

    def _told(self, standby: str, problem: Problem) -> None:
        self._asked("tell", standby, problem.key, problem.happened)

    # --- the test's side

    def show(self, **changes: Any) -> Snapshot:
        """Replace parts of the picture (fields of `Snapshot`); its number rises."""
        with self._changed:
            told = replace(self._snapshot, **changes, seq=self._snapshot.seq + 1)
            self._snapshot = told
            self._changed.notify_all()
        return told

    def store(self, **changes: Any) -> Snapshot:
        """Replace parts of the stored state (fields of `State`)."""
        with self._changed:
            return self.show(state=replace(self._snapshot.state, **changes))

    def put(self, *points: BootPoint | RecoveryPoint) -> Snapshot:
        """Add or replace boot points and recovery points."""
        with self._changed:
            state = self._snapshot.state
            made = {p.id: p for p in points if isinstance(p, BootPoint)}
            images = {p.id: p for p in points if isinstance(p, RecoveryPoint)}
            return self.store(
                boot_points={**state.boot_points, **made},
                recovery_points={**state.recovery_points, **images},
            )

    def put_standby(self, standby: Standby) -> Snapshot:
        """Add or replace a standby's definition."""
        with self._changed:
            return self.show(standbys={**self._snapshot.standbys, standby.name: standby})

    def advance(self, **time: float) -> Snapshot:
        """Let time pass (arguments of `timedelta`)."""
        with self._changed:
            return self.show(now=self._snapshot.now + timedelta(**time))

    def begin_job(
        self,
        kind: JobKind,
        standby: str,
        point: BootPointId | None = None,
        status: JobStatus = JobStatus.QUEUED,
        reason: str = "",
    ) -> Job:
        """Put a live job into the picture."""
        with self._changed:
            state, now = self._snapshot.state, self._snapshot.now
            number = JobId(max([0, *state.jobs, *self._ended]) + 1)
            started = None if status is JobStatus.QUEUED else now
            job = Job(number, kind, standby, point, status, now, started, None, reason)
            self.store(jobs={**state.jobs, number: job})
            return job

    def report(self, job: JobId, progress: Progress) -> Snapshot:
        """Put a job's progress into the picture, and make it RUNNING."""
        with self._changed:
            state = self._snapshot.state
            told = state.jobs[job]
            if told.status is JobStatus.QUEUED:
                told = replace(told, status=JobStatus.RUNNING, started_at=self._snapshot.now)
                self.store(jobs={**state.jobs, job: told})
            return self.show(progress={**self._snapshot.progress, job: progress})

    def end_job(self, number: JobId, status: JobStatus = JobStatus.DONE, reason: str = "") -> Job:
        """End a job; a START that is DONE makes a run, a STOP takes it away."""
        with self._changed:
            state, now = self._snapshot.state, self._snapshot.now
            old = state.jobs[number]
            job = replace(
                old,
                status=status,
                started_at=old.started_at or now,
                ended_at=now,
                reason=reason or old.reason,
            )
            self._ended[number] = job
            progress = {k: v for k, v in self._snapshot.progress.items() if k != number}
            self.show(progress=progress)
            self.store(jobs={**state.jobs, number: job})
            if status is JobStatus.DONE and job.kind is JobKind.START and job.boot_point:
                self.run(job.standby, job.boot_point)
            if status is JobStatus.DONE and job.kind is JobKind.STOP:
                self.end_run(job.standby)
            return job

    def run(self, standby: str, point: BootPointId, power: Power = Power.ON) -> Snapshot:
        """Let a VM run from a boot point."""
        with self._changed:
            state = self._snapshot.state
            scratch = layer_name(point, LayerKind.SCRATCH)
            run = Run(standby, point, scratch, self._snapshot.now)
            tail = self.serials.get(standby, b"")[-65536:]
            self.store(runs={**state.runs, standby: run})
            return self.show(
                signs={**self._snapshot.signs, standby: Signs(power, serial_tail=tail)}
            )

    def end_run(self, standby: str) -> Snapshot:
        """Let a VM be off."""
        with self._changed:
            runs = {k: v for k, v in self._snapshot.state.runs.items() if k != standby}
            signs = {k: v for k, v in self._snapshot.signs.items() if k != standby}
            self.store(runs=runs)
            return self.show(signs=signs)

    def say(self, standby: str, text: bytes) -> None:
        """Let a guest write on its serial line."""
        with self._changed:
            self.serials[standby] = self.serials.get(standby, b"") + text
            run = self._snapshot.state.runs.get(standby)
            if run is not None:
                self.run(standby, run.boot_point)

    def write_line(
        self,
        text: str,
        *,
        severity: Severity = Severity.INFO,
        standby: str = "",
        key: str = "test.line",
        remedy: str = "",
    ) -> JournalLine:
        """Append a journal line."""
        with self._changed:
            line = JournalLine(
                len(self.lines) + 1, self._snapshot.now, severity, standby, key, text, "", remedy
            )
            self.lines.append(line)
            self.show(journal_end=line.number)
            return line

    # --- Service

    def snapshot(self) -> Snapshot:
        """Return the present picture."""
        return self._snapshot

    def wait_change(self, seq: int, timeout_s: float) -> int:
        """Block until the picture's number is higher than `seq` or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._snapshot.seq > seq, timeout_s)
            return self._snapshot.seq

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return the newest `limit` lines that fit, oldest first."""
        found = [
            line
            for line in self.lines
            if line.number > after
            and (before is None or line.number < before)
            and standby in ("", line.standby)
        ]
        return found[-limit:]

    def job(self, number: JobId) -> Job:
        """Return a job, ended ones included."""
        found = self._snapshot.state.jobs.get(number) or self._ended.get(number)
        if found is None:
            raise NotFound(Problem("job.unknown", f"There is no job {number}."))
        return found

    def standby_text(self, name: str) -> str:
        """Return its file as it was written, or as its definition is."""
        standby = self._standby(name)
        return self.texts.get(name) or dump_standby(standby)

    def parse_standby(self, name: str, text: str) -> tuple[Standby | None, Sequence[Problem]]:
        """Read a text by the engine's own rules, but for the folder, which need not be there."""
        if not NAME.fullmatch(name):
            return None, [no_name(name)]
        standby, problems = parse_standby(Path(self._file(name)), text)
        old = self._snapshot.standbys.get(name)
        if standby is not None and old is not None:
            return standby, list(changes_refused(old, standby, has_points=True))
        return standby, problems

    def define_standby(self, name: str, text: str, base: str, actor: str) -> str:
        """Take up a text; return its file's path."""
        self._asked("define_standby", name, base, actor)
        if name in self._snapshot.standbys and not base:
            raise Refused(exists(name))
        standby, problems = self.parse_standby(name, text)
        if standby is None or problems:
            raise WrongUse(problems[0])
        old = self._snapshot.standbys.get(name)
        if old is not None and base != digest(self.standby_text(name)):
            raise Refused(Problem("standby.moved", f"{name} was changed meanwhile."))
        self.texts[name] = text
        self.put_standby(standby)
        return self._file(name)

    def _file(self, name: str) -> str:
        return f"/etc/bootpoint/standbys.d/{name}.toml"

    def add_standby(self, standby: Standby, actor: str) -> str:
        """Take up a definition; return its file's path."""
        self._asked("add_standby", standby.name, actor)
        if not NAME.fullmatch(standby.name):
            raise WrongUse(no_name(standby.name))
        if standby.name in self._snapshot.standbys:
            raise Refused(exists(standby.name))
        self.put_standby(standby)
        return f"/etc/bootpoint/standbys.d/{standby.name}.toml"

    def reload_standbys(self, actor: str) -> Reloaded:
        """Return what the test put there."""
        self._asked("reload_standbys", actor)
        return self.reloaded

    def remove_standby(self, name: str, actor: str) -> None:
        """Forget a definition."""
        self._asked("remove_standby", name, actor)
        self._standby(name)
        self.show(standbys={k: v for k, v in self._snapshot.standbys.items() if k != name})

    def standby_file(self, name: str) -> str:
        """Return the path of its configuration file."""
        return f"/etc/bootpoint/standbys.d/{self._standby(name).name}.toml"

    def hold(self, name: str, reason: str, actor: str, until: datetime | None = None) -> None:
        """Stop making boot points."""
        self._asked("hold", name, reason, actor)
        held = f"{actor}: {reason}"
        self.put_standby(replace(self._standby(name), held=held, held_until=until))

    def resume(self, name: str, actor: str) -> None:
        """Undo `hold`."""
        self._asked("resume", name, actor)
        self.put_standby(replace(self._standby(name), held="", held_until=None))

    def pin(self, name: str, point: BootPointId, note: str, actor: str) -> None:
        """Pin a boot point."""
        self._asked("pin", name, point, note, actor)
        self.put(replace(self._point(name, point), pin=f"{actor}: {note}"))

    def unpin(self, name: str, point: BootPointId, actor: str) -> None:
        """Undo `pin`."""
        self._asked("unpin", name, point, actor)
        self.put(replace(self._point(name, point), pin=""))

    def _point(self, name: str, point: BootPointId) -> BootPoint:
        self._standby(name)
        return next(p for p in self._snapshot.state.points_of(name) if p.id == point)

    def hold_retention(self, name: str, reason: str, actor: str) -> None:
        """Retire nothing."""
        self._asked("hold_retention", name, reason, actor)
        own = replace(self._standby(name).retention, hold=f"{actor}: {reason}")
        self._retain(replace(self._standby(name), retention=own))

    def release_retention(self, name: str, actor: str) -> None:
        """Undo `hold_retention`."""
        self._asked("release_retention", name, actor)
        own = replace(self._standby(name).retention, hold="")
        self._retain(replace(self._standby(name), retention=own))

    def release_guard(self, name: str, note: str, actor: str) -> None:
        """Undo the guard's hold."""
        self._asked("release_guard", name, note, actor)
        own = replace(self._standby(name).retention, hold="")
        self._retain(replace(self._standby(name), retention=own))

    def set_retention(self, name: str, keep: int, told: Retention, actor: str) -> None:
        """Take up new settings."""
        self._asked("set_retention", name, str(keep), actor)
        self._retain(replace(self._standby(name), keep=keep, retention=told))

    def _retain(self, standby: Standby) -> None:
        care = Upkeep(rules_of(standby.keep, standby.retention, Retention()))
        with self._changed:
            self.put_standby(standby)
            self.show(upkeep={**self._snapshot.upkeep, standby.name: care})

    def gain(self, name: str, points: Sequence[BootPointId]) -> Gain:
        """Return a GiB for each boot point."""
        self._standby(name)
        self._raise("gain")
        return Gain(GIB * len(points))

    def build(self, name: str, actor: str) -> None:
        """Note that a boot point is wanted."""
        self._asked("build", name, actor)
        self._standby(name)

    def start(self, name: str, point: BootPointId | None, actor: str) -> Job:
        """Queue a start; with `settles` it is done at once."""
        self._asked("start", name, point or "", actor)
        self._standby(name)
        ready = self._snapshot.state.ready(name)
        chosen = [p for p in ready if p.id == point] if point else ready[-1:]
        if not chosen:
            raise Refused(
                Problem(
                    "point.not-ready",
                    f"{name} has no ready boot point {point or ''}.".replace(" .", "."),
                    "Nothing was started.",
                    "Choose one that is ready.",
                )
            )
        return self._queue(JobKind.START, name, chosen[0].id)

    def stop(self, name: str, actor: str) -> Job:
        """Queue a stop; with `settles` it is done at once."""
        self._asked("stop", name, actor)
        self._standby(name)
        if name not in self._snapshot.state.runs:
            raise Refused(
                Problem("vm.not-running", f"{name} does not run.", "Nothing was changed.")
            )
        return self._queue(JobKind.STOP, name, None)

    def home(self, name: str, to: str, actor: str) -> Job:
        """Queue bringing a VM home."""
        self._asked("home", name, to, actor)
        self._standby(name)
        return self._queue(JobKind.HOME, name, self._snapshot.state.runs[name].boot_point)

    def record(self, name: str, point: BootPointId | None) -> Record:
        """Return the record the test put there."""
        self._standby(name)
        self._raise("record")
        for one in reversed(self._snapshot.state.ready(name)):
            if point in (None, one.id) and one.id in self.records:
                return self.records[one.id]
        raise NotFound(Problem("conversion.none", f"{name} has no record of {point}."))

    def plan_conversion(self, name: str, point: BootPointId | None) -> Record:
        """Return the dry run the test put there."""
        self._standby(name)
        self._raise("plan_conversion")
        chosen = point or self._snapshot.state.points_of(name)[-1].id
        return self.dry_runs[chosen]

    def convert(self, name: str, point: BootPointId | None, actor: str) -> Job | None:
        """Queue the conversion of a READY boot point; let a FAILED one be due."""
        self._asked("convert", name, point or "", actor)
        self._standby(name)
        chosen = next(p for p in self._snapshot.state.points_of(name) if p.id == point)
        if chosen.stage is Stage.FAILED:
            self.put(replace(chosen, attempts=0, failed_at=None, obstacle=""))
            if self.plans_soon:
                self._queue(JobKind.SYNC, name, chosen.id)
            return None
        return self._queue(JobKind.CONVERT, name, chosen.id)

    def cancel(self, number: JobId, actor: str) -> None:
        """End a live job as CANCELLED."""
        self._asked("cancel", str(number), actor)
        job = self.job(number)
        if job.status not in LIVE:
            raise Refused(
                Problem("job.ended", f"Job {number} has ended already.", "Nothing was changed.")
            )
        self.end_job(number, JobStatus.CANCELLED, f"{actor} cancelled it")

    def serial(self, name: str, after: int) -> tuple[bytes, int]:
        """Return at most 64 KiB from `after` on, and the next offset."""
        self._standby(name)
        told = self.serials.get(name, b"")[after : after + 65536]
        return told, after + len(told)

    def serial_input(self, name: str, data: bytes, actor: str) -> int:
        """Echo what is typed, as a guest does."""
        self._asked("serial_input", name, data.decode(), actor)
        self.say(name, data.replace(b"\r", b"\r\n"))
        return len(data)

    def question(self, name: str) -> Asked | None:
        """Return what the VM asks by its signs."""
        self._standby(name)
        signs = self._snapshot.signs.get(name)
        return signs.question if signs else None

    def answer(self, name: str, mark: str, choice: int, actor: str) -> str:
        """Take the question away, as a target does."""
        self._asked("answer", name, str(choice), actor)
        asked = rules.chosen(name, self.question(name), mark, choice)
        signs = self._snapshot.signs
        self.show(signs={**signs, name: replace(signs[name], question=None)})
        return f"{actor} answered what the VM of {name} asked with {asked.choices[choice - 1]}."

    def screen(self, name: str) -> bytes:
        """Return the PNG the test set."""
        self._standby(name)
        self._raise("screen")
        return self.picture_png

    # --- alerts

    def try_alerts(self, way: str) -> Sequence[Tried]:
        """Return the ways the test put there, as they went."""
        self._asked("try_alerts", way)
        chosen = [one for one in self.tried if way in ("", one.name)]
        if way and not chosen:
            raise NotFound(no_way(way, [one.name for one in self.tried]))
        return chosen

    def ack_alert(self, key: str, note: str, actor: str) -> None:
        """Acknowledge an alert of the picture."""
        self._asked("ack_alert", key, note, actor)
        alerts = dict(self._snapshot.state.alerts)
        if key not in alerts:
            raise NotFound(Problem("alert.unknown", f"There is no alert {key}."))
        alerts[key] = acknowledged(alerts[key], actor, note, self._snapshot.now)
        self.show(state=replace(self._snapshot.state, alerts=alerts))

    def check_target(self, name: str, definition: str) -> None:
        """Remember it; a target that is not in the picture is not known."""
        self._asked("check_target", name)
        if name not in {one.name for one in self._snapshot.targets}:
            raise NotFound(Problem("target.not-running", f"Target {safe(name)} is not known."))
        if definition and definition != self.definition:
            raise Refused(Problem("target.other-definition", "It was started with another one."))

    def unwell(self) -> Mapping[str, str]:
        """Return what the test put there."""
        return self.sick

    # --- small

    def _queue(self, kind: JobKind, name: str, point: BootPointId | None) -> Job:
        job = self.begin_job(kind, name, point, reason="asked for")
        return self.end_job(job.id) if self.settles else job

    def _asked(self, call: str, *words: str) -> None:
        self.calls.append((call, *words))
        self._raise(call)

    def _raise(self, call: str) -> None:
        if call in self.fails:
            raise self.fails[call]

    def _standby(self, name: str) -> Standby:
        found = self._snapshot.standbys.get(name)
        if found is None:
            raise NotFound(
                Problem(
                    "standby.unknown",
                    f"There is no standby {name}.",
                    "",
                    f"Known: {', '.join(sorted(self._snapshot.standbys))}.",
                )
            )
        return found
