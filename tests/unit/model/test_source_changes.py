"""What a backup product does to its files, and what that does to boot points: nothing bad."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from engine.daemon.intake import unaffected
from engine.model import planner
from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.standby import Backlog, Standby
from engine.model.state import State
from engine.model.work import JobKind
from tests.unit.model.test_planner_rules import LIMITS, arrived, known, with_made

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ERP = Standby("erp", "/images/erp", keep=100)


def plan(state: State) -> list[BootPoint]:
    """Return the boot points that are planned."""
    return list(planner.new_boot_points({"erp": ERP}, {"erp": "uuid"}, state, NOW, UTC))


def applied(*points: RecoveryPoint) -> State:
    """Return a state in which these were made ready, one boot point of each."""
    state = known(*points)
    made = (replace(p, stage=Stage.READY, ready_at=NOW, has_trunk=True) for p in plan(state))
    return with_made(state, *made)


def holding(state: State, *points: RecoveryPoint) -> State:
    """Return the state when just these recovery points are known any more."""
    return replace(state, recovery_points={point.id: point for point in points})


def retires(state: State) -> list[str]:
    """Return what would be retired."""
    wanted = planner.next_jobs({"erp": ERP}, state, NOW, LIMITS)
    return [one.boot_point or "" for one in wanted if one.kind is JobKind.RETIRE]


def of(state: State, number: int, stage: Stage) -> State:
    """Return the state with boot point `number` in another stage."""
    point = state.boot_points[BootPointId(f"bp{number:06d}")]
    return with_made(state, replace(point, stage=stage))


ONE, TWO, THREE, FOUR = (arrived(number) for number in range(1, 5))
MERGED = replace(arrived(3, parent=1), replaces=(TWO.id, THREE.id))
"""The source folded points 2 and 3 into one file, which carries the id of point 3."""


def test_a_new_full_is_a_generation_of_its_own() -> None:
    """It begins at a base, compared with the newest trunk layer; the old boot points stay."""
    full = replace(arrived(9, parent=None), id=PointId("full"), set_id="other")
    state = applied(ONE, TWO)
    state = holding(state, ONE, TWO, full)
    (point,) = plan(state)
    assert (point.recovery_point, point.parent, point.set_id) == ("full", "bp000002", "other")
    state = with_made(state, point)
    assert planner.path_for(point, state) == (full,)
    assert retires(state) == []


def test_a_new_full_goes_on_with_its_own_increments() -> None:
    """The next increment continues the new chain, whether the old one's files are there or not."""
    full = replace(arrived(8, parent=None), id=PointId("full"), set_id="other")
    step = replace(arrived(9), id=PointId("step"), parent=full.id, set_id="other")
    first, second = plan(holding(applied(ONE, TWO), full, step))
    assert (first.parent, second.parent) == ("bp000002", first.id)


def test_a_new_full_does_not_wait_for_a_chain_that_broke() -> None:
    """It is compared with what is there, not with a boot point that may never be made."""
    full = replace(arrived(8, parent=None), id=PointId("full"), set_id="other")
    state = of(applied(ONE, TWO), 2, Stage.FAILED)
    bare = replace(state.boot_points[BootPointId("bp000002")], has_trunk=False)
    state = holding(with_made(state, bare), full)
    assert [point.parent for point in plan(state)] == ["bp000001"]


def test_a_new_full_is_compared_with_the_newest_trunk_layer() -> None:
    """One that cannot start has a whole one as well; one that was applied since is the nearer."""
    full = replace(arrived(8, parent=None), id=PointId("full"), set_id="other")
    state = of(applied(ONE, TWO), 2, Stage.FAILED)
    broken = replace(state.boot_points[BootPointId("bp000002")], has_trunk=True, obstacle="kernel")
    (point,) = plan(holding(with_made(state, broken), ONE, TWO, full))
    assert point.parent == "bp000002"
    state = with_made(
        holding(applied(ONE), ONE, TWO, full), *plan(holding(applied(ONE), ONE, TWO, full))
    )
    later = state.boot_points[BootPointId("bp000003")]
    assert (later.recovery_point, later.parent) == ("full", "bp000001")
    assert plan(state) == []
    laid = replace(state.boot_points[BootPointId("bp000002")], has_trunk=True)
    state = with_made(state, laid)
    assert plan(state) == [replace(later, parent=laid.id)]
    state = with_made(state, replace(later, attempts=1))
    assert plan(state) == [], "what was begun goes on as it began"


def test_generations_that_came_at_once_all_become_boot_points() -> None:
    """The old chain's last increments first, then the new full and what follows it, in one go."""
    full = replace(arrived(8, parent=None), id=PointId("full"), set_id="other")
    step = replace(arrived(9), id=PointId("step"), parent=full.id, set_id="other")
    found = plan(holding(applied(ONE), ONE, TWO, THREE, full, step))
    assert [point.recovery_point for point in found] == [TWO.id, THREE.id, "full", "step"]
    assert [point.parent for point in found] == ["bp000001", "bp000002", "bp000001", "bp000004"]


def test_only_the_newest_generation_where_only_the_newest_counts() -> None:
    """With `backlog = "newest"`, and where the first seed is to be made, nothing older is."""
    full = replace(arrived(8, parent=None), id=PointId("full"), set_id="other")
    newest = {"erp": replace(ERP, backlog=Backlog.NEWEST)}
    state = holding(applied(ONE), ONE, TWO, full)
    found = planner.new_boot_points(newest, {"erp": "uuid"}, state, NOW, UTC)
    assert [point.recovery_point for point in found] == ["full"]
    assert [point.recovery_point for point in plan(known(ONE, TWO, full))] == ["full"]


def test_files_of_applied_points_may_vanish() -> None:
    """What was applied needs no images; the next increment is laid on it all the same."""
    state = holding(applied(ONE, TWO), THREE)
    (point,) = plan(state)
    assert (point.recovery_point, point.parent) == ("r3", "bp000002")
    assert retires(with_made(state, point)) == []
    assert plan(holding(state)) == []


def test_renamed_files_are_the_same_points() -> None:
    """Identity is in the file: another name or folder below the watched one changes nothing."""
    moved = [
        replace(point, disks=tuple(replace(d, path=f"old/x{d.path}") for d in point.disks))
        for point in (ONE, TWO)
    ]
    assert plan(holding(applied(ONE, TWO), *moved)) == []


def test_numbers_may_have_holes() -> None:
    """The order follows the links, not the numbers."""
    far = replace(arrived(40), parent=TWO.id)
    (point,) = plan(holding(applied(ONE, TWO), ONE, TWO, far))
    assert (point.recovery_point, point.parent, point.skipped) == ("r40", "bp000002", 0)


def test_a_merge_of_applied_points_changes_nothing() -> None:
    """Points 2 and 3 were applied; the file that replaces both brings nothing new."""
    state = holding(applied(ONE, TWO, THREE), ONE, MERGED)
    assert plan(state) == []
    (point,) = plan(holding(state, ONE, MERGED, FOUR))
    assert (point.recovery_point, point.parent) == ("r4", "bp000003")


def test_a_merge_of_an_applied_and_a_new_point_is_laid_on_its_parent() -> None:
    """Point 2 was applied, 3 comes merged with it: on point 1, whose boot point still is there."""
    state = holding(applied(ONE, TWO), ONE, MERGED)
    (point,) = plan(state)
    assert (point.recovery_point, point.parent) == ("r3", "bp000001")
    assert [one.id for one in planner.path_for(point, with_made(state, point))] == ["r3"]


def test_a_merge_is_laid_on_what_it_replaces_when_its_parent_went() -> None:
    """Boot point 1 was retired and its file is gone: the merged file goes on from point 2 (C4)."""
    state = of(holding(applied(ONE, TWO), MERGED, FOUR), 1, Stage.RETIRED)
    first, second = plan(state)
    assert (first.recovery_point, first.parent) == ("r3", "bp000002")
    assert (second.recovery_point, second.parent) == ("r4", first.id)
    after = with_made(state, first, second)
    assert [one.id for one in planner.path_for(first, after)] == ["r3"]
    assert retires(after) == []
    assert plan(after) == []


def test_a_boot_point_may_hold_a_merged_file_and_what_follows() -> None:
    """Both are applied on the replaced point in one go."""
    state = of(holding(applied(ONE, TWO), MERGED, FOUR), 1, Stage.RETIRED)
    asked = planner.build_now(ERP, "uuid", state, NOW)
    assert asked is not None
    path = planner.path_for(asked, with_made(state, asked))
    assert ([one.id for one in path], asked.parent) == (["r3", "r4"], "bp000002")


def test_a_missing_middle_stops_only_what_comes_after_it() -> None:
    """Point 3 waits for 2; when 2 arrives both are made, in order."""
    state = holding(applied(ONE), ONE, THREE)
    assert plan(state) == []
    assert state.ready("erp")
    points = plan(holding(state, ONE, TWO, THREE))
    assert [(p.recovery_point, p.parent) for p in points] == [
        ("r2", "bp000001"),
        ("r3", "bp000002"),
    ]


def test_an_increment_that_vanished_before_it_was_made_is_given_up() -> None:
    """Its boot point goes; the next one that arrives is planned anew, earlier ones stay."""
    state = applied(ONE)
    (pending,) = plan(holding(state, ONE, TWO))
    state = with_made(holding(state, ONE), pending)
    assert retires(state) == [pending.id]
    state = of(state, 2, Stage.RETIRED)
    fresh = plan(holding(state, ONE, TWO))
    assert [point.recovery_point for point in fresh] == ["r2"]


def test_a_pending_increment_that_was_merged_is_made_of_the_merged_file() -> None:
    """Point 2 waited when the source folded it into 3: it goes, and 3 takes its place."""
    state = applied(ONE)
    (pending,) = plan(holding(state, ONE, TWO))
    gone = replace(TWO, arrival=Arrival.ARRIVING)
    state = with_made(holding(state, ONE, gone, MERGED), pending)
    assert retires(state) == [pending.id]
    (point,) = plan(of(state, 2, Stage.RETIRED))
    assert (point.recovery_point, point.parent) == ("r3", "bp000001")


def test_a_fork_is_held_and_disturbs_nothing() -> None:
    """A second child of point 1 that is not newer than the newest boot point is not followed."""
    other = replace(TWO, id=PointId("other"))
    state = holding(applied(ONE, TWO, THREE), ONE, TWO, THREE, other)
    assert plan(state) == []
    assert retires(state) == []
    held = planner.forks(state.recovery_points.values(), list(state.boot_points.values()))
    assert [point.id for point in held] == ["other"]
    assert [p.recovery_point for p in plan(holding(state, ONE, THREE, FOUR, other))] == ["r4"]


def test_a_gap_says_what_it_does_not_touch() -> None:
    """The operator reads which boot points stay good whatever becomes of the missing file."""
    told = unaffected(applied(ONE, TWO).ready("erp"))
    assert told.startswith(
        "Its 2 ready boot points, up to bp000002 (data as of 2026-03-01 00:00:02"
    )
    assert unaffected(applied(ONE).ready("erp")).startswith("Its boot point bp000001 (data as of")
    assert unaffected([]) == "No boot point is ready yet."
