"""The planner's rules, in a small world where images arrive, jobs fail and engines die."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from time import perf_counter

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import planner
from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.machine import Hints
from engine.model.planner import Limits
from engine.model.points import UNMADE, BootPoint, BootPointId, Stage
from engine.model.retention import Retention
from engine.model.standby import Backlog, Standby, parse_trigger
from engine.model.state import State
from engine.model.work import LIVE, Job, JobId, JobKind, JobStatus, Run, WantedJob
from engine.state.memory import MemoryState

START = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = Limits()
LOW = Retention(floor=1)
"""So that the count can be seen at work."""
NAMES = ("erp", "web", "archive")

ACTS = (
    *("increment",) * 6,
    *("work_ok",) * 8,
    *("work_fails",) * 3,
    *("plan",) * 6,
    "differential",
    "fork",
    "full",
    "arriving",
    "arrived",
    "crash",
    "start",
    "stop",
    "pin",
    "unpin",
    "hold",
    "resume",
    "now",
    "wait",
)
steps = st.lists(
    st.tuples(st.sampled_from(ACTS), st.sampled_from(NAMES), st.integers(0, 2**16)),
    min_size=5,
    max_size=60,
)
triggers = st.sampled_from(["immediate", "immediate", "every:3", "daily@22:00"])


class _World:
    """Sources, a state, and jobs that really build layers: a layer is the points it holds."""

    def __init__(self, trigger: str, keep: int, backlog: Backlog = Backlog.EVERY) -> None:
        self.store = MemoryState()
        self.now = START
        self.standbys = {
            name: Standby(
                name,
                f"/images/{name}",
                trigger=parse_trigger(trigger),
                keep=keep,
                retention=LOW,
                backlog=backlog,
            )
            for name in NAMES
        }
        self.sources = {name: f"uuid-{name}" for name in NAMES}
        self.layers: dict[BootPointId, tuple[PointId, ...]] = {}
        self.chains: dict[PointId, tuple[PointId, ...]] = {}
        self.count = 0

    # --- the source ---

    def mine(self, name: str) -> list[RecoveryPoint]:
        points = self.store.read().recovery_points.values()
        return [p for p in points if p.machine_uuid == self.sources[name]]

    def arrive(
        self,
        name: str,
        parent: RecoveryPoint | None,
        *,
        older: bool = False,
        arrival: Arrival = Arrival.COMPLETE,
    ) -> None:
        self.count += 1
        self.now += timedelta(seconds=1)
        number = self.count
        taken = (parent.taken_at + timedelta(microseconds=1)) if older and parent else self.now
        point = RecoveryPoint(
            id=PointId(f"r{number:04d}"),
            parent=None if parent is None else parent.id,
            set_id=f"set{number}" if parent is None else parent.set_id,
            format="bpi",
            root=f"/images/{name}",
            machine_uuid=self.sources[name],
            machine_name=name,
            sequence=1 if parent is None else parent.sequence + 1,
            taken_at=taken,
            arrival=arrival,
            reason="",
            disks=(),
            hints=Hints(),
            size=1,
            arrived_at=self.now,
        )
        below = () if parent is None else self.chains[parent.id]
        self.chains[point.id] = (*below, point.id)
        with self.store.write() as tx:
            tx.save_recovery_points([point])

    # --- the engine ---

    def plan(self) -> Sequence[WantedJob]:
        with self.store.write() as tx:
            for point in planner.new_boot_points(
                self.standbys, self.sources, tx.state(), self.now, UTC
            ):
                tx.save_boot_point(point)
        state = self.store.read()
        wanted = planner.next_jobs(self.standbys, state, self.now, LIMITS)
        self.check(state, wanted)
        with self.store.write() as tx:
            for one in wanted:
                blank = Job(
                    JobId(0), one.kind, one.standby, one.boot_point, JobStatus.QUEUED, self.now
                )
                tx.add_job(blank)
        return wanted

    def work(self, pick: int, outcome: str) -> None:
        jobs = sorted(self.store.read().live_jobs(), key=lambda job: job.id)
        if not jobs:
            return
        job = jobs[pick % len(jobs)]
        assert job.boot_point is not None
        point = self.store.read().boot_points[job.boot_point]
        if job.kind is JobKind.RETIRE:
            if outcome == "ok":
                self.store_point(replace(point, stage=Stage.RETIRED))
        else:
            self.sync(point, outcome, job.kind)
        status = JobStatus.RUNNING if outcome == "dies" else JobStatus.DONE
        with self.store.write() as tx:
            tx.save_job(replace(job, status=status))

    def sync(self, point: BootPoint, outcome: str, kind: JobKind) -> None:
        state = self.store.read()
        path = planner.path_for(point, state)
        point = replace(point, stage=Stage.APPLYING, attempts=point.attempts + 1)
        self.store_point(point)
        if outcome == "dies":
            return
        if outcome == "fails":
            self.store_point(replace(point, stage=Stage.FAILED, failed_at=self.now, reason="x"))
            return
        below: tuple[PointId, ...] = ()
        if point.parent is not None and not path[0].is_base:
            below = self.layers[point.parent]  # a base holds all of it anew
        if not point.has_trunk:
            self.layers[point.id] = (*below, *(one.id for one in path))
        point = replace(point, has_trunk=True)
        if kind is JobKind.APPLY:
            self.store_point(replace(point, stage=Stage.PENDING, attempts=0))
            return
        self.store_point(replace(point, stage=Stage.CONVERTING))
        self.store_point(replace(point, stage=Stage.READY, ready_at=self.now))

    def crash(self) -> None:
        with self.store.write() as tx:
            for job in tx.state().live_jobs():
                tx.save_job(replace(job, status=JobStatus.FAILED))
            for point in planner.interrupted(tx.state()):
                tx.save_boot_point(point)

    def store_point(self, point: BootPoint) -> None:
        with self.store.write() as tx:
            tx.save_boot_point(point)

    # --- the rules ---

    def check(self, state: State, wanted: Sequence[WantedJob]) -> None:
        busy = [job.standby for job in state.live_jobs()] + [one.standby for one in wanted]
        assert len(busy) == len(set(busy)), "two live jobs on one standby"
        assert len(busy) <= LIMITS.jobs, "more jobs than the limit"
        for one in wanted:
            standby = self.standbys[one.standby]
            assert one.boot_point is not None
            point = state.boot_points[one.boot_point]
            if standby.held:
                assert any(p.asked for p in state.points_of(standby.name) if p.stage in UNMADE), (
                    "work on a held standby that nobody asked for"
                )
                assert one.kind is JobKind.RETIRE or self.leads_to_asked(state, point), (
                    "another boot point than the one asked for"
                )
            if one.kind is JobKind.RETIRE:
                self.may_retire(state, point, standby)
            else:
                self.may_sync(state, point)
        self.same_answer(state, wanted)

    def leads_to_asked(self, state: State, point: BootPoint) -> bool:
        """Tell whether it was asked for, or one was that is made from it."""
        after = [p for p in state.points_of(point.standby) if p.parent == point.id]
        return point.stage in UNMADE and (
            point.asked or any(self.leads_to_asked(state, one) for one in after)
        )

    def may_retire(self, state: State, point: BootPoint, standby: Standby) -> None:
        ready = state.ready(standby.name)
        run = state.runs.get(standby.name)
        unfinished = {
            other.parent
            for other in state.points_of(standby.name)
            if other.stage is not Stage.READY
        }
        assert point.stage in (Stage.READY, Stage.FAILED)
        assert point != ready[-1], "the newest ready boot point"
        assert not point.pin, "a pinned boot point"
        assert run is None or run.boot_point != point.id, "a running boot point"
        assert point.id not in unfinished, "one that another is made from"
        newer = [other for other in ready if other.taken_at >= point.taken_at and other != point]
        assert len(newer) >= standby.keep, "one of the newest to keep"

    def may_sync(self, state: State, point: BootPoint) -> None:
        assert point.stage in (Stage.PENDING, Stage.FAILED)
        assert point.attempts < LIMITS.attempts, "a parked boot point"
        if point.failed_at is not None:
            pause = min(30 * 2 ** (point.attempts - 1), 3600)
            assert self.now >= point.failed_at + timedelta(seconds=pause), "tried again too early"
        if point.parent is not None:
            parent = state.boot_points[point.parent]
            assert parent.stage is Stage.READY or parent.has_trunk, "nothing to lay it on"

    def same_answer(self, state: State, wanted: Sequence[WantedJob]) -> None:
        order = Random(self.count)
        mixed = [*state.boot_points.items()]
        order.shuffle(mixed)
        arrived = [*state.recovery_points.items()]
        order.shuffle(arrived)
        other = replace(state, boot_points=dict(mixed), recovery_points=dict(arrived))
        standbys = dict(reversed(self.standbys.items()))
        assert planner.next_jobs(standbys, other, self.now, LIMITS) == wanted
        sources = dict(reversed(self.sources.items()))
        assert not planner.new_boot_points(standbys, sources, other, self.now, UTC), "not all made"

    def settle(self) -> None:
        """Stop all trouble and let the engine work until it is idle."""
        self.crash()
        with self.store.write() as tx:
            arriving = list(tx.state().recovery_points.values())
            tx.save_recovery_points([replace(p, arrival=Arrival.COMPLETE) for p in arriving])
        self.standbys = {name: replace(s, held="") for name, s in self.standbys.items()}
        for _ in range(500):
            self.now += timedelta(hours=5)
            if not self.plan() and not list(self.store.read().live_jobs()):
                return
            while list(self.store.read().live_jobs()):
                self.work(0, "ok")
        raise AssertionError("never idle")


def act(world: _World, what: str, name: str, pick: int) -> None:
    """Do one thing to the world."""
    _at_the_source(world, what, name, pick)
    _in_the_engine(world, what, name, pick)
    _by_the_operator(world, what, name, pick)


def _at_the_source(world: _World, what: str, name: str, pick: int) -> None:
    points = world.mine(name)
    match what:
        case "full":
            world.arrive(name, None)
        case "increment" | "arriving":
            arrival = Arrival.ARRIVING if what == "arriving" else Arrival.COMPLETE
            world.arrive(name, points[-1] if points else None, arrival=arrival)
        case "differential" | "fork" if points:
            world.arrive(name, points[pick % len(points)], older=what == "fork")
        case "arrived":
            with world.store.write() as tx:
                late = [p for p in points if p.arrival is Arrival.ARRIVING]
                tx.save_recovery_points([replace(p, arrival=Arrival.COMPLETE) for p in late])


def _in_the_engine(world: _World, what: str, name: str, pick: int) -> None:
    state = world.store.read()
    ready = state.ready(name)
    match what:
        case "plan":
            world.plan()
        case "work_ok" | "work_fails":
            world.work(pick, what.removeprefix("work_"))
        case "crash":
            world.work(pick, "dies")
            world.crash()
        case "start" if ready and not list(state.live_jobs(name)):
            run = Run(name, ready[pick % len(ready)].id, ready[0].boot, world.now)
            with world.store.write() as tx:
                tx.save_run(run)
        case "stop":
            with world.store.write() as tx:
                tx.remove_run(name)
        case "wait":
            world.now += timedelta(seconds=pick)


def _by_the_operator(world: _World, what: str, name: str, pick: int) -> None:
    made = world.store.read().points_of(name)
    match what:
        case "pin" | "unpin" if made:
            note = "audit" if what == "pin" else ""
            world.store_point(replace(made[pick % len(made)], pin=note))
        case "hold" | "resume":
            held = "storage move" if what == "hold" else ""
            world.standbys[name] = replace(world.standbys[name], held=held)
        case "now":
            state = world.store.read()
            point = planner.build_now(world.standbys[name], world.sources[name], state, world.now)
            if point is not None:
                world.store_point(point)


@given(steps, triggers, st.integers(1, 4), st.sampled_from(Backlog))
@settings(max_examples=120, deadline=None)
def test_the_rules_hold_whatever_happens(
    done: list[tuple[str, str, int]], trigger: str, keep: int, backlog: Backlog
) -> None:
    """Each rule of the planner holds at each plan, and every trunk layer holds its whole chain."""
    world = _World(trigger, keep, backlog)
    for what, name, pick in done:
        act(world, what, name, pick)
    world.plan()

    made = world.store.read().boot_points
    for point, held in world.layers.items():
        if point in made:
            assert held == world.chains[made[point].recovery_point], "not the image's content"


@given(steps, triggers, st.integers(1, 4), st.sampled_from(Backlog))
@settings(max_examples=120, deadline=None)
def test_once_trouble_stops_the_backlog_empties(
    done: list[tuple[str, str, int]], trigger: str, keep: int, backlog: Backlog
) -> None:
    """The planner converges: all is ready, nothing is left over, and the newest data is there."""
    world = _World(trigger, keep, backlog)
    for what, name, pick in done:
        act(world, what, name, pick)
    parked = {
        point.standby
        for point in world.store.read().boot_points.values()
        if point.attempts >= LIMITS.attempts
    }
    world.settle()

    state = world.store.read()
    for name, standby in world.standbys.items():
        points = state.points_of(name)
        if name in parked:
            continue
        assert {point.stage for point in points} <= {Stage.READY}
        held = sum(bool(point.pin) for point in points) + (name in state.runs)
        assert len(points) <= standby.keep + held
        if trigger == "immediate" and world.mine(name):
            newest = max(point.taken_at for point in points)
            assert newest >= max(p.taken_at for p in world.mine(name))


@given(st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_every_n_takes_each_increment_once(increments: int, count: int) -> None:
    """Boot points of `every:N` stand N increments apart and skip none on the way."""
    world = _World(f"every:{count}", keep=1000)
    for _ in range(increments + 1):
        act(world, "increment", "erp", 0)
        world.plan()
    world.settle()

    sequences = [point.sequence for point in world.store.read().points_of("erp")]
    assert sequences[0] == 1
    assert all(later - earlier == count for earlier, later in pairwise(sequences))
    assert increments + 1 - sequences[-1] < count


@given(st.integers(1, 12), st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_nobody_starves(backlog: int, rounds: int) -> None:
    """With work for all and few slots, no standby is two services ahead of another."""
    world = _World("immediate", keep=1000)
    for name in NAMES:
        for _ in range(backlog + rounds):
            act(world, "increment", name, 0)
    served: list[str] = []
    for _ in range(rounds):
        served += [one.standby for one in world.plan()]
        world.work(0, "ok")
    counts = [served.count(name) for name in NAMES]
    assert max(counts) - min(counts) <= 1


def test_a_backlog_of_ten_thousand_is_planned_in_seconds() -> None:
    """500 machines with 20 increments each: the first plan takes less than 5 s."""
    standbys, sources, points = {}, {}, {}
    for machine in range(500):
        name = f"m{machine:03d}"
        standbys[name] = Standby(name, f"/images/{name}")
        sources[name] = f"uuid-{name}"
        world = _World("immediate", 1)
        world.sources = {name: sources[name]}
        for _ in range(20):
            known = world.mine(name)
            world.arrive(name, known[-1] if known else None)
        for point in world.mine(name):
            own = PointId(f"{name}-{point.id}")
            parent = None if point.parent is None else PointId(f"{name}-{point.parent}")
            points[own] = replace(point, id=own, parent=parent)
    state = State(recovery_points=points)
    began = perf_counter()
    made = planner.new_boot_points(standbys, sources, state, START, UTC)
    state = replace(state, boot_points={point.id: point for point in made})
    wanted = planner.next_jobs(standbys, state, START, LIMITS)
    took = perf_counter() - began

    assert (len(made), len(wanted)) == (10_000, 2)
    assert took < 5
    assert all(job.status not in LIVE for job in state.jobs.values())
