"""One disk of one `.bpi` file, piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterator

from engine.images.bpi import layout
from engine.images.bpi.frames import Frames
from engine.images.bpi.opening import OpenedFile
from engine.model.extents import Kind, Piece

_KINDS = {layout.DATA: Kind.DATA, layout.ZERO: Kind.ZERO}


class BpiReader:
    """A `DiskReader` over an opened file that is not encrypted; owns a duplicate of `fd`."""

    def __init__(self, fd: int, opened: OpenedFile) -> None:
        """Duplicate `fd`; the caller keeps its own."""
        self.opened = opened
        self.size = opened.header.disk_size
        self._fd = os.dup(fd)
        self._frames = Frames(self._fd, opened.path, opened.header.hash_alg)

    def pieces(self) -> Iterator[Piece]:
        """Yield the layer's units, sorted by start. Gaps: as in the parent."""
        checked = self.opened.header.hash_alg == layout.BLAKE3
        for start, length, _pos, _stored, kind, digest in self.opened.index.entries(self._fd):
            known = checked or kind == layout.ZERO
            yield Piece(start, length, _KINDS[kind], digest if known else None)

    def read(self, piece: Piece, into: memoryview) -> None:
        """Fill `into` (of the piece's length) with checked bytes.

        Raises:
            ImageCorrupt: The stored bytes do not match the image's own checksum.
            OSError: The medium failed.
        """
        entry = self.opened.index.find(self._fd, piece.start)
        if entry is None or (entry.length, _KINDS[entry.kind]) != (piece.length, piece.kind):
            raise ValueError("not a piece of this reader")
        if entry.kind == layout.ZERO:
            into[:] = bytes(entry.length)
        else:
            into[:] = self._frames.plain(entry)

    def clone(self) -> BpiReader:
        """Return an independent reader of the same disk for another thread."""
        return BpiReader(self._fd, self.opened)

    def close(self) -> None:
        """Release the reader; repeatable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
