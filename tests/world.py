"""A whole small world in memory: images, store, state, clock, and one turn of the engine's work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from blake3 import blake3

from engine.daemon.clock import ManualClock
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.jobs.power import Shape
from engine.model import planner
from engine.model.errors import Failure, Problem, SourceMissing
from engine.model.extents import Kind, Piece
from engine.model.images import Arrival, DiskPart, FileMark, PointDisk, PointId, RecoveryPoint
from engine.model.layers import LayerKind
from engine.model.machine import Hints
from engine.model.points import Stage
from engine.model.retention import Retention, rules_of
from engine.model.standby import Standby
from engine.model.upkeep import Upkeep, most_points, resting, upkeep_from
from engine.model.work import Job, JobId, JobStatus, WantedJob
from engine.ports import NEVER, Cancel, Hypervisor, PointReader, StateStore, Store
from tests.readers import KnownDisk

START = datetime(2026, 1, 1, tzinfo=UTC)
MACHINE = "11111111-1111-4111-8111-111111111111"


def data(start: int, content: bytes) -> tuple[Piece, bytes]:
    """Return a DATA piece and its bytes."""
    return Piece(start, len(content), Kind.DATA, blake3(content).digest(length=16)), content


def zero(start: int, length: int) -> tuple[Piece, bytes]:
    """Return a ZERO piece."""
    return Piece(start, length, Kind.ZERO, bytes(16)), b""


@dataclass
class MemoryDisk(KnownDisk):
    """A `DiskReader` over pieces in memory."""

    size: int
    parts: Sequence[tuple[Piece, bytes]]

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces."""
        return (piece for piece, _ in self.parts)

    def content(self, piece: Piece) -> bytes:
        """Return the bytes of one of them."""
        return next(content for one, content in self.parts if one == piece)


@dataclass
class MemoryPoint:
    """A `PointReader`."""

    disks: Sequence[MemoryDisk]

    def unchanged(self) -> None:
        """Memory does not change."""


@dataclass
class MemoryImages:
    """An `ImageSource`, and what a plain restore of each point gives."""

    points: dict[PointId, tuple[RecoveryPoint, MemoryPoint]] = field(default_factory=dict)
    truth: dict[PointId, list[bytes]] = field(default_factory=dict)
    machine: str = MACHINE
    name: str = "erp"

    @contextmanager
    def open(
        self,
        point: RecoveryPoint,
        cancel: Cancel = NEVER,  # noqa: ARG002 - DiskReader answers
    ) -> Iterator[PointReader]:
        """Open a point."""
        if point.id not in self.points:
            raise SourceMissing(Problem("image.gone", f"{point.id} is gone."))
        yield self.points[point.id][1]

    def add(
        self,
        disks: Sequence[MemoryDisk],
        parent: RecoveryPoint | None,
        sequence: int,
        taken_at: datetime | None = None,
        replaces: Sequence[PointId] = (),
        names: Sequence[str] = (),
    ) -> RecoveryPoint:
        """Add a recovery point made of these layers on `parent`; a later base begins a set.

        Args:
            disks: In their order at that time.
            parent: None for a base.
            sequence: Of the point.
            taken_at: By its sequence where not told.
            replaces: Points folded into it.
            names: Identities of the disks; by their place where not told.
        """
        uuids = names or [f"disk-{n}" for n in range(len(disks))]
        ident = PointId(f"p{sequence:08d}" if self.name == "erp" else f"{self.name}-{sequence:08d}")
        parts = [
            PointDisk(
                DiskPart(n, uuids[n], parent is None, disk.size, "", "", 100),
                f"{ident}-d{n:02d}.bpi",
                FileMark(1, sequence * 10 + n, 100, 0, 0),
            )
            for n, disk in enumerate(disks)
        ]
        point = RecoveryPoint(
            id=ident,
            parent=parent.id if parent else None,
            set_id=parent.set_id if parent else self._new_set(sequence),
            format="memory",
            root="/images" if self.name == "erp" else f"/images/{self.name}",
            machine_uuid=self.machine,
            machine_name=self.name,
            sequence=sequence,
            taken_at=taken_at or START + timedelta(hours=sequence),
            arrival=Arrival.COMPLETE,
            reason="",
            disks=parts,
            hints=Hints(),
            size=100,
            replaces=replaces,
        )
        olds = zip(parent.disks, self.truth[parent.id], strict=True) if parent else ()
        below = {disk.part.uuid: whole for disk, whole in olds}
        pairs = zip(uuids, disks, strict=True)
        self.truth[ident] = [_restored(disk, below.get(uuid, b"")) for uuid, disk in pairs]
        self.points[ident] = (point, MemoryPoint(disks))
        return point

    def _new_set(self, sequence: int) -> str:
        plain = "set" if self.name == "erp" else f"set-{self.name}"
        return plain if sequence == 1 else f"{plain}-{sequence}"


def _restored(disk: MemoryDisk, old: bytes) -> bytes:
    now = bytearray(old[: disk.size].ljust(disk.size, b"\0"))
    for piece, content in disk.parts:
        end = piece.start + piece.length
        now[piece.start : end] = content if piece.kind is Kind.DATA else bytes(piece.length)
    return bytes(now[: disk.size])


def no_hypervisor() -> Hypervisor:
    """Refuse: syncs and retirements need none."""
    raise Failure(Problem("target.closed", "There is no hypervisor here."))


class World:
    """One standby, its images, store and state; `work` does what the engine's loop does."""

    def __init__(
        self, store: Store, state: StateStore, images: MemoryImages, keep: int = 24
    ) -> None:
        """Wire it."""
        self.standby = Standby(
            name="erp", images="/images", keep=keep, retention=Retention(floor=1)
        )
        self.store, self.state, self.images = store, state, images
        self.clock = ManualClock(START)
        self.cancel: Cancel = NEVER
        self.since = START
        self.converter = SimulatedConverter()
        target = Target("local", "simulated", store, no_hypervisor, self.converter)
        self.performer = Performer(state, self.clock, images, lambda _standby: target, Shape())

    def restart(self) -> None:
        """Take up what a killed engine left."""
        with self.state.write() as tx:
            state = tx.state()
            for job in state.live_jobs():
                tx.save_job(replace(job, status=JobStatus.FAILED, ended_at=self.clock.now()))
            for point in planner.interrupted(state):
                tx.save_boot_point(point)

    def arrive(self, *points: RecoveryPoint) -> None:
        """Let recovery points arrive."""
        with self.state.write() as tx:
            tx.save_recovery_points([replace(p, arrived_at=self.clock.now()) for p in points])

    def work(self, rounds: int = 200) -> None:
        """Plan and perform until nothing is due."""
        for _ in range(rounds):
            wanted = self._plan()
            if wanted is None:
                return
            self.perform(wanted)
        raise AssertionError("the work does not end")

    def _plan(self) -> WantedJob | None:
        standbys, now = {"erp": self.standby}, self.clock.now()
        fresh = planner.new_boot_points(standbys, {"erp": MACHINE}, self.state.read(), now, UTC)
        with self.state.write() as tx:
            for point in fresh:
                tx.save_boot_point(point)
        state = self.state.read()
        wanted = planner.next_jobs(standbys, state, now, planner.Limits(), {"erp": self.upkeep()})
        return wanted[0] if wanted else None

    def upkeep(self) -> Upkeep:
        """Return what retention goes by, as the engine sees it."""
        state, chain = self.state.read(), self.store.chain("erp")
        rules = rules_of(
            self.standby.keep, self.standby.retention, Retention(), most=most_points(chain.deepest)
        )
        retired = [p for p in state.boot_points.values() if p.stage is Stage.RETIRED]
        seen = upkeep_from(rules, chain.layers(), retired, folds_files=chain.folds_files)
        pausing = resting(state, self.clock.now(), self.since).get("erp", frozenset())
        return replace(seen, resting=pausing)

    def perform(self, wanted: WantedJob) -> None:
        """Perform one job to its end."""
        blank = Job(
            JobId(0), wanted.kind, "erp", wanted.boot_point, JobStatus.QUEUED, self.clock.now()
        )
        blank = replace(blank, to=wanted.to)
        with self.state.write() as tx:
            job = tx.add_job(blank)
        self.performer.perform(job, self.standby, self.cancel, lambda _progress: None)

    def check(self) -> None:
        """Assert the promises: each READY point exists and reads like its image."""
        chain = self.store.chain("erp")
        layers = chain.layers()
        for point in self.state.read().ready("erp"):
            for name in (point.replica, point.boot):
                assert layers[name].sealed, name
                for number, truth in enumerate(self.images.truth[point.recovery_point]):
                    with chain.open(name, number) as device:
                        seen = bytearray(device.size)
                        device.read(0, memoryview(seen))
                    assert bytes(seen) == truth, (name, number)

    def check_clean(self) -> None:
        """Assert that no layer is left that no boot point explains."""
        state, layers = self.state.read(), self.store.chain("erp").layers()
        known = {n for p in state.points_of("erp") for n in (p.replica, p.boot)}
        assert set(layers) <= known
        assert all(layer.kind is not LayerKind.SCRATCH for layer in layers.values())
