"""Make what was written durable and read it back, while more is being written.

    written ──► flush, evict (a thread) ──► durable ──► read back + compare (the writers, in turn)

A medium that works from the first pieces on has little left to do at the end, and no step is so
long that a cancel has to wait for it.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from blake3 import blake3

from engine.local.parallel import run
from engine.model.errors import LayerError, Problem
from engine.model.extents import Piece
from engine.ports import BlockDevice, Cancel

DIGEST = 16
BATCH = 32 << 20
"""Bytes of the first flush: little enough that it takes no second on a slow medium."""
_MOST = 8 * BATCH
"""Bytes of one flush at most."""
_QUICK_S = 0.1
"""A flush that takes no longer is followed by one of twice as many bytes: all else waits for it."""
_AHEAD = 4
"""Batches that writers may be ahead of the medium: the bound of the last flush."""
AT_ONCE = 8
"""Pieces on their way at once: some are decoded or compared while others wait for the medium.

No more: of 1 MiB each, at 10 MB/s, they take the second within which a cancel must bite.
"""
_ASK_S = 0.5

Advance = Callable[[int], None]
"""Told how many more bytes are done; called from several threads."""


def digest_of(data: memoryview | bytes) -> bytes:
    """Return the BLAKE3-128 of `data`."""
    return blake3(data).digest(length=DIGEST)


class Buffers:
    """A buffer for each thread, at the start of a page: what direct I/O asks for."""

    def __init__(self) -> None:
        """Make none yet."""
        self._threads = threading.local()

    def get(self, length: int) -> memoryview:
        """Return `length` bytes of the calling thread's buffer; good until its next call."""
        own = getattr(self._threads, "own", None)
        if own is None or len(own) < length:
            own = self._threads.own = memoryview(mmap.mmap(-1, length))
        return own[:length]


class ReadBack:
    """What one image layer wrote to a device, on its way to being checked on the medium.

    `written` and `check_some` are for any thread. Leaving the `with` block without `finish` gives
    up: what is being flushed is waited for, nothing more is begun.
    """

    def __init__(
        self,
        device: BlockDevice,
        cancel: Cancel,
        buffers: Buffers,
        again: Callable[[Piece], None],
    ) -> None:
        """Begin with nothing written.

        Args:
            device: What is written to, and read back from.
            cancel: Asked for each piece.
            buffers: For what is read back.
            again: Called for a piece that is not on the medium as its digest says, before the
                medium is blamed: it raises when the source was wrong already.
        """
        self._device, self._cancel, self._buffers, self._again = device, cancel, buffers, again
        self._changed = threading.Condition()
        self._written: list[Piece] = []
        self._bytes, self._batch_bytes = 0, BATCH
        self._durable = deque[Piece]()
        self._failed: BaseException | None = None
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="flush", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._end()

    def compares(self, piece: Piece) -> bool:
        """Return whether a piece has a digest, and lies on the device whole."""
        return piece.digest is not None and piece.start + piece.length <= self._device.size

    def written(self, piece: Piece) -> None:
        """Take a piece over that was written; waits while the medium is far behind.

        Raises:
            OSError, LayerError, NoSpace: A flush failed.
            Cancelled: `cancel` fired.
        """
        with self._changed:
            self._written.append(piece)
            self._bytes += piece.length
            self._changed.notify_all()
            while self._bytes > _AHEAD * self._batch_bytes and self._failed is None:
                self._changed.wait(_ASK_S)
                self._cancel.check()
        if self._failed is not None:
            raise self._failed

    def check_some(self, most: int = 2) -> None:
        """Read back and compare pieces that are durable by now, at most so many."""
        for _ in range(most):
            try:
                piece = self._durable.popleft()
            except IndexError:
                return
            self._cancel.check()
            self._check(piece)

    def finish(self, advance: Advance) -> None:
        """Make everything durable that was written to the device, and compare what is left.

        Raises:
            LayerError: The medium returned other bytes than were written.
            OSError: The medium failed; the layer must be dropped.
            Cancelled: `cancel` fired.
        """
        self._end()
        if self._failed is not None:
            raise self._failed
        self._cancel.check()
        self._device.flush()
        self._device.evict()

        def check(piece: Piece) -> None:
            self._cancel.check()
            self._check(piece)
            advance(piece.length)

        left = [*self._durable, *self._written]
        run(left, check, cancel=self._cancel, workers=AT_ONCE, batch=2)

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        """Flush batch by batch. A failure is final: it is told to every writer."""
        try:
            while batch := self._batch():
                began = time.monotonic()
                self._device.flush()
                self._device.evict()
                is_quick = time.monotonic() - began <= _QUICK_S
                self._batch_bytes = min(2 * self._batch_bytes, _MOST) if is_quick else BATCH
                self._durable.extend(batch)
        except BaseException as error:  # noqa: BLE001 - raised again in a writer's thread
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _batch(self) -> list[Piece]:
        """Wait for a batch and take it; empty at the end."""
        with self._changed:
            while self._bytes < self._batch_bytes and not self._ending:
                self._changed.wait()
            if self._ending:
                return []
            batch, self._written, self._bytes = self._written, [], 0
            self._changed.notify_all()
        return batch

    def _check(self, piece: Piece) -> None:
        if not self.compares(piece):
            return
        view = self._buffers.get(piece.length)
        self._device.read(piece.start, view)
        if digest_of(view) != piece.digest:
            self._again(piece)
            raise LayerError(
                Problem(
                    "store.read-back",
                    f"The store returned other bytes than were written, at offset {piece.start}.",
                    "The layer is not used; earlier boot points are not touched.",
                    "Check the disk of the store and its log for errors; the work is tried again.",
                    {"offset": piece.start, "length": piece.length},
                )
            )
