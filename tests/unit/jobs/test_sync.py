"""The story of a boot point, on simulated parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier
from typing import Any, cast

import pytest

from engine.jobs.copying import read_digest
from engine.model.errors import LayerError, Problem
from engine.model.layers import Layer, LayerKind, LayerName
from engine.model.points import Stage
from engine.model.standby import Backlog
from engine.ports import NEVER, BlockDevice, Cancel, CancelFlag, DiskChain, PointReader
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryChain, MemoryStore
from tests.world import MemoryDisk, MemoryImages, World, data, zero

BLOCK = 65536


def a_world(keep: int = 24) -> World:
    """Return a world in memory without images."""
    return World(MemoryStore(), MemoryState(), MemoryImages(), keep)


def full(world: World, blocks: int = 8, disks: int = 1) -> object:
    """Add a full of `blocks` blocks: two of data, the rest zeros."""
    parts = [
        data(0, b"a" * BLOCK),
        data(BLOCK, b"b" * BLOCK),
        zero(2 * BLOCK, (blocks - 2) * BLOCK),
    ]
    return world.images.add([MemoryDisk(blocks * BLOCK, parts)] * disks, None, 1)


def test_a_full_and_its_increments_become_ready_boot_points() -> None:
    """Each recovery point becomes one boot point with the bytes of a plain restore."""
    world = a_world()
    first = full(world)
    second = world.images.add([MemoryDisk(8 * BLOCK, [data(3 * BLOCK, b"c" * BLOCK)])], first, 2)
    third = world.images.add(
        [MemoryDisk(8 * BLOCK, [zero(0, BLOCK), data(3 * BLOCK, b"d" * BLOCK)])], second, 3
    )
    world.arrive(first, second, third)

    world.work()

    assert [p.sequence for p in world.state.read().ready("erp")] == [1, 2, 3]
    world.check()
    world.check_clean()


def test_a_disk_that_grew_and_one_that_shrank_keep_the_right_bytes() -> None:
    """A longer disk reads what the increment says at its end, a shorter one is cut."""
    world = a_world()
    first = full(world)
    grown = world.images.add(
        [MemoryDisk(10 * BLOCK, [data(9 * BLOCK, b"e" * BLOCK), zero(8 * BLOCK, BLOCK)][::-1])],
        first,
        2,
    )
    shrunk = world.images.add([MemoryDisk(BLOCK + 512, [])], grown, 3)
    world.arrive(first, grown, shrunk)

    world.work()

    assert len(world.state.read().ready("erp")) == 3
    world.check()


def test_retired_points_leave_and_the_rest_read_the_same() -> None:
    """With keep 2, older points go with all their layers, and later ones do not notice."""
    world = a_world(keep=2)
    point = full(world)
    world.arrive(point)
    for number in range(2, 7):
        content = bytes([number]) * BLOCK
        parts = [data((number % 3) * BLOCK, content)]
        point = world.images.add([MemoryDisk(8 * BLOCK, parts)], point, number)
        world.arrive(point)
        world.work()

    assert [p.sequence for p in world.state.read().ready("erp")] == [5, 6]
    world.check()
    world.check_clean()


def test_a_corrupt_increment_fails_with_a_reason_and_harms_nothing() -> None:
    """A store that returns other bytes than the image's checksum says is never sealed."""
    world = a_world()
    first = full(world)
    piece, _ = data(0, b"x" * BLOCK)
    broken = world.images.add([MemoryDisk(8 * BLOCK, [(piece, b"y" * BLOCK)])], first, 2)
    world.arrive(first, broken)

    world.work()

    points = {p.sequence: p for p in world.state.read().points_of("erp")}
    assert points[1].stage is Stage.READY
    assert points[2].stage is Stage.FAILED
    assert "other bytes than were written" in points[2].reason
    world.check()


def test_finished_disks_are_not_copied_again() -> None:
    """After a crash in the second disk, the first one is not read again."""
    world = a_world()
    first = full(world, disks=2)
    world.arrive(first)
    reads: list[int] = []
    disks = world.images.points[first.id][1].disks

    class Counting(MemoryDisk):
        """Counts reads, and fails once on the second disk."""

        number = 0
        broken = False

        def read(self, *asked: Any, **options: Any) -> None:
            reads.append(self.number)
            if self.broken:
                Counting.broken = False
                raise OSError(5, "Input/output error")
            super().read(*asked, **options)

    one, two = (Counting(d.size, d.parts) for d in disks)
    two.number = 1
    Counting.broken = False
    world.images.points[first.id][1].disks = [one, two]
    two.broken = True
    world.work()
    assert world.state.read().points_of("erp")[0].stage is Stage.FAILED
    reads.clear()
    two.broken = False
    world.clock.advance(60)

    world.work()

    assert set(reads) == {1}
    world.check()


def test_the_image_is_opened_while_the_store_makes_the_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither waits for the other to be done."""
    world, meeting = a_world(), Barrier(2, timeout=5)
    first = full(world)
    world.arrive(first)
    opening, adding = world.images.open, MemoryChain.add

    @contextmanager
    def opened(*asked: Any) -> Iterator[PointReader]:
        meeting.wait()
        with opening(*asked) as point:
            yield point

    def add(chain: MemoryChain, name: LayerName, *asked: Any) -> Layer:
        if name.endswith("-replica"):
            meeting.wait()
        return adding(chain, name, *asked)

    monkeypatch.setattr(world.images, "open", opened)
    monkeypatch.setattr(MemoryChain, "add", add)
    world.work()

    assert world.state.read().ready("erp")
    world.check()


class OneAtATime(MemoryStore):
    """A store that opens one layer at a time, as a VM with disks attached to it does."""

    def chain(self, standby: str) -> DiskChain:
        """Return a chain whose second layer cannot be opened."""
        chain, opened = super().chain(standby), list[str]()

        @contextmanager
        def alone(layer: LayerName, disk: int, cancel: Cancel = NEVER) -> Iterator[BlockDevice]:
            if opened and layer not in opened:
                raise LayerError(Problem("layer.in-use", f"{opened[0]} is attached."))
            with through(layer, disk, cancel) as device:
                opened.append(layer)
                try:
                    yield device
                finally:
                    opened.remove(layer)

        through = chain.open
        return cast("Any", Redirected(chain, alone))


class Redirected:
    """A chain with another way to open a disk."""

    def __init__(self, chain: DiskChain, way: object) -> None:
        """Keep both."""
        self._chain, self.open = chain, way

    def __getattr__(self, name: str) -> Any:
        """Leave all else to the chain."""
        return getattr(self._chain, name)


def test_a_disk_that_cannot_be_moved_is_told_and_a_full_goes_on() -> None:
    """Where one layer is open at a time, the words say what to do, and a new full does it."""
    world = World(cast("Any", OneAtATime()), MemoryState(), MemoryImages())
    none = MemoryDisk(8 * BLOCK, [])
    first = full(world, disks=2)
    moved = world.images.add([none, none], first, 2, names=["disk-1", "disk-0"])
    world.arrive(first, moved)
    world.work()
    point = world.state.read().points_of("erp")[1]
    assert point.stage is Stage.FAILED
    assert "Disk 1 of the boot point below is disk 0 in recovery point 2" in point.reason
    assert "new chain with a full backup" in point.reason

    whole = [data(0, b"z" * BLOCK), zero(BLOCK, 7 * BLOCK)]
    again = world.images.add(
        [MemoryDisk(8 * BLOCK, whole)] * 2, None, 3, names=["disk-1", "disk-0"]
    )
    world.arrive(again)
    world.work()
    assert [p.sequence for p in world.state.read().ready("erp")] == [1, 3]
    world.check()


def test_the_twig_hangs_on_the_trunk() -> None:
    """A boot point is a sealed twig on its sealed trunk layer."""
    world = a_world()
    world.arrive(full(world))

    world.work()

    point = world.state.read().ready("erp")[0]
    layers = world.store.chain("erp").layers()
    assert layers[point.boot].parent == point.replica
    assert layers[point.boot].kind is LayerKind.CONVERSION


def test_a_cancel_is_heard_while_the_hashes_of_several_increments_are_made_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a newer increment covers in part is read again from the disk, which may take long."""
    world, cancel, ranges = a_world(), CancelFlag(), list[int]()
    first = full(world)
    wide = MemoryDisk(8 * BLOCK, [data(0, b"w" * 5 * BLOCK)])
    second = world.images.add([wide], first, 2)
    holes = [data(BLOCK, b"x" * BLOCK), data(3 * BLOCK, b"y" * BLOCK)]
    third = world.images.add([MemoryDisk(8 * BLOCK, holes)], second, 3)
    world.standby = replace(world.standby, backlog=Backlog.NEWEST)

    def read(device: BlockDevice, start: int, length: int) -> bytes:
        ranges.append(start)
        cancel.set()
        return read_digest(device, start, length)

    monkeypatch.setattr("engine.jobs.sync.read_digest", read)
    world.cancel = cancel
    world.arrive(first, second, third)
    wanted = world._plan()
    assert wanted is not None
    world.perform(wanted)

    assert ranges == [0]  # of three
    assert not world.state.read().ready("erp")
