"""Single rules of the planner, each with an example."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.model import planner
from engine.model.due import blameless
from engine.model.images import Arrival, DiskPart, FileMark, PointDisk, PointId, RecoveryPoint
from engine.model.machine import Hints
from engine.model.planner import Limits
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.retention import Retention
from engine.model.standby import Standby, parse_trigger
from engine.model.state import State
from engine.model.work import JobKind

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = Limits()


def arrived(number: int, parent: int | None = -1, at: datetime = START) -> RecoveryPoint:
    """Return recovery point `number`; its parent is the one before unless another is given."""
    parent = (number - 1 or None) if parent == -1 else parent
    part = DiskPart(0, "d", parent is None, 4096, "", "", 100)
    return RecoveryPoint(
        id=PointId(f"r{number}"),
        parent=None if parent is None else PointId(f"r{parent}"),
        set_id="set",
        format="bpi",
        root="/images/erp",
        machine_uuid="uuid",
        machine_name="erp",
        sequence=number,
        taken_at=at + timedelta(seconds=number),
        arrival=Arrival.COMPLETE,
        reason="",
        disks=(PointDisk(part, f"{number}.bpi", FileMark(1, 1, 100, 1, 1)),),
        hints=Hints(),
        size=100,
        arrived_at=at,
    )


def known(*points: RecoveryPoint) -> State:
    """Return a state that holds only recovery points."""
    return State(recovery_points={point.id: point for point in points})


def with_made(state: State, *points: BootPoint) -> State:
    """Return the state with boot points in it."""
    made = dict(state.boot_points) | {point.id: point for point in points}
    return replace(state, boot_points=made, next_boot_point=len(made) + 1)


def due(state: State, trigger: str, now: datetime = START) -> list[BootPoint]:
    """Return the boot points that are due for one standby."""
    standby = Standby("erp", "/images/erp", trigger=parse_trigger(trigger))
    found = planner.new_boot_points({"erp": standby}, {"erp": "uuid"}, state, now, BERLIN)
    return list(found)


def after(state: State, trigger: str, now: datetime = START) -> State:
    """Return the state after all due boot points were made ready."""
    fresh = due(state, trigger, now)
    return with_made(state, *(replace(p, stage=Stage.READY, ready_at=now) for p in fresh))


def test_immediate_makes_one_boot_point_of_each_recovery_point() -> None:
    """Each continues the one before; names of layers come from ids."""
    points = due(known(*(arrived(n) for n in (1, 2, 3))), "immediate")
    assert [(p.id, p.parent, p.recovery_point) for p in points] == [
        ("bp000001", None, "r1"),
        ("bp000002", "bp000001", "r2"),
        ("bp000003", "bp000002", "r3"),
    ]
    assert points[0].replica == "bp000001-replica"
    assert points[0].stage is Stage.PENDING


def test_every_n_applies_what_lies_between() -> None:
    """A boot point of three increments has a path of three; the rest waits for more."""
    state = known(*(arrived(n) for n in range(1, 6)))
    points = due(state, "every:3")
    assert [p.recovery_point for p in points] == ["r1", "r4"]
    path = planner.path_for(points[1], with_made(state, *points))
    assert [one.id for one in path] == ["r2", "r3", "r4"]


def test_every_n_counts_differentials_too() -> None:
    """Each differential stands for all before it, so the third one is made alone."""
    state = after(known(arrived(1)), "every:3")
    for number in (2, 3):
        state = replace(
            state,
            recovery_points={
                **state.recovery_points,
                PointId(f"r{number}"): arrived(number, parent=1),
            },
        )
        assert due(state, "every:3") == []
    last = arrived(4, parent=1)
    state = replace(state, recovery_points={**state.recovery_points, last.id: last})
    points = due(state, "every:3")
    assert [p.recovery_point for p in points] == ["r4"]
    assert [one.id for one in planner.path_for(points[0], with_made(state, *points))] == ["r4"]


def test_daily_makes_the_first_boot_point_at_once() -> None:
    """A standby is not without a boot point until the evening."""
    points = due(known(*(arrived(n) for n in (1, 2, 3))), "daily@22:00")
    assert [p.recovery_point for p in points] == ["r3"]


def test_daily_waits_for_its_time_and_then_takes_the_newest() -> None:
    """Increments of the day are applied together at 22:00 Berlin time."""
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    state = after(known(arrived(1)), "daily@22:00", noon)
    state = replace(state, recovery_points={PointId(f"r{n}"): arrived(n) for n in (1, 2, 3, 4)})
    assert due(state, "daily@22:00", datetime(2026, 3, 2, 20, 59, tzinfo=UTC)) == []
    evening = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
    assert [p.recovery_point for p in due(state, "daily@22:00", evening)] == ["r4"]
    assert due(after(state, "daily@22:00", evening), "daily@22:00", evening) == []


def test_a_missed_time_is_made_up_for_once() -> None:
    """After three days off, one boot point is made, not three."""
    state = after(known(arrived(1)), "daily@22:00")
    state = replace(state, recovery_points={PointId(f"r{n}"): arrived(n) for n in (1, 2, 3, 4)})
    later = START + timedelta(days=3, hours=4)
    state = after(state, "daily@22:00", later)
    assert len(state.boot_points) == 2
    assert due(state, "daily@22:00", later) == []


@pytest.mark.parametrize(
    ("at", "now", "expected"),
    [
        # Winter and summer: 22:00 is 21:00 and 20:00 UTC.
        (time(22), datetime(2026, 1, 15, 21, 0, tzinfo=UTC), datetime(2026, 1, 15, 21)),
        (time(22), datetime(2026, 7, 15, 20, 0, tzinfo=UTC), datetime(2026, 7, 15, 20)),
        (time(22), datetime(2026, 7, 15, 19, 59, 59, tzinfo=UTC), datetime(2026, 7, 14, 20)),
        # 02:30 does not exist on 29 March: it counts as one hour after 01:30, which is 03:30.
        (time(2, 30), datetime(2026, 3, 29, 1, 29, tzinfo=UTC), datetime(2026, 3, 28, 1, 30)),
        (time(2, 30), datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(2026, 3, 29, 1, 30)),
        # 02:30 comes twice on 25 October: only the first counts.
        (time(2, 30), datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30)),
        (time(2, 30), datetime(2026, 10, 25, 1, 45, tzinfo=UTC), datetime(2026, 10, 25, 0, 30)),
        # Past midnight UTC it is tomorrow already in Berlin.
        (time(0, 15), datetime(2026, 1, 15, 23, 20, tzinfo=UTC), datetime(2026, 1, 15, 23, 15)),
    ],
)
def test_times_of_day_follow_the_local_clock(at: time, now: datetime, expected: datetime) -> None:
    """Daylight saving moves the moment in UTC, never skips or doubles a day."""
    cron = parse_trigger(f"daily@{at:%H:%M}").moments
    assert cron is not None
    assert cron.last(now, BERLIN) == expected.replace(tzinfo=UTC)


def test_a_boot_point_made_in_the_future_does_not_stop_the_daily_one() -> None:
    """A clock that was ahead and was corrected costs no day."""
    state = after(known(arrived(1)), "daily@22:00", START + timedelta(days=300))
    state = replace(state, recovery_points={PointId(f"r{n}"): arrived(n) for n in (1, 2)})
    assert len(due(state, "daily@22:00")) == 1


def test_a_held_standby_gets_nothing() -> None:
    """Neither boot points nor jobs, until it is resumed."""
    standby = Standby("erp", "/images/erp", held="by mo: move")
    state = known(arrived(1))
    assert not planner.new_boot_points({"erp": standby}, {"erp": "uuid"}, state, START, UTC)


def test_build_now_despite_the_trigger() -> None:
    """The newest complete point is made by hand, everything between applied."""
    standby = Standby("erp", "/images/erp", trigger=parse_trigger("every:9"))
    state = after(known(*(arrived(n) for n in (1, 2, 3))), "every:9")
    point = planner.build_now(standby, "uuid", state, START)
    assert point is not None
    assert (point.recovery_point, point.parent) == ("r3", "bp000001")
    assert planner.build_now(standby, "uuid", with_made(state, point), START) is None
    assert planner.build_now(standby, None, state, START) is None
    failed = replace(point, stage=Stage.FAILED, attempts=10, failed_at=START)
    again = planner.build_now(standby, "uuid", with_made(state, failed), START)
    assert again is not None
    assert (again.attempts, again.failed_at, again.id) == (0, None, point.id)


def failed(attempts: int, state: State) -> State:
    """Return the state with its first boot point failed at START."""
    point = due(state, "immediate")[0]
    hurt = replace(point, stage=Stage.FAILED, attempts=attempts, failed_at=START, reason="full")
    return with_made(state, hurt)


@pytest.mark.parametrize(
    ("attempts", "pause_s"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (9, 3600)]
)
def test_a_failed_point_is_tried_again_after_a_pause_that_doubles(
    attempts: int, pause_s: int
) -> None:
    """30 s at first, at most an hour."""
    state = failed(attempts, known(arrived(1)))
    standbys = {"erp": Standby("erp", "/images/erp")}
    soon = START + timedelta(seconds=pause_s - 1)
    assert planner.next_jobs(standbys, state, soon, LIMITS) == []
    then = START + timedelta(seconds=pause_s)
    wanted = planner.next_jobs(standbys, state, then, LIMITS)
    assert [(one.kind, one.boot_point) for one in wanted] == [(JobKind.SYNC, "bp000001")]
    assert "full" in wanted[0].reason


def test_after_ten_tries_it_waits_until_its_images_change() -> None:
    """A parked point is not tried for years, and at once when its file is replaced."""
    state = failed(10, known(arrived(1)))
    standbys = {"erp": Standby("erp", "/images/erp")}
    later = START + timedelta(days=1000)
    assert planner.next_jobs(standbys, state, later, LIMITS) == []
    assert planner.is_parked(state.boot_points[boot_point_id(1)], state, LIMITS)

    mark = FileMark(1, 2, 100, 1, int((START + timedelta(hours=1)).timestamp()) * 10**9)
    point = arrived(1)
    replaced = replace(point, disks=(replace(point.disks[0], mark=mark),))
    state = replace(state, recovery_points={replaced.id: replaced})
    assert len(planner.next_jobs(standbys, state, later, LIMITS)) == 1


def test_a_failure_in_the_future_is_not_waited_for() -> None:
    """A clock that was set back does not keep a standby from its next try."""
    state = failed(3, known(arrived(1)))
    standbys = {"erp": Standby("erp", "/images/erp")}
    earlier = START - timedelta(days=30)
    assert len(planner.next_jobs(standbys, state, earlier, LIMITS)) == 1


def test_an_interruption_is_made_up_for_at_once_and_does_not_count() -> None:
    """Ten kills in the middle of a seed do not park it."""
    point = replace(due(known(arrived(1)), "immediate")[0], stage=Stage.APPLYING, attempts=1)
    state = with_made(known(arrived(1)), point)
    assert planner.interrupted(state, {point.id}) == []
    (again,) = planner.interrupted(state)
    assert (again.stage, again.attempts, again.failed_at) == (Stage.FAILED, 0, None)
    assert planner.is_due(again, with_made(state, again), START, LIMITS)


def test_a_point_whose_bytes_are_there_needs_no_images() -> None:
    """Interrupted after the trunk layer was sealed, it is finished with the share offline."""
    state = known(replace(arrived(1), arrival=Arrival.ARRIVING))
    point = replace(due(known(arrived(1)), "immediate")[0], stage=Stage.FAILED)
    assert not planner.is_due(point, with_made(state, point), START, LIMITS)
    assert planner.is_due(replace(point, has_trunk=True), with_made(state, point), START, LIMITS)


def test_a_point_the_source_folded_away_is_given_up_and_made_anew() -> None:
    """Consolidation: the pending point is retired, the merged one continues our tip."""
    state = after(known(arrived(1)), "immediate")
    old = replace(due(replace(state, recovery_points={PointId("r2"): arrived(2)}), "immediate")[0])
    gone = replace(arrived(2), arrival=Arrival.ARRIVING)
    merged = replace(arrived(3, parent=1), replaces=(PointId("r2"),))
    state = replace(
        with_made(state, old), recovery_points={p.id: p for p in (arrived(1), gone, merged)}
    )
    standbys = {"erp": Standby("erp", "/images/erp")}
    (job,) = planner.next_jobs(standbys, state, START, LIMITS)
    assert (job.kind, job.boot_point) == (JobKind.RETIRE, old.id)

    state = with_made(state, replace(old, stage=Stage.RETIRED))
    (fresh,) = due(state, "immediate")
    assert (fresh.recovery_point, fresh.parent) == ("r3", "bp000001")


def test_retirement_waits_for_synchronisation_but_not_for_ever() -> None:
    """One over the limit can wait; two go first, so that a backlog does not fill the store."""
    state = known(*(arrived(n) for n in range(1, 6)))
    points = due(state, "immediate")
    standby = {"erp": Standby("erp", "/images/erp", keep=1, retention=Retention(floor=1))}

    def next_kind(ready: int) -> JobKind:
        made = [replace(p, stage=Stage.READY, ready_at=START) for p in points[:ready]]
        (job,) = planner.next_jobs(standby, with_made(state, *made, *points[ready:]), START, LIMITS)
        return job.kind

    assert [next_kind(ready) for ready in (1, 2, 3)] == [
        JobKind.APPLY,
        JobKind.APPLY,
        JobKind.RETIRE,
    ]


def test_ids_beyond_six_digits_keep_their_order() -> None:
    """The millionth boot point follows the one before it."""
    state = replace(known(*(arrived(n) for n in (1, 2))), next_boot_point=999_999)
    points = due(state, "immediate")
    assert [p.id for p in points] == ["bp999999", "bp1000000"]
    made = [replace(p, stage=Stage.READY, ready_at=START) for p in points]
    later = replace(
        with_made(state, *made),
        recovery_points={PointId(f"r{n}"): arrived(n) for n in (1, 2, 3)},
    )
    assert due(later, "immediate")[0].parent == "bp1000000"


def test_a_disk_that_is_full_for_days_parks_nothing() -> None:
    """However often there was no room, it is tried again within minutes of its return."""
    state = failed(40, known(arrived(1)))
    (point,) = state.boot_points.values()
    standbys = {"erp": Standby("erp", "/images/erp")}
    days = START + timedelta(days=3)
    assert planner.next_jobs(standbys, state, days, LIMITS) == []
    state = with_made(state, blameless(point))
    assert planner.next_jobs(standbys, state, START + timedelta(seconds=479), LIMITS) == []
    assert planner.next_jobs(standbys, state, START + timedelta(seconds=480), LIMITS) != []
