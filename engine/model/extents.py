"""Extents: the common currency between images, layers and jobs.

lower   DDDDDDDD....ZZZZ....        D data   Z zero   . as in the parent
upper   ....ZZDD..DD............
overlay DDDDZZDD..DDZZZZ....
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a range of a disk holds. A gap between extents means: as in the parent."""

    DATA = "data"
    ZERO = "zero"


class Extent(NamedTuple):
    """A byte range of a disk: `start` and `length` in bytes, length > 0."""

    start: int
    length: int
    kind: Kind

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.start + self.length


class Piece(NamedTuple):
    """One unit of an image layer that is read and checked at once.

    Attributes:
        start: Offset on the disk in bytes.
        length: Bytes on the disk; at most 4 MiB for DATA.
        kind: DATA or ZERO.
        digest: BLAKE3-128 of the bytes; zeros for ZERO. None where the image has no checksum, or
            one of another kind that `read` checks by itself.
    """

    start: int
    length: int
    kind: Kind
    digest: bytes | None


def join(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Yield sorted `extents` with neighbours of the same kind made one."""
    held: Extent | None = None
    for extent in extents:
        if held is not None and held.end == extent.start and held.kind is extent.kind:
            held = Extent(held.start, held.length + extent.length, held.kind)
            continue
        if held is not None:
            yield held
        held = extent
    if held is not None:
        yield held


def subtract(lower: Sequence[Extent], upper: Sequence[Extent]) -> Iterator[Extent]:
    """Yield the parts of `lower` that `upper` says nothing about. Both sorted, not overlapping."""
    at = 0
    for extent in lower:
        start = extent.start
        while at < len(upper) and upper[at].end <= start:
            at += 1
        index = at
        while start < extent.end:
            if index >= len(upper) or upper[index].start >= extent.end:
                yield Extent(start, extent.end - start, extent.kind)
                break
            if upper[index].start > start:
                yield Extent(start, upper[index].start - start, extent.kind)
            start = max(start, upper[index].end)
            index += 1


def overlay(upper: Sequence[Extent], lower: Sequence[Extent]) -> Iterator[Extent]:
    """Yield what a reader sees when `upper` lies on top of `lower`.

    Upper wins wherever it says anything; lower shows through its gaps.

    Args:
        upper: Extents of the newer layer, sorted by start, not overlapping.
        lower: Extents of the older layer, same rules.

    Yields:
        Sorted extents that do not overlap and cannot be joined further.
    """
    return join(sorted([*upper, *subtract(lower, upper)], key=lambda extent: extent.start))


def clip(extents: Iterable[Extent], size: int) -> Iterator[Extent]:
    """Yield `extents` without what lies at or past `size` bytes."""
    for extent in extents:
        if extent.start < size:
            yield Extent(extent.start, min(extent.length, size - extent.start), extent.kind)
