"""What arrives in watched folders: recovery points in an image format made for tests.

A file of this format is one JSON object, padded with spaces, `END` as its last line; as small as
the bookkeeping allows, and as strict as a real format about its end.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.local.safedir import mark_of
from engine.model.errors import FormatError, Problem
from engine.model.extents import Kind, Piece
from engine.model.images import DiskPart, FileMark, ImagePart, PartKind, PointId, RecoveryPoint
from tests.readers import KnownDisk

START = datetime(2026, 1, 1, 3, tzinfo=UTC)
SIZE = 2048
DISK = 1 << 20
NO_MARK = FileMark(1, 1, SIZE, 0, 0)


@dataclass(frozen=True)
class Shot:
    """One recovery point as its producer wrote it."""

    manifest: ImagePart
    disks: Sequence[ImagePart]

    @property
    def id(self) -> PointId:
        """Return the point's id."""
        return self.manifest.point

    @property
    def parts(self) -> list[ImagePart]:
        """Return all files, the manifest last."""
        return [*self.disks, self.manifest]

    def write(self, folder: Path) -> list[Path]:
        """Write all files below a folder, the manifest last."""
        return [write(part, folder) for part in self.parts]


def shot(
    sequence: int,
    parent: Shot | None = None,
    *,
    disks: int = 1,
    set_id: str = "set-1",
    machine: str = "erp",
    tag: str = "",
    replaces: Sequence[Shot] = (),
) -> Shot:
    """Return a recovery point.

    Args:
        sequence: Number in the set; also an hour later each.
        parent: None for a base.
        tag: Tells points of the same sequence apart (a fork).
        replaces: Folded points, oldest first, the last one being this point as written.
    """
    point = replaces[-1].id if replaces else PointId(f"{set_id}-{sequence:06d}{tag}")
    name = f"p{sequence:06d}{tag}" + ("-c01" if replaces else "")

    def disk(number: int) -> ImagePart:
        told = "|".join([name, set_id, str(number), parent.id if parent else ""])
        part = DiskPart(
            number=number,
            uuid=f"{machine}-disk-{number}",
            base=parent is None,
            size=DISK,
            root=hashlib.sha256(told.encode()).hexdigest(),
            parent_root=parent.disks[number].disks[0].root if parent else "",
            file_size=SIZE,
            data_bytes=0,
            zero_bytes=0,
        )
        roots = [old.disks[number].disks[0].root for old in replaces]
        return replace(
            manifest,
            path=f"{name}-d{number:02d}.img",
            kind=PartKind.DISK,
            disks=(part,),
            replaced_roots=tuple(roots),
        )

    manifest = ImagePart(
        path=f"{name}.json",
        mark=NO_MARK,
        format="test",
        kind=PartKind.MANIFEST,
        set_id=set_id,
        machine_uuid=f"uuid-{machine}",
        machine_name=machine,
        point=point,
        parent=parent.id if parent else None,
        sequence=sequence,
        taken_at=START + timedelta(hours=sequence),
        disks=(),
        replaces=tuple(old.id for old in replaces),
    )
    files = [disk(number) for number in range(disks)]
    lines = tuple(
        replace(f.disks[0], name=f.path, parent_root="", data_bytes=None, zero_bytes=None)
        for f in files
    )
    return Shot(replace(manifest, disks=lines), files)


def chain(length: int, **told: object) -> list[Shot]:
    """Return a base and its increments."""
    shots: list[Shot] = []
    for number in range(1, length + 1):
        shots.append(shot(number, shots[-1] if shots else None, **told))  # type: ignore[arg-type]  # handed through
    return shots


def encode(part: ImagePart) -> bytes:
    """Return the file that says what `part` says."""
    told = asdict(part) | {"taken_at": part.taken_at.isoformat()}
    del told["path"], told["mark"], told["hints"], told["format"]
    text = json.dumps({"test-image": told}).encode()
    return text.ljust(SIZE - 5) + b"\nEND\n"


def write(part: ImagePart, folder: Path, name: str = "") -> Path:
    """Write one file, at the part's own path or another."""
    path = folder / (name or part.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(part))
    return path


class JsonFormat:
    """The format (an `ImageFormat`); counts how often it looked into files."""

    name = "test"

    def __init__(self, quiet_s: float = 30.0) -> None:
        """Count from 0."""
        self.quiet_s = quiet_s
        self.described = 0

    def recognises(self, name: str, head: bytes) -> bool:
        """Tell by the first bytes, or by the name alone."""
        return head.startswith(b'{"test-image"') or name.endswith(".img")

    def describe(self, fd: int, path: str) -> ImagePart:
        """Read the file."""
        self.described += 1
        text = os.pread(fd, SIZE + 1, 0)
        name = path.rpartition("/")[2]
        if not text.endswith(b"\nEND\n") or len(text) != SIZE:
            raise FormatError(Problem("image.truncated", f"{name} is {len(text)} bytes long."))
        try:
            told = json.loads(text[:-5])["test-image"]
        except (ValueError, KeyError) as error:
            raise FormatError(Problem("image.damaged", f"{name} is no JSON.")) from error
        told["disks"] = tuple(DiskPart(**disk) for disk in told["disks"])
        told["taken_at"] = datetime.fromisoformat(told["taken_at"])
        told["kind"] = PartKind(told["kind"])
        told["replaces"], told["replaced_roots"] = (
            tuple(told["replaces"]),
            tuple(told["replaced_roots"]),
        )
        return ImagePart(path=path, mark=mark_of(os.fstat(fd)), format=self.name, **told)

    def open_disk(self, fd: int, path: str) -> JsonDisk:  # noqa: ARG002 - the protocol's
        """Return a reader of nothing but the file's own bytes."""
        return JsonDisk(os.dup(fd))


class JsonDisk(KnownDisk):
    """A disk that holds the file's bytes at its start (a `DiskReader`)."""

    size = DISK

    def __init__(self, fd: int) -> None:
        """Own the descriptor."""
        self._fd = fd

    def pieces(self) -> Iterator[Piece]:
        """Yield one piece."""
        yield Piece(0, SIZE, Kind.DATA, b"")

    def content(self, piece: Piece) -> bytes:
        """Read it from the file."""
        return os.pread(self._fd, piece.length, piece.start)

    def clone(self) -> JsonDisk:
        """Return another reader."""
        return JsonDisk(os.dup(self._fd))

    def close(self) -> None:
        """Close once."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def said(points: Sequence[RecoveryPoint]) -> list[tuple[str, str]]:
    """Return id and arrival of points."""
    return [(point.id, point.arrival.value) for point in points]
