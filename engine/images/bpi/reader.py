"""One disk of one `.bpi` file, piece by piece."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from engine.images.bpi import layout
from engine.images.bpi.frames import Frames
from engine.images.bpi.layout import Entry
from engine.images.bpi.opening import OpenedFile
from engine.local.whole import fill_zeros
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
        at = 0
        for piece in pieces:
            entry, part = self._entry(piece, wait=wait), into[at : at + piece.length]
            at += piece.length
            if entry.kind == layout.ZERO:
                fill_zeros(part)
            else:
                self._frames.read(entry, part, hashed=hashed, wait=wait)

    def plain(self, piece: Piece) -> memoryview:
        """Return what `read` fills in, in the reader's own memory: good until the next call."""
        entry = self._entry(piece)
        if entry.kind == layout.ZERO:
            return memoryview(bytes(entry.length))
        return self._frames.plain(entry)

    def _entry(self, piece: Piece, *, wait: bool = True) -> Entry:
        entry = self.opened.index.find(self._fd, piece.start, wait=wait)
        if entry is None or (entry.length, _KINDS[entry.kind]) != (piece.length, piece.kind):
            raise ValueError("not a piece of this reader")
        return entry

    def clone(self) -> BpiReader:
        """Return an independent reader of the same disk for another thread."""
        return BpiReader(self._fd, self.opened)

    def close(self) -> None:
        """Release the reader; repeatable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Readers:
    """A reader for each thread of a pipeline; all are released when the `with` block ends."""

    def __init__(self, fd: int, opened: OpenedFile) -> None:
        """Duplicate `fd`; the caller keeps its own."""
        self._first = BpiReader(fd, opened)
        self._opened: list[BpiReader] = [self._first]
        self._threads = threading.local()

    def pieces(self) -> Iterator[Piece]:
        """Yield the layer's units; for one thread."""
        return self._first.pieces()

    def plain(self, piece: Piece) -> memoryview:
        """Return the checked bytes of a piece; for any thread, and good until its next call."""
        if not hasattr(self._threads, "own"):
            self._threads.own = self._first.clone()
            self._opened.append(self._threads.own)
        return self._threads.own.plain(piece)  # type: ignore[no-any-return]  # a thread-local

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._opened:
            one.close()
