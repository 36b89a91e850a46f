"""Room in the chain: who waits for whom, what is left alone, and when it is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.model import planner
from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.layers import Layer, LayerKind, LayerName, layer_name
from engine.model.machine import Hints
from engine.model.planner import Limits
from engine.model.points import BootPoint, BootPointId, Stage, boot_point_id
from engine.model.retention import Rules
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.upkeep import Upkeep, most_points, resting, stuck, upkeep_from
from engine.model.work import Job, JobId, JobKind, JobStatus, Run

START = datetime(2026, 3, 1, tzinfo=UTC)
ERP = {"erp": Standby("erp", "/images/erp")}


def made(number: int, stage: Stage = Stage.READY) -> BootPoint:
    """Return a boot point on the one before it."""
    name = boot_point_id(number)
    return BootPoint(
        id=name,
        standby="erp",
        recovery_point=PointId(f"r{number}"),
        set_id="set",
        parent=None if number == 1 else boot_point_id(number - 1),
        sequence=number,
        taken_at=START + timedelta(hours=number),
        stage=stage,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=START,
        has_trunk=stage is Stage.READY,
    )


def arrived(number: int) -> RecoveryPoint:
    """Return the recovery point of a boot point."""
    return RecoveryPoint(
        id=PointId(f"r{number}"),
        parent=None if number == 1 else PointId(f"r{number - 1}"),
        set_id="set",
        format="bpi",
        root="/images/erp",
        machine_uuid="uuid",
        machine_name="erp",
        sequence=number,
        taken_at=START + timedelta(hours=number),
        arrival=Arrival.COMPLETE,
        reason="",
        disks=(),
        hints=Hints(),
        size=1,
    )


def state_of(points: Sequence[BootPoint], **more: object) -> State:
    """Return a picture of boot points and the images they are made of."""
    images = [arrived(point.sequence) for point in points]
    return State(
        recovery_points={one.id: one for one in images},
        boot_points={point.id: point for point in points},
        **more,  # type: ignore[arg-type]  # fields of State
    )


def chain(*numbers: int, unsealed: int = 0) -> dict[LayerName, Layer]:
    """Return trunk layers on one another, each with its twig."""
    layers: dict[LayerName, Layer] = {}
    below: LayerName | None = None
    for number in numbers:
        point = made(number)
        sealed = number != unsealed
        layers[point.replica] = Layer(point.replica, below, LayerKind.REPLICA, sealed, (1,))
        if sealed:
            twig = Layer(point.boot, point.replica, LayerKind.CONVERSION, True, (1,))
            layers[point.boot] = twig
        below = point.replica
    return layers


def next_job(state: State, care: Upkeep, now: datetime = START) -> tuple[str, str] | None:
    """Return what the planner wants: (kind, boot point)."""
    jobs = planner.next_jobs(ERP, state, now, Limits(), {"erp": care})
    return (jobs[0].kind.value, str(jobs[0].boot_point)) if jobs else None


def care_of(layers: dict[LayerName, Layer], rules: Rules, *retired: BootPoint) -> Upkeep:
    """Return the upkeep of a store that folds files."""
    return upkeep_from(rules, layers, retired, folds_files=True)


def test_a_full_chain_makes_room_before_another_layer_is_added() -> None:
    """With as many trunk layers as may be, the oldest goes first; then the new one is made."""
    points = [*(made(n) for n in range(1, 6)), made(6, Stage.PENDING)]
    rules = Rules(keep=5, most=5)
    full = care_of(chain(1, 2, 3, 4, 5), rules)

    assert next_job(state_of(points), full) == ("retire", "bp000001")
    points[0] = replace(points[0], stage=Stage.RETIRED)
    folded = care_of(chain(2, 3, 4, 5), rules, points[0])
    assert next_job(state_of(points), folded) == ("sync", "bp000006")


def test_a_recorded_retirement_that_is_not_folded_yet_takes_its_place() -> None:
    """The layers on the target count, not what is recorded: the fold is finished first."""
    points = [made(1, Stage.RETIRED), *(made(n) for n in range(2, 6)), made(6, Stage.PENDING)]
    care = care_of(chain(1, 2, 3, 4, 5), Rules(keep=5, most=5), points[0])

    assert care.left == ("bp000001",)
    assert next_job(state_of(points), care) == ("retire", "bp000001")


def test_where_nothing_may_go_nothing_is_added_and_it_is_said() -> None:
    """Pins that fill the chain stop the making of boot points, with a sentence."""
    pinned = [replace(made(n), pin="audit") for n in range(1, 6)]
    points = [*pinned, made(6, Stage.PENDING)]
    care = care_of(chain(1, 2, 3, 4, 5), Rules(keep=5, most=5))
    state = state_of(points)

    assert next_job(state, care) is None
    assert "can hold 5 boot points" in stuck(points, state, care)
    assert stuck(points, state, replace(care, rules=replace(care.rules, most=6))) == ""
    assert next_job(state, replace(care, rules=replace(care.rules, most=6))) == (
        "sync",
        "bp000006",
    )


def test_a_retry_that_has_its_layer_already_needs_no_room() -> None:
    """A boot point whose layer is there is finished, full chain or not."""
    points = [*(made(n) for n in range(1, 5)), made(5, Stage.FAILED)]
    care = care_of(chain(1, 2, 3, 4, 5, unsealed=5), Rules(keep=5, most=5))

    assert next_job(state_of(points), care) == ("sync", "bp000005")


def test_a_new_chain_has_its_own_depth() -> None:
    """A new full lies on nothing, so it waits for nobody."""
    points = [*(made(n) for n in range(1, 6)), replace(made(6, Stage.PENDING), parent=None)]
    care = care_of(chain(1, 2, 3, 4, 5), Rules(keep=5, most=5))
    assert next_job(state_of(points), care) == ("sync", "bp000006")


def test_nothing_below_a_running_machine_is_folded() -> None:
    """What a VM reads from stays until it was stopped; what lies beside it goes."""
    points = [made(n) for n in range(1, 9)]
    rules = Rules(keep=3)
    layers = chain(*range(1, 9))
    run = Run("erp", boot_point_id(4), LayerName("run"), START)
    scratch = Layer(LayerName("run"), points[3].boot, LayerKind.SCRATCH, False, (1,))
    state = state_of(points, runs={"erp": run})

    running = care_of({**layers, scratch.name: scratch}, rules)
    assert next_job(state, running) == ("retire", "bp000005")
    about_to = upkeep_from(rules, layers, (), points[3].boot, folds_files=True)
    assert next_job(state, about_to) == ("retire", "bp000005")
    flat = upkeep_from(rules, {**layers, scratch.name: scratch}, (), folds_files=False)
    assert next_job(state, flat) == ("retire", "bp000001")


def test_what_is_left_below_a_running_machine_waits_too() -> None:
    """A retirement that was interrupted goes on after the machine was stopped."""
    points = [made(1, Stage.RETIRED), made(2), made(3)]
    layers = chain(1, 2, 3)
    scratch = Layer(LayerName("run"), points[2].boot, LayerKind.SCRATCH, False, (1,))
    running = care_of({**layers, scratch.name: scratch}, Rules(), points[0])

    assert next_job(state_of(points), running) is None
    assert next_job(state_of(points), care_of(layers, Rules(), points[0])) == (
        "retire",
        "bp000001",
    )


def ended(number: int, at: datetime, status: JobStatus = JobStatus.FAILED) -> Job:
    """Return a retirement that came to nothing."""
    point = BootPointId("bp000001")
    return Job(JobId(number), JobKind.RETIRE, "erp", point, status, at, at, at)


def test_a_retirement_that_failed_is_tried_again_after_a_pause_that_doubles() -> None:
    """30 s, then a minute; not before, and not never."""
    points = [made(n) for n in range(1, 6)]
    fresh = care_of(chain(1, 2, 3, 4, 5), Rules(keep=4))
    minute = timedelta(minutes=1)
    for tries, pause in ((1, minute / 2), (2, minute), (3, 2 * minute)):
        jobs = {JobId(n): ended(n, START) for n in range(1, tries + 1)}
        state = state_of(points, jobs=jobs)

        def wanted(now: datetime, state: State = state) -> tuple[str, str] | None:
            pausing = resting(state, now, START - minute).get("erp", frozenset())
            return next_job(state, replace(fresh, resting=pausing), now)

        assert wanted(START) is None
        assert wanted(START + pause - timedelta(seconds=1)) is None
        assert wanted(START + pause) == ("retire", "bp000001")
        assert wanted(START - minute) == ("retire", "bp000001"), "the clock was put back"


def test_what_ended_with_an_engine_is_taken_up_at_once() -> None:
    """An interrupted retirement is no failure: the next engine goes on with it."""
    state = state_of([made(1)], jobs={JobId(1): ended(1, START)})
    assert resting(state, START, START) == {}
    assert resting(state, START, START - timedelta(seconds=1)) == {"erp": {"bp000001"}}


def test_the_stricter_limit_counts() -> None:
    """A target of 32 layers holds 30 boot points: twig and scratch need a place too."""
    assert most_points(32, None) == 30
    assert most_points(None, 66, 32) == 30
    assert most_points(None, None) is None
    assert most_points(2) == 1


def test_a_hold_stops_what_was_begun_as_well() -> None:
    """On hold nothing is folded, and boot points are made while there is room."""
    points = [made(1, Stage.RETIRED), *(made(n) for n in range(2, 6)), made(6, Stage.PENDING)]
    rules = Rules(keep=2, floor=1, hold="looks encrypted")
    care = care_of(chain(1, 2, 3, 4, 5), rules, points[0])
    state = state_of(points)

    assert next_job(state, care) == ("sync", "bp000006")
    full = replace(care, rules=replace(rules, most=5))
    assert next_job(state, full) is None
    assert stuck(points, state, full)
    assert next_job(state, replace(care, rules=replace(rules, hold=""))) == ("retire", "bp000001")
