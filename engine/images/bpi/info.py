"""What an image file or a manifest says about itself, for people and scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.images.bpi.format import BpiFormat
from engine.images.bpi.layout import FileKind
from engine.images.bpi.manifest import CONSISTENCIES, HASHES, KINDS, read_manifest
from engine.images.bpi.opening import open_file
from engine.model.errors import NotFound, Problem
from engine.model.images import ImagePart
from engine.model.text import safe


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """One disk of a file or manifest.

    Attributes:
        kind: full, increment, synthetic or consolidated.
        size: Bytes of the disk; `file_size`: of its image file.
        data_frames, data_bytes, zero_bytes, stored: None in a manifest.
    """

    number: int
    uuid: str
    file: str
    kind: str
    size: int
    file_size: int
    root: str
    parent_root: str
    sha256: str | None = None
    data_frames: int | None = None
    data_bytes: int | None = None
    zero_bytes: int | None = None
    stored: int | None = None


@dataclass(frozen=True, slots=True)
class Info:
    """A `.bpi` file or a manifest whose structure holds."""

    file: str
    what: str
    machine: str
    machine_uuid: str
    set: str
    point: str
    parent: str | None
    sequence: int
    taken_at: datetime
    consistency: str
    hash: str
    encrypted: bool
    disks: Sequence[DiskInfo]
    replaces: Sequence[str]


def info(path: Path) -> Info:
    """Return what a `.bpi` file or a manifest says; its structure is checked, not its payload.

    Raises:
        NotFound: There is no such file.
        FormatError: It is incomplete, damaged or no image.
        OSError: It cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        name = safe(str(path))
        raise NotFound(
            Problem(
                "image.none",
                f"There is no file {name}.",
                remedy="Name a .bpi file or a manifest.",
                facts={"file": name},
            )
        ) from error
    try:
        part = BpiFormat().describe(fd, path.name)
        return _of_manifest(fd, part) if path.suffix == ".json" else _of_file(fd, part)
    finally:
        os.close(fd)


def _of_file(fd: int, part: ImagePart) -> Info:
    opened = open_file(fd, part.path)
    header, footer, disk = opened.header, opened.footer, part.disks[0]
    shown = DiskInfo(
        number=header.number, uuid=disk.uuid, file=safe(part.path),
        kind=KINDS[FileKind(header.kind)], size=disk.size, file_size=opened.size,
        root=disk.root, parent_root=disk.parent_root, data_frames=footer.data_frames,
        data_bytes=footer.data_bytes, zero_bytes=footer.zero_bytes, stored=footer.stored,
    )  # fmt: skip
    consistency = CONSISTENCIES.get(header.consistency, "unknown")
    return _info(part, "image file", consistency, HASHES[header.hash_alg], [shown])


def _of_manifest(fd: int, part: ImagePart) -> Info:
    told = read_manifest(fd, part.path)
    disks = [
        DiskInfo(
            line.number, str(line.uuid), safe(line.file), line.kind, line.disk_size, line.size,
            line.root, "", line.sha256,
        )
        for line in told.disks
    ]  # fmt: skip
    return _info(part, "recovery point", told.consistency, told.hash_alg, disks)


def _info(
    part: ImagePart, what: str, consistency: str, hash_name: str, disks: Sequence[DiskInfo]
) -> Info:
    return Info(
        file=safe(part.path), what=what, machine=part.machine_name,
        machine_uuid=part.machine_uuid, set=part.set_id, point=part.point, parent=part.parent,
        sequence=part.sequence, taken_at=part.taken_at, consistency=consistency, hash=hash_name,
        encrypted=part.locked, disks=tuple(disks), replaces=tuple(part.replaces),
    )  # fmt: skip
