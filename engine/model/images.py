"""What arrived: parts (files), recovery points made of them, image sets made of those.

    file …-d00.bpi ─┐
    file …-d01.bpi ─┼─ recovery point ─┐
    manifest ….json ┘                  ├─ image set of one source machine
                     recovery point ───┘

Identity comes from what a file says about itself, never from its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from engine.model.machine import Firmware, Hints, Nic

PointId = NewType("PointId", str)
"""Id of a recovery point: its UUID as the format gives it (36 characters for `.bpi`)."""

ROOTLESS = PointId("")


class PartKind(StrEnum):
    """What one file is to its recovery point."""

    DISK = "disk"
    MANIFEST = "manifest"


class Arrival(StrEnum):
    """How far a recovery point or a file has come."""

    ARRIVING = "arriving"
    COMPLETE = "complete"
    VERIFIED = "verified"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class FileMark:
    """What tells that a file is still the same one, as far as stat can."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class DiskPart:
    """What a disk's image file, or the manifest's line about it, says.

    Attributes:
        number: Disk number in the machine, from 0.
        uuid: Stable over the chain.
        base: True when this file needs no parent (a full).
        size: Bytes of the disk.
        root, parent_root: Hex content hashes; empty where unknown or not needed.
        file_size: Bytes of the image file.
        name: The file's name as the manifest gives it; empty in a part read from the file itself.
        data_bytes: Raw bytes of DATA in the layer; None where only the file itself can tell.
    """

    number: int
    uuid: str
    base: bool
    size: int
    root: str
    parent_root: str
    file_size: int
    name: str = ""
    data_bytes: int | None = None
    zero_bytes: int | None = None
    boot: bool = False
    logical_sector: int = 512


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One recognised file, header and footer read, structure checked.

    Attributes:
        path: Below the watched root, with `/`; undecodable bytes as surrogates (hostile).
        format: Name of the `ImageFormat`.
        set_id, machine_uuid, point, parent: Ids; `parent` is None for a base.
        sequence: Number in the set, from 1.
        disks: One entry for a disk file, all of the point's for a manifest.
        locked: Encrypted and no key is known.
        replaces: For consolidated files: ids of the points folded into this one, oldest first.
        replaced_roots: Of a consolidated disk file: root of each folded file of this disk, in step
            with `replaces`; empty where unknown, and in manifests.
    """

    path: str
    mark: FileMark
    format: str
    kind: PartKind
    set_id: str
    machine_uuid: str
    machine_name: str
    point: PointId
    parent: PointId | None
    sequence: int
    taken_at: datetime
    disks: Sequence[DiskPart]
    hints: Hints = field(default_factory=Hints)
    locked: bool = False
    replaces: Sequence[PointId] = ()
    replaced_roots: Sequence[str] = ()


DUPLICATE = "image.duplicate"
"""Key of a second copy, as replication and people make them."""


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be used (now), for console and journal.

    Attributes:
        path: Below the watched root (hostile; show it through `safe`).
        key: `image.truncated`, `image.damaged`, `image.foreign`, `image.unreadable`, …
        waiting: True while it may simply not be finished.
        reason, remedy: Sentences.
    """

    path: str
    mark: FileMark
    key: str
    waiting: bool
    reason: str
    remedy: str

    @property
    def is_harmless(self) -> bool:
        """True for what asks for nothing: a second copy of a file that is there."""
        return self.waiting or self.key == DUPLICATE


@dataclass(frozen=True, slots=True)
class PointDisk:
    """One disk of a recovery point and the file that brings it.

    Attributes:
        path: Below the watched root; empty while the file is missing.
        mark: Of that file; None while missing.
    """

    part: DiskPart
    path: str
    mark: FileMark | None


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A moment an image set can reproduce.

    Attributes:
        root: Watched folder (absolute) that the paths are below.
        arrival, reason: How far it is, and why not further (a sentence).
        disks: In disk order; from the manifest once there is one.
        size: Bytes of all its files.
        arrived_at: When a scan first found it complete; None before.
    """

    id: PointId
    parent: PointId | None
    set_id: str
    format: str
    root: str
    machine_uuid: str
    machine_name: str
    sequence: int
    taken_at: datetime
    arrival: Arrival
    reason: str
    disks: Sequence[PointDisk]
    hints: Hints
    size: int
    locked: bool = False
    weak_link: bool = False
    replaces: Sequence[PointId] = ()
    arrived_at: datetime | None = None

    @property
    def boot_disk(self) -> int | None:
        """Return the number of the disk that the image says it boots from; None: not just one."""
        told = [number for number, disk in enumerate(self.disks) if disk.part.boot]
        return told[0] if len(told) == 1 else None

    @property
    def is_base(self) -> bool:
        """True when the point can be reproduced without a parent."""
        return self.parent is None

    @property
    def lacks_a_file(self) -> bool:
        """True while a disk's file is not there, or the manifest, which alone tells their names."""
        is_waiting = self.arrival is Arrival.ARRIVING
        return is_waiting and any(not (disk.path and disk.part.name) for disk in self.disks)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """All recovery points of one chain family, parents before children.

    Attributes:
        missing: Parents that are named but not there: id -> sentence naming the first child that
            waits.
    """

    id: str
    machine_uuid: str
    machine_name: str
    root: str
    points: Sequence[RecoveryPoint]
    missing: Mapping[PointId, str]


@dataclass(frozen=True, slots=True)
class RootView:
    """One complete scan of one watched folder.

    Attributes:
        root: Absolute path.
        online: False when the folder is not there or is another file system than before; then the
            last view is kept and nothing is concluded from what is missing.
        reason: Why it is offline, a sentence; empty when online.
    """

    root: str
    online: bool
    reason: str
    sets: Sequence[ImageSet]
    bad: Sequence[BadFile]
    scanned_at: datetime
    files: int


def hints_to_json(hints: Hints) -> str:
    """Return the hints as JSON text, for layer manifests and the state."""
    return json.dumps(asdict(hints), sort_keys=True)


def hints_from_json(text: str) -> Hints:
    """Read what `hints_to_json` wrote. ValueError, TypeError or KeyError on anything else."""
    told = json.loads(text)
    nics = tuple(Nic(n["name"], n["mac"], tuple(n["addresses"])) for n in told.pop("nics", ()))
    drivers = tuple(str(name) for name in told.pop("drivers", ()))
    named = told.pop("firmware", None)
    firmware = Firmware(named) if named else None
    return Hints(**told, nics=nics, drivers=drivers, firmware=firmware)
