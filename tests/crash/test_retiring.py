"""Retirement killed at its contacts with a real file system, and again while it is taken up.

bp1 ─ bp2 ─ bp3 ─ bp4      bp2 is pinned, keep = 1: bp1 goes (the base), bp3 goes (the middle)
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.model.state import State
from engine.state.memory import MemoryState
from engine.stores.folderstore import FolderStore
from engine.stores.probe import open_store
from tests.contract.disk_chains import xfs
from tests.unit.stores.dying import Dead, dying_after
from tests.world import MemoryDisk, MemoryImages, World, data, zero

__all__ = ["xfs"]

MIB = 1 << 20
CLUSTER = 64 << 10


@dataclass
class Trial:
    """One life after the other over the same store and state."""

    kind: str
    path: Path
    state: MemoryState
    images: MemoryImages
    store: FolderStore | None = None

    def engine(self) -> World:
        """Return a fresh engine, as after a restart."""
        if self.store is not None:
            self.store.close()
        self.store = open_store(self.path, self.kind, "local")  # type: ignore[assignment]  # a folder's
        assert self.store is not None
        world = World(self.store, self.state, self.images, keep=1)
        world.restart()
        return world

    def life(self, contacts: int) -> bool:
        """Let an engine work until so many contacts; tell whether it came to its end."""
        world = self.engine()
        with suppress(Dead), dying_after(contacts):
            world.work()
            return True
        return False

    def check(self) -> None:
        """What is ready reads like its image; the pin is there."""
        world = self.engine()
        world.check()
        assert {2, 4} <= {point.sequence for point in self.state.read().ready("erp")}

    def finish(self) -> None:
        """With whole power: just the two that stay are left, and nothing half done."""
        world = self.engine()
        world.work()
        world.check()
        world.check_clean()
        assert [point.sequence for point in self.state.read().ready("erp")] == [2, 4]
        assert not list((self.path / "erp").rglob(".*"))
        if self.store is not None:
            self.store.close()


Fresh = Callable[[], Trial]


@pytest.fixture(params=["reflink", "qcow2"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, xfs: Path) -> Fresh:
    """Return a maker of trials: four ready boot points, two of which are to go."""
    root = (xfs if request.param == "reflink" else tmp_path) / uuid.uuid4().hex
    images = MemoryImages()
    store = open_store(root / "template", request.param, "local")
    world = World(store, MemoryState(), images, keep=9)
    disks = [MemoryDisk(MIB, [data(0, b"a" * (MIB // 2)), zero(MIB // 2, MIB // 2)])]
    point = images.add(disks, None, 1)
    points = [point]
    for number in range(2, 5):
        parts = [data(n * CLUSTER, bytes([number]) * CLUSTER) for n in (number, 2 * number)]
        point = images.add([MemoryDisk(MIB, parts)], point, number)
        points.append(point)
    world.arrive(*points)
    world.work()
    made = world.state.read()
    store.close()

    def trial() -> Trial:
        path = root / uuid.uuid4().hex
        subprocess.run(["cp", "-a", "--reflink=auto", root / "template", path], check=True)
        return Trial(request.param, path, remembered(made), images)

    return trial


def remembered(made: State) -> MemoryState:
    """Return a state of its own, with bp2 pinned."""
    state = MemoryState()
    with state.write() as tx:
        tx.save_recovery_points(list(made.recovery_points.values()))
        for point in made.boot_points.values():
            tx.save_boot_point(replace(point, pin="audit" if point.sequence == 2 else ""))
    return state


def contacts(fresh: Fresh) -> int:
    """Return how many contacts an undisturbed life has."""
    least, most = 1, 1
    while not fresh().life(most):
        least, most = most, most * 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if fresh().life(middle) else (middle, most)
    return most


def test_a_retirement_may_be_cut_anywhere(fresh: Fresh) -> None:
    """At each moment all that is ready reads right, and the next life finishes."""
    total = contacts(fresh)
    assert total > 10
    step = 1 if total < 40 else total // 30
    for at in range(0, total, step):
        trial = fresh()
        assert not trial.life(at)
        trial.check()
        trial.finish()


def test_a_second_cut_while_it_is_taken_up_loses_nothing(fresh: Fresh) -> None:
    """Two cuts, the second in the life after the first: the same end."""
    total = contacts(fresh)
    for first in range(1, total, max(total // 5, 1)):
        for second in range(0, total - first, max(total // 5, 1)):
            trial = fresh()
            trial.life(first)
            trial.life(second)
            trial.check()
            trial.finish()
