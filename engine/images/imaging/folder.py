"""The folder of one machine: names, the newest point in it, and what the tool remembers.

    <root>/<slug>/.imaging.lock
    <root>/<slug>/.state/machine.json, *.bph         (or another folder of the user's choice)
    <root>/<slug>/<set8>/p000042-20260101T030000Z-d00.bpi, ….json

The manifests in the folder are the truth; what is remembered only saves work.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from engine.images.bpi.manifest import Manifest, ns_to_datetime, read_manifest
from engine.images.bpi.strictjson import LONGEST, parse
from engine.images.bpi.values import Values
from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded
from engine.model.errors import FormatError, Problem, Refused, WrongUse
from engine.model.text import safe, slug

MODE = 0o750
_DRAFT = re.compile(r"p\d{6,}-\d{8}T\d{6}Z(-d\d\d)?\.(bpi|json)\.part|[0-9a-f-]+\.bph\.part")
_DISK = re.compile(r"p\d{6,}-\d{8}T\d{6}Z-d\d\d\.bpi")
_MANIFEST = re.compile(r"p(\d{6,})-\d{8}T\d{6}Z(-c\d\d)?\.json")


@dataclass(frozen=True, slots=True)
class Published:
    """A point whose manifest is in the folder."""

    manifest: Manifest
    path: Path

    def has_all_files(self) -> bool:
        """Tell whether every file of the point is there, with its length."""
        return all(_size(self.path.parent / line.file) == line.size for line in self.manifest.disks)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the tool remembers of a machine.

    Attributes:
        machine: None before the first point.
        point: The newest one it made; its manifest may not have been published.
        sources: Disk UUID by the path it was read from.
    """

    machine: UUID | None = None
    point: UUID | None = None
    sources: Mapping[str, UUID] = field(default_factory=dict)


class MachineFolder:
    """One machine's folder below the root the images are written to."""

    def __init__(self, root: Path, name: str, state: Path | None) -> None:
        """Judge the name; nothing is made yet.

        Raises:
            WrongUse: The name cannot be one.
        """
        if not name or len(name) > 128 or safe(name) != name:
            raise WrongUse(
                Problem(
                    "imaging.name",
                    f"{safe(name)!r} cannot be the name of a machine.",
                    "Nothing was written.",
                    "Use 1 to 128 printable characters, such as the host name.",
                )
            )
        self.name = name
        self.path = root / slug(name)
        self.state = state / slug(name) if state is not None else self.path / ".state"
        self.lock = self.path / ".imaging.lock"

    def make(self) -> None:
        """Make the folders."""
        make_folder(self.path, MODE)
        make_folder(self.state, 0o700)

    def clear(self) -> None:
        """Remove what an interrupted run left: drafts, and disk files no manifest names.

        Only while holding the lock: then no draft here is anybody's.
        """
        for folder in self._sets():
            names = sorted(path.name for path in folder.iterdir())
            for name in names:
                if _DRAFT.fullmatch(name) or _is_orphan(name, names):
                    (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()
        for draft in self.state.glob("*.bph.part"):
            draft.unlink(missing_ok=True)

    def newest(self) -> Published | None:
        """Return the point that the next one continues; None when there is none.

        Raises:
            Refused: The folder is another machine's.
        """
        found = [point for folder in self._sets() for point in self._points_in(folder)]
        for point in found:
            self._judge_name(point.manifest.machine_name)
        if not found:
            return None
        remembered = self.remembered().point
        own = [one for one in found if one.manifest.point == remembered]
        latest = max(found, key=lambda one: (one.manifest.written_ns, one.manifest.sequence))
        current = own[0].manifest.set if own else latest.manifest.set
        return max(
            (one for one in found if one.manifest.set == current),
            key=lambda one: one.manifest.sequence,
        )

    def points_of(self, set_id: UUID) -> dict[UUID, Published]:
        """Return the points of a set by UUID."""
        every = [point for folder in self._sets() for point in self._points_in(folder)]
        return {one.manifest.point: one for one in every if one.manifest.set == set_id}

    def has_unreadable(self, set_id: UUID) -> bool:
        """Tell whether a manifest in the set's folder cannot be read: what is newest is unsure."""
        folder = self.set_folder(set_id)
        named = [path for path in folder.iterdir() if _MANIFEST.fullmatch(path.name)]
        return len(named) > len(list(self._points_in(folder)))

    def new_set(self) -> tuple[UUID, Path]:
        """Return a new set's UUID and folder, which does not exist yet."""
        while True:
            set_id = uuid4()
            if not self.set_folder(set_id).exists():
                return set_id, self.set_folder(set_id)

    def set_folder(self, set_id: UUID) -> Path:
        """Return the folder of a set."""
        return self.path / str(set_id)[:8]

    def remembered(self) -> Memory:
        """Return what the tool remembers; nothing where that is lost or unreadable."""
        with contextlib.suppress(OSError, ValueError):
            told = Values(parse(read_bounded(self.state / "machine.json", LONGEST)))
            sources = [(one.text("path"), one.uuid("uuid")) for one in told.inners("disks", 64)]
            return Memory(told.uuid("machine"), told.uuid("point"), dict(sources))
        return Memory()

    def remember(self, memory: Memory) -> None:
        """Keep what saves work the next time, durably."""
        told = {
            "machine": str(memory.machine),
            "point": str(memory.point),
            "disks": [{"path": path, "uuid": str(uuid)} for path, uuid in memory.sources.items()],
        }
        with open_folder(self.state) as folder:
            durable_replace(folder, "machine.json", json.dumps(told, indent=1).encode())

    def _judge_name(self, name: str) -> None:
        if name != self.name:
            raise Refused(
                Problem(
                    "imaging.other-machine",
                    f"{safe(str(self.path))} holds images of the machine {name}, not of "
                    f"{safe(self.name)}.",
                    "Nothing was written.",
                    "Write the images of this machine to another folder, or use the same name.",
                )
            )

    def _sets(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        names = sorted(self.path.iterdir())
        return [one for one in names if re.fullmatch("[0-9a-f]{8}", one.name) and one.is_dir()]

    def _points_in(self, folder: Path) -> Iterator[Published]:
        for path in sorted(folder.iterdir()):
            if _MANIFEST.fullmatch(path.name):
                with contextlib.suppress(FormatError, OSError):
                    yield Published(_read(path), path)


def _is_orphan(name: str, names: Sequence[str]) -> bool:
    """Tell whether a disk file belongs to a newest point that never got its manifest."""
    if not _DISK.fullmatch(name):
        return False
    manifests = [int(found[1]) for other in names if (found := _MANIFEST.fullmatch(other))]
    return int(name[1:].partition("-")[0]) > max(manifests, default=0)


def file_name(sequence: int, taken_ns: int, disk: int | None) -> str:
    """Return the name of a disk's file, or of the manifest for None."""
    stem = f"p{sequence:06d}-{ns_to_datetime(taken_ns):%Y%m%dT%H%M%SZ}"
    return f"{stem}.json" if disk is None else f"{stem}-d{disk:02d}.bpi"


def _read(path: Path) -> Manifest:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return read_manifest(fd, str(path))
    finally:
        os.close(fd)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1
