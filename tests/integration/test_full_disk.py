"""A real disk that fills up in the middle: nothing is damaged, and work resumes by itself."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.points import Stage
from engine.state.memory import MemoryState
from engine.stores.probe import open_store
from tests.contract.disk_chains import mounted
from tests.world import MemoryDisk, MemoryImages, World, data

MIB = 1 << 20
DISK = 256 * MIB
BIG = 96 * MIB


@pytest.fixture(params=["reflink", "qcow2"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield a kind of store and a file system of its own of 320 MiB: XFS or ext4."""
    kind: str = request.param
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    make = ["mkfs.xfs", "-q", "-m", "reflink=1"] if kind == "reflink" else ["mkfs.ext4", "-qF"]
    subprocess.run([*make, str(image)], check=True)
    with mounted(["-o", "loop", str(image)], tmp_path / "mnt") as place:
        yield kind, place


def layer(seed: int, size: int) -> MemoryDisk:
    """Return a disk of which `size` bytes are written."""
    rnd = random.Random(seed)
    return MemoryDisk(DISK, [data(at, rnd.randbytes(4 * MIB)) for at in range(0, size, 4 * MIB)])


def test_a_full_disk_damages_nothing_and_work_resumes(small: tuple[str, Path]) -> None:
    """ENOSPC fails the try; earlier boot points read the same; with space the next try succeeds."""
    kind, place = small
    images = MemoryImages()
    full = images.add([layer(1, 16 * MIB)], None, 1)
    more = images.add([layer(2, BIG)], full, 2)
    world = World(open_store(place / "store", kind, "small"), MemoryState(), images)
    world.arrive(full)
    world.work()
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        while world.store.chain("erp").free() > BIG // 2:
            file.write(bytes(4 * MIB))
            file.flush()
    world.arrive(more)
    world.work(rounds=3)
    stages = [point.stage for point in world.state.read().points_of("erp")]
    assert stages == [Stage.READY, Stage.FAILED]
    failed = world.state.read().points_of("erp")[-1]
    assert "full" in failed.reason or "space" in failed.reason.lower()
    world.check()

    ballast.unlink()
    world.clock.advance(3600)
    world.work()
    stages = [point.stage for point in world.state.read().points_of("erp")]
    assert stages == [Stage.READY, Stage.READY]
    world.check()
    world.check_clean()
