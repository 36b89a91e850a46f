"""How images of the native format arrive, or do not, on both real stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.disk_chains import xfs
from tests.formats.bpifiles import GRAIN
from tests.histories import START, Following, Machine, bring, files_of, hub

__all__ = ["xfs"]
MIB = 1 << 20
NAMES = (
    "late", "cut", "slow", "away", "nothing", "bare", "back", "merged", "early", "foreign", "years",
    "ahead", "swapped", "shape", "both", "zeros", "hidden", "lost", "here", "there",
)  # fmt: skip


@pytest.fixture(
    scope="module", params=["reflink", pytest.param("qcow2", marks=pytest.mark.nightly)]
)
def following(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Following, Path]]:
    """Yield one engine for all tests, and the folder of all machines."""
    folder = tmp_path_factory.mktemp("arrivals")
    on_xfs = request.param == "reflink"
    under = request.getfixturevalue("xfs") / folder.name if on_xfs else folder
    with hub(request.param, under, folder, dict.fromkeys(NAMES, "immediate")) as one:
        yield one, folder


def test_files_come_in_any_order(following: tuple[Following, Path]) -> None:
    """Manifests first, the newest first, the full last: one boot point of each."""
    one, folder = following
    erp = Machine(folder, "late", {"a": MIB, "b": MIB})
    shots = [erp.shoot("a", "b")]
    for grain in (1, 2):
        erp.write("a", grain)
        shots.append(erp.shoot("a", "b"))
    for shot in reversed(shots):
        for path in reversed(files_of(shot)):
            bring(path, erp.sent / path.name)
    one.settled("late", *shots)
    one.check(erp)


def test_a_file_cut_short_is_completed_later(following: tuple[Following, Path]) -> None:
    """Of half a file under its own name nothing is made; complete, it is an increment as any."""
    one, folder = following
    erp = Machine(folder, "cut", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.write("a", 1, 2, 3)
    shots.append(erp.shoot("a"))
    erp.send(shots[0])
    one.settled("cut", shots[0])
    file, listed = files_of(shots[1])
    whole = file.read_bytes()
    (erp.sent / file.name).write_bytes(whole[: len(whole) // 2])
    bring(listed, erp.sent / listed.name)
    one.a_while()
    assert one.ready("cut") == {str(shots[0].point)}
    with (erp.sent / file.name).open("ab") as late:
        late.write(whole[len(whole) // 2 :])
    one.settled("cut", *shots)
    one.check(erp)


def test_a_file_written_slowly(following: tuple[Following, Path]) -> None:
    """A sender that pauses, then writes on in place, is waited for: the end tells, not a pause."""
    one, folder = following
    erp = Machine(folder, "slow", {"a": MIB})
    shot = erp.shoot("a")
    whole = shot.files[0].path.read_bytes()
    bring(shot.manifest, erp.sent / shot.manifest.name)
    with (erp.sent / "in place.bpi").open("wb") as file:
        file.truncate(len(whole))
        for start in range(0, len(whole), len(whole) // 3):
            file.write(whole[start : start + len(whole) // 3])
            file.flush()
            one.a_while()
            if start == 0:
                assert not one.points("slow")
    one.settled("slow", shot)
    one.check(erp)


def test_a_folder_goes_away_and_comes_back(following: tuple[Following, Path]) -> None:
    """What was made stays ready meanwhile; afterwards the line goes on."""
    one, folder = following
    erp = Machine(folder, "away", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.send(shots[0])
    one.settled("away", shots[0])
    aside = folder / "moved away"
    erp.sent.rename(aside)
    one.a_while()
    one.settled("away", shots[0])
    erp.write("a", 5)
    shots.append(erp.shoot("a"))
    aside.rename(erp.sent)
    erp.send(shots[1])
    one.settled("away", *shots)
    inner = erp.sent / "deeper"
    inner.mkdir()
    for path in [path for path in erp.sent.iterdir() if path.is_file()]:
        path.rename(inner / path.name)
    erp.write("a", 6)
    shots.append(erp.shoot("a"))
    erp.send(shots[2])
    one.settled("away", *shots)
    one.check(erp)
    assert len(one.points("away")) == 3


def test_increments_without_changes(following: tuple[Following, Path]) -> None:
    """An increment that holds nothing is a boot point of its own time."""
    one, folder = following
    erp = Machine(folder, "nothing", {"a": MIB, "b": 4 * GRAIN})
    shots = [erp.shoot("a", "b") for _ in range(3)]
    erp.send(*shots)
    one.settled("nothing", *shots)
    one.check(erp)
    assert one.own_bytes(shots[2], "nothing") == 0


def test_empty_files_and_litter(following: tuple[Following, Path]) -> None:
    """Files of 0 bytes, strangers and links beside the images are no images, and stop nothing."""
    one, folder = following
    erp = Machine(folder, "bare", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.sent.mkdir(exist_ok=True)
    (erp.sent / "empty.bpi").touch()
    (erp.sent / "empty.json").touch()
    (erp.sent / "readme.txt").write_text("hello")
    (erp.sent / "link.bpi").symlink_to(shots[0].files[0].path)
    os.mkfifo(erp.sent / "pipe.bpi")
    erp.send(shots[0])
    erp.write("a", 1)
    shots.append(erp.shoot("a"))
    file, listed = files_of(shots[1])
    (erp.sent / file.name).touch()
    bring(listed, erp.sent / listed.name)
    one.a_while()
    assert one.ready("bare") <= {str(shots[0].point)}
    bring(file, erp.sent / file.name)
    one.settled("bare", *shots)
    one.check(erp)


def test_an_increment_of_the_generation_before(following: tuple[Following, Path]) -> None:
    """After a new full an increment of the old chain arrives: it lies on the old generation."""
    one, folder = following
    erp = Machine(folder, "back", {"a": MIB})
    shots = [erp.shoot("a")]
    erp.send(shots[0])
    one.settled("back", shots[0])
    other = Machine(folder, "back", {"a": MIB}, truth=erp.truth, made=list(erp.made))
    other.images = folder / "back apart"
    shutil.copytree(erp.images / "back", other.images / "back")
    erp.write("a", 2)
    shots.append(erp.shoot("a", full=True, at=START + timedelta(hours=1)))
    erp.send(shots[1])
    one.settled("back", *shots)
    erp.write("a", 3)
    shots.append(other.shoot("a", at=START + timedelta(hours=2)))
    erp.send(shots[2])
    one.settled("back", *shots)
    erp.write("a", 4)
    shots.append(erp.shoot("a", at=START + timedelta(hours=3)))
    erp.send(shots[3])
    one.settled("back", *shots)
    one.check(erp)


def test_the_source_merges_its_files(following: tuple[Following, Path]) -> None:
    """Increments become one, then a synthetic full: what was applied stays, the line goes on."""
    one, folder = following
    erp = Machine(folder, "merged", {"a": MIB})
    shots = [erp.shoot("a")]
    for grain in range(1, 6):
        erp.write("a", grain, grain + 5)
        shots.append(erp.shoot("a"))
    old = erp.send(*shots[:3])
    one.settled("merged", *shots[:3])
    before = {point.id for point in one.points("merged").values()}
    for path in erp.merge(*shots[1:3]):
        bring(path, erp.sent / f"again {path.name}")
    for path in old[2:]:
        path.unlink()
    erp.send(shots[3])
    one.settled("merged", *shots[:4])
    merged = erp.merge(*shots[:4])
    for path in list(erp.sent.iterdir()):
        path.unlink()
    for path in merged:
        bring(path, erp.sent / path.name)
    erp.send(shots[4])
    one.settled("merged", *shots[:5])
    erp.send(shots[5])
    one.settled("merged", *shots)
    one.check(erp)
    assert before <= {point.id for point in one.points("merged").values()}
    assert not one.waits("merged")


def test_only_a_merged_file_was_sent(following: tuple[Following, Path]) -> None:
    """A merged increment bridges points that never came, some of which were applied."""
    one, folder = following
    erp = Machine(folder, "early", {"a": MIB})
    shots = [erp.shoot("a")]
    for grain in range(1, 5):
        erp.write("a", grain, grain + 6)
        shots.append(erp.shoot("a"))
    erp.send(*shots[:2])
    one.settled("early", *shots[:2])
    for path in erp.merge(*shots[1:4]):
        bring(path, erp.sent / path.name)
    erp.send(shots[4])
    one.settled("early", *shots[:2], *shots[3:])
    one.check(erp)


def test_a_full_from_an_older_time_is_no_news(following: tuple[Following, Path]) -> None:
    """Last year's chain in the folder is not laid over today's, and does not pass unseen."""
    one, folder = following
    erp = Machine(folder, "years", {"a": MIB})
    old = [erp.shoot("a", at=START - timedelta(days=365))]
    erp.write("a", 1)
    old.append(erp.shoot("a", at=START - timedelta(days=364)))
    erp.write("a", 2)
    new = erp.shoot("a", full=True)
    erp.send(new)
    one.settled("years", new)
    erp.send(*old)
    one.until(lambda: "An older chain of images has arrived" in one.waits("years"), "years")
    told = one.waits("years")
    assert "2 recovery points, the last of 2025-" in told
    assert old[1].files[0].path.name in told
    assert "add a standby for that folder" in told
    one.settled("years", new)
    one.check(erp)


def test_a_source_clock_that_was_ahead_is_put_right(following: tuple[Following, Path]) -> None:
    """A new chain counts as news although the one before claims to be of the future."""
    one, folder = following
    erp = Machine(folder, "ahead", {"a": MIB})
    shots = [erp.shoot("a", at=START + timedelta(days=3650))]
    erp.send(shots[0])
    one.settled("ahead", shots[0])
    erp.write("a", 2)
    shots.append(erp.shoot("a", full=True, at=one.engine.clock.now()))
    erp.send(shots[1])
    one.settled("ahead", *shots)
    erp.write("a", 3)
    shots.append(erp.shoot("a", at=one.engine.clock.now()))
    erp.send(shots[2])
    one.settled("ahead", *shots)
    one.check(erp)


def test_a_pending_file_is_replaced(following: tuple[Following, Path]) -> None:
    """Rubbish in place of an increment is refused by its name; the right one is taken up later."""
    one, folder = following
    erp = Machine(folder, "swapped", {"a": MIB})
    shots = [erp.shoot("a")]
    files = erp.send(shots[0])
    one.settled("swapped", shots[0])
    erp.write("a", 1)
    shots.append(erp.shoot("a"))
    file, listed = files_of(shots[1])
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 255
    spoilt = folder / "spoilt.bpi"
    spoilt.write_bytes(whole)
    bring(spoilt, erp.sent / file.name)
    bring(listed, erp.sent / listed.name)
    files[0].write_bytes(os.urandom(70000))
    one.until(lambda: file.name in one.told("swapped"), "swapped")
    assert one.ready("swapped") == {str(shots[0].point)}
    bring(file, erp.sent / file.name)
    one.settled("swapped", *shots)
    one.check(erp)


def test_a_new_full_of_other_disks(following: tuple[Following, Path]) -> None:
    """A generation whose disks grew, shrank, changed places or are new reads like its source."""
    one, folder = following
    erp = Machine(folder, "shape", {"a": 2 * MIB, "b": MIB, "c": 5 * GRAIN})
    shots = [erp.shoot("a", "b")]
    erp.send(shots[0])
    one.settled("shape", shots[0])
    erp.resize("a", MIB)
    erp.resize("b", 3 * MIB)
    erp.write("b", 40)
    shots.append(erp.shoot("b", "c", "a", full=True))
    erp.write("c", 2)
    shots.append(erp.shoot("a", "c"))
    shots.append(erp.shoot("c", full=True))
    erp.resize("a", 4 * MIB)
    shots.append(erp.shoot("a", "b", "c", full=True))
    erp.send(*shots[1:])
    one.settled("shape", *shots)
    one.check(erp)


def test_two_chains_grow_side_by_side(following: tuple[Following, Path]) -> None:
    """Two jobs at the source, one chain each, in turns: the newest of both are boot points."""
    one, folder = following
    erp = Machine(folder, "both", {"a": MIB})
    shots = [erp.shoot("a")]
    other = Machine(folder, "both", {"a": MIB}, truth=erp.truth, made=list(erp.made))
    other.images = folder / "both apart"
    shutil.copytree(erp.images / "both", other.images / "both")
    for hour in range(1, 5):
        erp.write("a", hour)
        by = other if hour % 2 else erp
        shots.append(by.shoot("a", full=hour == 1, at=START + timedelta(hours=hour)))
    for shot in shots:
        erp.send(shot)
        one.until(lambda shot=shot: str(shot.point) in one.ready("both"), "both")
    one.settled("both", *shots)
    one.check(erp)


def test_a_disk_that_is_wiped(following: tuple[Following, Path]) -> None:
    """Zeros where bytes were, in increments and in a new full, are zeros afterwards."""
    one, folder = following
    erp = Machine(folder, "zeros", {"a": MIB})
    erp.write("a", *range(16))
    shots = [erp.shoot("a")]
    with (erp.source / "a").open("r+b") as file:
        file.seek(4 * GRAIN)
        file.write(bytes(5 * GRAIN))
    shots.append(erp.shoot("a"))
    erp.resize("a", 0)
    erp.resize("a", MIB)
    shots.append(erp.shoot("a", full=True))
    shots.append(erp.shoot("a"))
    erp.send(shots[0])
    one.settled("zeros", shots[0])
    erp.send(*shots[1:])
    one.settled("zeros", *shots)
    one.check(erp)
    assert one.own_bytes(shots[2], "zeros") == 0


def test_a_new_full_after_a_gap(following: tuple[Following, Path]) -> None:
    """A chain that cannot go on is left behind when a new full comes, and stays ready."""
    one, folder = following
    erp = Machine(folder, "lost", {"a": MIB})
    shots = []
    for grain in range(4):
        erp.write("a", grain)
        shots.append(erp.shoot("a"))
    erp.send(shots[0], shots[1], shots[3])
    one.until(lambda: "not affected" in one.waits("lost"), "lost")
    erp.write("a", 9)
    shots.append(erp.shoot("a", full=True))
    erp.send(shots[4])
    made = [*shots[:2], shots[4]]
    one.settled("lost", *made)
    one.until(lambda: not one.waits("lost"), "lost")  # nobody waits for the old chain any more
    erp.send(shots[2])
    one.a_while()
    one.settled("lost", *made)
    one.check(erp)


def test_one_machine_in_two_folders(following: tuple[Following, Path]) -> None:
    """Two machines called the same in folders of their own, each followed by one standby."""
    one, folder = following
    here = Machine(folder, "here", {"a": MIB}, called="srv")
    there = Machine(folder, "there", {"a": MIB}, called="srv")
    for machine in (here, there):
        shots = [machine.shoot("a")]
        machine.write("a", 7)
        shots.append(machine.shoot("a"))
        machine.send(*shots)
        one.settled(machine.name, *shots)
    one.check(here)
    one.check(there)
