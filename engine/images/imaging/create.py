"""Make one recovery point of a machine: a full the first time, then what changed.

    disks ─► changes since the newest point ─► .bpi.part each ─► all published ─► manifest last

A run that is cut off anywhere leaves drafts only; the next one clears them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from engine import __version__
from engine.images.bpi.layout import HINTS, ChangeSource, FileKind, Header
from engine.images.bpi.manifest import (
    CONSISTENCIES,
    KINDS,
    DiskLine,
    Manifest,
    datetime_to_ns,
    machine_object,
    ns_to_datetime,
    write_manifest,
)
from engine.images.bpi.strictjson import canonical
from engine.images.bpi.writer import BpiWriter, Sealed
from engine.images.imaging.changes import GRAIN, Change, Comparer, tasks
from engine.images.imaging.folder import MODE, MachineFolder, Memory, file_name
from engine.images.imaging.hashmap import MapDraft, map_name
from engine.images.imaging.plan import DRAFT, ImagingOptions, Plan, Planner
from engine.images.imaging.source import SourceDisk
from engine.images.tally import Tally
from engine.local.durable import FULL, file_lock, make_folder, open_folder, publish, write_all
from engine.local.parallel import ordered
from engine.model.errors import NoSpace, Problem, WrongUse
from engine.model.text import safe
from engine.ports import Cancel, Clock, Report


@dataclass(frozen=True, slots=True)
class FileMade:
    """One disk's file.

    Attributes:
        kind: `full` or `increment`.
        size: Bytes of the file; `disk_size` of the disk.
        data_bytes, zero_bytes: Raw bytes of DATA and ZERO; stored: bytes of DATA as stored.
    """

    path: Path
    source: Path
    kind: str
    disk_size: int
    size: int
    data_bytes: int
    zero_bytes: int
    stored: int


@dataclass(frozen=True, slots=True)
class PointMade:
    """A published recovery point.

    Attributes:
        why_full: Why it is a full although there was a point before; empty otherwise.
        bytes_read: Read from the disks, holes left out.
    """

    machine: str
    set_id: UUID
    point: UUID
    parent: UUID | None
    sequence: int
    taken_at: datetime
    manifest: Path
    files: Sequence[FileMade]
    bytes_read: int
    seconds: float
    why_full: str = ""

    @property
    def full(self) -> bool:
        """True when it needs no earlier point."""
        return self.parent is None

    @property
    def data_bytes(self) -> int:
        """Raw bytes of DATA in all files."""
        return sum(one.data_bytes for one in self.files)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)


def create_point(
    machine: str,
    root: Path,
    disks: Sequence[Path],
    *,
    clock: Clock,
    cancel: Cancel,
    report: Report,
    options: ImagingOptions | None = None,
) -> PointMade:
    """Image all disks of a machine as one recovery point below `root`.

    Args:
        machine: The machine's name; its folder's name is made from it.
        root: Folder of all machines' images; it is made when missing.
        disks: Raw files or block devices, the boot disk first.
        report: Told in bytes read, holes left out; a few times a second.

    Raises:
        WrongUse, NotFound: A name or a disk is wrong.
        Refused: The folder holds another machine's images.
        LockHeld: Another run works on the same machine.
        SourceFailed: A disk could not be read.
        NoSpace: The destination is full.
        Cancelled: `cancel` fired.
    """
    options = options or ImagingOptions()
    _judge(disks)
    folder = MachineFolder(root, machine, options.state)
    with ExitStack() as stack:
        opened = [stack.enter_context(contextlib.closing(SourceDisk(path))) for path in disks]
        try:
            folder.make()
            stack.enter_context(file_lock(folder.lock))
            folder.clear()
            started = clock.monotonic()
            plan = Planner(folder, options, clock, cancel, report).plan(opened)
            stack.callback(plan.close)
            work = _Work(folder, plan, opened, options, clock, cancel)
            return work.make(report, started)
        except OSError as error:
            if error.errno in FULL:
                raise _no_space(root, error) from error
            raise


@dataclass(frozen=True, slots=True)
class _Work:
    """One attempt to make a planned point."""

    folder: MachineFolder
    plan: Plan
    disks: Sequence[SourceDisk]
    options: ImagingOptions
    clock: Clock
    cancel: Cancel

    def make(self, report: Report, started: float) -> PointMade:
        total = sum(s.length for disk in self.disks for s in disk.spans(GRAIN) if not s.hole)
        tally = Tally("image", total, self.clock, report)
        make_folder(self.plan.folder, MODE)
        try:
            sealed = [self._image(number, tally) for number in range(len(self.disks))]
            tally.end()
            manifest = self._publish(sealed)
        except BaseException:
            with contextlib.suppress(OSError):
                self.folder.clear()
            raise
        self._forget_old_maps()
        return self._made(sealed, manifest, tally.done, self.clock.monotonic() - started)

    def _image(self, number: int, tally: Tally) -> Sealed:
        """Write one disk's draft and the draft of its hash map."""
        plan, disk = self.plan, self.disks[number]
        comparer = Comparer(disk, plan.maps[number])
        with _draft(self.folder.state, self._map_name(number), 0o600) as map_fd:
            hashes = MapDraft(map_fd, disk.size)
            with _draft(plan.folder, self._name(number), 0o640) as fd:
                writer = BpiWriter(fd, self._header(number), str(plan.folder))

                def emit(change: Change) -> None:
                    for run in change.runs:
                        if run.frame is None:
                            writer.zero(run.start, run.length)
                        else:
                            writer.data(run.start, run.length, run.frame, run.digest)
                    if not change.span.hole:
                        hashes.write(change.span.start, change.digests)
                        tally.add(change.span.length)

                with contextlib.closing(writer):
                    ordered(
                        tasks(disk), comparer.change, emit,
                        cancel=self.cancel, workers=self.options.workers,
                    )  # fmt: skip
                    sealed = writer.finish(datetime_to_ns(self.clock.now()))
                os.fsync(fd)
            hashes.finish(plan.set, plan.point, sealed.root)
        return sealed

    def _publish(self, sealed: Sequence[Sealed]) -> str:
        """Give all files their names, the manifest last; returns its name."""
        plan = self.plan
        numbers = range(len(self.disks))
        name = file_name(plan.sequence, plan.taken_ns, None)
        data = write_manifest(self._manifest(sealed))
        with open_folder(self.folder.state) as state, open_folder(plan.folder) as folder:
            for number in numbers:
                publish(state, f"{self._map_name(number)}.part", self._map_name(number))
                publish(folder, f"{self._name(number)}.part", self._name(number))
            sources = {
                os.path.realpath(d.path): u for d, u in zip(self.disks, plan.uuids, strict=True)
            }
            self.folder.remember(Memory(plan.machine, plan.point, sources))
            with _draft(plan.folder, name, 0o640) as fd:
                write_all(fd, data)
            self.cancel.check()
            publish(folder, f"{name}.part", name)
        return name

    def _forget_old_maps(self) -> None:
        """Delete the maps of all other points: only the newest is ever compared with."""
        own = {self._map_name(number) for number in range(len(self.disks))}
        for path in self.folder.state.glob("*.bph"):
            if path.name not in own:
                path.unlink(missing_ok=True)

    def _name(self, number: int) -> str:
        return file_name(self.plan.sequence, self.plan.taken_ns, number)

    def _map_name(self, number: int) -> str:
        return map_name(self.plan.uuids[number], self.plan.point)

    def _header(self, number: int) -> Header:
        plan, disk = self.plan, self.disks[number]
        compared = plan.maps[number]
        header = Header(
            kind=FileKind.INCREMENT if compared else FileKind.FULL,
            file=uuid4(),
            set=plan.set,
            point=plan.point,
            machine=plan.machine,
            disk=plan.uuids[number],
            sequence=plan.sequence,
            number=number,
            taken_ns=plan.taken_ns,
            disk_size=disk.size,
            consistency=self.options.consistency,
            change_source=ChangeSource.HASH_COMPARE if compared else ChangeSource.FULL_SCAN,
            logical_sector=disk.logical_sector,
            physical_sector=disk.physical_sector,
            hints=self._hints(number),
        )
        if compared is None:
            return header
        return replace(header, parent=compared.what.point, parent_root=compared.what.root)

    def _hints(self, number: int) -> bytes:
        machine = machine_object(self.plan.machine, self.folder.name, self.plan.hints)
        told = canonical({"machine": machine, "disk": {"boot": number == 0}})
        if len(told) <= HINTS:
            return told
        # Many network cards do not fit; the manifest has room for all of them.
        return canonical({"machine": {**machine, "nics": []}, "disk": {"boot": number == 0}})

    def _manifest(self, sealed: Sequence[Sealed]) -> Manifest:
        plan = self.plan
        return Manifest(
            set=plan.set,
            point=plan.point,
            parent=plan.before.manifest.point if plan.before else None,
            sequence=plan.sequence,
            taken_ns=plan.taken_ns,
            written_ns=datetime_to_ns(self.clock.now()),
            machine=plan.machine,
            machine_name=self.folder.name,
            hints=plan.hints,
            disks=[self._line(number, one) for number, one in enumerate(sealed)],
            consistency=CONSISTENCIES[self.options.consistency],
            producer_version=__version__,
        )

    def _line(self, number: int, sealed: Sealed) -> DiskLine:
        disk, compared = self.disks[number], self.plan.maps[number]
        return DiskLine(
            number=number,
            uuid=self.plan.uuids[number],
            file=self._name(number),
            kind=KINDS[FileKind.INCREMENT if compared else FileKind.FULL],
            size=sealed.size,
            disk_size=disk.size,
            logical_sector=disk.logical_sector,
            root=sealed.root.hex(),
            sha256=sealed.sha256,
            boot=number == 0,
        )

    def _made(
        self, sealed: Sequence[Sealed], manifest: str, read: int, seconds: float
    ) -> PointMade:
        plan = self.plan
        files = [
            FileMade(
                path=plan.folder / self._name(number),
                source=self.disks[number].path,
                kind=KINDS[FileKind.INCREMENT if plan.maps[number] else FileKind.FULL],
                disk_size=self.disks[number].size,
                size=one.size,
                data_bytes=one.data_bytes,
                zero_bytes=one.zero_bytes,
                stored=one.stored,
            )
            for number, one in enumerate(sealed)
        ]
        return PointMade(
            machine=self.folder.name,
            set_id=plan.set,
            point=plan.point,
            parent=plan.before.manifest.point if plan.before else None,
            sequence=plan.sequence,
            taken_at=ns_to_datetime(plan.taken_ns),
            manifest=plan.folder / manifest,
            files=files,
            bytes_read=read,
            seconds=seconds,
            why_full=plan.why_full,
        )


@contextlib.contextmanager
def _draft(folder: Path, name: str, mode: int) -> Iterator[int]:
    """Make a new draft of a file and yield its descriptor."""
    fd = os.open(folder / f"{name}.part", DRAFT, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def _judge(disks: Sequence[Path]) -> None:
    real = {os.path.realpath(disk) for disk in disks}
    if not disks or len(disks) > 64 or len(real) < len(disks):
        raise WrongUse(
            Problem(
                "imaging.disks",
                f"{len(disks)} disks were named, or one of them twice.",
                "Nothing was written.",
                "Name 1 to 64 different disks, the boot disk first.",
            )
        )


def _no_space(root: Path, error: OSError) -> NoSpace:
    return NoSpace(
        Problem(
            "imaging.no-space",
            f"There is no room left below {safe(str(root))}: {error.strerror}.",
            "No recovery point was made; the earlier ones are as they were.",
            "Free space there, then run it again.",
            {"root": safe(str(root)), "errno": error.errno or 0},
        )
    )
