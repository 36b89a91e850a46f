"""Make what was written durable and read it back, while more is being written.

    written ──► flush, evict (a thread) ──► durable ──► read back + compare (the writers, in turn)

A medium that works from the first pieces on has little left to do at the end, and no step is so
long that a cancel has to wait for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from blake3 import blake3

from engine.jobs.loads import Buffers, Load, runs
from engine.local.parallel import run
from engine.model.errors import LayerError, Problem
from engine.model.extents import Piece
from engine.ports import BlockDevice, Cancel

DIGEST = 16
BATCH = 4 << 20
"""Bytes of the first flush, and of any at least: it tells how quick the medium is."""
_MOST = 256 << 20
"""Bytes of one flush at most."""
_FLUSH_S = 0.5
"""What a flush may take. A cancel waits for it; and the rarer they are the better: on some media
all else waits, too (256 MiB on a loop device: 0.20 s with two flushes, 0.23 s with five)."""
_AHEAD = 4
"""Batches that writers may be ahead of the medium: the bound of the last flush."""
AT_ONCE = 4
"""Loads on their way at once: some are decoded or compared while others wait for the medium.

No more: of 2 MiB each, at 10 MB/s, they take the second within which a cancel must bite.
"""
_ASK_S = 0.5

Advance = Callable[[int], None]
"""Told how many more bytes are done; called from several threads."""


def digest_of(data: memoryview | bytes) -> bytes:
    """Return the BLAKE3-128 of `data`."""
    return blake3(data).digest(length=DIGEST)


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
        self._written: list[Load] = []
        self._bytes, self._batch_bytes = 0, BATCH
        self._durable = deque[Load]()
        self._failed: BaseException | None = None
        self._is_whole = self._is_given_up = self._is_flushed = False
        self._thread = threading.Thread(target=self._work, name="flush", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_given_up = True
            self._changed.notify_all()
        self._thread.join()

    def written(self, load: Load) -> None:
        """Take a load over that was written; waits while the medium is far behind.

        Raises:
            OSError, LayerError, NoSpace: A flush failed.
            Cancelled: `cancel` fired.
        """
        with self._changed:
            self._written.append(load)
            self._bytes += load.length
            self._changed.notify_all()
            while self._bytes > _AHEAD * self._batch_bytes and self._failed is None:
                self._changed.wait(_ASK_S)
                self._cancel.check()
        if self._failed is not None:
            raise self._failed

    def check_some(self, most: int = 2) -> None:
        """Read back and compare loads that are durable by now, at most so many."""
        for _ in range(most):
            try:
                load = self._durable.popleft()
            except IndexError:
                return
            self._cancel.check()
            self._check(load)

    def finish(self, advance: Advance) -> None:
        """Make everything durable that was written to the device, and compare what is left.

        Raises:
            LayerError: The medium returned other bytes than were written.
            OSError: The medium failed; the layer must be dropped.
            Cancelled: `cancel` fired.
        """

        def check(load: Load) -> None:
            self._cancel.check()
            self._check(load)
            advance(load.length)

        with self._changed:
            self._is_whole = True
            self._changed.notify_all()
        run(self._left(), check, cancel=self._cancel, workers=AT_ONCE)

    def _left(self) -> Iterator[Load]:
        """Yield what is not compared yet, each load once it is durable; wait for the last flush."""
        while True:
            with self._changed:
                while not self._durable and not self._is_flushed and self._failed is None:
                    self._changed.wait(_ASK_S)
                    self._cancel.check()
                if self._failed is not None:
                    raise self._failed
                if not self._durable:
                    return
                load = self._durable.popleft()
            yield load

    def _work(self) -> None:
        """Flush batch by batch, at the end once more. A failure is final: it is told to all."""
        is_last = False
        try:
            while not is_last:
                batch, is_last = self._batch()
                if self._is_given_up:
                    return
                began = time.monotonic()
                self._device.flush()
                self._device.evict()
                took = time.monotonic() - began
                self._batch_bytes = _next_batch(sum(load.length for load in batch), took)
                with self._changed:
                    self._durable.extend(batch)
                    self._is_flushed = is_last
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again in a writer's thread
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _batch(self) -> tuple[list[Load], bool]:
        """Wait for a batch and take it; the rest at the end, where nothing more is written."""
        with self._changed:
            while self._bytes < self._batch_bytes and not (self._is_whole or self._is_given_up):
                self._changed.wait()
            batch, self._written, self._bytes = self._written, [], 0
            self._changed.notify_all()
            return batch, self._is_whole

    def _check(self, load: Load) -> None:
        if not load.is_compared:
            return
        with self._buffers.lend(load.length) as view:
            for start, part in runs(load, view):
                self._device.read(start, part)
            at = 0
            for piece in load.pieces:
                if digest_of(view[at : at + piece.length]) != piece.digest:
                    self._again(piece)
                    raise LayerError(_lies(piece))
                at += piece.length


def _next_batch(flushed: int, took: float) -> int:
    """Return the bytes to flush next, after so many took so many seconds."""
    if flushed * _FLUSH_S >= _MOST * took:
        return _MOST
    return max(int(flushed / took * _FLUSH_S), BATCH)


def _lies(piece: Piece) -> Problem:
    return Problem(
        "store.read-back",
        f"The store returned other bytes than were written, at offset {piece.start}.",
        "The layer is not used; earlier boot points are not touched.",
        "Check the disk of the store and its log for errors; the work is tried again.",
        {"offset": piece.start, "length": piece.length},
    )
