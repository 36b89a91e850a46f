"""Asks: the protocols between the rooms of the house.

Offsets and lengths are bytes, times aware UTC. Four promises keep the protocols small:

* *repeatable*: add, create, drop, fold, delete do nothing the second time;
* *names come from ids*: a retry finds what it left;
* *the target is the truth*, not memory;
* *whole buffers*: a read fills, a write writes all, or it raises.

Every protocol has one contract suite in `tests/contract/` that every implementation passes, and
a simulated implementation that is product code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from engine.model.errors import Cancelled
from engine.model.extents import Extent, Piece
from engine.model.images import ImagePart, PointId, RecoveryPoint
from engine.model.layers import Layer, LayerKind, LayerManifest, LayerName
from engine.model.machine import Capabilities, Gravity, Network, Signs, VMRef, VMSpec
from engine.model.points import BootPoint, BootPointId
from engine.model.progress import Progress
from engine.model.state import State
from engine.model.work import Job, JobId, JournalLine, Run, Severity


class Cancel(Protocol):
    """Somebody may want the work to end."""

    def check(self) -> None:
        """Raise `Cancelled` once the end was asked for; cheap, called at least every 4 MiB."""


class NeverCancelled:
    """A `Cancel` that never fires."""

    def check(self) -> None:
        """Do nothing."""


class CancelFlag:
    """A `Cancel` that another thread sets."""

    def __init__(self) -> None:
        """Start unset."""
        self.is_set = False

    def set(self) -> None:
        """Ask the work to end."""
        self.is_set = True

    def check(self) -> None:
        """Raise `Cancelled` when set."""
        if self.is_set:
            raise Cancelled


Report = Callable[[Progress], None]
"""Told now and then how far long work is; cheap, may be called from any thread."""


class Clock(Protocol):
    """Time as an argument; the only way to it outside `engine/daemon/clock.py`."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def sleep(self, seconds: float, cancel: Cancel) -> None:
        """Wait; wakes at least every 0.5 s to ask `cancel`."""


# --- images ---------------------------------------------------------------------------------


class ImageFormat(Protocol):
    """One format of image files. Parsing raises only `FormatError` or `OSError`."""

    name: str
    quiet_s: float
    """Seconds a file must be unchanged before it counts as settled (30 with, 600 without an end
    mark)."""

    def recognises(self, name: str, head: bytes) -> bool:
        """Tell whether a file of this name with these first 4096 bytes is of this format."""

    def describe(self, fd: int, path: str) -> ImagePart:
        """Read header, end mark and index structure of an open file, never its payload.

        Raises:
            FormatError: Not complete or not valid; its `problem.key` is `image.truncated`,
                `image.damaged` or `image.unsupported`.
        """

    def open_disk(self, fd: int, path: str) -> DiskReader:
        """Return a reader of the disk in an open file; the reader owns a duplicate of `fd`."""


class DiskReader(Protocol):
    """One disk of one recovery point: this layer only. For one thread; `clone()` makes more."""

    size: int

    def pieces(self) -> Iterator[Piece]:
        """Yield the layer's units, sorted by start. Gaps: as in the parent."""

    def read(self, piece: Piece, into: memoryview) -> None:
        """Fill `into` (of the piece's length) with checked bytes.

        Raises:
            ImageCorrupt: The stored bytes do not match the image's own checksum.
            OSError: The medium failed.
        """

    def clone(self) -> DiskReader:
        """Return an independent reader of the same disk for another thread."""

    def close(self) -> None:
        """Release the reader; repeatable."""


class PointReader(Protocol):
    """All disks of one recovery point, opened once; works on descriptors only."""

    disks: Sequence[DiskReader]

    def unchanged(self) -> None:
        """Raise `SourceChanged` if a file is not the one that was opened any more."""


class ImageSource(Protocol):
    """Opens recovery points for jobs."""

    def open(self, point: RecoveryPoint) -> AbstractContextManager[PointReader]:
        """Open all files of a COMPLETE point below its watched root.

        Raises:
            SourceMissing: Folder offline or a file is gone.
            SourceChanged: A file is not the one the scan saw.
            FormatError: A file does not parse any more.
        """


# --- layers ---------------------------------------------------------------------------------


class BlockDevice(Protocol):
    """A disk as seen from one layer. read, write and zero may be called from several threads."""

    size: int
    block_size: int
    """Writes are cheapest when aligned to this; any alignment is allowed."""

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`. LayerError on a sealed layer."""

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros, without writing them where the store can."""

    def flush(self) -> None:
        """Make all writes durable. A failure is final: the layer must be dropped, never retried."""

    def evict(self) -> None:
        """Forget cached pages, so that the next read comes from the medium. After `flush`."""


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A disk of a layer as a hypervisor on this host opens it.

    Attributes:
        path: Absolute.
        format: `raw` or `qcow2`.
    """

    path: Path
    format: str


class DiskChain(Protocol):
    """The layer tree of one standby VM, where it lives.

    Thread-safe for different layers; one layer is changed by one thread (its device by several).
    """

    def layers(self) -> Mapping[LayerName, Layer]:
        """Return all layers that exist now, unsealed ones included, by name."""

    def add(
        self, name: LayerName, parent: LayerName | None, kind: LayerKind, sizes: Sequence[int]
    ) -> Layer:
        """Make an unsealed layer that reads like its parent (zeros without one).

        Args:
            sizes: Bytes of each disk. A disk longer than the parent's reads zeros at its end, a
                shorter one is cut, a further one reads zeros.

        Raises:
            LayerError: The parent does not exist, is not sealed, or may not have such a child.
            NoSpace: The store is full; nothing is left behind that `drop` would not clear.
        """

    def open(self, layer: LayerName, disk: int) -> AbstractContextManager[BlockDevice]:
        """Open one disk; writable only while the layer is not sealed."""

    def changed(self, layer: LayerName, disk: int) -> Iterator[Extent]:
        """Yield what the layer holds itself (DATA or ZERO), sorted; may say more than differs."""

    def note(self, layer: LayerName, text: str) -> None:
        """Keep a short text (at most 64 KiB) durably beside an unsealed layer, for a later try."""

    def noted(self, layer: LayerName) -> str:
        """Return the text kept by `note`, empty without one."""

    def seal(self, layer: LayerName, manifest: LayerManifest) -> None:
        """Make the layer durable and read-only, its manifest beside it.

        Data first, then manifest.
        """

    def manifest(self, layer: LayerName) -> LayerManifest:
        """Return a sealed layer's manifest with the disks' `hashes`. LayerError if damaged."""

    def fold(self, layer: LayerName, cancel: Cancel) -> None:
        """Take a sealed REPLICA layer away; its children go on reading the same bytes.

        Interrupted anywhere, calling it again finishes. LayerError when scratch lives on a layer
        whose files would change, or when a CONVERSION layer hangs on it.
        """

    def drop(self, layer: LayerName) -> None:
        """Delete a layer without children. LayerError when it has any; repeatable."""

    def disk_files(self, layer: LayerName) -> Sequence[DiskFile]:
        """Return the files a hypervisor opens for this layer, in disk order."""

    def free(self) -> int:
        """Return the bytes the store can still take."""


class Store(Protocol):
    """A place that holds the chains of many standby VMs."""

    name: str
    path: Path

    def chain(self, standby: str) -> DiskChain:
        """Return the chain of one standby; it may be empty."""

    def standbys(self) -> Sequence[str]:
        """Return the names of standbys that have layers here."""

    def set_aside(self, standby: str, stamp: str) -> None:
        """Move a standby's layers to the store's quarantine folder, for an operator to delete.

        Args:
            stamp: Makes the place unique, such as `20260101T030000Z`.
        """


# --- targets --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a preflight found, with its fix."""

    gravity: Gravity
    key: str
    text: str
    remedy: str = ""


class Hypervisor(Protocol):
    """A target. Thread-safe."""

    name: str
    capabilities: Capabilities

    def preflight(self) -> Sequence[Finding]:
        """Look at licence, privileges, versions, space; no finding means all is well."""

    def create(self, spec: VMSpec) -> VMRef:
        """Define the standby VM, powered off, or bring an existing one of ours to this shape."""

    def chain(self, vm: VMRef) -> DiskChain:
        """Return the layer tree of the VM."""

    def power_on(self, vm: VMRef, layer: LayerName, network: Network) -> None:
        """Start the VM on a SCRATCH layer. LayerError on any other kind; repeatable."""

    def power_off(self, vm: VMRef, *, grace: float) -> None:
        """Ask the guest to shut down, cut the power after `grace` seconds (0: at once).

        Repeatable.
        """

    def signs_of_life(self, vm: VMRef) -> Signs:
        """Return power, agent, addresses, serial tail; power is OFF for an unknown VM."""

    def serial(self, vm: VMRef, after: int) -> tuple[bytes, int]:
        """Return raw bytes of the serial console from offset `after` on, and the offset after them.

        At most 64 KiB; an offset whose text is gone, or of an earlier run, is moved to text that
        is there.
        """

    def screen(self, vm: VMRef) -> bytes:
        """Return the console picture as PNG. HypervisorError when the VM is off."""

    def delete(self, vm: VMRef) -> None:
        """Undefine the VM and forget its files except layers; repeatable."""

    def close(self) -> None:
        """Let go of the connection; VMs go on."""


# --- state ----------------------------------------------------------------------------------


class Transaction(Protocol):
    """Changes that become durable together when the `with` block ends without an exception."""

    def state(self) -> State:
        """Return the picture inside the transaction."""

    def save_recovery_points(self, points: Sequence[RecoveryPoint]) -> None:
        """Insert or update by id."""

    def forget_recovery_points(self, ids: Sequence[PointId]) -> None:
        """Delete points that no boot point refers to; others are ignored."""

    def save_boot_point(self, point: BootPoint) -> None:
        """Insert, or move by `MOVES`.

        ValueError on an illegal move (the database rejects it too).
        """

    def add_job(self, job: Job) -> Job:
        """Store a job; returns it with its id (the given id is ignored)."""

    def save_job(self, job: Job) -> None:
        """Update a stored job."""

    def save_run(self, run: Run) -> None:
        """Remember a started VM."""

    def remove_run(self, standby: str) -> None:
        """Forget it; repeatable."""

    def forget_standby(self, standby: str) -> None:
        """Delete boot points, jobs and run of a removed standby; the journal stays."""

    def write_journal(
        self,
        at: datetime,
        severity: Severity,
        standby: str,
        key: str,
        text: str,
        unchanged: str = "",
        remedy: str = "",
    ) -> None:
        """Append one line."""


class StateStore(Protocol):
    """Remembers. One writer; readers get consistent pictures."""

    def read(self) -> State:
        """Return one consistent, immutable picture."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open the one writing transaction; blocks while another is open."""

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return lines with `after` < number (< `before`), the newest `limit`, oldest first."""

    def job(self, number: JobId) -> Job | None:
        """Return a job, ended ones included."""

    def boot_point(self, point: BootPointId) -> BootPoint | None:
        """Return a boot point, retired ones included."""

    def close(self) -> None:
        """Close the store."""
