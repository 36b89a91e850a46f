"""What happens to images at the source, on both real stores, compared with the source's disks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.disk_chains import xfs
from tests.formats.bpifiles import GRAIN
from tests.histories import START, Following, Machine, hub

__all__ = ["xfs"]
MIB = 1 << 20
NAMES = (
    "disks", "order", "gather", "again", "holes", "fork", "double", "gap", "twins", "clock", "swap",
)  # fmt: skip


@pytest.fixture(scope="module", params=["reflink", "qcow2"])
def following(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Following, Path]]:
    """Yield one engine for all tests, and the folder of all machines."""
    folder = tmp_path_factory.mktemp("histories")
    on_xfs = request.param == "reflink"
    under = request.getfixturevalue("xfs") / folder.name if on_xfs else folder
    every = {name: "every:3" if name == "gather" else "immediate" for name in NAMES}
    with hub(request.param, under, folder, every) as one:
        yield one, folder


def test_disks_come_go_grow_and_shrink(following: tuple[Following, Path]) -> None:
    """A disk added, grown, shrunk, taken away at the end: each layer is its time's source."""
    one, folder = following
    erp = Machine(folder, "disks", {"a": MIB, "b": 8 * GRAIN})
    shots = [erp.shoot("a")]
    erp.write("a", 9)
    shots.append(erp.shoot("a", "b"))
    erp.resize("a", 2 * MIB)
    erp.resize("b", 12 * GRAIN)
    erp.write("a", 30)
    shots.append(erp.shoot("a", "b"))
    erp.resize("a", MIB - GRAIN // 2)
    erp.resize("b", 3 * GRAIN)
    shots.append(erp.shoot("a", "b"))
    erp.resize("a", 2 * MIB)
    shots.append(erp.shoot("a"))
    for shot in shots:
        erp.send(shot)
    one.settled("disks", *shots)
    one.check(erp)


def test_the_order_of_disks_changes(following: tuple[Following, Path]) -> None:
    """Disks that change places, and one that leaves from the middle, keep their own bytes."""
    one, folder = following
    erp = Machine(folder, "order", {"a": MIB, "b": MIB, "c": 4 * GRAIN})
    shots = [erp.shoot("a", "b", "c")]
    erp.write("a", 5)
    erp.write("b", 6)
    shots.append(erp.shoot("b", "a", "c"))
    erp.write("c", 1)
    shots.append(erp.shoot("b", "c"))
    erp.send(*shots)
    one.settled("order", *shots)
    one.check(erp)


def test_many_increments_in_one_with_all_of_it(following: tuple[Following, Path]) -> None:
    """Three increments become one layer although a disk shrank, grew and moved between them."""
    one, folder = following
    erp = Machine(folder, "gather", {"a": MIB, "b": MIB})
    first = erp.shoot("a", "b")
    erp.send(first)
    one.settled("gather", first)
    erp.resize("a", 2 * GRAIN)
    shots = [erp.shoot("a", "b")]
    erp.resize("a", MIB)
    erp.write("a", 12)
    shots.append(erp.shoot("b", "a"))
    erp.write("b", 3)
    shots.append(erp.shoot("b", "a"))
    erp.send(*shots)
    one.settled("gather", first, shots[-1])
    one.check(erp)


def test_a_new_full_writes_only_what_differs(following: tuple[Following, Path]) -> None:
    """A new generation stands beside the old one and holds a few grains of its own."""
    one, folder = following
    erp = Machine(folder, "again", {"a": 4 * MIB})
    erp.write("a", *range(60))
    shots = [erp.shoot("a")]
    erp.write("a", 7)
    shots.append(erp.shoot("a"))
    erp.write("a", 8, 40)
    shots.append(erp.shoot("a", full=True))
    erp.write("a", 9)
    shots.append(erp.shoot("a"))
    erp.send(*shots[:2])
    one.settled("again", *shots[:2])
    erp.send(*shots[2:])
    one.settled("again", *shots)
    one.check(erp)
    assert 2 * GRAIN <= one.own_bytes(shots[2], "again") <= 6 * GRAIN


def test_files_renamed_and_gone_at_the_source(following: tuple[Following, Path]) -> None:
    """Applied points stay when their files get other names or go; the numbers then have holes."""
    one, folder = following
    erp = Machine(folder, "holes", {"a": MIB})
    shots = []
    for grain in range(5):
        erp.write("a", grain)
        shots.append(erp.shoot("a"))
    files = erp.send(*shots[:3])
    one.settled("holes", *shots[:3])
    before = one.points("holes")
    for path in files[:4]:
        path.unlink()
    for path in files[4:]:
        path.rename(path.with_name(f"moved {path.name}"))
    erp.send(*shots[3:], prefix="other ")
    one.settled("holes", *shots)
    one.check(erp)
    assert {p.id for p in before.values()} <= {p.id for p in one.points("holes").values()}
    assert not one.waits("holes")


def test_a_fork_is_held_beside_the_line(following: tuple[Following, Path]) -> None:
    """A second child of an applied point does not disturb what follows the first one."""
    one, folder = following
    erp = Machine(folder, "fork", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.write("a", 1)
    shutil.copytree(erp.images / "fork", folder / "aside")
    side = Machine(folder, "fork", {"a": MIB}, truth=erp.truth, made=list(erp.made))
    side.images = folder / "apart"
    shutil.copytree(folder / "aside", side.images / "fork")
    shots.append(erp.shoot("a", at=START + timedelta(hours=2)))
    other = side.shoot("a", at=START + timedelta(hours=1))
    erp.write("a", 2)
    shots.append(erp.shoot("a", at=START + timedelta(hours=3)))
    erp.send(*shots[:2])
    one.settled("fork", *shots[:2])
    erp.send(other, shots[2])
    one.settled("fork", *shots)
    one.check(erp)


def test_copies_and_a_full_sent_again_under_another_name(following: tuple[Following, Path]) -> None:
    """Second copies of everything, under other names, change nothing."""
    one, folder = following
    erp = Machine(folder, "double", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.send(*shots)
    one.settled("double", *shots)
    erp.write("a", 3)
    shots.append(erp.shoot("a"))
    erp.send(*shots, prefix="again-")
    erp.send(*shots, prefix="0-")
    one.settled("double", *shots)
    one.check(erp)
    assert len(one.points("double")) == 2


def test_a_missing_increment_is_named(following: tuple[Following, Path]) -> None:
    """The file to send is named and what is not affected; once it is there all is made."""
    one, folder = following
    erp = Machine(folder, "gap", {"a": MIB})
    shots = []
    for grain in range(4):
        erp.write("a", grain)
        shots.append(erp.shoot("a"))
    erp.send(*shots[:2])
    one.settled("gap", *shots[:2])
    erp.send(shots[3])
    one.until(lambda: "Replicate the missing point again" in one.waits("gap"), "gap")
    told = one.waits("gap")
    assert "p000003" in told
    assert "2 ready boot points" in told
    assert "not affected" in told
    erp.send(shots[2])
    one.settled("gap", *shots)
    one.check(erp)
    one.until(lambda: not one.waits("gap"), "gap")


def test_two_machines_of_one_name(following: tuple[Following, Path]) -> None:
    """In one folder they are told apart, and neither is applied over the other."""
    one, folder = following
    erp = Machine(folder, "twins", {"a": MIB})
    first = erp.shoot("a")
    erp.send(first)
    one.settled("twins", first)
    elsewhere = Machine(folder / "elsewhere", "twins", {"a": MIB})
    elsewhere.folder = folder
    elsewhere.send(elsewhere.shoot("a"))
    one.until(lambda: one.waits("twins"), "twins")
    assert one.ready("twins") == {str(first.point)}
    one.check(erp)


def test_a_clock_that_goes_back(following: tuple[Following, Path]) -> None:
    """Increments follow their parents, whatever their times say."""
    one, folder = following
    erp = Machine(folder, "clock", {"a": MIB})
    shots = []
    for grain, hours in enumerate((5, 6, 2, 3)):
        erp.write("a", grain)
        shots.append(erp.shoot("a", at=START + timedelta(hours=hours)))
        erp.send(shots[-1])
        one.settled("clock", *shots)
    one.check(erp)


def test_a_file_replaced_by_another_of_its_name(following: tuple[Following, Path]) -> None:
    """A name that now holds another point's file is that point; what was applied stays."""
    one, folder = following
    erp = Machine(folder, "swap", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.write("a", 2)
    shots.append(erp.shoot("a"))
    old = erp.send(shots[0])
    one.settled("swap", shots[0])
    for path, new in zip(old, (shots[1].files[0].path, shots[1].manifest), strict=True):
        draft = path.with_suffix(".copying")
        shutil.copy(new, draft)
        draft.replace(path)
    one.settled("swap", *shots)
    one.check(erp)
