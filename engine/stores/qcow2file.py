"""One qcow2 file: what it says about each cluster, and new clusters appended at its end.

    header | refcounts | L1 ──► L2 ──► data clusters of 64 KiB          new ones go here ►

    L2 entry   0             not here: look in the file below
               1             zeros
               place | COPIED data at `place`

A subset of version 3: files made by `qemu-img create` with default options, also after QEMU or
qemu-img wrote to them. Anything else (compression, encryption, data files, internal snapshots,
extended entries) is refused. The writer exists because a server process between us and the file
cost six times the processor time of the writes themselves.

Source: QEMU, docs/interop/qcow2.rst.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.local.whole import read_all, write_all
from engine.model.errors import LayerError, Problem
from engine.model.extents import Extent, Kind, join
from engine.model.text import safe
from engine.stores.medium import Medium

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ENTRIES = CLUSTER // 8
SPAN = CLUSTER * ENTRIES
"""Bytes of the disk that one L2 table covers."""
HERE_NOT, ZERO = 0, 1
"""What a range is when it is no place in the file."""

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_FORMAT_EXTENSION = 0xE2792ACA
_PLACE = 0x00FFFFFFFFFFFE00
_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_DIRTY = 1
_COUNTED = CLUSTER // 2
"""Clusters that one refcount block of 16-bit counts covers."""
_NAME_LIMIT = 1023
_L1_LIMIT = 1 << 20
_REFCOUNT_LIMIT = 1 << 10
_FAR = 1 << 56
_CACHED = 32
"""L2 tables held in memory: 2 MiB for 16 GiB of disk."""


@dataclass(frozen=True, slots=True)
class Header:
    """What matters of a qcow2 header; `size` in bytes, offsets from the start of the file."""

    size: int
    backing: str
    backing_format: str
    l1_entries: int
    l1_place: int
    refcount_place: int
    refcount_clusters: int
    autoclear: int


def read_header(path: Path) -> Header:
    """Read and check a file's header.

    Raises:
        LayerError: It is damaged, or uses what this program never asks for.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _parse(_pread(fd, 0, CLUSTER), path)
    finally:
        os.close(fd)


def _parse(head: bytes, path: Path) -> Header:
    (
        magic, version, name_at, name_length, bits, size, crypt, l1_entries, l1_place,
        refcount_place, refcount_clusters, snapshots, _, incompatible, _, autoclear, order, length,
    ) = _HEADER.unpack_from(head)  # fmt: skip
    wanted = (_MAGIC, 3, CLUSTER_BITS, 0, 0, 0, 4)
    if (magic, version, bits, crypt, snapshots, incompatible & ~_DIRTY, order) != wanted:
        raise _odd(path, "it uses features that this program never asks for")
    if name_length > _NAME_LIMIT or name_at + name_length > len(head) or length > len(head):
        raise _odd(path, "its header points outside the header")
    if not -(-size // SPAN) <= l1_entries <= _L1_LIMIT or refcount_clusters > _REFCOUNT_LIMIT:
        raise _odd(path, "its tables do not fit its size")
    if any(not CLUSTER <= place < _FAR or place % CLUSTER for place in (l1_place, refcount_place)):
        raise _odd(path, "its tables do not lie in the file")
    name = head[name_at : name_at + name_length] if name_at else b""
    return Header(
        size,
        os.fsdecode(name),
        _backing_format(head, length),
        l1_entries,
        l1_place,
        refcount_place,
        refcount_clusters,
        autoclear,
    )


def _backing_format(head: bytes, at: int) -> str:
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if kind == _FORMAT_EXTENSION:
            return head[at + 8 : at + 8 + length].decode("ascii", "replace")
        if kind == 0:
            break
        at += 8 + (length + 7 & ~7)
    return ""


class Qcow2File:
    """An open qcow2 file without the files below it. Thread-safe."""

    def __init__(self, path: Path, *, writable: bool, careful: bool = False) -> None:
        """Open the file and read its L1 table.

        Args:
            careful: Order all writes, so that a power cut at any moment leaves a whole file.
                Not needed while a layer is unsealed: then it is made again.
        """
        self.path, self._careful = path, careful
        self.medium = Medium(path, writable=writable)
        self.fd = self.medium.fd
        try:
            self.header = _parse(_pread(self.fd, 0, CLUSTER), path)
            if writable and self.header.autoclear:
                raise _odd(path, "it carries features that writing would invalidate")
            self._lock = threading.RLock()
            self._l1 = self._load(self.header.l1_place, self.header.l1_entries)
            self._tables: OrderedDict[int, array[int]] = OrderedDict()
            self._changed: set[int] = set()
            self._end = _up(os.fstat(self.fd).st_size)
            self._counted = 0
            self._stale = False
            self._kept = self._end
        except BaseException:
            self.medium.close()
            raise
        self.size = self.header.size

    # --- looking ---------------------------------------------------------------------------

    def runs(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Return what a range is, in order: (bytes, HERE_NOT or ZERO or place in the file)."""
        found: list[tuple[int, int]] = []
        end = offset + length
        with self._lock:
            while offset < end:
                table = self._table(offset // SPAN)
                if table is None:
                    step, place = SPAN - offset % SPAN, HERE_NOT
                else:
                    inside = offset % CLUSTER
                    step = CLUSTER - inside
                    place = self._place(table[offset % SPAN >> CLUSTER_BITS], inside)
                step = min(step, end - offset)
                _append(found, step, place)
                offset += step
        return found

    def absent(self, index: int) -> bool:
        """Tell whether the file holds nothing at all in the range of one L2 table."""
        stored = index < len(self._l1) and self._l1[index] & _PLACE
        return not stored and index not in self._changed

    def extents(self) -> Iterator[Extent]:
        """Yield what the file holds itself."""
        return join(self._extents())

    def _extents(self) -> Iterator[Extent]:
        for start in range(0, self.size, SPAN):
            if self.absent(start // SPAN):
                continue
            for length, place in self.runs(start, min(SPAN, self.size - start)):
                if place != HERE_NOT:
                    yield Extent(start, length, Kind.ZERO if place == ZERO else Kind.DATA)
                start += length

    def _place(self, entry: int, inside: int) -> int:
        if entry & _COMPRESSED:
            raise _odd(self.path, "it holds compressed clusters")
        if entry & ZERO:
            return ZERO
        return entry & _PLACE and (entry & _PLACE) + inside

    def _table(self, index: int) -> array[int] | None:
        """Return an L2 table; None when there is none."""
        if index in self._tables:
            self._tables.move_to_end(index)
            return self._tables[index]
        place = self._l1[index] & _PLACE if index < len(self._l1) else 0
        return self._keep(index, self._load(place, ENTRIES)) if place else None

    def _keep(self, index: int, table: array[int]) -> array[int]:
        self._tables[index] = table
        while len(self._tables) > _CACHED:
            old = next(iter(self._tables))
            if old in self._changed:
                self._evict(old)
            del self._tables[old]
        return table

    def _load(self, place: int, entries: int) -> array[int]:
        return _native(_pread(self.fd, place, entries * 8))

    # --- changing --------------------------------------------------------------------------

    def place(self, first: int, count: int) -> list[tuple[int, int]]:
        """Give clusters their place in the file, new ones at its end.

        Their old content is gone: the caller writes all of them.

        Args:
            first: Number of the first cluster on the disk.

        Returns:
            In order: (bytes, place in the file).
        """
        found: list[tuple[int, int]] = []
        with self._lock:
            for cluster in range(first, first + count):
                table = self._changeable(cluster // ENTRIES)
                slot = cluster % ENTRIES
                place = table[slot] & _PLACE or self._append_cluster()
                table[slot] = place | _COPIED
                _append(found, CLUSTER, place)
        return found

    def clear(self, first: int, count: int, *, bare: bool) -> None:
        """Make whole clusters read as zeros.

        Args:
            bare: Nothing lies below here, so a cluster that is not in the file is zeros already.
        """
        with self._lock:
            while count:
                index, slot = divmod(first, ENTRIES)
                step = min(count, ENTRIES - slot)
                self._clear(index, slot, step, bare=bare)
                first, count = first + step, count - step

    def _clear(self, index: int, slot: int, count: int, *, bare: bool) -> None:
        if bare and self.absent(index):
            return
        table = self._changeable(index)
        for at in range(slot, slot + count):
            if table[at] or not bare:
                table[at] |= ZERO

    def _changeable(self, index: int) -> array[int]:
        table = self._table(index)
        if table is None:
            table = self._keep(index, array("Q", bytes(CLUSTER)))
        self._changed.add(index)
        self._stale = True
        return table

    def _append_cluster(self) -> int:
        place, self._end = self._end, self._end + CLUSTER
        return place

    # --- storing ---------------------------------------------------------------------------

    def store(self) -> None:
        """Write changed tables out; durable only after `os.fsync` of `fd`, unless careful.

        Counts before references, clusters before what points at them: whatever a power cut
        leaves out, nothing refers to bytes that are not there.
        """
        with self._lock:
            if not self._stale:
                return
            for index in self._changed:
                self._give_place(index)
            self._kept = self._end
            self._store_refcounts()
            self._barrier()
            for index in sorted(self._changed):
                self._store_table(index)
            self._barrier()
            write_all(self.fd, _foreign(self._l1), self.header.l1_place)
            if os.fstat(self.fd).st_size < self._end:
                os.ftruncate(self.fd, self._end)
            self._barrier()
            self._stale, self._kept = False, self._end

    def abandon(self) -> None:
        """Give back the room of clusters added since `store` began last, before `close`."""
        os.ftruncate(self.fd, self._kept)

    def _barrier(self) -> None:
        if self._careful:
            os.fsync(self.fd)

    def forget(self) -> None:
        """Forget tables that are stored, so that the next look comes from the file."""
        with self._lock:
            for index in [one for one in self._tables if one not in self._changed]:
                del self._tables[index]
            if not self._changed:
                self._l1 = self._load(self.header.l1_place, self.header.l1_entries)

    def close(self) -> None:
        """Close the file; nothing is stored."""
        self.medium.close()

    def _evict(self, index: int) -> None:
        if self._careful:
            self.store()
        else:
            self._give_place(index)
            self._store_table(index)

    def _give_place(self, index: int) -> None:
        self._l1[index] = (self._l1[index] & _PLACE or self._append_cluster()) | _COPIED

    def _store_table(self, index: int) -> None:
        write_all(self.fd, _foreign(self._tables[index]), self._l1[index] & _PLACE)
        self._changed.discard(index)

    def _store_refcounts(self) -> None:
        """Count every cluster of the file once: what an interruption lost is a leak at worst."""
        blocks = self._load(self.header.refcount_place, self.header.refcount_clusters * ENTRIES)
        while missing := [n for n in range(-(-self._clusters() // _COUNTED)) if not blocks[n]]:
            for number in missing:
                blocks[number] = self._append_cluster()
        needed = -(-self._clusters() // _COUNTED)
        for number in range(self._counted, needed):
            used = min(_COUNTED, self._clusters() - number * _COUNTED)
            counts = b"\x00\x01" * used + bytes(2 * (_COUNTED - used))
            write_all(self.fd, memoryview(counts), blocks[number])
        write_all(self.fd, _foreign(blocks), self.header.refcount_place)
        self._counted = needed - 1

    def _clusters(self) -> int:
        if self._end > self.header.refcount_clusters * ENTRIES * _COUNTED * CLUSTER:
            raise _odd(self.path, "it grew beyond what its refcount table can count")
        return self._end // CLUSTER


def _append(found: list[tuple[int, int]], length: int, place: int) -> None:
    """Add a run, joined with the last one where they continue each other."""
    if found:
        before, start = found[-1]
        if place == start if place <= ZERO else place == start + before and start > ZERO:
            found[-1] = (before + length, start)
            return
    found.append((length, place))


def _pread(fd: int, offset: int, length: int) -> bytes:
    data = bytearray(length)
    read_all(fd, memoryview(data), offset)
    return bytes(data)


def _native(data: bytes) -> array[int]:
    table = array("Q", data)
    if sys.byteorder == "little":
        table.byteswap()
    return table


def _foreign(table: array[int]) -> memoryview:
    copy = array("Q", table)
    if sys.byteorder == "little":
        copy.byteswap()
    return memoryview(copy).cast("B")


def _up(size: int) -> int:
    return -(-size // CLUSTER) * CLUSTER


def _odd(path: Path, why: str) -> LayerError:
    return LayerError(
        Problem(
            "layer.damaged",
            f"The disk {safe(path.name)} of {safe(path.parent.name)} cannot be used: {why}.",
            "It was not changed.",
            "Check the file system of the store; the layer is made again from its image files.",
            {"file": safe(str(path))},
        )
    )
