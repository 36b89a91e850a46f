"""The guest's own tree: its volumes laid over one another as its fstab says.

Symbolic links are resolved here, component by component, inside the tree: `..` ends at the root,
an absolute link starts there, a loop leads nowhere. No backend ever follows a link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.guests.backend import WHOLE, Ahead, Parts, Reading, Stat, Type
from engine.model.guest import Mount, Owner, VolumeId

LINKS = 40
"""Links followed for one path, as Linux does."""
PARTS = 256
"""Longest path in components, links included."""
TARGET = 4096
"""Longest link target in bytes."""
AHEAD = 3
"""Questions in which paths are learnt ahead: one more for each link on the way."""

_UNKNOWN = Stat(Type.OTHER, 0, Owner())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a guest path leads.

    Attributes:
        guest: The path in the guest's tree without links.
        volume, path: The same in its volume.
        stat: None when nothing is there.
    """

    guest: bytes
    volume: VolumeId
    path: bytes
    stat: Stat | None

    @property
    def is_file(self) -> bool:
        """Whether a regular file is there."""
        return self.stat is not None and self.stat.type is Type.FILE

    @property
    def is_folder(self) -> bool:
        """Whether a folder is there."""
        return self.stat is not None and self.stat.type is Type.FOLDER


class Tree:
    """One guest's files by their guest paths."""

    def __init__(self, reading: Reading, mounts: Sequence[Mount]) -> None:
        """Lay the volumes over one another; one mount must be at `/`."""
        self._reading = reading
        self._mounts = {_parts(mount.path): mount for mount in mounts}
        self._stats: dict[tuple[VolumeId, bytes], Stat | None] = {}

    @property
    def mounts(self) -> Sequence[Mount]:
        """The volumes as they are laid."""
        return tuple(self._mounts.values())

    def locate(self, path: bytes) -> Place | None:
        """Return where a path leads, whether something is there or not.

        Returns:
            None when the path cannot exist: a link loop, a name with a zero byte, too deep.
        """
        todo = deque(path.split(b"/"))
        at: tuple[bytes, ...] = ()
        links = 0
        while todo:
            part = todo.popleft()
            if part in (b"", b"."):
                continue
            if part == b"..":
                at = at[:-1]
                continue
            if b"\0" in part or len(part) > 255 or len(at) + len(todo) > PARTS:
                return None
            at = (*at, part)
            target = self._target(at)
            if target is None:
                continue
            links += 1
            if links > LINKS or len(target) > TARGET:
                return None
            at = () if target.startswith(b"/") else at[:-1]
            todo.extendleft(reversed(target.split(b"/")))
        return self._place(at)

    def ahead(self, paths: Sequence[bytes]) -> None:
        """Let the backend learn at once what is at paths that will be asked for, if it can.

        First as if there were no links; what was learnt tells where the links on the way lead.
        """
        reading = self._reading
        if not isinstance(reading, Ahead):
            return
        seen: set[tuple[VolumeId, bytes]] = set()
        waiting = [_parts(path) for path in paths]
        for _ in range(AHEAD):
            new: dict[VolumeId, list[bytes]] = {}
            for volume, path in map(self._volume, waiting):
                if (volume, path) not in seen:
                    seen.add((volume, path))
                    new.setdefault(volume, []).append(path)
            for volume, there in new.items():
                reading.ahead(volume, there)
            behind = (self._behind_link(parts) for parts in waiting)
            waiting = [parts for parts in behind if parts is not None]

    def read(self, path: bytes, limit: int = 1 << 20) -> bytes | None:
        """Return a regular file's content; None when there is none or it is too long."""
        place = self.locate(path)
        if place is None or place.stat is None or not place.is_file or place.stat.size > limit:
            return None
        return self._reading.read(place.volume, place.path, limit)

    def part(self, path: bytes, offset: int, length: int) -> bytes:
        """Return a part of a regular file; nothing when there is none, or it cannot be read so."""
        place = self.locate(path)
        if place is None or place.stat is None or not place.is_file or place.stat.size > WHOLE:
            return b""
        if isinstance(self._reading, Parts):
            return self._reading.part(place.volume, place.path, offset, length)
        return (self.read(path, WHOLE) or b"")[offset : offset + length]

    def list(self, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        place = self.locate(path)
        if place is None or not place.is_folder:
            return ()
        return self._reading.list(place.volume, place.path)

    def has(self, path: bytes) -> bool:
        """Return whether something is at a path."""
        place = self.locate(path)
        return place is not None and place.stat is not None

    def has_folder(self, path: bytes) -> bool:
        """Return whether a path leads to a folder."""
        place = self.locate(path)
        return place is not None and place.is_folder

    def _target(self, at: tuple[bytes, ...]) -> bytes | None:
        """Return where the link at a place without links points; None when it is no link."""
        place = self._place(at)
        if place.stat is None or place.stat.type is not Type.LINK:
            return None
        return self._reading.link(place.volume, place.path)

    def _behind_link(self, parts: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
        """Return the same path with the first link on the way replaced; None when there is none."""
        for length in range(1, len(parts) + 1):
            target = self._target(parts[:length])
            if target is not None:
                return _lead((() if target.startswith(b"/") else parts[: length - 1]),
                             (*target.split(b"/"), *parts[length:]))  # fmt: skip
        return None

    def _place(self, at: tuple[bytes, ...]) -> Place:
        volume, path = self._volume(at)
        return Place(_join(at), volume, path, self._stat(volume, path))

    def _volume(self, at: tuple[bytes, ...]) -> tuple[VolumeId, bytes]:
        for length in range(len(at), -1, -1):
            mount = self._mounts.get(at[:length])
            if mount is not None:
                return mount.volume, _join((*_parts(mount.subvolume), *at[length:]))
        msg = "a tree needs a mount at /"
        raise ValueError(msg)

    def _stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path without links; asked once, its folder first."""
        key = (volume, path)
        if key not in self._stats:
            above = self._stats.get((volume, path.rpartition(b"/")[0]), _UNKNOWN)
            is_there = above is not None  # nothing is in a folder that is not there
            self._stats[key] = self._reading.stat(volume, path) if is_there else None
        return self._stats[key]


def _parts(path: bytes) -> tuple[bytes, ...]:
    return tuple(part for part in path.split(b"/") if part not in (b"", b".", b".."))


def _lead(at: tuple[bytes, ...], parts: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return where a way leads from a folder, as if there were no links."""
    for part in parts:
        if part == b"..":
            at = at[:-1]
        elif part not in (b"", b"."):
            at = (*at, part)
    return at


def _join(parts: Sequence[bytes]) -> bytes:
    return b"/" + b"/".join(parts)
