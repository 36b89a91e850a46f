"""A large site in one process, simulated: machines, boot points, waiting increments, an engine.

    python -m tests.bench.hub --machines 500 [--points 30] [--waiting 20] [--rounds 4]

Prints one JSON object of figures. Targets are simulated and layers lie in memory; planner, loop,
runner, jobs and the state in SQLite are the product's own. See `tests/bench/scale.py`.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TypeVar

from blake3 import blake3

from engine.daemon.clock import SystemClock
from engine.daemon.desk import Desk
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.reports import Reports
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.jobs.power import Shape
from engine.model import planner
from engine.model.errors import Problem
from engine.model.extents import Kind, Piece
from engine.model.images import (
    Arrival,
    DiskPart,
    FileMark,
    ImageSet,
    PointDisk,
    PointId,
    RecoveryPoint,
    RootView,
)
from engine.model.layers import DiskManifest, LayerKind, LayerManifest, LayerName, layer_name
from engine.model.machine import Hints
from engine.model.memo import Memo
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.retention import Retention
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import Job, JobId, JobKind, JobStatus, WantedJob
from engine.ports import DiskReader, PointReader
from engine.state.memory import MemoryState
from engine.state.sqlite import SqliteState
from engine.stores.memory import MemoryStore

START = datetime(2026, 1, 1, tzinfo=UTC)
DISK = 1 << 20
PAGE = 4096
_CONTENT = bytes(range(256)) * (PAGE // 256)
_DIGEST = blake3(_CONTENT).digest(length=16)


@dataclass(frozen=True, slots=True)
class Site:
    """How large the site is."""

    machines: int
    points: int
    waiting: int

    def names(self) -> list[str]:
        """Return the names of all standbys."""
        return [f"m{number:04d}" for number in range(self.machines)]


# --- images ---------------------------------------------------------------------------------


class OnePage:
    """A `DiskReader` whose layer is one page."""

    size = DISK

    def pieces(self) -> Iterator[Piece]:
        """Yield the page."""
        yield Piece(0, PAGE, Kind.DATA, _DIGEST)

    def read(self, piece: Piece, into: memoryview) -> None:
        """Fill `into`."""
        into[:] = _CONTENT[: piece.length]

    def clone(self) -> OnePage:
        """Return itself."""
        return self

    def close(self) -> None:
        """Do nothing."""


class OnePoint:
    """A `PointReader` of one small disk."""

    disks: Sequence[DiskReader] = (OnePage(),)

    def unchanged(self) -> None:
        """Memory does not change."""


class Images:
    """An `ImageSource` that opens every point."""

    @contextmanager
    def open(self, point: RecoveryPoint) -> Iterator[PointReader]:  # noqa: ARG002 - all are alike
        """Open a point."""
        yield OnePoint()


def recovery_points(machine: str, number: int) -> list[RecoveryPoint]:
    """Return a full and its increments."""
    found: list[RecoveryPoint] = []
    for sequence in range(1, number + 1):
        ident = PointId(f"{machine}-{sequence:06d}-aaaa-4aaa-8aaa-aaaaaaaaaaaa")
        part = DiskPart(0, f"{machine}-disk", sequence == 1, DISK, "", "", 9000, data_bytes=PAGE)
        mark = FileMark(1, sequence, 9000, 0, 0)
        found.append(
            RecoveryPoint(
                id=ident,
                parent=found[-1].id if found else None,
                set_id=f"{machine}-set",
                format="memory",
                root=f"/images/{machine}",
                machine_uuid=f"{machine}-uuid",
                machine_name=machine,
                sequence=sequence,
                taken_at=START + timedelta(hours=sequence),
                arrival=Arrival.COMPLETE,
                reason="",
                disks=(PointDisk(part, f"{ident}-d00.bpi", mark),),
                hints=Hints(),
                size=9000,
            )
        )
    return found


def view(machine: str, points: Sequence[RecoveryPoint]) -> RootView:
    """Return the scan of one machine's folder."""
    one = ImageSet(f"{machine}-set", f"{machine}-uuid", machine, f"/images/{machine}", points, {})
    return RootView(f"/images/{machine}", True, "", (one,), (), START, len(points))


def made_of(points: Sequence[RecoveryPoint], first: int, standby: str) -> list[BootPoint]:
    """Return a READY boot point of each recovery point, numbered from `first`."""
    found: list[BootPoint] = []
    for number, point in enumerate(points, start=first):
        name = boot_point_id(number)
        found.append(
            BootPoint(
                id=name,
                standby=standby,
                recovery_point=point.id,
                set_id=point.set_id,
                parent=found[-1].id if found else None,
                sequence=point.sequence,
                taken_at=point.taken_at,
                stage=Stage.READY,
                replica=layer_name(name, LayerKind.REPLICA),
                boot=layer_name(name, LayerKind.CONVERSION),
                created_at=point.taken_at,
                ready_at=point.taken_at,
                bytes=PAGE,
                has_trunk=True,
            )
        )
    return found


def standbys(site: Site) -> dict[str, Standby]:
    """Return all standbys."""
    return {
        name: Standby(name=name, images=f"/images/{name}", keep=site.points)
        for name in site.names()
    }


def picture(site: Site) -> State:
    """Return the site's state: every machine has its boot points, and increments wait."""
    arrived: dict[PointId, RecoveryPoint] = {}
    made = []
    for name in site.names():
        points = recovery_points(name, site.points + site.waiting)
        arrived.update((p.id, replace(p, arrived_at=START)) for p in points)
        made += made_of(points[: site.points], len(made) + 1, name)
    return State(arrived, {p.id: p for p in made}, next_boot_point=len(made) + 1)


# --- the planner alone ----------------------------------------------------------------------


def plan(site: Site, rounds: int) -> dict[str, float]:
    """Return how long decisions take, in milliseconds.

    `points`: which boot points are missing, with all increments waiting. `first`: the first
    decision on a picture never seen before. `next`: each one after it, one job having ended
    between.
    """
    known, state = standbys(site), picture(site)
    sources = {name: f"{name}-uuid" for name in known}
    store, memo = MemoryState(), Memo()
    with store.write() as tx:
        tx.save_recovery_points(list(state.recovery_points.values()))
        for point in state.boot_points.values():
            tx.save_boot_point(point)

    def new() -> Sequence[BootPoint]:
        return planner.new_boot_points(known, sources, store.read(), START, UTC, memo)

    def jobs() -> Sequence[WantedJob]:
        return planner.next_jobs(known, store.read(), START, limits, memo=memo)

    limits = planner.Limits(jobs=2)
    points, fresh = _timed(new)
    assert len(fresh) == site.machines * site.waiting, len(fresh)
    with store.write() as tx:
        for point in fresh:
            tx.save_boot_point(point)
    again, none = _timed(new)
    first, _ = _timed(jobs)
    later = []
    for _ in range(rounds):
        took, none = _timed(new)
        assert not none
        more, wanted = _timed(jobs)
        assert len(wanted) == limits.jobs
        later.append(took + more)
        _make(store, wanted[0])
    told = {"points": points, "first": again + first, "next": median(later)}
    return {f"plan_{key}_ms": value for key, value in told.items()}


_Made = TypeVar("_Made")


def _timed(work: Callable[[], _Made]) -> tuple[float, _Made]:
    """Return the milliseconds of this thread that some work took, and what it gave."""
    began = time.thread_time()
    made = work()
    return (time.thread_time() - began) * 1000, made


def _make(store: MemoryState, wanted: WantedJob) -> None:
    """Store what a SYNC leaves."""
    with store.write() as tx:
        point = store.read().boot_points[wanted.boot_point]  # type: ignore[index]  # a SYNC has one
        for stage in (Stage.APPLYING, Stage.CONVERTING, Stage.READY):
            point = replace(point, stage=stage, has_trunk=True)
            tx.save_boot_point(point)
        done = Job(JobId(0), wanted.kind, wanted.standby, point.id, JobStatus.DONE, START)
        tx.add_job(done)


# --- the engine -----------------------------------------------------------------------------


class Folders:
    """A `Watcher` that finds all images at once."""

    def __init__(self, views: Mapping[str, RootView], on_view: Callable[[RootView], None]) -> None:
        """Keep the views."""
        self._views, self._on_view = views, on_view

    def add_root(self, root: str) -> None:
        """Tell at once what is there."""
        self._on_view(self._views[root])

    def remove_root(self, root: str) -> None:
        """Do nothing."""

    def settled(self) -> bool:
        """Tell that all was scanned."""
        return True

    def stop(self) -> None:
        """Do nothing."""


class Files:
    """`standbys.d` in memory."""

    def __init__(self, known: Mapping[str, Standby]) -> None:
        """Keep the standbys."""
        self._known = dict(known)

    def load(self) -> tuple[dict[str, Standby], Sequence[Problem]]:
        """Return them."""
        return dict(self._known), ()

    def write(self, standby: Standby) -> str:
        """Keep one."""
        self._known[standby.name] = standby
        return self.path(standby.name)

    def remove(self, name: str) -> None:
        """Forget one."""
        del self._known[name]

    def path(self, name: str) -> str:
        """Return a name for it."""
        return f"/standbys.d/{name}.toml"


def fill(store: MemoryStore, site: Site) -> None:
    """Make the sealed layers of all boot points that are there."""
    number = 0
    for name in site.names():
        chain, parent = store.chain(name), None
        for point in recovery_points(name, site.points):
            number += 1
            ident = boot_point_id(number)
            replica = layer_name(ident, LayerKind.REPLICA)
            for kind, below in ((LayerKind.REPLICA, parent), (LayerKind.CONVERSION, replica)):
                made = _manifest(point, name, ident, kind, below)
                chain.add(made.layer, below, kind, [DISK])
                chain.seal(made.layer, made)
            parent = replica


def _manifest(
    point: RecoveryPoint, standby: str, ident: str, kind: LayerKind, parent: LayerName | None
) -> LayerManifest:
    disk = DiskManifest(DISK, f"{standby}-disk", digest=blake3(b"").hexdigest())
    return LayerManifest(
        layer=layer_name(ident, kind),
        parent=parent,
        kind=kind,
        standby=standby,
        boot_point=ident,
        recovery_point=point.id,
        set_id=point.set_id,
        machine=standby,
        machine_uuid=point.machine_uuid,
        sequence=point.sequence,
        taken_at=point.taken_at,
        sealed_at=point.taken_at,
        disks=[disk],
    )


def remember(path: Path, site: Site) -> None:
    """Write the state's file: what an engine of a full site left when it ended."""
    state = SqliteState(path)
    told = picture(replace(site, waiting=0))
    with state.write() as tx:
        tx.save_recovery_points(list(told.recovery_points.values()))
        for point in told.boot_points.values():
            tx.save_boot_point(point)
    state.close()


class Hub:
    """The engine of a simulated site."""

    def __init__(self, site: Site, path: Path) -> None:
        """Wire it; the layers are there, as they are on a real store."""
        self.site, known = site, standbys(site)
        self.store = MemoryStore()
        fill(self.store, site)
        self.began = time.perf_counter()
        self.state = SqliteState(path)
        target = Target(
            "local",
            "simulated",
            self.store,
            "memory",
            lambda: SimulatedHypervisor("local", self.store.chain),
            SimulatedConverter(),
        )
        settings = Settings("hub", (), UTC, Retention(), planner.Limits(jobs=2), Shape())
        self.engine = Engine(
            settings, self.state, SystemClock(), Images(), {"local": target}, Files(known)
        )
        reports = Reports(path.parent / "reports", self.engine.clock.now, lambda *_: None)
        self.desk = Desk(self.engine, reports)

    def start(self, waiting: int) -> None:
        """Start the engine; all increments are there already."""
        views = {}
        for name in self.site.names():
            points = recovery_points(name, self.site.points + waiting)
            views[f"/images/{name}"] = view(name, points)
        self.engine.start(Folders(views, self.engine.on_view))

    def stop(self) -> None:
        """Stop it."""
        self.engine.stop()
        self.state.close()


def ended(state: SqliteState, count: int) -> list[Job]:
    """Return the first `count` jobs, in the order in which they began."""
    found = (state.job(number) for number in range(1, count + 1))  # type: ignore[arg-type]  # JobId
    return sorted((j for j in found if j is not None), key=lambda j: (j.queued_at, j.id))


def wait(true: Callable[[], bool], seconds: float) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError
        threading.Event().wait(0.05)


def busy(site: Site, path: Path, rounds: float) -> dict[str, float]:
    """Return how a site with waiting increments does: first job, fairness, pace, memory."""
    hub = Hub(site, path)
    base = _rss()
    hub.start(site.waiting)
    jobs = lambda: hub.state.read().jobs  # noqa: E731 - looked at twice
    wait(lambda: any(j.started_at for j in jobs().values()), 600)
    first = time.perf_counter() - hub.began
    target = int(rounds * site.machines)
    began, cpu = time.perf_counter(), time.process_time()
    wait(lambda: max(jobs(), default=0) >= target, 3600)
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    snapshot_ms = _snapshot_ms(hub.desk)
    hub.engine.stop()
    told = ended(hub.state, target)
    hub.state.close()
    return {
        "first_job_s": first,
        "starved_rounds": starved(told, site),
        "jobs_per_s": target / wall,
        "cpu_ms_per_job": spent / target * 1000,
        "snapshot_ms": snapshot_ms,
        "rss_busy_mib": _rss(),
        "rss_layers_mib": base,
    }


def _snapshot_ms(desk: Desk) -> float:
    began = time.perf_counter()
    desk.snapshot()
    return (time.perf_counter() - began) * 1000


def starved(told: Sequence[Job], site: Site) -> float:
    """Return the longest time a standby waited for its turn, in rounds of one job for each."""
    syncs = [job for job in told if job.kind in (JobKind.SYNC, JobKind.RETIRE)]
    served = dict.fromkeys(site.names(), -1)
    longest = 0
    for number, job in enumerate(syncs):
        longest = max(longest, number - served[job.standby])
        served[job.standby] = number
    longest = max([longest, *(len(syncs) - at for at in served.values())])
    return longest / site.machines


def idle(site: Site, path: Path, seconds: float) -> dict[str, float]:
    """Return what an engine with nothing to do costs: processor and memory."""
    hub = Hub(site, path)
    hub.start(0)
    wait(lambda: hub.engine.sources.keys() == hub.engine.standbys.keys(), 60)
    threading.Event().wait(6)
    cpu, began = time.process_time(), time.perf_counter()
    threading.Event().wait(seconds)
    used, wall = time.process_time() - cpu, time.perf_counter() - began
    rss = _rss()
    hub.stop()
    return {"idle_cpu_percent": used / wall * 100, "rss_idle_mib": rss}


def _rss() -> float:
    """Return the highest resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Measure one thing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("plan", "busy", "idle"))
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--waiting", type=int, default=20)
    parser.add_argument("--rounds", type=float, default=4)
    parser.add_argument("--seconds", type=float, default=30)
    told = parser.parse_args()
    site = Site(told.machines, told.points, told.waiting)
    if told.what == "plan":
        figures = plan(site, 20)
    else:
        with tempfile.TemporaryDirectory(prefix="bench-hub-") as folder:
            path = Path(folder) / "state.db"
            remember(path, site)
            if told.what == "busy":
                figures = busy(site, path, told.rounds)
            else:
                figures = idle(site, path, told.seconds)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
