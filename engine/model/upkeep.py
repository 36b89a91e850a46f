"""Retention where layers live: which boot points go now, and whether there is room for another.

rules, chain as last seen on the target ──► surplus   what a RETIRE may take away now
                                        └─► is_full   a SYNC must wait for one of those
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from engine.model.layers import Layer, LayerKind, LayerName, read_from
from engine.model.points import BootPoint, BootPointId, Stage, in_order
from engine.model.retention import Retention, Rules, Verdict, occupies, retain, rules_of
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import JobKind, JobStatus, WantedJob

TWIG_AND_SCRATCH = 2
"""Layers that a start lays on the trunk."""
FIRST_REST, LONGEST_REST = timedelta(seconds=30), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What retention goes by for one standby; the chain is as last seen on its target.

    Attributes:
        rules: Of the standby; `most`: trunk layers that may lie on one another.
        depths: Trunk layer -> trunk layers from its seed up to it.
        in_use: Layers that cannot be folded now: something reads from their files.
        left: Retired boot points whose layers are still there, oldest first.
        resting: Boot points whose retirement failed or was cancelled a moment ago.
    """

    rules: Rules
    depths: Mapping[LayerName, int] = field(default_factory=dict)
    in_use: frozenset[LayerName] = frozenset()
    left: Sequence[BootPointId] = ()
    resting: frozenset[BootPointId] = frozenset()


def upkeep_of(upkeep: Mapping[str, Upkeep], standby: Standby) -> Upkeep:
    """Return a standby's upkeep; by its definition alone where nothing else is known."""
    return upkeep.get(standby.name) or Upkeep(
        rules_of(standby.keep, standby.retention, Retention())
    )


# --- the chain ------------------------------------------------------------------------------


def upkeep_from(
    rules: Rules,
    layers: Mapping[LayerName, Layer],
    retired: Iterable[BootPoint],
    runs: LayerName | None = None,
    *,
    folds_files: bool,
) -> Upkeep:
    """Return a standby's upkeep by the layers that were seen on its target.

    Args:
        rules: Of the standby.
        layers: As seen.
        retired: Its retired boot points.
        runs: The layer that a VM was started from, seen running or not yet; None when none was.
        folds_files: Whether a fold changes files that the layers above read from.
    """
    in_use = read_from(layers, runs) if folds_files else frozenset()
    left = [point.id for point in retired if {point.boot, point.replica} & layers.keys()]
    return Upkeep(rules, _depths(layers), in_use, tuple(sorted(left, key=in_order)))


def most_points(*limits: int | None) -> int | None:
    """Return how many trunk layers may lie on one another, by limits for all kinds of layers."""
    known = [limit for limit in limits if limit is not None]
    return max(min(known) - TWIG_AND_SCRATCH, 1) if known else None


def _depths(layers: Mapping[LayerName, Layer]) -> dict[LayerName, int]:
    depths: dict[LayerName, int] = {}
    for name in layers:
        above: list[LayerName] = []
        at: LayerName | None = name
        while at is not None and at in layers and at not in depths:
            above.append(at)
            at = layers[at].parent
        depth = depths.get(at, 0) if at is not None else 0
        for one in reversed(above):
            depth += layers[one].kind is LayerKind.REPLICA
            depths[one] = depth
    return depths


def resting(state: State, now: datetime, since: datetime) -> dict[str, frozenset[BootPointId]]:
    """Return standby -> boot points whose retirement did not end well, and is not tried yet.

    The pause doubles with each try. A clock that was put back makes none longer. What ended with
    an engine, or before this one started (`since`), was no fault of the boot point.
    """
    tries: dict[tuple[str, BootPointId], list[datetime]] = defaultdict(list)
    for job in state.jobs.values():
        failed = job.kind is JobKind.RETIRE and job.status in (
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        )
        if failed and job.boot_point and job.ended_at is not None and job.ended_at > since:
            tries[job.standby, job.boot_point].append(job.ended_at)
    found: dict[str, set[BootPointId]] = defaultdict(set)
    for (standby, point), ends in tries.items():
        pause = min(FIRST_REST * 2 ** min(len(ends) - 1, 10), LONGEST_REST)
        if max(ends) <= now < max(ends) + pause:
            found[standby].add(point)
    return {standby: frozenset(points) for standby, points in found.items()}


# --- what goes ------------------------------------------------------------------------------


def judged(
    standby: str, made: Sequence[BootPoint], state: State, upkeep: Upkeep
) -> Mapping[BootPointId, Verdict]:
    """Return retention's verdicts on a standby's boot points, oldest first."""
    run = state.runs.get(standby)
    running = None if run is None else run.boot_point
    return retain(made, upkeep.rules, running, upkeep.in_use)


def losing(
    standby: str, made: Sequence[BootPoint], state: State, before: Upkeep, rules: Rules
) -> list[BootPointId]:
    """Return the boot points of a standby that stay now and would go by other rules."""
    now = judged(standby, made, state, before)
    then = judged(standby, made, state, replace(before, rules=rules))
    return [point for point, verdict in then.items() if now[point].keep and not verdict.keep]


def surplus(
    standby: str, made: Sequence[BootPoint], state: State, upkeep: Upkeep
) -> list[WantedJob]:
    """Return a RETIRE for each boot point that may go now, oldest first.

    First those whose retirement is recorded and was not finished. None while retention is on hold:
    not even what was begun is folded away then.
    """
    if upkeep.rules.hold:
        return []
    replicas = {point.id: point.replica for point in made}
    wanted = [
        (point, "its retirement was not finished")
        for point in upkeep.left
        if replicas.get(point) not in upkeep.in_use
    ]
    if not _few(made, upkeep.rules):
        verdicts = judged(standby, made, state, upkeep)
        wanted += [(point, one.reason) for point, one in verdicts.items() if not one.keep]
    return [
        WantedJob(JobKind.RETIRE, standby, point, f"Retention: {reason}.")
        for point, reason in wanted
        if point not in upkeep.resting
    ]


def _few(made: Sequence[BootPoint], rules: Rules) -> bool:
    """Tell at a glance that nothing goes: no more are there than the count keeps."""
    alive = sum(point.stage is not Stage.RETIRED for point in made)
    most = alive if rules.most is None else rules.most
    return not rules.max_age_days and alive <= min(rules.keep, most)


def is_full(point: BootPoint, state: State, upkeep: Upkeep) -> bool:
    """Tell whether the layers of a boot point that is due would make the chain too deep."""
    most, parent = upkeep.rules.most, point.parent
    if most is None or parent is None or point.replica in upkeep.depths:
        return False
    below = state.boot_points.get(parent)
    if below is not None and below.replica in upkeep.depths:
        return upkeep.depths[below.replica] >= most
    return sum(occupies(one) for one in state.points_of(point.standby)) >= most


def with_room(upkeep: Upkeep) -> Upkeep:
    """Return the upkeep of a chain in which one more boot point must find its place."""
    rules = upkeep.rules
    most = None if rules.most is None else max(rules.most - 1, 1)
    return replace(upkeep, rules=replace(rules, most=most))


def stuck(made: Sequence[BootPoint], state: State, upkeep: Upkeep) -> str:
    """Return why no further boot point can be made, a sentence; empty while one can."""
    due = next((point for point in made if point.stage is Stage.PENDING), None)
    if due is None or not is_full(due, state, upkeep):
        return ""
    awake = replace(with_room(upkeep), resting=frozenset())
    if surplus(due.standby, made, state, awake):
        return ""
    return (
        f"The chain on the target is full: it can hold {upkeep.rules.most} boot points, and each "
        "of them is kept for a reason. No further one can be made before one may go."
    )
