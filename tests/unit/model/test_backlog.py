"""Increments that piled up: which is made ready first, and what one boot point is made of all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.model import planner
from engine.model.backlog import AHEAD
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.standby import Backlog, Standby, parse_trigger
from engine.model.state import State
from engine.model.upkeep import Upkeep, upkeep_of
from engine.model.work import Job, JobId, JobKind, JobStatus
from tests.unit.model.test_planner_rules import LIMITS, arrived, known, with_made

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ERP = Standby("erp", "/images/erp", keep=100)


def plan(state: State, standby: Standby = ERP) -> State:
    """Return the state after the boot points that are due were stored as PENDING."""
    found = planner.new_boot_points({"erp": standby}, {"erp": "uuid"}, state, NOW, UTC)
    return with_made(state, *found)


def arrivals(state: State, last: int) -> State:
    """Return the state after recovery points up to number `last` have arrived."""
    return replace(state, recovery_points=known(*map(arrived, range(1, last + 1))).recovery_points)


def ready(point: BootPoint) -> BootPoint:
    """Return a boot point as it is after its SYNC."""
    return replace(point, stage=Stage.READY, ready_at=NOW, has_trunk=True)


def work(state: State, upkeep: Upkeep | None = None) -> tuple[State, str]:
    """Do what is wanted next; return the state after it, and what it was in a word."""
    care = {"erp": upkeep} if upkeep else None
    wanted = planner.next_jobs({"erp": ERP}, state, NOW, LIMITS, care)
    if not wanted:
        return state, ""
    name = BootPointId(wanted[0].boot_point or "")
    point = state.boot_points[name]
    if wanted[0].kind is JobKind.APPLY:
        after = replace(point, has_trunk=True)
    elif wanted[0].kind is JobKind.RETIRE:
        after = replace(point, stage=Stage.RETIRED)
    else:
        after = ready(point)
    return with_made(state, after), f"{wanted[0].kind.value} {int(name[2:])}"


def all_work(state: State, upkeep: Upkeep | None = None) -> list[str]:
    """Return everything that is done until nothing is left."""
    told = []
    while (found := work(state, upkeep))[1]:
        state = found[0]
        told.append(found[1])
        assert len(told) < 500, "never idle"
    return told


def after_one(last: int) -> State:
    """Return a state with the seed ready and the increments up to `last` piled up."""
    state = plan(known(arrived(1)))
    state = with_made(state, *map(ready, state.boot_points.values()))
    return plan(arrivals(state, last))


def test_the_newest_is_ready_first_then_the_others_newest_first() -> None:
    """Trunk layers in their order, without conversion; then twigs from the newest back."""
    assert all_work(after_one(5)) == [
        *("apply 2", "apply 3", "apply 4"),
        *("sync 5", "sync 4", "sync 3", "sync 2"),
    ]


def test_a_single_increment_is_made_in_one_go() -> None:
    """Without a backlog there is nothing to put off."""
    assert all_work(after_one(2)) == ["sync 2"]


def test_the_first_boot_point_of_all_is_not_put_off() -> None:
    """A machine that cannot start at all can start as soon as its seed is there."""
    assert all_work(plan(known(*map(arrived, range(1, 4)))))[:2] == ["sync 1", "apply 2"]


def test_a_source_that_is_quicker_than_we_are_keeps_nobody_waiting() -> None:
    """No more than so many layers wait at a time, and each is finished in the end, once."""
    told = all_work(after_one(AHEAD + 10))
    assert told[:AHEAD] == [f"apply {n}" for n in range(2, AHEAD + 2)]
    assert told[AHEAD] == f"sync {AHEAD + 2}"
    syncs = [int(one.split()[1]) for one in told if one.startswith("sync")]
    assert sorted(syncs) == list(range(2, AHEAD + 11))
    waits: set[str] = set()
    for kind, number in (one.split() for one in told):
        waits = waits | {number} if kind == "apply" else waits - {number}
        assert len(waits) <= AHEAD


def test_an_increment_that_has_not_arrived_is_not_waited_for() -> None:
    """The newest whose images are all there is made ready, not the newest that was planned."""
    state = after_one(4)
    last = replace(arrived(4), arrival=arrived(4).arrival.ARRIVING)
    state = replace(state, recovery_points={**state.recovery_points, last.id: last})
    assert all_work(state) == ["apply 2", "sync 3", "sync 2"]


def test_a_full_chain_finishes_what_lies_there_first() -> None:
    """Where the target holds four layers, what was put off is converted, then makes room."""
    care = upkeep_of({}, replace(ERP, keep=2))
    care = replace(care, rules=replace(care.rules, keep=2, floor=1, most=4))
    told = all_work(after_one(8), care)
    assert told[:3] == ["apply 2", "apply 3", "apply 4"]
    assert told[3] == "sync 4"
    assert "sync 8" in told
    assert any(one.startswith("retire") for one in told)


def test_a_failure_in_the_middle_leaves_what_lies_there_to_be_finished() -> None:
    """While one is waiting for its next try, older layers are converted."""
    state, _ = work(after_one(4))
    third = state.boot_points[BootPointId("bp000003")]
    failed = replace(third, stage=Stage.FAILED, attempts=1, failed_at=NOW, reason="x")
    assert all_work(with_made(state, failed)) == ["sync 2"]


# --- only the newest ------------------------------------------------------------------------

NEWEST = replace(ERP, backlog=Backlog.NEWEST)


def test_newest_makes_one_boot_point_of_all() -> None:
    """Five increments: one boot point that holds them all and says so."""
    state = plan(known(arrived(1)), NEWEST)
    state = with_made(state, *map(ready, state.boot_points.values()))
    state = plan(arrivals(state, 6), NEWEST)
    point = list(state.boot_points.values())[-1]
    assert (point.recovery_point, point.parent, point.skipped) == ("r6", "bp000001", 4)
    assert [one.id for one in planner.path_for(point, state)] == ["r2", "r3", "r4", "r5", "r6"]


def test_newest_takes_in_what_arrives_before_the_work_begins() -> None:
    """A boot point nobody began is made of what has arrived since; no other one is planned."""
    state = plan(known(arrived(1), arrived(2)), NEWEST)
    state = with_made(state, *map(ready, state.boot_points.values()))
    for last in (3, 5, 6):
        state = plan(arrivals(state, last), NEWEST)
        assert list(state.boot_points) == ["bp000001", "bp000002"]
        assert state.boot_points[BootPointId("bp000002")].recovery_point == f"r{last}"
    assert state.boot_points[BootPointId("bp000002")].skipped == 3
    assert plan(state, NEWEST) == state


def test_newest_leaves_alone_what_was_begun() -> None:
    """Once a job has it, what arrives goes into the next boot point."""
    state = plan(known(arrived(1)), NEWEST)
    name = BootPointId("bp000001")
    job = Job(JobId(1), JobKind.SYNC, "erp", name, JobStatus.QUEUED, NOW)
    queued = plan(arrivals(replace(state, jobs={job.id: job}), 3), NEWEST)
    assert [p.recovery_point for p in queued.boot_points.values()] == ["r1", "r3"]
    tried = with_made(state, replace(state.boot_points[name], attempts=1))
    begun = plan(arrivals(tried, 3), NEWEST)
    assert [p.recovery_point for p in begun.boot_points.values()] == ["r1", "r3"]


def test_newest_with_every_n_makes_one_of_all_that_are_due() -> None:
    """Seven increments with every:3: one boot point at the sixth; the seventh waits."""
    standby = replace(NEWEST, trigger=parse_trigger("every:3"))
    state = plan(known(arrived(1)), standby)
    state = with_made(state, *map(ready, state.boot_points.values()))
    state = plan(arrivals(state, 8), standby)
    point = list(state.boot_points.values())[-1]
    assert (point.recovery_point, point.skipped) == ("r7", 5)


def test_now_by_hand_lays_layers_first_too() -> None:
    """What was asked for is READY before what it is made from is converted."""
    state = after_one(4)
    asked = planner.build_now(ERP, "uuid", state, NOW + timedelta(seconds=1))
    assert asked is not None
    assert all_work(with_made(state, asked)) == ["apply 2", "apply 3", "sync 4", "sync 3", "sync 2"]
