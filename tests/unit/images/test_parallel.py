"""Facts about the two pipelines."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from engine.local.parallel import both, default_workers, ordered, run
from engine.model.errors import Cancelled
from engine.ports import CancelFlag, NeverCancelled

FREE = NeverCancelled()


def _take_10_ms(_item: int = 0) -> None:
    threading.Event().wait(0.01)


def test_every_item_is_worked_on_once() -> None:
    """No item is lost or done twice."""
    for count in (0, 1, 7, 8, 9, 1000):
        done: list[int] = []
        run(range(count), done.append, cancel=FREE, workers=3)
        assert sorted(done) == list(range(count))


def test_results_come_in_the_order_of_the_items() -> None:
    """However long each item takes, they are emitted in order."""
    emitted: list[int] = []

    def slow_at_first(item: int) -> int:
        if item < 3:
            _take_10_ms()
        return item

    ordered(range(50), slow_at_first, emitted.append, cancel=FREE, workers=4)
    assert emitted == list(range(50))


class Source:
    """Counts what was taken from it."""

    def __init__(self, total: int) -> None:
        self.taken, self.total = 0, total

    def __iter__(self) -> Iterator[int]:
        for item in range(self.total):
            self.taken += 1
            yield item


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_items_are_not_taken_faster_than_they_are_worked_on(workers: int) -> None:
    """Memory is bounded: nothing is taken but what is being worked on."""
    source, done = Source(2000), 0
    ahead: list[int] = []
    lock = threading.Lock()

    def work(_item: int) -> None:
        nonlocal done
        with lock:
            ahead.append(source.taken - done)
            done += 1

    run(source, work, cancel=FREE, workers=workers)
    assert max(ahead) <= workers


def test_the_source_is_asked_by_one_thread_at_a_time() -> None:
    """An iterator that is no good for several threads is good enough."""
    inside = threading.Lock()

    def careful() -> Iterator[int]:
        for item in range(200):
            assert inside.acquire(blocking=False), "two threads at once"
            _take_10_ms() if not item % 50 else None
            inside.release()
            yield item

    done: list[int] = []
    run(careful(), done.append, cancel=FREE, workers=4)
    assert sorted(done) == list(range(200))


def test_results_are_not_made_faster_than_they_are_emitted() -> None:
    """A slow emitter holds the workers back."""
    source, emitted = Source(300), 0
    ahead: list[int] = []

    def emit(_item: int) -> None:
        nonlocal emitted
        ahead.append(source.taken - emitted)
        emitted += 1

    ordered(source, lambda item: item, emit, cancel=FREE, workers=2, ahead=2)
    assert max(ahead) <= 5


def test_the_first_failure_ends_the_work_and_is_raised() -> None:
    """After a failure the other workers stop within their item, and the caller hears of it."""
    done: list[int] = []

    def work(item: int) -> None:
        if item == 20:
            raise OSError("the medium failed")
        done.append(item)

    source = Source(100_000)
    with pytest.raises(OSError, match="medium"):
        run(source, work, cancel=FREE, workers=2)
    assert source.taken < 200
    with pytest.raises(OSError, match="medium"):
        ordered(Source(100), lambda item: work(item), lambda _result: None, cancel=FREE)


def test_a_failure_of_the_source_is_raised_and_nothing_goes_on() -> None:
    """When items cannot be had any more, the threads end and the error comes out."""

    def broken() -> Iterator[int]:
        yield from range(100)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        run(broken(), lambda _item: None, cancel=FREE)
    with pytest.raises(LookupError):
        ordered(broken(), lambda item: item, lambda _item: None, cancel=FREE)
    assert not [one for one in threading.enumerate() if one.name.startswith("worker")]


def test_a_cancel_bites_long_before_the_items_end() -> None:
    """Asked to end in the middle, both pipelines end with Cancelled; no more items are begun."""
    begun: list[int] = []

    def take(item: int) -> None:
        begun.append(item)
        _take_10_ms(item)

    def in_order(cancel: CancelFlag) -> None:
        ordered(range(10_000), take, lambda _: None, cancel=cancel, workers=2)

    def in_any_order(cancel: CancelFlag) -> None:
        run(range(10_000), take, cancel=cancel, workers=2)

    for pipeline in (in_order, in_any_order):
        begun.clear()
        cancel = CancelFlag()
        timer = threading.Timer(0.1, cancel.set)
        timer.start()
        with pytest.raises(Cancelled):
            pipeline(cancel)
        assert len(begun) < 1000  # some 20 within the 0.1 s
        timer.join()


def test_there_is_at_least_one_worker() -> None:
    """On any machine something works, and never more than four threads."""
    assert 1 <= default_workers() <= 4


def test_two_calls_are_made_at_the_same_time() -> None:
    """Each waits for the other, and what both return is returned."""
    meeting = threading.Barrier(2, timeout=5)

    def meet(name: str) -> str:
        meeting.wait()
        return name

    assert both(lambda: meet("one"), lambda: meet("two")) == ("one", "two")


@pytest.mark.parametrize("failing", [{"one"}, {"two"}, {"one", "two"}])
def test_both_calls_have_ended_when_one_of_them_failed(failing: set[str]) -> None:
    """The failure is raised, the first one's before the second one's."""
    ended: list[str] = []

    def call(name: str) -> None:
        if name == "two":
            _take_10_ms()
        ended.append(name)
        if name in failing:
            raise OSError(name)

    with pytest.raises(OSError, match=min(failing)):
        both(lambda: call("one"), lambda: call("two"))
    assert ended == ["one", "two"]
