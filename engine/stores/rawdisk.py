"""Disks as flat files: whole reads and writes, holes, and which bytes two files share."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.local.durable import FULL, no_space
from engine.local.whole import punch
from engine.model.extents import Extent, Kind, join
from engine.stores.medium import BLOCK, Medium
from engine.stores.tree import check_range, refused

_FICLONE = 0x40049409
_FIEMAP = 0xC020660B
_FIEMAP_SYNC = 1
_MAP_HEAD = struct.Struct("=QQIIII")
_MAP_EXTENT = struct.Struct("=QQQ16xI12x")
_MAP_COUNT = 2048
_LAST, _NO_PLACE, _UNWRITTEN = 0x1, 0x2 | 0x4 | 0x80 | 0x100 | 0x200, 0x800
_OFD_GETLK = 36
_FLOCK = struct.Struct("@hhqqi")
_QEMU_LOCKS = (100, 200)


def clone(source: int, target: int) -> None:
    """Make `target` share all bytes of `source`; OSError where the file system cannot."""
    fcntl.ioctl(target, _FICLONE, source)


def open_in_hypervisor(path: Path) -> bool:
    """Tell whether a QEMU process has the file open (it holds locks from byte 100 on)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *_QEMU_LOCKS, 0)
        return bool(_FLOCK.unpack(fcntl.fcntl(fd, _OFD_GETLK, asked))[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)


class Mapped(NamedTuple):
    """Where a range of a file lies: `place` on the device, None where that is not known."""

    start: int
    length: int
    place: int | None


def mapped(fd: int, *, settle: bool) -> Iterator[Mapped]:
    """Yield the ranges of a file that hold data, sorted; holes are left out.

    Args:
        settle: Write cached bytes out first, so that every range has its place.
    """
    at, more = 0, True
    while more:
        request = bytearray(_MAP_HEAD.size + _MAP_COUNT * _MAP_EXTENT.size)
        flags = _FIEMAP_SYNC if settle else 0
        _MAP_HEAD.pack_into(request, 0, at, (1 << 63) - 1 - at, flags, 0, _MAP_COUNT, 0)
        fcntl.ioctl(fd, _FIEMAP, request, True)
        count = _MAP_HEAD.unpack_from(request)[3]
        more = count > 0
        for number in range(count):
            start, place, length, bits = _MAP_EXTENT.unpack_from(
                request, _MAP_HEAD.size + number * _MAP_EXTENT.size
            )
            at = start + length
            more = more and not bits & _LAST
            if not bits & _UNWRITTEN:
                yield Mapped(start, length, None if bits & _NO_PLACE else place)


def differing(upper: Iterator[Mapped], lower: Iterator[Mapped], size: int) -> Iterator[Extent]:
    """Yield where a file of `size` bytes does not share its bytes with the one below it."""
    return join(_cut(_compared(list(upper), list(lower)), size))


def _cut(extents: Iterator[Extent], size: int) -> Iterator[Extent]:
    for extent in extents:
        if extent.start < size:
            yield extent._replace(length=min(extent.length, size - extent.start))


def _compared(upper: list[Mapped], lower: list[Mapped]) -> Iterator[Extent]:
    if upper == lower and all(one.place is not None for one in upper):
        return
    edges = sorted(
        {edge for one in (*upper, *lower) for edge in (one.start, one.start + one.length)}
    )
    up = down = 0
    for start, end in itertools.pairwise(edges):
        while up < len(upper) and upper[up].start + upper[up].length <= start:
            up += 1
        while down < len(lower) and lower[down].start + lower[down].length <= start:
            down += 1
        above, below = _place(upper, up, start), _place(lower, down, start)
        if above is not None and (above != below or above < 0):
            yield Extent(start, end - start, Kind.DATA)
        elif above is None and below is not None:
            yield Extent(start, end - start, Kind.ZERO)


def _place(ranges: list[Mapped], index: int, at: int) -> int | None:
    """Return where the byte `at` lies; -1 where that is not known, None in a hole."""
    if index >= len(ranges) or ranges[index].start > at:
        return None
    place = ranges[index].place
    return -1 if place is None else place + at - ranges[index].start


class Breakable(Protocol):
    """A device that is of no use any more once a write failed."""

    broken: bool


class RawDevice:
    """A flat file as a block device."""

    block_size = BLOCK

    def __init__(self, path: Path, size: int, *, writable: bool) -> None:
        """Open the file; `size` is the disk's size in bytes."""
        self._medium = Medium(path, writable=writable)
        self._path, self._writable = path, writable
        self.size = size
        self.broken = False

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""
        check_range(self.size, offset, len(into))
        self._medium.read(into, offset)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        with self._changing(offset, len(data)):
            self._medium.write(data, offset)

    def zero(self, offset: int, length: int) -> None:
        """Make a range a hole."""
        if length:
            with self._changing(offset, length):
                punch(self._medium.fd, offset, length)

    def flush(self) -> None:
        """Make all writes durable; once it failed, it fails for ever."""
        if self._writable:
            with self._changing(0, 0):
                os.fsync(self._medium.fd)

    def evict(self) -> None:
        """Forget cached pages; from now on read past the cache where that can be."""
        self._medium.evict()

    def close(self) -> None:
        """Close the file."""
        self._medium.close()

    @contextlib.contextmanager
    def _changing(self, offset: int, length: int) -> Iterator[None]:
        with changing(self, self._path, writable=self._writable):
            check_range(self.size, offset, length)
            yield


@contextlib.contextmanager
def changing(device: Breakable, path: Path, *, writable: bool) -> Iterator[None]:
    """Guard a change of a device: sealed, broken and full are told apart; OSError breaks it.

    Args:
        path: The file behind it, in its layer's folder.
    """
    if not writable:
        raise refused("sealed", f"{path.parent.name} is sealed; sealed layers never change.")
    if device.broken:
        raise refused("broken", f"An earlier write to {path.parent.name} failed.", "Drop it.")
    try:
        yield
    except OSError as error:
        device.broken = True
        if error.errno in FULL:
            raise no_space(error, path) from error
        raise
