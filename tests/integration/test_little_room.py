"""New fulls on a store that has no room for them counted whole: the engine on a small real disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.points import Stage
from engine.model.work import JobKind
from tests.contract.disk_chains import mounted
from tests.histories import Following, Machine, hub

MIB = 1 << 20
GRAINS = 1024


@pytest.fixture(params=["reflink", pytest.param("qcow2", marks=pytest.mark.nightly)])
def cramped(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Following, Path, Path]]:
    """Yield an engine, the file system of 320 MiB with its store, and the machines' folder."""
    kind: str = request.param
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    make = ["mkfs.xfs", "-q", "-m", "reflink=1"] if kind == "reflink" else ["mkfs.ext4", "-qF"]
    subprocess.run([*make, str(image)], check=True)
    folder = tmp_path / "machines"
    folder.mkdir()
    with (
        mounted(["-o", "loop", str(image)], tmp_path / "mnt") as place,
        hub(kind, place, folder, dict.fromkeys(("near", "far"), "immediate")) as one,
    ):
        yield one, place, folder


def fill(one: Following, place: Path, left: int) -> None:
    """Fill the store until no more than `left` bytes are free."""
    with (place / "ballast").open("wb") as file:
        while one.store.chain("near").free() > left:
            file.write(b"x" * MIB)
            file.flush()
    one.engine.rooms._looked = None
    one.engine.rooms.look(one.engine)


def kinds(one: Following, name: str) -> list[JobKind]:
    """Return the kinds of a standby's jobs, in their order."""
    return [job.kind for job in one.state.read().jobs.values() if job.standby == name]


def test_a_new_full_starts_where_what_differs_fits(cramped: tuple[Following, Path, Path]) -> None:
    """One that differs in a few grains is measured and made; one that is all new never begins."""
    one, place, folder = cramped
    near = machine(folder, "near")
    far = machine(folder, "far")
    first = near.shoot("a")
    other = far.shoot("a")
    near.send(first)
    far.send(other)
    one.settled("near", first)
    one.settled("far", other)
    fill(one, place, 60 * MIB)
    near.write("a", 7, 500)
    again = near.shoot("a", full=True)
    near.send(again)
    one.settled("near", first, again)
    assert kinds(one, "near") == [JobKind.SYNC, JobKind.MEASURE, JobKind.SYNC]
    one.check(near)
    assert "would write 0.1 MiB" in one.told("near")
    far.write("a", *range(GRAINS))
    anew = far.shoot("a", full=True)
    far.send(anew)
    one.until(lambda: "it needs 83 MiB" in one.engine.rooms.cramped.get("far", ""), "far")
    one.a_while()
    assert kinds(one, "far") == [JobKind.SYNC, JobKind.MEASURE]
    assert one.points("far")[str(anew.point)].stage is Stage.PENDING
    (place / "ballast").unlink()
    one.until(lambda: len(one.ready("far")) == 2, "far")
    assert kinds(one, "far") == [JobKind.SYNC, JobKind.MEASURE, JobKind.SYNC]
    one.check(far)


def machine(folder: Path, name: str) -> Machine:
    """Return a machine with a disk of 64 MiB that is all written."""
    made = Machine(folder, name, {"a": GRAINS << 16})
    made.write("a", *range(GRAINS))
    return made
