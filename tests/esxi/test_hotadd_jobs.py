"""The engine's own jobs over layers that are snapshots; killed at every step on the host."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.hypervisors.esxi.attached import Turns
from engine.hypervisors.esxi.hotadd import HotaddChain
from engine.hypervisors.esxi.hotaddstore import HotaddStore
from engine.hypervisors.esxi.reverts import Reverts
from engine.hypervisors.esxi.tree import Snapshot
from engine.model.images import RecoveryPoint
from engine.model.points import Stage
from engine.ports import DiskChain
from engine.state.memory import MemoryState
from engine.stores.probe import open_store
from tests.esxi.test_hotadd_chain import plugged
from tests.vcsim.plugged import Plugged
from tests.vcsim.shadow import ENGINE, Shadow
from tests.world import MemoryDisk, MemoryImages, World, data, zero

__all__ = ["plugged"]

SIZE = 200_000
STEPS = ("make", "mark", "revert", "snapshot", "remove", "attach", "discard")
NEW = "before update"


class Dead(BaseException):
    """The engine was killed."""


class Site:
    """One host and one folder of papers, and one engine's life after the other over them."""

    def __init__(self, xfs: Path, plugged: Plugged, folder: Path) -> None:
        """Have four increments waiting."""
        self.shadow = Shadow(xfs / f"shadow-{uuid.uuid4().hex}", plugged)
        self.state, self.images = MemoryState(), MemoryImages()
        self._folder = folder
        self._store: HotaddStore | None = None
        self.left, self.after = -1, False
        for name in STEPS:
            setattr(self.shadow, name, self._dying(getattr(self.shadow, name)))

    def _dying(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Dead
            told = step(*args, **more)
            if self.left == 0:
                raise Dead
            return told

        return call

    def points(self) -> list[RecoveryPoint]:
        """Return a full and three increments."""
        made: list[RecoveryPoint] = []
        for number in range(1, 5):
            parts = [data(number * 10_000, bytes([number]) * 9_000)]
            if number == 1:
                parts.append(data(100_000, b"f" * 50_000))
            else:
                parts.append(zero(100_000 + number * 7_000, 5_000))
            below = made[-1] if made else None
            made.append(self.images.add([MemoryDisk(SIZE, parts)], below, number))
        return made

    def engine(self) -> World:
        """Return a fresh engine, as after a restart."""
        if self._store is not None:
            self._store.close()
        lock = threading.RLock()

        @contextlib.contextmanager
        def held(_cancel: object = None) -> Iterator[None]:
            with lock:
                yield

        def chains(vm: str, papers: DiskChain, reverts: Reverts) -> HotaddChain:
            at, devices = datetime(2026, 3, 1, tzinfo=UTC), self.shadow.plugged.devices()
            steps = self.shadow
            return HotaddChain(
                vm, papers, reverts, steps, steps, devices, ENGINE, lambda: at, Turns(held)
            )

        self._store = HotaddStore(open_store(self._folder, "hotadd", "local"), chains)
        world = World(self._store, self.state, self.images, keep=2)
        world.restart()
        return world

    def close(self) -> None:
        """Take out what is attached."""
        for vm in self.shadow.vms.values():
            self.shadow.unplug(vm.seen.home)
        if self._store is not None:
            self._store.close()


@pytest.fixture
def site(xfs: Path, plugged: Plugged, tmp_path: Path) -> Iterator[Site]:
    """Yield a host without VMs."""
    made = Site(xfs, plugged, tmp_path / "papers")
    yield made
    made.close()


def _to_the_end(site: Site) -> World:
    site.left = -1
    world = site.engine()
    for _ in range(20):
        world.work()
        due = (Stage.PENDING, Stage.FAILED)
        if not any(one.stage in due for one in world.state.read().points_of("erp")):
            break
        world.clock.advance(3600)
    world.check()
    world.check_clean()
    return world


def _check_host(site: Site, world: World) -> None:
    """The host has the snapshots of what is ready, and no other."""
    ready = world.state.read().ready("erp")
    assert len(ready) == 2
    found = sorted(one.name for one in site.shadow.vms["erp"].snapshots.values())
    assert found == sorted(name for one in ready for name in (one.replica, one.boot))


def test_increments_become_boot_points_and_old_ones_go(site: Site) -> None:
    """Four increments, two kept: each reads like its image, and the host has no snapshot more."""
    world = site.engine()
    for point in site.points():
        world.arrive(point)
        world.work()
        world.check()
    _check_host(site, _to_the_end(site))


EVERY = range(1, 41)
SOME = {2, 9, 23, 34}


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "contacts",
    [one if one in SOME else pytest.param(one, marks=pytest.mark.nightly) for one in EVERY],
)
def test_a_kill_at_any_step_on_the_host_loses_nothing(
    site: Site, contacts: int, is_after: bool
) -> None:
    """Before the step or after its effect, the next engine brings all of it to the same end."""
    points = site.points()
    site.after = is_after
    world = site.engine()
    site.left = contacts
    with contextlib.suppress(Dead):
        for point in points:
            world.arrive(point)
            world.work()
    site.left = -1
    world = site.engine()
    world.check()
    known = world.state.read().recovery_points
    world.arrive(*(one for one in points if one.id not in known))
    _check_host(site, _to_the_end(site))


def test_a_snapshot_of_somebody_else_stops_the_work_and_nothing_else(site: Site) -> None:
    """The increment fails with the reason, what is ready stays; undone, it is made."""
    first, second, *_ = site.points()
    world = site.engine()
    world.arrive(first)
    world.work()
    vm = site.shadow.vms["erp"]
    vm.snapshots["x"] = Snapshot("x", NEW, "", vm.current)
    world.arrive(second)
    world.work()
    failed = [one for one in world.state.read().points_of("erp") if one.stage is Stage.FAILED]
    assert len(failed) == 1
    assert NEW in failed[0].reason
    world.check()
    del vm.snapshots["x"]
    world = _to_the_end(site)
    assert len(world.state.read().ready("erp")) == 2
