"""Room: what does not fit does not start, and when there is none left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.model.conditions import Scene, TargetScene, conditions
from engine.model.layers import Layer, LayerKind, LayerName
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.slots import Limits, choose
from engine.model.space import (
    MARGIN,
    Room,
    Seen,
    days_left,
    forecast,
    growth,
    need,
    remembered,
    short,
    shrinking,
    still_needed,
)
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import Job, JobId, JobKind, JobStatus, Severity, WantedJob
from tests.bench.largesite import DISK, PAGE, START, made_of, recovery_points

MIB, GIB = 1 << 20, 1 << 30


def state_of(*names: str, points: int = 3) -> State:
    """Return a state in which each standby has boot points, the last one PENDING."""
    arrived, made = {}, []
    for name in names:
        images = recovery_points(name, points)
        arrived.update({point.id: point for point in images})
        own = made_of(images, len(made) + 1, name)
        made += [*own[:-1], replace(own[-1], stage=Stage.PENDING, has_trunk=False)]
    return State(arrived, {point.id: point for point in made})


def wish(state: State, name: str) -> WantedJob:
    """Return the SYNC of a standby's newest boot point."""
    return WantedJob(JobKind.SYNC, name, state.by_standby[name][-1].id, "")


def test_a_boot_point_needs_what_its_images_bring_and_a_margin() -> None:
    """Need counts the images of the path; none any more once the trunk layer is there."""
    point = state_of("a").by_standby["a"][-1]
    assert need(point, state_of("a")) == int(PAGE * MARGIN)
    assert need(replace(point, has_trunk=True), state_of("a")) == 0


def test_reserve_folds_and_promises_are_not_for_use() -> None:
    """What does not fit says what it needs, what is free, and what that is kept for."""
    room = Room(free=100 * MIB, total=GIB, reserve=50 * MIB, fold=20 * MIB)
    assert short(30 * MIB, room) == ""
    said = short(31 * MIB, room)
    assert "needs 31 MiB, and 100 MiB are free, of which 50 MiB stay in reserve" in said
    assert "20 MiB are for consolidation" in said
    assert "10 MiB for jobs that run" in short(25 * MIB, room, 10 * MIB)
    assert Room(free=1, total=10, reserve=5).usable == 0


def test_what_does_not_fit_waits_and_others_go_on() -> None:
    """A full target holds up its own standbys only, and never a retirement."""
    state = state_of("a", "b", "c")
    known = {"a": "full", "b": "ample", "c": "full"}
    standbys = {name: Standby(name, "/images", target=on) for name, on in known.items()}
    rooms = {"full": Room(PAGE, GIB, 0), "ample": Room(GIB, GIB, 0)}
    retire = WantedJob(JobKind.RETIRE, "c", state.by_standby["c"][0].id, "")
    wanted = [wish(state, "a"), wish(state, "b"), retire]
    choice = choose(wanted, standbys, state, Limits(jobs=4), rooms)
    assert {one.standby for one in choice.jobs} == {"b", "c"}
    assert choice.cramped.keys() == {"a"}


def test_two_jobs_are_not_promised_the_same_room() -> None:
    """Room for one is room for one, among those that start together and those that run."""
    state = state_of("a", "b")
    standbys = {name: Standby(name, "/images") for name in ("a", "b")}
    rooms = {"local": Room(int(1.5 * MARGIN * PAGE), GIB, 0)}
    wanted = [wish(state, name) for name in standbys]
    choice = choose(wanted, standbys, state, Limits(jobs=4), rooms)
    assert (len(choice.jobs), len(choice.cramped)) == (1, 1)
    job = Job(JobId(1), JobKind.SYNC, "a", wanted[0].boot_point, JobStatus.RUNNING, START)
    running = replace(state, jobs={job.id: job})
    choice = choose(wanted[1:], standbys, running, Limits(jobs=4), rooms)
    assert choice.cramped.keys() == {"b"}


def test_an_increment_that_is_only_applied_needs_room_too() -> None:
    """Of a backlog older ones are applied without a conversion: their layers are as large."""
    state = state_of("a", "b")
    standbys = {name: Standby(name, "/images") for name in ("a", "b")}
    rooms = {"local": Room(int(1.5 * MARGIN * PAGE), GIB, 0)}
    wanted = [replace(wish(state, name), kind=JobKind.APPLY) for name in standbys]
    choice = choose(wanted, standbys, state, Limits(jobs=4), rooms)
    assert (len(choice.jobs), len(choice.cramped)) == (1, 1)
    job = Job(JobId(1), JobKind.APPLY, "a", wanted[0].boot_point, JobStatus.RUNNING, START)
    running = replace(state, jobs={job.id: job})
    choice = choose(wanted[1:], standbys, running, Limits(jobs=4), rooms)
    assert choice.cramped.keys() == {"b"}


def test_what_an_earlier_try_left_is_no_room_that_is_needed() -> None:
    """A store that filled up in the middle has room again for what fits it, with the leftover.

    Never less than the margin is needed, however much lies there; a sealed layer is no leftover.
    """
    state = state_of("a")
    (*_, point) = state.by_standby["a"]
    known = {"a": Standby("a", "/images")}
    rooms = {"local": Room(PAGE, GIB, 0)}

    def cramped(used: int, *, sealed: bool = False) -> bool:
        begun = Layer(point.replica, None, LayerKind.REPLICA, sealed, [DISK], used)
        layers = {"a": {point.replica: begun}}
        wanted = [wish(state, "a")]
        return bool(choose(wanted, known, state, Limits(), rooms, layers).cramped)

    assert cramped(0)
    assert not cramped(PAGE // 2)
    assert cramped(PAGE // 2, sealed=True)
    begun = Layer(point.replica, None, LayerKind.REPLICA, False, [DISK], GIB)
    assert still_needed(point, state, {point.replica: begun}) == int(MARGIN * PAGE) - PAGE


def test_a_disk_that_moves_to_another_place_needs_all_it_holds() -> None:
    """It is copied whole, whatever its increment brings: never more than there is, or it has."""
    state = state_of("a")
    *_, parent, point = state.by_standby["a"]
    arrived = dict(state.recovery_points)
    for swapped, name in enumerate((parent.recovery_point, point.recovery_point)):
        (disk,) = arrived[name].disks
        both = [replace(disk, part=replace(disk.part, uuid=uuid)) for uuid in ("x", "y")]
        arrived[name] = replace(
            arrived[name], disks=tuple(reversed(both)) if swapped else tuple(both)
        )
    state = replace(state, recovery_points=arrived)

    def needed(used: int, below: int) -> int:
        layers = {
            LayerName("seed"): Layer(LayerName("seed"), None, LayerKind.REPLICA, True, [], below),
            parent.replica: Layer(
                parent.replica, LayerName("seed"), LayerKind.REPLICA, True, [], used
            ),
        }
        return need(point, state, layers)

    assert needed(5 * PAGE, 10 * PAGE) == int((2 + 15) * PAGE * MARGIN)
    assert needed(GIB, GIB) == int((2 * PAGE + 2 * DISK) * MARGIN)


def test_growth_is_what_was_made_lately_and_not_let_go() -> None:
    """A standby that keeps as many as it has does not grow; the forecast says the days."""
    state = state_of("a", points=12)
    made = {i: replace(p, bytes=GIB) for i, p in state.boot_points.items()}
    state = replace(state, boot_points=made)
    standbys = {"a": Standby("a", "/images")}
    now = START + timedelta(hours=14)
    growing = growth("local", standbys, state, now, {"a": 99})
    assert 10 * GIB / 0.5 * 0.9 < growing < 10 * GIB / 0.5 * 1.1
    assert growth("local", standbys, state, now, {"a": 11}) == 0
    assert growth("local", standbys, state, now, {}) == growing
    room = Room(free=int(growing * 9) + GIB, total=0, reserve=GIB)
    assert forecast(room, growing).startswith("Full in 9 days at the present growth of")
    assert forecast(room, 0.0) == ""
    assert forecast(replace(room, free=GIB), growing).startswith("Full in less than a day")


# --- growth as it was seen ------------------------------------------------------------------

DAY_ONE = datetime(2026, 3, 1, tzinfo=UTC)
TIB = 1 << 40


def look_back(free: Callable[[float], float], days: float, total: int = TIB) -> Sequence[Seen]:
    """Return what is remembered of looks every five minutes; `free`: by the day."""
    seen: Sequence[Seen] = ()
    for number in range(int(days * 288)):
        now = DAY_ONE + timedelta(minutes=5 * number)
        seen = remembered(seen, Seen(now, int(free(number / 288)), total))
    return seen


def test_growth_is_what_free_space_lost() -> None:
    """10 GiB a day, though retention frees 30 GiB each noon for an hour, and a copy came."""

    def free(day: float) -> float:
        saw = 30 * GIB if 0.5 < day % 1 < 0.54 else 0
        copy = 200 * GIB if 2 < day < 2.2 else 0
        return 400 * GIB - 10 * GIB * day + saw - copy

    pace = shrinking(look_back(free, 5))
    assert pace is not None
    assert 9 * GIB < pace < 11 * GIB
    room = Room(100 * GIB, TIB, 10 * GIB)
    assert days_left(room, pace) == pytest.approx(9, rel=0.1)
    assert "Full in 9 days at the present growth" in forecast(room, 10 * GIB)


def test_growth_is_not_measured_too_early() -> None:
    """Not before two days; a file system that was enlarged begins anew; little is remembered."""
    assert shrinking(look_back(lambda day: TIB - day * GIB, 1.9)) is None
    seen = look_back(lambda day: TIB - day * GIB, 20)
    assert len(seen) <= 14 * 48 + 2
    later = Seen(seen[-1].at + timedelta(hours=1), TIB, 2 * TIB)
    assert remembered(seen, later) == (later,)
    assert remembered(seen, Seen(seen[-1].at + timedelta(minutes=5), 0, TIB)) is seen
    assert days_left(Room(GIB, TIB, 0), -1.0) is None


def test_a_fold_that_may_come_has_its_room() -> None:
    """What consolidation copies is kept free besides the reserve, and said."""
    room = Room(100 * GIB, TIB, 50 * GIB, fold=40 * GIB)
    assert room.usable == 10 * GIB
    assert short(9 * GIB, room) == ""
    assert "40.0 GiB are for consolidation" in short(11 * GIB, room)


def test_little_room_is_an_alert() -> None:
    """A warning a week ahead or below a twentieth, urgent without any room."""

    def told(room: Room, days: float | None = None) -> list[tuple[str, Severity]]:
        scene = Scene(DAY_ONE, targets={"nas": TargetScene(room=room, days_left=days)})
        return [(one.key, one.severity) for one in conditions(scene)]

    assert told(Room(500 * GIB, TIB, 50 * GIB)) == []
    assert told(Room(500 * GIB, TIB, 50 * GIB), 9.0) == []
    assert told(Room(500 * GIB, TIB, 50 * GIB), 6.0) == [("space:nas", Severity.WARNING)]
    assert told(Room(90 * GIB, TIB, 50 * GIB)) == [("space:nas", Severity.WARNING)]
    assert told(Room(50 * GIB, TIB, 50 * GIB), 0.0) == [("space:nas", Severity.ERROR)]


def generation() -> tuple[State, BootPoint]:
    """Return a state in which a new full waits to be laid on a READY boot point, and that one."""
    state = state_of("a", points=2)
    point = state.by_standby["a"][-1]
    full = replace(state.recovery_points[point.recovery_point], parent=None)
    assert full.is_base
    return replace(state, recovery_points={**state.recovery_points, full.id: full}), point


def test_a_new_full_without_room_is_measured_before_it_is_refused() -> None:
    """Counted whole it does not fit; by what was measured it starts, or is refused with that."""
    state, point = generation()
    known, wanted = {"a": Standby("a", "/images")}, [wish(state, "a")]
    assert need(point, state) == int(PAGE * MARGIN)
    tight = {"local": Room(PAGE, GIB, 0)}

    def chosen(room: Room, measured: Mapping[BootPointId, int | None]) -> tuple[str, str]:
        choice = choose(wanted, known, state, Limits(), {"local": room}, {}, measured)
        (kind,) = [one.kind for one in choice.jobs] or [""]
        return kind, choice.cramped.get("a", "")

    assert chosen(Room(GIB, GIB, 0), {}) == (JobKind.SYNC, "")
    assert chosen(tight["local"], {}) == (JobKind.MEASURE, "")
    assert chosen(tight["local"], {point.id: PAGE // 4}) == (JobKind.SYNC, "")
    kind, why = chosen(Room(GIB, 4 * GIB, 0), {point.id: GIB})
    assert (kind, "needs 1.3 GiB" in why) == ("", True)
    assert chosen(tight["local"], {point.id: None})[0] == "", "what cannot be measured counts whole"
    assert chosen(Room(0, GIB, 0), {})[0] == "", "with no room at all there is nothing to measure"
    increment = state_of("a")
    choice = choose([wish(increment, "a")], known, increment, Limits(), tight)
    assert choice.cramped.keys() == {"a"}, "an increment is written whole"
