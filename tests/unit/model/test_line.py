"""Which recovery points a standby follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.model.images import (
    Arrival,
    DiskPart,
    FileMark,
    ImageSet,
    PointDisk,
    PointId,
    RecoveryPoint,
)
from engine.model.layers import LayerKind, layer_name
from engine.model.line import follow, forks, lies_in, match_source, outdated, path_for
from engine.model.machine import Hints
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.standby import Standby
from engine.model.state import State

START = datetime(2026, 3, 1, tzinfo=UTC)


def arrived(
    name: str, parent: str | None, hour: int, arrival: Arrival = Arrival.COMPLETE
) -> RecoveryPoint:
    """Return a recovery point taken `hour` hours after the start."""
    part = DiskPart(0, "d", parent is None, 4096, "", "", 100)
    return RecoveryPoint(
        id=PointId(name),
        parent=None if parent is None else PointId(parent),
        set_id="set",
        format="bpi",
        root="/images/erp",
        machine_uuid="uuid-erp",
        machine_name="ERP",
        sequence=hour,
        taken_at=START + timedelta(hours=hour),
        arrival=arrival,
        reason="",
        disks=(PointDisk(part, f"{name}.bpi", FileMark(1, 1, 100, 1, 1)),),
        hints=Hints(),
        size=100,
    )


def made(
    number: int,
    point: RecoveryPoint,
    stage: Stage = Stage.READY,
    parent: int | None = None,
) -> BootPoint:
    """Return the boot point of a recovery point."""
    name = boot_point_id(number)
    return BootPoint(
        id=name,
        standby="erp",
        recovery_point=point.id,
        set_id=point.set_id,
        parent=None if parent is None else boot_point_id(parent),
        sequence=point.sequence,
        taken_at=point.taken_at,
        stage=stage,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=START,
        ready_at=START if stage in (Stage.READY, Stage.RETIRED) else None,
    )


FULL = arrived("full", None, 1)
DAY2 = arrived("day2", "full", 2)
DAY3 = arrived("day3", "day2", 3)
DAY4 = arrived("day4", "day3", 4)
CHAIN = [FULL, DAY2, DAY3, DAY4]


def names(points: Sequence[RecoveryPoint]) -> list[str]:
    """Return the ids."""
    return [point.id for point in points]


def test_a_new_standby_follows_the_chain_from_its_base() -> None:
    """Without boot points the way is the whole chain, in the order of its links."""
    line = follow(reversed(CHAIN), [])
    assert line is not None
    assert names(line.way) == names(line.fresh) == ["full", "day2", "day3", "day4"]
    assert line.anchor is None


def test_the_way_continues_the_newest_boot_point() -> None:
    """What is made already is not applied again, even when its images are gone."""
    line = follow([DAY3, DAY4], [made(1, FULL), made(2, DAY2, parent=1)])
    assert line is not None
    assert (line.anchor and line.anchor.id, names(line.way)) == ("bp000002", ["day3", "day4"])


@pytest.mark.parametrize("hole", [Arrival.ARRIVING, Arrival.DAMAGED, None])
def test_the_line_ends_before_a_hole(hole: Arrival | None) -> None:
    """A point that is missing, arriving or damaged blocks all after it, not those before."""
    broken = [] if hole is None else [replace(DAY3, arrival=hole)]
    line = follow([FULL, DAY2, *broken, DAY4], [])
    assert line is not None
    assert line.head == DAY2


def test_a_locked_point_is_a_hole() -> None:
    """An encrypted image without its key cannot be applied."""
    line = follow([FULL, replace(DAY2, locked=True), DAY3], [])
    assert line is not None
    assert line.head == FULL


def test_a_newer_second_child_is_a_differential() -> None:
    """It continues its own parent's boot point, and becomes the line."""
    late = arrived("late", "full", 5)
    line = follow([*CHAIN, late], [made(1, FULL), made(2, DAY2), made(3, DAY3)])
    assert line is not None
    assert (line.head, line.anchor and line.anchor.id) == (late, "bp000001")
    assert line.fresh == [late]
    assert forks([*CHAIN, late], [made(1, FULL), made(2, DAY2), made(3, DAY3)]) == []


def test_an_older_second_child_is_a_fork_and_is_held() -> None:
    """The line stays as it was, and the newcomer is told about."""
    stray = replace(arrived("stray", "full", 2), taken_at=DAY2.taken_at + timedelta(minutes=1))
    points = [made(1, FULL), made(2, DAY2), made(3, DAY3)]
    line = follow([FULL, DAY2, DAY3, stray], points)
    assert line is not None
    assert line.fresh == ()
    assert forks([FULL, DAY2, DAY3, stray], points) == [stray]
    assert forks([FULL, DAY2, DAY3, DAY4], points) == []


def test_older_differentials_of_the_same_full_are_no_forks() -> None:
    """Of those that came at once the newest is made; nobody is to look at the others."""
    others = [replace(arrived(f"diff{n}", "full", n), taken_at=DAY2.taken_at) for n in (2, 3)]
    newest = replace(arrived("diff4", "full", 4), taken_at=DAY4.taken_at)
    points = [FULL, *others, newest]
    line = follow(points, [])
    assert line is not None
    assert line.head == newest
    made_of = [made(1, FULL), made(2, newest)]
    assert forks(points, made_of) == []
    longer = arrived("branch", "diff2", 5)
    longer = replace(longer, taken_at=DAY2.taken_at + timedelta(minutes=1))
    assert forks([*points, longer], made_of) == [longer], "a branch that went on is one"


def test_a_differential_of_a_retired_point_is_rebuilt_from_the_base() -> None:
    """Everything on the way is applied, but only the news becomes a boot point."""
    late = arrived("late", "day2", 9)
    points = [made(1, FULL, Stage.RETIRED), made(2, DAY2, Stage.RETIRED), made(3, DAY4)]
    line = follow([*CHAIN, late], points)
    assert line is not None
    assert (line.anchor, names(line.way), line.fresh) == (None, ["full", "day2", "late"], [late])


def test_an_increment_of_the_tip_is_news_whatever_its_clock_says() -> None:
    """A source whose clock was set back goes on being followed."""
    odd = replace(DAY3, taken_at=START - timedelta(days=400))
    line = follow([FULL, DAY2, odd], [made(1, FULL), made(2, DAY2)])
    assert line is not None
    assert line.fresh == (odd,)


def test_a_new_full_begins_a_generation() -> None:
    """A later base of the same machine is seeded beside what is there."""
    again = replace(arrived("again", None, 8), set_id="set2")
    line = follow([*CHAIN, again], [made(1, FULL), made(2, DAY4)])
    assert line is not None
    assert (line.anchor, line.fresh) == (None, [again])


def test_no_point_is_newer_than_the_moment_it_was_seen() -> None:
    """A source whose clock was ten years ahead, and was put right, goes on with its new full."""
    ahead = made(1, replace(FULL, taken_at=START + timedelta(days=3650)))
    right = replace(arrived("right", None, 8), set_id="set2", arrived_at=START)
    line = follow([FULL, right], [ahead])
    assert line is not None
    assert line.fresh == [right]


def test_a_chain_that_comes_late_and_is_older_is_told() -> None:
    """It is held, not laid over newer data; what was there at first, or newer, is no news."""
    tip = made(1, DAY4)
    old = replace(arrived("old", None, 1), set_id="archive", arrived_at=START + timedelta(hours=9))
    line = follow([*CHAIN, old], [tip])
    assert line is not None
    assert (line.head, line.fresh) == (DAY4, ())
    assert outdated([*CHAIN, old], [tip]) == [old]
    assert outdated([*CHAIN, replace(old, arrived_at=START)], [tip]) == []
    assert outdated([*CHAIN, replace(old, taken_at=START + timedelta(hours=8))], [tip]) == []
    assert outdated([*CHAIN, old], [tip, made(2, old)]) == []
    assert outdated([old], []) == []


def test_parents_in_a_ring_are_never_followed() -> None:
    """Hostile links lead nowhere, and end."""
    ring = [replace(DAY2, parent=DAY3.id), replace(DAY3, parent=DAY2.id)]
    assert follow(ring, []) is None
    assert path_for(made(1, DAY2), State(recovery_points={p.id: p for p in ring})) == ()
    assert follow([replace(DAY2, parent=DAY2.id)], [made(1, DAY2)]) is None


def test_the_path_of_a_boot_point_begins_after_its_parent() -> None:
    """A boot point of several increments applies them all, oldest first."""
    points = [made(1, FULL), made(2, DAY4, Stage.PENDING, parent=1)]
    state = State({p.id: p for p in CHAIN}, {p.id: p for p in points})
    assert names(path_for(points[1], state)) == ["day2", "day3", "day4"]
    assert names(path_for(points[0], state)) == ["full"]


@pytest.mark.parametrize("broken", ["parent retired", "parent gone", "point gone"])
def test_a_broken_path_is_empty(broken: str) -> None:
    """Nothing is applied onto a layer that is not the one the path continues."""
    parent = made(1, FULL, Stage.RETIRED if broken == "parent retired" else Stage.READY)
    child = made(2, DAY4, Stage.PENDING, parent=1)
    known = [p for p in CHAIN if not (broken == "point gone" and p is DAY3)]
    parents = {} if broken == "parent gone" else {parent.id: parent}
    state = State({p.id: p for p in known}, parents | {child.id: child})
    assert path_for(child, state) == ()


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("/images/erp", True),
        ("/images/erp/", True),
        ("/images", True),
        ("/images/erp/sub", False),
        ("/images/er", False),
        ("/other", False),
    ],
)
def test_a_point_lies_in_the_folders_above_it(folder: str, inside: bool) -> None:
    """A folder's name is compared whole, not as the beginning of another."""
    assert lies_in(FULL, folder) == inside


def test_a_point_lies_in_a_folder_below_the_watched_one_by_its_files() -> None:
    """Where the root of all machines is watched, files tell whose folder it is."""
    wide = replace(FULL, root="/images", disks=[replace(FULL.disks[0], path="erp/full.bpi")])
    assert lies_in(wide, "/images/erp")
    assert not lies_in(wide, "/images/web")


def image_set(uuid: str, name: str) -> ImageSet:
    """Return an image set of one point."""
    point = replace(FULL, machine_uuid=uuid, machine_name=name)
    return ImageSet(f"set-{uuid}", uuid, name, "/images/erp", [point], {})


TWO = [image_set("u1", "ERP-DB"), image_set("u2", "web")]


@pytest.mark.parametrize(
    ("machine", "sets", "found"),
    [
        ("", TWO[:1], "u1"),
        ("", TWO, ""),
        ("", [], ""),
        ("", [*TWO, image_set("u3", "Erp")], "u3"),
        ("erp-db", TWO, "u1"),
        ("U2", TWO, "u2"),
        ("mail", TWO, ""),
        ("mail", TWO[:1], ""),
        ("web", [*TWO, image_set("u3", "WEB")], ""),
    ],
)
def test_the_machine_is_found_by_name_or_uuid_or_because_it_is_alone(
    machine: str, sets: list[ImageSet], found: str
) -> None:
    """What is not told apart is not guessed; the problem lists the machines that are there."""
    source = match_source(Standby("erp", "/images/erp", machine=machine), sets)
    assert source.machine_uuid == found
    assert bool(source.problem) != bool(found)
    if not found:
        assert all(one.machine_name in source.problem for one in sets)


def test_hostile_machine_names_cannot_steer_a_terminal() -> None:
    """Names from images enter the sentence as escapes."""
    evil = [image_set("u1", "\x1b[2J"), image_set("u2", "b")]
    assert "\x1b" not in match_source(Standby("erp", "/images/erp"), evil).problem
