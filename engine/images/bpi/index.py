"""The index of a `.bpi` file as columns: no Python object per frame.

    offset u64[n] │ length u64[n] │ pos u64[n] │ stored u32[n] │ kind u8[n] │ hash 16[n]

A full of 1 TiB has a million frames: 47 MB. Readers hold at most two segments at a time.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.images.bpi import layout
from engine.images.bpi.layout import ENTRIES, ENTRY, SEGMENT_HEAD, Entry, Span
from engine.images.bpi.problems import corrupt

_HELD = 2


@dataclass(frozen=True, slots=True)
class Columns:
    """The entries of one INDEX segment."""

    starts: Sequence[int]
    lengths: Sequence[int]
    positions: Sequence[int]
    stored: Sequence[int]
    kinds: memoryview
    digests: memoryview

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.kinds)

    def entry(self, at: int) -> Entry:
        """Return one entry as an object."""
        digest = bytes(self.digests[16 * at : 16 * at + 16])
        return Entry(
            self.starts[at], self.lengths[at], self.positions[at], self.stored[at], self.kinds[at],
            digest,
        )  # fmt: skip


def columns_of(segment: bytes) -> Columns:
    """Return the columns in a whole INDEX segment whose length fits its number of entries."""
    view = memoryview(segment)
    count = (len(segment) - SEGMENT_HEAD) // ENTRY
    at, found = SEGMENT_HEAD, []
    for width in (8, 8, 8, 4, 1, 16):
        found.append(view[at : at + width * count])
        at += width * count
    wide = [_numbers(part, "Q") for part in found[:3]]
    return Columns(wide[0], wide[1], wide[2], _numbers(found[3], "I"), found[4], found[5])


def _numbers(view: memoryview, code: str) -> Sequence[int]:
    if sys.byteorder == "little":
        return view.cast(code)  # type: ignore[call-overload, no-any-return]  # a format by name
    numbers = array(code, view.tobytes())
    numbers.byteswap()
    return numbers


class Index:
    """The INDEX segments of an open file, read when needed and shared by a reader's clones."""

    def __init__(
        self, path: str, hash_alg: int, spans: Sequence[Span], firsts: Sequence[int]
    ) -> None:
        """Take the checked table of INDEX segments.

        Args:
            firsts: Disk offset of the first frame of each segment.
        """
        self._path, self._hash_alg = path, hash_alg
        self._spans, self._firsts = spans, firsts
        self._held: OrderedDict[int, Columns] = OrderedDict()
        self._lock = threading.Lock()

    def segments(self, fd: int) -> Iterator[Columns]:
        """Yield all segments in order."""
        return (self._segment(fd, number) for number in range(len(self._spans)))

    def entries(self, fd: int) -> Iterator[Entry]:
        """Yield all entries in disk order."""
        return (columns.entry(at) for columns in self.segments(fd) for at in range(len(columns)))

    def find(self, fd: int, start: int, *, wait: bool = True) -> Entry | None:
        """Return the entry of the frame that starts at a disk offset; None when there is none.

        Raises:
            BlockingIOError: Not `wait`, and its segment is not held.
        """
        number = bisect_right(self._firsts, start) - 1
        if number < 0:
            return None
        columns = self._segment(fd, number) if wait else self._at_once(number)
        at = bisect_right(columns.starts, start) - 1
        return columns.entry(at) if at >= 0 and columns.starts[at] == start else None

    def release(self) -> None:
        """Let go of the memory; what is asked for later is read again."""
        with self._lock:
            self._held.clear()

    def _at_once(self, number: int) -> Columns:
        """Return a segment that is held; who has the lock may be waiting for the medium."""
        if not self._lock.acquire(blocking=False):
            raise BlockingIOError
        try:
            return self._held[number]
        except KeyError as error:
            raise BlockingIOError from error
        finally:
            self._lock.release()

    def _segment(self, fd: int, number: int) -> Columns:
        with self._lock:
            if number in self._held:
                self._held.move_to_end(number)
                return self._held[number]
            span = self._spans[number]
            data = os.pread(fd, span.length, span.pos)
            # The file may have changed since it was opened; the hash was checked then.
            if layout.h32(self._hash_alg, data) != span.hash:
                raise corrupt(self._path, f"segment {number} of its index changed while in use")
            self._held[number] = columns_of(data)
            if len(self._held) > _HELD:
                self._held.popitem(last=False)
            return self._held[number]


class IndexBuilder:
    """Collects entries; a full segment leaves memory at once, for `spill`."""

    def __init__(self) -> None:
        """Start empty."""
        self.frames = 0
        self._clear()

    def add(self, entry: Entry) -> bytes | None:
        """Take an entry; returns a whole segment when one is full."""
        for column, value in zip(self._wide, entry[:4], strict=True):
            column.append(value)
        self._kinds.append(entry.kind)
        self._digests += entry.digest
        self.frames += 1
        return self._segment() if len(self._kinds) == ENTRIES else None

    def rest(self) -> bytes | None:
        """Return the last segment; None when no entry is left for one."""
        return self._segment() if self._kinds else None

    def _segment(self) -> bytes:
        count = len(self._kinds)
        first = self.frames - count
        head = layout.pack_segment_head(layout.INDEX, first // ENTRIES, count, first, ENTRY * count)
        wide = [_little(column) for column in self._wide]
        segment = b"".join([head, *wide, self._kinds, self._digests])
        self._clear()
        return segment

    def _clear(self) -> None:
        self._wide = [array("Q"), array("Q"), array("Q"), array("I")]
        self._kinds, self._digests = bytearray(), bytearray()


def _little(column: array[int]) -> bytes:
    if sys.byteorder != "little":
        column.byteswap()
    return column.tobytes()
