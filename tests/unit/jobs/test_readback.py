"""Written pieces become durable and are read back while more is being written."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from engine.jobs.copying import copy_disk
from engine.jobs.loads import LOAD, Buffers, loads
from engine.jobs.readback import AT_ONCE, BATCH, ReadBack, digest_of
from engine.model.errors import Cancelled, ImageCorrupt, LayerError, Problem
from engine.model.extents import Kind, Piece
from engine.ports import CancelFlag, NeverCancelled
from tests.contract.doors import pause, until

MIB = 1 << 20
LIMIT_S = 20


def content(offset: int) -> bytes:
    """Return the MiB of test data at an offset."""
    return offset.to_bytes(8, "big") * (MIB // 8)


@dataclass
class Images:
    """A disk whose every MiB is data (a `DiskReader`)."""

    size: int
    before: Callable[[int], None] = lambda _offset: None
    rotten: int = -1
    asked: bool = False
    open_clones: int = 0
    hashed: list[int] = field(default_factory=list)

    def pieces(self) -> Iterator[Piece]:
        """Yield a piece for each MiB."""
        for at in range(0, self.size, MIB):
            yield Piece(at, MIB, Kind.DATA, digest_of(content(at)))

    def read(
        self, pieces: Sequence[Piece], into: memoryview, *, hashed: bool = True, wait: bool = True
    ) -> None:
        """Fill in what is there; at `rotten` something else, which only a digest tells."""
        if self.asked and not wait:
            raise BlockingIOError
        for number, (start, *_) in enumerate(pieces):
            self.before(start)
            if hashed:
                self.hashed.append(start)
                if start == self.rotten:
                    raise ImageCorrupt(Problem("image.corrupt", "rotten", "", ""))
            into[number * MIB :][:MIB] = content(start + (start == self.rotten))

    def clone(self) -> Images:
        """Return itself, and count that it is to be closed once more."""
        self.open_clones += 1
        return self

    def close(self) -> None:
        """Count it."""
        self.open_clones -= 1


@dataclass
class Medium:
    """A disk that notes for each MiB how it was treated, in the order of events."""

    size: int
    block_size: int = 4096
    flushing: Callable[[], None] = lambda: None
    writing: Callable[[], object] = lambda: None
    lie_at: int = -1
    events: list[tuple[str, int]] = field(default_factory=list)
    flushes: int = 0
    checked: bool = True
    kept: dict[int, bytes] = field(default_factory=dict)

    def write(self, offset: int, data: memoryview) -> None:
        """Note the write, of each MiB."""
        assert offset + len(data) <= self.size
        self.writing()
        for at in range(0, len(data), MIB):
            part = bytes(data[at : at + MIB])
            assert not self.checked or part == content(offset + at)[: len(part)]
            self.kept[offset + at] = part
            self.events.append(("write", offset + at))

    def zero(self, offset: int, length: int) -> None:
        """Note the zeros."""
        self.events.append(("zero", offset + length))

    def flush(self) -> None:
        """Note both ends of it."""
        self.flushes += 1
        self.events.append(("flush", self.flushes))
        self.flushing()
        self.events.append(("flushed", self.flushes))

    def evict(self) -> None:
        """Note it."""
        self.events.append(("evict", 0))

    def read(self, offset: int, into: memoryview) -> None:
        """Note the read, of each MiB; lie where that is wanted."""
        for at in range(offset, offset + len(into), MIB):
            self.events.append(("read", at))
            found = self.kept[at] if at != self.lie_at else content(at + 1)
            into[at - offset :][: len(found)] = found


def copied(medium: Medium, images: Images) -> None:
    """Copy all of a disk."""
    copy_disk(images, medium, NeverCancelled(), lambda _: None)


def test_every_piece_is_read_back_after_a_flush_that_began_after_its_write() -> None:
    """Nothing is compared that may still be in memory only, and nothing is left out."""
    medium = Medium(4 * BATCH + 3 * MIB)

    copied(medium, Images(medium.size))

    when = {event: at for at, event in enumerate(medium.events)}
    for offset in range(0, medium.size, MIB):
        first = next(
            number
            for number in range(1, medium.flushes + 1)
            if when["flush", number] > when["write", offset]
        )
        assert when["flushed", first] < when["read", offset]
        assert medium.events.count(("read", offset)) == 1
    assert when["flushed", medium.flushes] > max(when["write", n] for n in range(0, 4 * MIB, MIB))


def test_the_medium_works_before_the_last_piece_is_decoded() -> None:
    """A disk of four batches is flushed, and read back in part, long before its end."""
    size, begun = 4 * BATCH, threading.Event()
    medium = Medium(size, flushing=begun.set)

    def last_waits(offset: int) -> None:
        if offset == size - MIB:
            assert begun.wait(LIMIT_S), "nothing was flushed before the end"

    copied(medium, Images(size, last_waits))

    assert medium.flushes > 1


def test_what_is_durable_is_compared_while_the_last_flush_goes_on() -> None:
    """A slow end of the medium is not waited for by what was flushed before."""
    medium = Medium(BATCH + BATCH // 2)

    def last_waits() -> None:
        if medium.flushes > 1:
            until(lambda: sum(kind == "read" for kind, _ in medium.events) >= BATCH // MIB)

    medium.flushing = last_waits
    copied(medium, Images(medium.size))

    assert medium.flushes == 2
    assert sum(kind == "read" for kind, _ in medium.events) == medium.size // MIB


def test_a_last_flush_that_fails_is_told() -> None:
    """All is written by then, and nothing of it counts."""

    def fail() -> None:
        raise OSError(5, "Input/output error")

    medium = Medium(BATCH // 2, flushing=fail)

    with pytest.raises(OSError, match="Input/output error"):
        copied(medium, Images(medium.size))

    assert medium.flushes == 1


def test_a_cancel_during_the_last_flush_is_heard_after_it() -> None:
    """What is being flushed is waited for; nothing is compared any more."""
    cancel = CancelFlag()
    medium = Medium(BATCH // 2, flushing=cancel.set)

    with pytest.raises(Cancelled):
        copy_disk(Images(medium.size), medium, cancel, lambda _: None)

    assert not [kind for kind, _ in medium.events if kind == "read"]


def test_a_medium_that_lies_is_found_before_all_is_written() -> None:
    """Other bytes at the start of a large disk end the copy, with the place."""
    size, lied = 16 * BATCH, threading.Event()
    medium = Medium(size, lie_at=0)

    def late(offset: int) -> None:
        if offset >= 12 * BATCH:
            lied.wait(0.01)

    with pytest.raises(LayerError, match="at offset 0"):
        copied(medium, Images(size, late))

    assert ("write", size - MIB) not in medium.events


def test_bytes_that_were_wrong_in_the_image_already_are_not_blamed_on_the_medium() -> None:
    """What is compared on the medium is hashed once; a difference is looked for in the image."""
    medium, images = Medium(3 * BATCH), Images(3 * BATCH, rotten=BATCH)
    medium.checked = False

    with pytest.raises(ImageCorrupt, match="rotten"):
        copied(medium, images)

    assert images.hashed == [BATCH]


def test_a_piece_that_reaches_over_the_end_is_compared_with_the_image_at_once() -> None:
    """Nothing of it is compared on the medium later."""
    size = 2 * MIB + MIB // 2
    medium, images = Medium(size), Images(3 * MIB)
    medium.checked = False

    copied(medium, images)

    assert images.hashed == [2 * MIB]


def test_a_flush_that_failed_is_not_tried_again() -> None:
    """The error of a flush in the background ends the copy; nobody flushes after it."""

    def fail() -> None:
        raise OSError(5, "Input/output error")

    medium = Medium(16 * BATCH, flushing=fail)

    with pytest.raises(OSError, match="Input/output error"):
        copied(medium, Images(medium.size))

    assert medium.flushes == 1
    assert ("evict", 0) not in medium.events


def test_writers_wait_for_a_slow_medium_and_hear_a_cancel_meanwhile() -> None:
    """What is not flushed yet stays bounded; who waits for it is ended at once."""
    release, cancel = threading.Event(), CancelFlag()
    medium = Medium(64 * BATCH, flushing=lambda: release.wait(LIMIT_S) or None)
    with ReadBack(medium, cancel, Buffers(), lambda _: None) as read_back:
        taken = 0

        def write() -> None:
            nonlocal taken
            with contextlib.suppress(Cancelled):
                for load in loads(Images(medium.size).pieces(), medium.size):
                    read_back.written(load)
                    taken += load.length

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(1)
        assert writer.is_alive()
        cancel.set()
        writer.join(LIMIT_S)
        release.set()
    assert not writer.is_alive()
    assert BATCH <= taken <= 9 * BATCH


@pytest.mark.parametrize(("takes_s", "are_rare"), [(0.0, True), (0.5, False)])
def test_flushes_are_as_large_as_the_medium_is_quick(takes_s: float, are_rare: bool) -> None:
    """The first one tells: after a slow one, no more is kept back than it had."""
    medium = Medium(64 * BATCH, flushing=lambda: pause(takes_s))
    found = loads(Images(medium.size).pieces(), medium.size)
    with ReadBack(medium, NeverCancelled(), Buffers(), lambda _: None) as read_back:

        def write(length: int) -> None:
            for load in itertools.islice(found, length // LOAD):
                read_back.written(load)

        write(BATCH)
        until(lambda: ("evict", 0) in medium.events)
        if are_rare:
            write(16 * BATCH)
            pause(0.05)
            assert medium.flushes == 1
        else:
            write(BATCH)
            until(lambda: medium.flushes == 2)


def test_pieces_are_decoded_while_others_wait_for_the_medium() -> None:
    """A medium that answers late has several pieces before it, and no more than it should."""
    meet = threading.Barrier(AT_ONCE)
    medium = Medium(2 * AT_ONCE * LOAD, writing=lambda: meet.wait(LIMIT_S))

    copied(medium, Images(medium.size))

    assert sum(kind == "read" for kind, _ in medium.events) == medium.size // MIB
