"""Image files: their formats, and the recovery points made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from engine.model.extents import Piece
from engine.model.images import ImagePart, RecoveryPoint
from engine.ports.work import NEVER, Cancel


class ImageFormat(Protocol):
    """One format of image files. Parsing raises only `FormatError` or `OSError`."""

    name: str
    quiet_s: float
    """Seconds a file must be unchanged before it counts as settled (30 with, 600 without an end
    mark)."""

    def recognises(self, name: str, head: bytes) -> bool:
        """Tell whether a file of this name with these first 4096 bytes is of this format."""

    def describe(self, fd: int, path: str) -> ImagePart:
        """Read header, end mark and index structure of an open file, never its payload.

        Raises:
            FormatError: Not complete or not valid; its `problem.key` is `image.truncated`,
                `image.damaged` or `image.unsupported`.
        """

    def open_disk(self, fd: int, path: str) -> DiskReader:
        """Return a reader of the disk in an open file; the reader owns a duplicate of `fd`."""


class DiskReader(Protocol):
    """One disk of one recovery point: this layer only. For one thread; `clone()` makes more."""

    size: int

    def pieces(self) -> Iterator[Piece]:
        """Yield the layer's units, sorted by start. Gaps: as in the parent."""

    def read(
        self, pieces: Sequence[Piece], into: memoryview, *, hashed: bool = True, wait: bool = True
    ) -> None:
        """Fill `into` with the checked bytes of pieces, one after another.

        Args:
            pieces: Some that `pieces` told.
            into: Where the bytes go; as long as all of them.
            hashed: Compare them with their digests; not where the caller does so later.
            wait: Wait for the medium; else only what the system has in memory is read.

        Raises:
            ImageCorrupt: The stored bytes do not match the image's own checksum.
            OSError: The medium failed.
            BlockingIOError: Not `wait`, and the medium would have to be asked.
        """

    def clone(self) -> DiskReader:
        """Return an independent reader of the same disk for another thread."""

    def close(self) -> None:
        """Release the reader; repeatable."""


class PointReader(Protocol):
    """All disks of one recovery point, opened once; works on descriptors only."""

    disks: Sequence[DiskReader]

    def unchanged(self) -> None:
        """Raise `SourceChanged` if a file is not the one that was opened any more."""


class ImageSource(Protocol):
    """Opens recovery points for jobs."""

    def open(
        self, point: RecoveryPoint, cancel: Cancel = NEVER
    ) -> AbstractContextManager[PointReader]:
        """Open all files of a COMPLETE point below its watched root.

        Args:
            point: The point.
            cancel: Asked while the folder does not answer, now and in all that is read later.

        Raises:
            SourceMissing: Folder offline or a file is gone.
            SourceChanged: A file is not the one the scan saw.
            FormatError: A file does not parse any more.
            SourceSilent, Cancelled: The folder does not answer; reading may raise them, too.
        """
