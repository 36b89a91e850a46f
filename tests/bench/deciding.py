"""How long a large site's decisions take, without an engine around them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC
from statistics import median
from typing import TypeVar
from zoneinfo import ZoneInfo

from engine.daemon.upkeep import Judge
from engine.model import planner
from engine.model.memo import Memo
from engine.model.points import BootPoint, Stage
from engine.model.retention import Rule, Rules, retain
from engine.model.upkeep import Upkeep
from engine.model.work import Job, JobId, JobStatus, WantedJob
from engine.state.memory import MemoryState
from tests.bench.largesite import START, Site, picture, standbys

ROUNDS = 25
_SLOTS = dict.fromkeys((Rule.HOURLY, Rule.DAILY, Rule.WEEKLY, Rule.MONTHLY, Rule.YEARLY), 7)
_RULES = Rules(keep=12, slots=_SLOTS, zone=ZoneInfo("Europe/Berlin"))


def plan(site: Site, rounds: int) -> dict[str, float]:
    """Return how long decisions take, in milliseconds.

    `points`: which boot points are missing, with all increments waiting. `first`: the first
    decision on a picture never seen before. `next`: each one after it, one job having ended
    between.
    """
    known, state = standbys(site), picture(site)
    sources = {name: f"{name}-uuid" for name in known}
    store, memo = MemoryState(), Memo()
    with store.write() as tx:
        tx.save_recovery_points(list(state.recovery_points.values()))
        for point in state.boot_points.values():
            tx.save_boot_point(point)

    def new() -> Sequence[BootPoint]:
        return planner.new_boot_points(known, sources, store.read(), START, UTC, memo)

    def jobs() -> Sequence[WantedJob]:
        return planner.next_jobs(known, store.read(), START, limits, memo=memo)

    limits = planner.Limits(jobs=2)
    gc.collect()  # or one falls into what is measured, by chance
    points, fresh = _timed(new)
    assert len(fresh) == site.machines * site.waiting, len(fresh)
    with store.write() as tx:
        for point in fresh:
            tx.save_boot_point(point)
    gc.collect()
    again, none = _timed(new)
    first, _ = _timed(jobs)
    later = []
    for _ in range(rounds):
        took, none = _timed(new)
        assert not none
        more, wanted = _timed(jobs)
        assert len(wanted) == limits.jobs
        later.append(took + more)
        _make(store, wanted[0])
    told = {"points": points, "first": again + first, "next": median(later)}
    figures = {f"plan_{key}_ms": value for key, value in told.items()}
    return figures | {"retain_ms": _retained(site), "retain_next_ms": _retained_next(site)}


def _retained(site: Site) -> float:
    """Return how long retention takes to judge the boot points of all machines, milliseconds."""
    groups = picture(replace(site, waiting=0)).by_standby.values()
    gc.collect()
    took = []
    for _ in range(ROUNDS):
        once, verdicts = _timed(lambda: [retain(made, _RULES, None) for made in groups])
        assert sum(map(len, verdicts)) == site.machines * site.points
        took.append(once)
    return median(took)


def _retained_next(site: Site) -> float:
    """Return how long that takes for a picture in which one boot point is another, milliseconds."""
    store, judge = MemoryState(), Judge()
    with store.write() as tx:
        for point in picture(replace(site, waiting=0)).boot_points.values():
            tx.save_boot_point(point)
    care = dict.fromkeys(site.names(), Upkeep(_RULES))
    took = []
    for number in range(ROUNDS):
        state = store.read()
        once, verdicts = _timed(lambda state=state: judge.verdicts(care, state, state.alive()))
        assert len(verdicts) == site.machines * site.points
        took.append(once)
        with store.write() as tx:
            tx.save_boot_point(replace(state.by_standby["m0001"][0], pin=f"for {number}"))
    return median(took[1:])


_Made = TypeVar("_Made")


def _timed(work: Callable[[], _Made]) -> tuple[float, _Made]:
    """Return the milliseconds of this thread that some work took, and what it gave."""
    began = time.thread_time()
    made = work()
    return (time.thread_time() - began) * 1000, made


def _make(store: MemoryState, wanted: WantedJob) -> None:
    """Store what a SYNC leaves."""
    with store.write() as tx:
        point = store.read().boot_points[wanted.boot_point]  # type: ignore[index]  # a SYNC has one
        for stage in (Stage.APPLYING, Stage.CONVERTING, Stage.READY):
            point = replace(point, stage=stage, has_trunk=True)
            tx.save_boot_point(point)
        done = Job(JobId(0), wanted.kind, wanted.standby, point.id, JobStatus.DONE, START)
        tx.add_job(done)
