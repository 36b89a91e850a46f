"""The hash map `<disk uuid>-<point uuid>.bph`: what every granule of a disk was at a point.

    header 4096 │ H16 per granule (zeros: a granule of zeros) │ H32 of all before

256 MiB per TiB at 64 KiB; read and written through the file, never held in memory.

Source: FORMATS.md 6.1.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from uuid import UUID

from engine.images.bpi import layout

_HEADER = struct.Struct("<8sIB3xQQ16s16s32s")
_START = 4096
_STEP = 1 << 20
ZERO_RUN = bytes(_STEP)


@dataclass(frozen=True, slots=True)
class MapOf:
    """What a hash map says it is the map of."""

    set: UUID
    point: UUID
    root: bytes
    disk_size: int
    granularity: int = layout.GRANULARITY

    @property
    def granules(self) -> int:
        """Number of granules; the last one may be shorter."""
        return -(-self.disk_size // self.granularity)


def map_name(disk: UUID, point: UUID) -> str:
    """Return the file name of a hash map."""
    return f"{disk}-{point}.bph"


class HashMap:
    """A finished hash map; any thread may read it. `close` releases it."""

    def __init__(self, fd: int, what: MapOf) -> None:
        """Own `fd`."""
        self._fd, self.what = fd, what

    def digests(self, start: int, count: int) -> bytes:
        """Return the H16 of `count` granules from disk offset `start`."""
        return os.pread(self._fd, 16 * count, _START + start // self.what.granularity * 16)

    def close(self) -> None:
        """Release the file; repeatable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_map(path: str, point: UUID, root: bytes) -> HashMap | None:
    """Open the map of a disk at a point; None when it is missing, damaged or another one's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    what = _judge(fd)
    if what is None or (what.point, what.root) != (point, root):
        os.close(fd)
        return None
    return HashMap(fd, what)


def _judge(fd: int) -> MapOf | None:
    size, head = os.fstat(fd).st_size, os.pread(fd, _START, 0)
    if len(head) < _START or size < _START + 32:
        return None
    magic, version, alg, grain, disk, set_, point, root = _HEADER.unpack_from(head)
    if (magic, version, alg, grain) != (b"BPH-HASH", 1, layout.BLAKE3, layout.GRANULARITY):
        return None
    what = MapOf(UUID(bytes=set_), UUID(bytes=point), root, disk, grain)
    if size != _START + 16 * what.granules + 32:
        return None
    return what if _hash(fd, size - 32) == os.pread(fd, 32, size - 32) else None


def _hash(fd: int, size: int) -> bytes:
    hasher = layout.hash_for(layout.BLAKE3)
    for at in range(0, size, _STEP):
        hasher.update(os.pread(fd, min(_STEP, size - at), at))
    return hasher.digest()


class MapDraft:
    """A hash map in the making, on an open, empty file that stays the caller's.

    All granules start as zeros; any thread may write.
    """

    def __init__(self, fd: int, disk_size: int) -> None:
        """Make the file as long as it will be; what is not written takes no room."""
        self._fd, self.disk_size = fd, disk_size
        self._granules = -(-disk_size // layout.GRANULARITY)
        os.ftruncate(fd, _START + 16 * self._granules)

    def write(self, start: int, digests: bytes) -> None:
        """Set the H16 of granules from disk offset `start`."""
        _write_at(self._fd, digests, _START + start // layout.GRANULARITY * 16)

    def finish(self, set_id: UUID, point: UUID, root: bytes) -> None:
        """Write header and checksum; the caller makes the file durable."""
        head = _HEADER.pack(
            b"BPH-HASH", 1, layout.BLAKE3, layout.GRANULARITY, self.disk_size,
            set_id.bytes, point.bytes, root,
        )  # fmt: skip
        _write_at(self._fd, head.ljust(_START, b"\0"), 0)
        end = _START + 16 * self._granules
        _write_at(self._fd, _hash(self._fd, end), end)


def _write_at(fd: int, data: bytes, pos: int) -> None:
    while data:
        written = os.pwrite(fd, data, pos)
        data, pos = data[written:], pos + written


def digests_of(data: memoryview) -> bytes:
    """Return the H16 of each granule in `data`, which starts at a granule's start."""
    return b"".join(
        digest_of(data[at : at + layout.GRANULARITY])
        for at in range(0, len(data), layout.GRANULARITY)
    )


def digest_of(granule: memoryview) -> bytes:
    """Return the H16 of one granule; zeros for a granule of zeros."""
    if ZERO_RUN.startswith(granule):
        return layout.NO_DIGEST
    return layout.h16(layout.BLAKE3, granule)
