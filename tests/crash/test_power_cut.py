"""The engine may be killed at any contact with the outside world, and again while it recovers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from engine.model.images import RecoveryPoint
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.fuse import Fuse, Fused, PowerCut
from tests.world import MemoryDisk, MemoryImages, World, data, zero

BLOCK = 4096


class Story:
    """A full, four increments, and retention that keeps two: on parts that outlive the engine."""

    def __init__(self) -> None:
        """Lay out the images; nothing has arrived."""
        self.store, self.state, self.images = MemoryStore(), MemoryState(), MemoryImages()
        parts = [data(0, b"a" * BLOCK), zero(BLOCK, 3 * BLOCK)]
        disks = [MemoryDisk(4 * BLOCK, parts), MemoryDisk(4 * BLOCK, parts)]
        point: RecoveryPoint = self.images.add(disks, None, 1)
        self.points = [point]
        for number in range(2, 6):
            change = MemoryDisk(4 * BLOCK, [data((number % 4) * BLOCK, bytes([number]) * BLOCK)])
            point = self.images.add([change, MemoryDisk(4 * BLOCK, [])], point, number)
            self.points.append(point)

    def engine(self, fuse: Fuse) -> World:
        """Return a fresh engine over the same parts."""
        store, state = Fused(self.store, fuse), Fused(self.state, fuse)
        return World(cast("Any", store), cast("Any", state), self.images, keep=2)

    def life(self, fuse: Fuse) -> None:
        """Start an engine, let everything arrive, work to the end."""
        world = self.engine(fuse)
        world.restart()
        world.arrive(*self.points)
        world.work()

    def check(self, *, clean: bool) -> None:
        """Assert the promises with whole power."""
        world = self.engine(Fuse())
        world.check()
        if clean:
            world.check_clean()
            assert [p.sequence for p in world.state.read().ready("erp")] == [4, 5]


class Generations(Story):
    """Disks that change places, then a new full with another order and size, and its increment."""

    def __init__(self) -> None:
        """Lay out the images; nothing has arrived."""
        self.store, self.state, self.images = MemoryStore(), MemoryState(), MemoryImages()
        one = MemoryDisk(4 * BLOCK, [data(0, b"a" * BLOCK), zero(BLOCK, 3 * BLOCK)])
        two = MemoryDisk(2 * BLOCK, [data(0, b"b" * 2 * BLOCK)])
        none = MemoryDisk(4 * BLOCK, [])
        change = MemoryDisk(2 * BLOCK, [data(BLOCK, b"c" * BLOCK)])
        other = MemoryDisk(3 * BLOCK, [zero(0, BLOCK), data(BLOCK, b"d" * 2 * BLOCK)])
        add = self.images.add
        first = add([one, two], None, 1, names=["a", "b"])
        moved = add([change, none], first, 2, names=["b", "a"])
        again = add([one, other], None, 3, names=["a", "b"])
        last = add([MemoryDisk(3 * BLOCK, []), none], again, 4, names=["b", "a"])
        self.points = [first, moved, again, last]

    def check(self, *, clean: bool) -> None:
        """Assert the promises with whole power."""
        world = self.engine(Fuse())
        world.check()
        if clean:
            world.check_clean()
            assert [p.sequence for p in world.state.read().ready("erp")] == [3, 4]


def contacts(run: Callable[[Story, Fuse], None], make: Callable[[], Story] = Story) -> int:
    """Return how many contacts an undisturbed run has."""
    fuse = Fuse()
    run(make(), fuse)
    return fuse.count


def test_a_cut_at_every_contact_loses_nothing() -> None:
    """After a cut anywhere, ready points read right; a second life reaches the same end."""
    total = contacts(Story.life)
    assert total > 300
    for at in range(1, total + 1):
        story = Story()
        with pytest.raises(PowerCut):
            story.life(Fuse(at))
        story.check(clean=False)
        story.life(Fuse())
        story.check(clean=True)


@pytest.mark.parametrize("late", [False, True])
def test_a_cut_while_disks_move_and_a_new_full_is_laid_loses_nothing(*, late: bool) -> None:
    """After a cut at each fifth contact (the new full in the first life or only in the second)."""
    total = contacts(Story.life, Generations)
    assert total > 150
    for at in range(1 + late, total + 1, 5):
        story = Generations()
        points = story.points
        story.points = points[: 2 if late else 4]
        with suppress(PowerCut):
            story.life(Fuse(at))
        story.check(clean=False)
        story.points = points
        story.life(Fuse())
        story.check(clean=True)


def test_a_second_cut_during_the_retry_loses_nothing() -> None:
    """Two cuts, the second one in the life after the first, end at the same place."""
    total = contacts(Story.life)
    for first in range(3, total, 61):
        for second in range(2, total, 53):
            story = Story()
            with suppress(PowerCut):
                story.life(Fuse(first))
            with suppress(PowerCut):
                story.life(Fuse(second))
            story.check(clean=False)
            story.life(Fuse())
            story.check(clean=True)
