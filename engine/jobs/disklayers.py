"""What each recovery point of a path brings of one disk, wherever the disk was at that time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.jobs.copying import held
from engine.model.extents import Kind, Piece
from engine.model.images import PointDisk, RecoveryPoint
from engine.ports import DiskReader, PointReader


@dataclass(frozen=True, slots=True)
class DiskLayer:
    """What one recovery point brings of one disk."""

    point: RecoveryPoint
    disk: PointDisk
    reader: DiskReader

    @property
    def size(self) -> int:
        """Bytes of the disk at that point."""
        return self.disk.part.size

    def pieces(self, size: int) -> Iterator[Piece]:
        """Yield what it says of a disk of `size` bytes; zeros where the disk was shorter then."""
        yield from held(self.reader, min(self.size, size))
        if self.size < size:
            yield Piece(self.size, size - self.size, Kind.ZERO, bytes(16))


def place_of(uuid: str, number: int, known: Sequence[str]) -> int | None:
    """Return where a disk is among others: by its identity, by its place where it has none."""
    if uuid and uuid in known:
        return known.index(uuid)
    return number if number < len(known) and not known[number] else None


def disk_layers(
    path: Sequence[RecoveryPoint], readers: Sequence[PointReader], uuid: str, number: int
) -> list[DiskLayer]:
    """Return the image layers of one disk, oldest first, wherever it was in each point.

    A base hides all that is older.

    Args:
        path: Recovery points, oldest first.
        readers: One of each.
        uuid: Of the disk.
        number: Its place in the last of them.
    """
    found: list[DiskLayer] = []
    for reader, one in zip(reversed(readers), reversed(path), strict=True):
        place = place_of(uuid, number, [disk.part.uuid for disk in one.disks])
        if place is None or (found and found[0].disk.part.base):
            break
        found.insert(0, DiskLayer(one, one.disks[place], reader.disks[place]))
        number = place
    return found
