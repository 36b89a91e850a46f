"""Work on many items with a few threads and bounded memory.

    items ─► batches ─► workers (at most 2 batches each in flight)          run: any order
    items ─► workers ─► results in the order of the items ─► one emitter    ordered

Threads suffice: reading, hashing and zstandard release the interpreter's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from threading import BoundedSemaphore
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 4
"""More threads win nothing measurable for one stream: the medium is the limit then."""


class Checked(Protocol):
    """Somebody may want the work to end."""

    def check(self) -> None:
        """Raise once the end was asked for; cheap."""


def default_workers() -> int:
    """Return how many threads work when the caller does not say."""
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0))))


def run(
    items: Iterable[T],
    work: Callable[[T], None],
    *,
    cancel: Checked,
    workers: int | None = None,
    batch: int = 8,
) -> None:
    """Call `work` for each item, in any order; return when all are done.

    Items are taken from the iterator only as fast as they are worked on: at most two batches a
    worker are in flight. The iterator runs in the calling thread.

    Args:
        cancel: Asked before each item, so an end bites after the items that are being worked on.
        workers: Number of threads; None: one for each processor, at most 4.
        batch: Items handed over at once.

    Raises:
        Exception: The first failure of `work`, `cancel` or `items`; nothing further was started.
    """
    count = workers or default_workers()
    crew = _Crew(work, cancel, BoundedSemaphore(2 * count))
    with ThreadPoolExecutor(count, "worker") as pool:
        try:
            for some in _batched(items, batch):
                crew.slots.acquire()
                if crew.failed:
                    break
                pool.submit(crew.do, some)
        except BaseException as error:
            crew.failed.append(error)
            raise
    if crew.failed:
        raise crew.failed[0]


@dataclass(frozen=True, slots=True)
class _Crew(Generic[T]):
    """What the threads of one `run` share; the first failure stops them all."""

    work: Callable[[T], None]
    cancel: Checked
    slots: BoundedSemaphore
    failed: deque[BaseException] = field(default_factory=deque)

    def do(self, batch: list[T]) -> None:
        try:
            for item in batch:
                if self.failed:
                    return
                self.cancel.check()
                self.work(item)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.failed.append(error)
        finally:
            self.slots.release()


def ordered(
    items: Iterable[T],
    work: Callable[[T], R],
    emit: Callable[[R], None],
    *,
    cancel: Checked,
    workers: int | None = None,
    ahead: int = 2,
) -> None:
    """Call `work` for each item in threads, and `emit` with each result in the items' order.

    `emit` and the iterator run in the calling thread.

    Args:
        cancel: Asked before each item and each result.
        workers: Number of threads; None: one for each processor, at most 4.
        ahead: Results a worker may be ahead of `emit`: the bound of memory.

    Raises:
        Exception: The first failure, in the items' order; nothing further was emitted.
    """
    count = workers or default_workers()
    pending = deque[Future[R]]()
    with ThreadPoolExecutor(count, "worker") as pool:
        try:
            for item in items:
                cancel.check()
                pending.append(pool.submit(work, item))
                if len(pending) > ahead * count:
                    emit(pending.popleft().result())
            while pending:
                cancel.check()
                emit(pending.popleft().result())
        finally:
            for future in pending:
                future.cancel()


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while some := list(islice(source, size)):
        yield some
