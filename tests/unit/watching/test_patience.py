"""A source that stops answering, and one that is only slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from engine.daemon.clock import SystemClock
from engine.images.watching.patience import MOST_LEFT, PatientSource
from engine.jobs.copying import copy_disk
from engine.model.errors import Cancelled, Problem, SourceMissing, SourceSilent
from engine.model.extents import Kind, Piece
from engine.model.images import RecoveryPoint
from engine.ports import NEVER, Cancel, CancelFlag, ImageSource
from tests.arrivals import shot
from tests.unit.jobs.test_readback import Images, Medium
from tests.unit.watching.conftest import Folder, points

MIB = 1 << 20
SILENT_S, LIMIT_S = 0.6, 20
SHOT = shot(1)


@pytest.fixture
def point(folder: Folder) -> RecoveryPoint:
    """Return a complete point."""
    SHOT.write(folder.path)
    (found,) = points(folder.settle())
    return found


@dataclass
class Share:
    """A source of one disk of 24 MiB, with a switch that makes it hang (a `PointReader`, too).

    Attributes:
        is_far: The system has nothing of it in memory.
    """

    is_far: bool = True

    goes: threading.Event = field(default_factory=threading.Event)
    when: Callable[[str, int], bool] = lambda _what, _at: False
    asked: list[str] = field(default_factory=list)
    opened: int = 0

    def __post_init__(self) -> None:
        """Have a disk."""
        self.disks = [Images(24 * MIB, lambda at: self.touch("read", at), asked=self.is_far)]

    def touch(self, what: str, at: int = 0) -> None:
        """Note a contact; hang where that is wanted."""
        self.asked.append(what)
        if self.when(what, at):
            assert self.goes.wait(LIMIT_S), "nobody gave up a source that hangs"

    @contextmanager
    def open(self, _point: RecoveryPoint, _cancel: Cancel = NEVER) -> Iterator[Share]:
        """Open it."""
        self.touch("open")
        self.opened += 1
        try:
            yield self
        finally:
            self.touch("close")
            self.opened -= 1

    def unchanged(self) -> None:
        """Look at it."""
        self.touch("unchanged")


def patient(share: Share) -> PatientSource:
    """Return the source with little patience."""
    return PatientSource(share, SystemClock().monotonic, SILENT_S)


def copied(source: ImageSource, point: RecoveryPoint, cancel: Cancel = NEVER) -> Medium:
    """Copy the disk of a point, as a job does."""
    medium = Medium(24 * MIB)
    with source.open(point, cancel) as opened:
        copy_disk(opened.disks[0], medium, cancel, lambda _: None)
        opened.unchanged()
    return medium


def hanging() -> int:
    """Return how many threads of sources there are."""
    return sum(one.name == "source" for one in threading.enumerate())


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that other threads do."""
    end = SystemClock().monotonic() + LIMIT_S
    while not is_so():
        assert SystemClock().monotonic() < end
        time.sleep(0.01)  # noqa: TID251 - real threads


@pytest.mark.parametrize("is_far", [True, False])
def test_a_source_that_answers_is_read_whole(point: RecoveryPoint, *, is_far: bool) -> None:
    """Every piece arrives, and no thread and nothing open is left, wherever the bytes were."""
    share = Share(is_far=is_far)
    medium = copied(patient(share), point)
    assert sum(kind == "write" for kind, _ in medium.events) == 24
    assert share.opened == share.disks[0].open_clones == 0
    wait_until(lambda: not hanging())


@pytest.mark.parametrize("what", ["open", "read", "unchanged"])
def test_a_silent_source_is_given_up_in_words_and_goes_on_when_it_answers(
    what: str, point: RecoveryPoint
) -> None:
    """The job ends, nothing is written any more, and the next try works once it answers again."""
    share = Share(when=lambda asked, at: asked == what and at in (0, 9 * MIB, 12 * MIB))
    source = patient(share)
    with pytest.raises(SourceSilent, match="has not answered for 1 s") as raised:
        copied(source, point)
    assert str(point.root) in raised.value.problem.happened
    assert hanging() > 0

    share.goes.set()
    wait_until(lambda: not hanging() and share.opened == 0)
    copied(source, point)


def test_what_comes_too_late_touches_no_device(point: RecoveryPoint) -> None:
    """A thread that was left behind and wakes up writes nothing to a disk that is another's now."""
    share = Share(when=lambda asked, at: asked == "read" and at == 5 * MIB)
    source, medium = patient(share), Medium(24 * MIB)
    with pytest.raises(SourceSilent), source.open(point) as opened:
        copy_disk(opened.disks[0], medium, NEVER, lambda _: None)
    before = list(medium.events)
    share.goes.set()
    wait_until(lambda: not hanging())
    assert medium.events == before
    assert ("write", 5 * MIB) not in before


def test_what_is_in_memory_is_read_by_the_thread_that_wants_it(point: RecoveryPoint) -> None:
    """Nothing can hang there, and handing it over takes time."""
    readers = set[str]()

    def note(asked: str, _at: int) -> bool:
        if asked == "read":
            readers.add(threading.current_thread().name)
        return False

    medium = copied(patient(Share(is_far=False, when=note)), point)

    assert sum(kind == "write" for kind, _ in medium.events) == 24
    assert all(name.startswith("worker") for name in readers)


def test_a_reader_that_was_left_behind_is_not_used_for_what_is_in_memory(
    point: RecoveryPoint,
) -> None:
    """The thread that hangs is still inside of it."""
    share = Share(when=lambda asked, _at: asked == "read")
    piece, into = Piece(MIB, MIB, Kind.DATA, bytes(16)), memoryview(bytearray(MIB))
    with patient(share).open(point) as opened:
        reader = opened.disks[0]
        with pytest.raises(SourceSilent):
            reader.read([piece], into)
        share.disks[0].asked = False
        with pytest.raises(SourceSilent, match="still hang"):
            reader.read([piece], into)
        assert share.asked == ["open", "read"]
        share.goes.set()
    wait_until(lambda: not hanging())


def test_a_cancel_is_heard_while_a_source_hangs(point: RecoveryPoint) -> None:
    """Whoever cancels need not wait until the source is given up."""
    share, cancel = Share(when=lambda asked, _at: asked == "read"), CancelFlag()
    source = PatientSource(share, SystemClock().monotonic, LIMIT_S)
    threading.Timer(0.2, cancel.set).start()
    began = SystemClock().monotonic()
    with pytest.raises(Cancelled):
        copied(source, point, cancel)
    assert SystemClock().monotonic() - began < 1 + 0.5
    share.goes.set()
    wait_until(lambda: not hanging())


def test_a_slow_source_is_not_a_silent_one(point: RecoveryPoint) -> None:
    """Reads that take longer than the limit together, but answer in between, are waited for."""

    def slow(asked: str, at: int) -> bool:
        if asked == "read" and not at % (4 * MIB):
            time.sleep(SILENT_S * 0.7)  # noqa: TID251 - a slow share
        return False

    copied(patient(Share(when=slow)), point)


def test_threads_left_behind_are_bounded(point: RecoveryPoint) -> None:
    """A directory that hangs for good is not touched any more, until it answers."""
    share = Share(when=lambda asked, _at: asked == "open")
    source = PatientSource(share, SystemClock().monotonic, 0.01)
    for _ in range(MOST_LEFT + 3):
        with pytest.raises(SourceSilent):
            copied(source, point)
    assert share.asked.count("open") == hanging() == MOST_LEFT
    share.goes.set()
    wait_until(lambda: not hanging() and share.opened == 0)
    with source.open(point) as opened:
        assert len(opened.disks) == 1


def test_an_error_of_the_source_is_told_as_it_is(point: RecoveryPoint) -> None:
    """What a thread of the source raises is raised where it was asked; it can be asked again."""

    class Gone(Share):
        def touch(self, what: str, at: int = 0) -> None:
            """Have lost the second piece."""
            if what == "read" and at == MIB:
                raise SourceMissing(Problem("image.missing", "It is gone."))
            super().touch(what, at)

    share = Gone()
    with patient(share).open(point) as opened:
        reader, into = opened.disks[0], memoryview(bytearray(MIB))
        with pytest.raises(SourceMissing):
            reader.read([Piece(MIB, MIB, Kind.DATA, bytes(16))], into)
        reader.read([Piece(2 * MIB, MIB, Kind.DATA, bytes(16))], into)
    assert share.opened == 0
