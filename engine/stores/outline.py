"""Disks whose bytes are elsewhere: only where a layer was written to is kept here.

    seed/disk-0.outline    DATA 0+70000, DATA 500000+200000
    day1/disk-0.outline    DATA 1000+200000, ZERO 700000+4096

The bytes lie in the snapshots of a VM on a host. The layer's place, its seal, hashes and notes lie
beside the outline, as in every store.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.local import durable
from engine.local.whole import fill_zeros
from engine.model.extents import Extent, Kind, clip, overlay, subtract
from engine.model.layers import Gain, LayerName
from engine.ports import Cancel, Copied
from engine.stores.diskkind import DiskTree, FoldedDisk
from engine.stores.layerfolders import Stack
from engine.stores.rawdisk import changing
from engine.stores.tree import check_range

_MAGIC_DONE, _MAGIC_OPEN = b"outline1", b"outline?"
_EXTENT = struct.Struct("<QQB")
_KINDS = (Kind.DATA, Kind.ZERO)
_LIMIT = 1 << 30
_MANY = 4096


class Outline:
    """A disk of a layer as the list of what was written to it."""

    format = "outline"
    folds_files = False

    def __init__(self, deepest: int | None) -> None:
        """Know how many layers may lie on one another where the bytes are."""
        self.deepest = deepest

    def make(self, path: Path, size: int, below: Stack) -> None:  # noqa: ARG002 - the protocol's
        """Write an empty list, durably."""
        _write(path, [])

    @contextlib.contextmanager
    def open(self, stack: Stack, size: int, *, writable: bool) -> Iterator[OutlineDevice]:
        """Open the list; until it is closed again the disk counts as written all over."""
        device = OutlineDevice(stack[0], size, writable=writable)
        try:
            yield device
        finally:
            device.close()

    def changed(self, stack: Stack, size: int) -> Iterator[Extent]:
        """Yield what was written to the layer."""
        return clip(_read(stack[0], size), size)

    def used(self, stack: Stack, size: int) -> int:
        """Return the bytes of data that were written to the layer."""
        return _bytes(_read(stack[0], size))

    def check(self, stack: Stack, *, loose: bool) -> None:
        """Do nothing: a list refers to nothing."""

    def fold(self, disk: FoldedDisk, cancel: Cancel, copied: Copied) -> None:
        """Let the children's lists hold what this one held; repeatable."""
        if not disk.file.exists():
            return
        below = _read(disk.file, _LIMIT << 20)
        for file in disk.above:
            cancel.check()
            mine = _read(file, _LIMIT << 20)
            _write(file, list(overlay(mine, below)))
            copied(_bytes(subtract(below, mine)))

    def gain(self, disk: DiskTree, gone: Sequence[LayerName]) -> Gain:
        """Return what dropping frees, and what folding merges; a host frees it when it likes."""
        parents, back, merged = dict(disk.parents), 0, 0
        lists = {name: _read(file, _LIMIT << 20) for name, file in disk.files.items()}
        for name in gone:
            mine = lists.pop(name, [])
            above = [one for one, parent in parents.items() if parent == name and one in lists]
            back += _bytes(mine)
            for one in above:
                left = list(subtract(mine, lists[one]))
                merged += _bytes(left)
                back -= _bytes(left)
                lists[one] = list(overlay(lists[one], mine))
                parents[one] = parents.get(name)
        return Gain(max(back, 0), merged, exact=False)


class OutlineDevice:
    """Remembers where was written, and nothing of what."""

    block_size = 4096

    def __init__(self, path: Path, size: int, *, writable: bool) -> None:
        """Take up the list; `size` is the disk's size in bytes."""
        self._path, self._writable, self.size = path, writable, size
        self.broken = False
        self._lock = threading.Lock()
        self._new: list[Extent] = []
        self._known = _read(path, size)
        if writable:
            _write(path, self._known, is_open=True)

    def read(self, offset: int, into: memoryview) -> None:
        """Refuse a range outside of the disk; what is in it is not known here: zeros."""
        check_range(self.size, offset, len(into))
        fill_zeros(into)

    def write(self, offset: int, data: memoryview) -> None:
        """Remember that this range has data of its own."""
        self._remember(offset, len(data), Kind.DATA)

    def zero(self, offset: int, length: int) -> None:
        """Remember that this range is zeros."""
        self._remember(offset, length, Kind.ZERO)

    def whole(self) -> None:
        """Remember that others may have written anywhere."""
        self._remember(0, self.size, Kind.DATA)

    def _remember(self, offset: int, length: int, kind: Kind) -> None:
        with changing(self, self._path, writable=self._writable):
            check_range(self.size, offset, length)
            if not length:
                return
            with self._lock:
                self._new.append(Extent(offset, length, kind))
                if len(self._new) >= _MANY:
                    self._settle()

    def _settle(self) -> None:
        self._known = list(overlay(_later_wins(self._new), self._known))
        self._new = []

    def flush(self) -> None:
        """Refuse on a sealed layer or a broken device; the list is written at the end."""
        if self._writable:
            with changing(self, self._path, writable=True):
                pass

    def evict(self) -> None:
        """Do nothing: nothing is cached."""

    def close(self) -> None:
        """Write the list, durably."""
        if self._writable and not self.broken:
            self._settle()
            _write(self._path, self._known)


def _later_wins(extents: Sequence[Extent]) -> Sequence[Extent]:
    """Return ranges in the order in which they were written as one sorted list."""
    if len(extents) < 2:
        return extents
    half = len(extents) // 2
    return list(overlay(_later_wins(extents[half:]), _later_wins(extents[:half])))


def _bytes(extents: Sequence[Extent] | Iterator[Extent]) -> int:
    return sum(one.length for one in extents if one.kind is Kind.DATA)


def _write(path: Path, extents: Sequence[Extent], *, is_open: bool = False) -> None:
    told = _MAGIC_OPEN if is_open else _MAGIC_DONE
    packed = b"".join(_EXTENT.pack(one[0], one[1], _KINDS.index(one[2])) for one in extents)
    try:
        with durable.open_folder(path.parent) as folder:
            durable.durable_replace(folder, path.name, told + packed)
    except OSError as error:
        if error.errno in durable.FULL:
            raise durable.no_space(error, path) from error
        raise


def _read(path: Path, size: int) -> list[Extent]:
    """Return the list; the whole disk when it was not closed, or is damaged."""
    everything = [Extent(0, size, Kind.DATA)] if size else []
    try:
        told = durable.read_bounded(path, _LIMIT)
        if not told.startswith(_MAGIC_DONE):
            return everything
        packed = told[len(_MAGIC_DONE) :]
        return [Extent(at, n, _KINDS[kind]) for at, n, kind in _EXTENT.iter_unpack(packed)]
    except (OSError, ValueError, IndexError, struct.error):
        return everything
