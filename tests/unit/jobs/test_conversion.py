"""What surrounds a conversion: obstacles, failures, doing it again, on simulated parts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.guests.record import import_record
from engine.jobs.twig import twigs
from engine.model import planner
from engine.model.conversion import ConversionMode
from engine.model.errors import Failure, NotBootable, Problem
from engine.model.layers import LayerKind
from engine.model.points import BootPoint, Stage
from engine.model.work import JobKind, JobStatus, WantedJob
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.world import MemoryDisk, MemoryImages, World, data

BLOCK = 65536
LOCKED = NotBootable(
    Problem("guest.bitlocker", "NOT BOOTABLE: The volume is encrypted.", "", "Suspend BitLocker.")
)


@pytest.fixture
def world() -> World:
    """Return a world in memory with a full and one increment, none arrived yet."""
    return World(MemoryStore(), MemoryState(), MemoryImages())


def arrive(world: World, count: int) -> None:
    """Let the first `count` recovery points arrive."""
    last = None
    points = []
    for number in range(count):
        parts = [data(number * BLOCK, bytes([number + 1]) * BLOCK)]
        last = world.images.add([MemoryDisk(8 * BLOCK, parts)], last, number + 1)
        points.append(last)
    world.arrive(*points)


def point(world: World, sequence: int = 1) -> BootPoint:
    """Return the boot point of a sequence number."""
    points = world.state.read().points_of("erp")
    return next(one for one in points if one.sequence == sequence)


def again(world: World, one: BootPoint) -> JobStatus:
    """Perform a CONVERT job of a boot point; return how it ended."""
    world.perform(WantedJob(JobKind.CONVERT, "erp", one.id, "asked for"))
    return max(world.state.read().jobs.values(), key=lambda job: job.id).status


def test_each_boot_point_is_converted_and_keeps_its_record(world: World) -> None:
    """The record lies beside the twig, and not in what `layers` returns of it."""
    arrive(world, 2)
    world.work()
    assert world.converter.converted == 2
    chain = world.store.chain("erp")
    for one in world.state.read().ready("erp"):
        record = import_record(chain.manifest(one.boot).conversion)
        assert record.guest.name == "Simulated Linux"
        assert record.ledger.backend == "simulated"
        shown = chain.layers()[one.boot].manifest
        assert shown is not None
        assert shown.conversion == ""
    world.check()


def test_with_conversion_switched_off_no_guest_is_looked_at(world: World) -> None:
    """`conversion = "none"`: the twig is laid and sealed as it is."""
    world.standby = replace(world.standby, conversion=ConversionMode.NONE)
    arrive(world, 1)
    world.work()
    assert point(world).stage is Stage.READY
    assert world.converter.converted == 0


def test_an_obstacle_leaves_the_trunk_layer_and_no_twig_and_is_not_tried_again(
    world: World,
) -> None:
    """FAILED with reason, remedy and key; the trunk layer stays; waiting changes nothing."""
    world.converter.fails = LOCKED
    arrive(world, 1)
    world.work()
    one = point(world)
    assert (one.stage, one.obstacle, one.attempts) == (Stage.FAILED, "guest.bitlocker", 1)
    assert "encrypted" in one.reason
    assert "Suspend BitLocker." in one.reason
    layers = world.store.chain("erp").layers()
    assert [name for name, layer in layers.items() if layer.sealed] == [one.replica]
    assert twigs(list(layers.values()), one) == []
    world.clock.advance(10 * 24 * 3600)
    world.work()
    assert point(world).attempts == 1


def test_what_comes_after_goes_on_from_a_trunk_layer_that_cannot_be_started(world: World) -> None:
    """The next increment does not wait for a guest that cannot be converted."""
    world.converter.fails = LOCKED
    arrive(world, 1)
    world.work()
    world.converter.fails = None
    arrive(world, 2)
    world.work()
    assert point(world, 1).obstacle
    second = point(world, 2)
    assert second.stage is Stage.READY
    assert world.store.chain("erp").layers()[second.replica].parent == point(world, 1).replica
    world.check()


def test_a_conversion_that_fails_is_tried_again_after_a_pause_without_copying(
    world: World,
) -> None:
    """A missing tool is no obstacle: the twig is dropped, the trunk layer is used again."""
    world.converter.fails = Failure(Problem("guest.backend", "A program is missing."))
    arrive(world, 1)
    world.work()
    one = point(world)
    assert (one.stage, one.obstacle, one.has_trunk) == (Stage.FAILED, "", True)
    world.images.points.clear()
    world.converter.fails = None
    world.clock.advance(3600)
    world.work()
    assert point(world).stage is Stage.READY


@pytest.mark.parametrize("how", ["asked", "off"])
def test_an_obstacle_goes_when_asked_for_or_when_conversion_is_switched_off(
    world: World, how: str
) -> None:
    """`convert --again` after a fix, or `conversion = "none"`: the same trunk layer gets ready."""
    world.converter.fails = LOCKED
    arrive(world, 1)
    world.work()
    if how == "asked":
        world.converter.fails = None
        with world.state.write() as tx:
            tx.save_boot_point(planner.try_again(point(world)))
    else:
        world.standby = replace(world.standby, conversion=ConversionMode.NONE)
        world.clock.advance(60)
    world.work()
    assert (point(world).stage, point(world).obstacle) == (Stage.READY, "")
    world.check()


def test_a_ready_boot_point_gets_a_new_twig_and_loses_the_old_one(world: World) -> None:
    """Converted again, twice: READY all the time, one twig, its manifest in place."""
    arrive(world, 1)
    world.work()
    names = [point(world).boot]
    for _ in range(2):
        assert again(world, point(world)) is JobStatus.DONE
        one = point(world)
        assert one.stage is Stage.READY
        layers = world.store.chain("erp").layers()
        assert twigs(list(layers.values()), one) == [one.boot]
        names.append(one.boot)
    assert names[0] == names[2] != names[1]
    world.check()


def test_a_ready_boot_point_keeps_its_twig_when_converting_again_fails(world: World) -> None:
    """What could be started before can be started still."""
    arrive(world, 1)
    world.work()
    before = point(world)
    world.converter.fails = LOCKED
    assert again(world, before) is JobStatus.FAILED
    assert point(world) == before
    world.check()


def test_both_twigs_of_an_interrupted_change_go_with_their_boot_point(world: World) -> None:
    """Killed between the new twig and the old one's end: retiring clears both."""
    arrive(world, 1)
    world.work()
    one = point(world)
    chain = world.store.chain("erp")
    left = chain.add(
        type(one.boot)(f"{one.id}-again-conversion"), one.replica, LayerKind.CONVERSION, [8 * BLOCK]
    )
    world.perform(WantedJob(JobKind.RETIRE, "erp", one.id, "test"))
    assert left.name not in chain.layers()
    assert chain.layers() == {}
