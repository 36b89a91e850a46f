"""Work on many items with a few threads and bounded memory.

    items ─► workers, each takes its next one by itself                     run: any order
    items ─► workers ─► results in the order of the items ─► one emitter    ordered

Threads suffice: reading, hashing and zstandard release the interpreter's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock, Thread
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
) -> None:
    """Call `work` for each item, in any order; return when all are done.

    The iterator runs in one worker's thread at a time; only what is worked on is taken from it.

    Args:
        cancel: Asked before each item, so an end bites after the items that are being worked on.
        workers: Number of threads; None: one for each processor, at most 4.

    Raises:
        Exception: The first failure of `work`, `cancel` or `items`; nothing further was started.
    """
    crew = _Crew(iter(items), work, cancel)
    threads = [
        Thread(target=crew.do, name=f"worker-{number}")
        for number in range(workers or default_workers())
    ]
    started: list[Thread] = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
        for thread in started:
            thread.join()
    except BaseException as error:
        crew.failed.append(error)
        raise
    finally:
        for thread in started:
            thread.join()
    if crew.failed:
        raise crew.failed[0]


@dataclass(frozen=True, slots=True)
class _Crew(Generic[T]):
    """What the threads of one `run` share; the first failure stops them all."""

    items: Iterator[T]
    work: Callable[[T], None]
    cancel: Checked
    lock: Lock = field(default_factory=Lock)
    failed: deque[BaseException] = field(default_factory=deque)

    def do(self) -> None:
        """Take one item after another."""
        try:
            while taken := self._next():
                self.cancel.check()
                self.work(*taken)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.failed.append(error)

    def _next(self) -> tuple[T] | None:
        """Take an item; None at the end of them, or after a failure."""
        with self.lock:
            return None if self.failed else next(zip(self.items, strict=False), None)


def both(first: Callable[[], T], second: Callable[[], R]) -> tuple[T, R]:
    """Return what two calls return: `first` in this thread, `second` in another meanwhile.

    Both have ended when it returns or raises.

    Raises:
        Exception: What `first` raises, else what `second` raises.
    """
    with ThreadPoolExecutor(1, "beside") as pool:
        later = pool.submit(second)
        return first(), later.result()


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
