"""What a new full, or a disk in another place, would write: measured without writing anything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from engine.model.errors import Cancelled
from engine.model.images import RecoveryPoint
from engine.model.points import BootPoint
from engine.model.standby import Backlog
from engine.model.work import JobKind, JobStatus, WantedJob
from engine.ports import NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.world import MemoryDisk, MemoryImages, World, data, zero

GRAIN, PIECE = 1 << 16, 1 << 20
SIZE = 8 * PIECE


def disk(seeds: Sequence[int], size: int = SIZE) -> MemoryDisk:
    """Return a disk of pieces, one for each seed."""
    pieces = [random.Random(seed).randbytes(PIECE) for seed in seeds]
    return MemoryDisk(size, [data(at * PIECE, one) for at, one in enumerate(pieces)])


def world_of(*disks: MemoryDisk) -> tuple[World, RecoveryPoint]:
    """Return a world in which a full of these disks is READY."""
    world = World(MemoryStore(), MemoryState(), MemoryImages())
    full = world.images.add(disks, None, 1)
    world.arrive(full)
    world.work()
    return world, full


def planned(world: World, *points: RecoveryPoint) -> BootPoint:
    """Let points arrive and return the boot point that is planned of the last."""
    world.arrive(*points)
    assert world._plan() is not None
    return world.state.read().points_of("erp")[-1]


def measured(world: World, point: BootPoint) -> int | None:
    """Measure a boot point; nothing of it is there afterwards."""
    before = dict(world.store.chain("erp").layers())
    world.perform(WantedJob(JobKind.MEASURE, "erp", point.id, ""))
    assert world.store.chain("erp").layers() == before
    return world.performer.measures.known(world.state.read(), world.clock.now())[point.id]


def test_a_new_full_writes_the_grains_that_differ() -> None:
    """As many as its SYNC writes then: those of a changed piece, those past the disk's old end."""
    world, _ = world_of(disk([1, 2, 3]))
    changed = bytearray(random.Random(2).randbytes(PIECE))
    changed[5 * GRAIN] ^= 1
    parts = [*disk([1, 0, 3]).parts, data(SIZE, random.Random(9).randbytes(GRAIN))]
    parts[1] = data(PIECE, bytes(changed))
    grown = MemoryDisk(SIZE + PIECE, [*parts, zero(SIZE + GRAIN, GRAIN)])
    point = planned(world, world.images.add([grown], None, 2))
    assert measured(world, point) == 2 * GRAIN
    world.work()
    replica = world.state.read().boot_points[point.id].replica
    written = sum(e.length for e in world.store.chain("erp").changed(replica, 0))
    assert written <= 3 * GRAIN
    world.check()
    assert world.performer.measures.known(world.state.read(), world.clock.now()) == {}


def test_a_disk_of_its_own_and_increments_count_whole() -> None:
    """A disk that was not there before, and what came after the full, are all written."""
    world, _ = world_of(disk([1, 2]))
    world.standby = replace(world.standby, backlog=Backlog.NEWEST)
    full = world.images.add([disk([1, 2]), disk([7])], None, 2)
    step = world.images.add([MemoryDisk(SIZE, disk([5]).parts), MemoryDisk(SIZE, [])], full, 3)
    assert measured(world, planned(world, full, step)) == 2 * PIECE
    world.work()
    world.check()


def test_disks_that_change_places_are_compared_with_each_other() -> None:
    """Of two disks that were swapped, what both hold alike is not written."""
    world, full = world_of(disk([1, 2, 3]), disk([1, 5, 3]))
    none = MemoryDisk(SIZE, [])
    swapped = world.images.add([none, none], full, 2, names=["disk-1", "disk-0"])
    point = planned(world, swapped)
    assert measured(world, point) == 2 * PIECE
    world.work()
    world.check()


def test_a_measurement_that_is_ended_says_nothing_and_is_not_begun_again_at_once() -> None:
    """Cancelled within a piece; for an hour it counts as not to be had."""
    world, _ = world_of(disk([1, 2, 3]))
    point = planned(world, world.images.add([disk([4, 5, 6])], None, 2))

    class Now(NeverCancelled):
        def check(self) -> None:
            raise Cancelled

    world.cancel = Now()
    assert measured(world, point) is None
    assert [job.status for job in world.state.read().jobs.values()][-1] is JobStatus.CANCELLED
    assert not world.performer.measures.knows(point)
    world.clock.advance(3600)
    assert world.performer.measures.known(world.state.read(), world.clock.now()) == {}
    world.cancel = NeverCancelled()
    assert measured(world, point) == 3 * PIECE
