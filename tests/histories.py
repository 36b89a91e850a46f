"""Machines whose images are real files, and an engine on a real store that follows them all.

with following(open_store(...), folder, standbys) as engine:
    erp = Machine(folder, "erp", {"a": 1 << 20})
    erp.write("a", 3)               the fourth grain of a disk gets new bytes
    shot = erp.shoot("a")           an image of these disks, not sent yet
    erp.send(shot)                  its files arrive, the manifest last
    engine.settled("erp", shot)     until it is READY
    engine.check(erp)               every trunk layer against the disk of its time
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from engine.daemon.clock import SystemClock
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.images.bpi import BpiFormat
from engine.images.bpi.layout import FileKind
from engine.images.bpi.manifest import (
    KINDS,
    Manifest,
    Replaced,
    read_manifest,
    write_manifest,
)
from engine.images.bpi.opening import OpenedFile, open_file
from engine.images.imaging.create import PointMade, create_point
from engine.images.imaging.plan import ImagingOptions
from engine.images.watching.inbox import Inbox
from engine.images.watching.patience import SILENT_S, PatientSource
from engine.images.watching.source import FolderSource
from engine.jobs.power import Shape
from engine.model.extents import Kind
from engine.model.fleet import survey
from engine.model.planner import Limits
from engine.model.points import BootPoint, Stage
from engine.model.retention import Retention
from engine.model.standby import Standby, parse_trigger
from engine.ports import NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.folderstore import FolderStore
from engine.stores.probe import open_store
from tests.formats.bpifiles import GRAIN, entries_of, write_file
from tests.running import Files, wait

FORMATS = {".raw": "raw", ".qcow2": "qcow2"}
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Machine:
    """A source machine: its disks, the images made of it, and the folder they are sent to.

    Attributes:
        truth: Point -> what each disk held when it was made.
        made: All points, oldest first.
    """

    folder: Path
    name: str
    disks: Mapping[str, int]
    called: str = ""
    truth: dict[str, list[bytes]] = field(default_factory=dict)
    made: list[PointMade] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Lay out its disks, each with some bytes in the first four grains."""
        self.source, self.images = self.folder / "sources" / self.name, self.folder / "images"
        self.source.mkdir(parents=True, exist_ok=True)
        self.random = random.Random(self.name)
        for disk, size in self.disks.items():
            self.resize(disk, size)
            self.write(disk, *range(min(4, size // GRAIN)))

    @property
    def sent(self) -> Path:
        """The watched folder."""
        return self.folder / "sent" / self.name

    def write(self, disk: str, *grains: int) -> None:
        """Write new bytes to grains of a disk."""
        with (self.source / disk).open("r+b") as file:
            for grain in grains:
                file.seek(grain * GRAIN)
                file.write(self.random.randbytes(GRAIN))

    def resize(self, disk: str, size: int) -> None:
        """Grow or shrink a disk, or make it."""
        with (self.source / disk).open("ab") as file:
            file.truncate(size)

    def shoot(self, *disks: str, full: bool = False, at: datetime | None = None) -> PointMade:
        """Image the disks in this order; nothing is sent."""
        paths = [self.source / disk for disk in disks]
        at = at or START + timedelta(hours=len(self.made))
        made = create_point(
            self.called or self.name,
            self.images / self.name,
            paths,
            clock=SystemClock(),
            cancel=NeverCancelled(),
            report=lambda _progress: None,
            options=ImagingOptions(full=full, taken_at=at),
        )
        self.truth[str(made.point)] = [path.read_bytes() for path in paths]
        self.made.append(made)
        for file, whole in zip(made.files, self.truth[str(made.point)], strict=True):
            if file.kind == "full":
                assert restored(file.path) == whole
        return made

    def send(self, *shots: PointMade, prefix: str = "") -> list[Path]:
        """Let the files of points arrive, the manifest of each last; return where."""
        found = []
        for shot in shots:
            for path in files_of(shot):
                found.append(self.sent / f"{prefix}{shot.set_id.hex[:6]}-{path.name}")
                bring(path, found[-1])
        return found

    def merge(self, *shots: PointMade) -> list[Path]:
        """Make one point of several that follow one another, as the source does; not sent.

        Its files carry the last one's point and take the place of all of them.
        """
        folder = self.folder / "merged" / self.name / str(shots[-1].point)
        folder.mkdir(parents=True)
        lines, made = [], []
        told = [manifest_of(shot) for shot in shots]
        for line in told[-1].disks:
            files = [_disk_file(shot, line.uuid) for shot in shots]
            opened = [opened_file(file) for file in files]
            first, last = opened[0].header, opened[-1].header
            whole = self.truth[str(shots[-1].point)][line.number]
            folded = [(one.header.point, one.footer.root) for one in opened]
            kind = FileKind.SYNTHETIC if first.is_base else FileKind.CONSOLIDATED
            head = replace(last, kind=kind, file=uuid4(), parent=first.parent)
            head = replace(head, parent_root=first.parent_root)
            grains = sorted({grain for file in files for grain in _grains(file, len(whole))})
            pieces = [(at, whole[at : at + GRAIN]) for at in grains]
            made.append(folder / files[-1].name)
            root = write_file(made[-1], head, pieces, folded)
            size = made[-1].stat().st_size
            lines.append(replace(line, kind=KINDS[kind], root=root.hex(), size=size, sha256=None))
        olds = [
            Replaced(one.point, one.sequence, {str(d.uuid): d.root for d in one.disks})
            for one in told
        ]
        whole = replace(told[-1], parent=told[0].parent, disks=lines, replaces=olds)
        made.append(folder / shots[-1].manifest.name)
        made[-1].write_bytes(write_manifest(whole))
        return made


def files_of(shot: PointMade) -> list[Path]:
    """Return a point's files, the manifest last."""
    return [*(file.path for file in shot.files), shot.manifest]


def bring(path: Path, place: Path) -> None:
    """Let a file arrive as a careful sender does."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(".copying")
    shutil.copy(path, draft)
    draft.replace(place)


def manifest_of(shot: PointMade) -> Manifest:
    """Read a point's manifest."""
    with shot.manifest.open("rb") as file:
        return read_manifest(file.fileno(), shot.manifest.name)


def opened_file(path: Path) -> OpenedFile:
    """Read what an image file says of itself."""
    with path.open("rb") as file:
        return open_file(file.fileno(), path.name)


def _disk_file(shot: PointMade, disk: UUID) -> Path:
    return next(file.path for file in shot.files if opened_file(file.path).header.disk == disk)


def _grains(file: Path, size: int) -> Iterator[int]:
    """Yield where each grain begins that an image file says anything about."""
    for entry in entries_of(file.read_bytes()):
        start = entry.start // GRAIN * GRAIN
        yield from range(start, min(entry.start + entry.length, size), GRAIN)


def restored(file: Path) -> bytes:
    """Return the disk that a full holds, by the tool anybody has."""
    return subprocess.run(["zstd", "-dcq", file], check=True, capture_output=True).stdout


@dataclass
class Following:
    """The engine, and questions about its standbys."""

    engine: Engine
    state: MemoryState
    store: FolderStore
    folder: Path

    def points(self, name: str) -> Mapping[str, BootPoint]:
        """Return the boot points of a standby by the recovery point they were made of."""
        return {p.recovery_point: p for p in self.state.read().points_of(name)}

    def ready(self, name: str) -> set[str]:
        """Return the recovery points that are READY."""
        return {i for i, point in self.points(name).items() if point.stage is Stage.READY}

    def settled(self, name: str, *shots: PointMade) -> None:
        """Wait until exactly these are READY."""
        wanted = {str(shot.point) for shot in shots}
        self.until(lambda: self.ready(name) == wanted, name)

    def until(self, true: Callable[[], object], name: str) -> None:
        """Wait until something is true; tell what stands instead when it does not become so."""
        try:
            wait(true)
        except AssertionError:
            told = [(p.sequence, p.stage, p.reason) for p in self.points(name).values()]
            raise AssertionError((told, self.engine.waiting.get(name))) from None

    def a_while(self) -> None:
        """Let a few rescans pass."""
        self.engine.clock.sleep(0.5, NeverCancelled())

    def waits(self, name: str) -> str:
        """Return the alarms of a standby, as console and CLI show them."""
        engine, known = self.engine, {name: self.engine.standbys[name]}
        state, now, limits = self.state.read(), engine.clock.now(), engine.settings.limits
        return " ".join(
            survey(known, engine.sources, state, now, limits, engine.waiting)[name].alarms
        )

    def told(self, name: str) -> str:
        """Return that, the journal, and why boot points failed."""
        lines = [entry.text for entry in self.state.journal()]
        lines += [point.reason for point in self.points(name).values()]
        return " ".join([self.waits(name), *lines])

    def check(self, machine: Machine) -> None:
        """Compare each READY point's trunk layer and twig with the source of its time.

        The trunk by `qemu-img compare`, the twig (nothing is converted here) by the chain.
        """
        chain = self.store.chain(machine.name)
        layers = chain.layers()
        for ident, point in self.points(machine.name).items():
            if point.stage is not Stage.READY:
                continue
            truth = machine.truth[ident]
            for layer in (point.replica, point.boot):
                assert list(layers[layer].disk_sizes) == [len(disk) for disk in truth]
            for number, whole in enumerate(truth):
                place = self.folder / machine.name / point.replica / f"disk-{number}"
                compare(place, whole)
                with chain.open(point.boot, number) as device:
                    seen = bytearray(device.size)
                    device.read(0, memoryview(seen))
                assert seen == whole, (machine.name, point.sequence, number)

    def own_bytes(self, shot: PointMade, name: str, disk: int = 0) -> int:
        """Return how many bytes of a point's trunk layer are not its parent's."""
        chain = self.store.chain(name)
        replica = self.points(name)[str(shot.point)].replica
        return sum(e.length for e in chain.changed(replica, disk) if e.kind is Kind.DATA)


def compare(place: Path, whole: bytes) -> None:
    """Ask qemu-img whether a layer's disk reads like `whole`; `place` is without its ending.

    A fold, which may begin at any time, keeps others out of the disks that it works on: it is
    waited for.
    """
    found = next(one for one in place.parent.glob(f"{place.name}.*") if one.suffix in FORMATS)
    command = ["qemu-img", "compare", "-f", "raw", "-F", FORMATS[found.suffix]]
    told = (1, "", "")

    def is_told() -> bool:
        nonlocal told
        done = subprocess.run(
            [*command, file.name, str(found)], check=False, capture_output=True, text=True
        )
        told = (done.returncode, done.stdout, done.stderr)
        return "Failed to get" not in done.stderr

    with tempfile.NamedTemporaryFile() as file:
        file.write(whole)
        file.flush()
        wait(is_told)
    assert told[0] == 0, (place, *told)


@contextmanager
def following(
    store: FolderStore,
    where: Path,
    standbys: Sequence[Standby],
    *,
    limits: Limits | None = None,
    silent_s: float = SILENT_S,
) -> Iterator[Following]:
    """Run an engine over `standbys`; the store lies in `where`."""
    state, clock = MemoryState(), SystemClock()
    target = Target(
        "local",
        "simulated",
        store,
        lambda: SimulatedHypervisor("local", store.chain),
        SimulatedConverter(),
    )
    settings = Settings("test", (), UTC, Retention(), limits or Limits(jobs=2), Shape())
    known = {one.name: one for one in standbys}
    for one in standbys:
        Path(one.images).mkdir(parents=True, exist_ok=True)
    source = PatientSource(FolderSource([BpiFormat()]), clock.monotonic, silent_s)
    engine = Engine(settings, state, clock, source, {"local": target}, Files(known))
    engine.start(
        Inbox(
            [BpiFormat()],
            on_view=engine.on_view,
            now=clock.now,
            monotonic=clock.monotonic,
            rescan_s=0.15,
            quiet_s=0.05,
        )
    )
    try:
        yield Following(engine, state, store, where)
    finally:
        engine.stop()


@contextmanager
def hub(
    kind: str, under: Path, folder: Path, every: Mapping[str, str], keep: int = 24
) -> Iterator[Following]:
    """Run an engine on a store of its own.

    Args:
        kind: Of the store.
        under: Where it is to lie.
        folder: Of all machines; each standby watches `folder`/sent/NAME.
        every: Name -> trigger.
        keep: Boot points to keep.
    """
    store = open_store(under / "store", kind, "local")
    standbys = [
        Standby(name, str(folder / "sent" / name), trigger=parse_trigger(trigger), keep=keep)
        for name, trigger in every.items()
    ]
    try:
        with following(store, under / "store", standbys) as one:
            yield one
    finally:
        store.close()
        shutil.rmtree(under / "store")
