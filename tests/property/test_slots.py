"""Who gets a slot: limits are kept, nobody starves, priorities count."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.slots import Limits, choose
from engine.model.standby import Priority, Standby
from engine.model.state import State
from engine.model.waits import Bound, Wait
from engine.model.work import Job, JobId, JobKind, JobStatus, WantedJob

NOW = datetime(2026, 3, 1, tzinfo=UTC)

priorities = st.sampled_from([Priority.HIGH, Priority.NORMAL, Priority.NORMAL, Priority.LOW])
sites = st.lists(st.tuples(priorities, st.integers(0, 2)), min_size=1, max_size=12)
limits = st.builds(
    Limits,
    jobs=st.integers(1, 5),
    targets=st.dictionaries(st.sampled_from(["t0", "t1"]), st.integers(1, 3)),
    stores=st.just({"t0": "a", "t1": "a", "t2": "b"}),
    store_jobs=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 3)),
    slow=st.dictionaries(st.sampled_from(["t0", "t2"]), st.just("It is slow.")),
)


class _Turns:
    """Standbys that always want something, and jobs that end in any order."""

    def __init__(self, site: list[tuple[Priority, int]], seed: int) -> None:
        self.standbys = {
            f"m{n:02d}": Standby(f"m{n:02d}", "/images", target=f"t{target}", priority=priority)
            for n, (priority, target) in enumerate(site)
        }
        self.random = Random(seed)
        self.jobs: dict[JobId, Job] = {}
        self.numbers = count(1)
        self.begun: list[str] = []
        self.free_since = dict.fromkeys(self.standbys, 0)
        self.longest = 0

    def turn(self, told: Limits) -> Counter[str]:
        """Give out slots, then let one job end; return what ran meanwhile by target."""
        busy = {job.standby for job in self.jobs.values() if job.is_live}
        wanted = [
            WantedJob(self.random.choice([JobKind.SYNC, JobKind.RETIRE]), name, None, "")
            for name in self.standbys
            if name not in busy
        ]
        self.random.shuffle(wanted)
        choice = choose(wanted, self.standbys, State(jobs=self.jobs), told)
        assert {one.standby for one in choice.jobs} | choice.waiting.keys() == {
            one.standby for one in wanted
        }
        for one in choice.jobs:
            number = JobId(next(self.numbers))
            self.jobs[number] = Job(number, one.kind, one.standby, None, JobStatus.RUNNING, NOW)
            self.longest = max(self.longest, len(self.begun) - self.free_since[one.standby])
            self.begun.append(one.standby)
        live = [job for job in self.jobs.values() if job.is_live]
        running = Counter(self.standbys[job.standby].target for job in live)
        ended = self.random.choice(live)
        self.jobs[ended.id] = replace(ended, status=JobStatus.DONE)
        self.free_since[ended.standby] = len(self.begun)
        return running


@settings(max_examples=60, deadline=None)
@given(sites, limits, st.integers(0, 2**16))
def test_no_limit_is_ever_passed(site: list[tuple[Priority, int]], told: Limits, seed: int) -> None:
    """Engine, target and datastore never do more at once than they may; a slow target one."""
    turns = _Turns(site, seed)
    for _ in range(40):
        running = turns.turn(told)
        assert running.total() <= told.jobs
        for target, most in told.targets.items():
            assert running[target] <= most
        for store, most in told.store_jobs.items():
            assert sum(n for t, n in running.items() if told.stores[t] == store) <= most
        assert all(running[target] <= 1 for target in told.slow)


@settings(max_examples=60, deadline=None)
@given(st.lists(priorities, min_size=2, max_size=15), st.integers(1, 4), st.integers(0, 2**16))
def test_nobody_starves_for_more_than_two_rounds(
    given_to: list[Priority], slots: int, seed: int
) -> None:
    """However low its priority, a standby is served again within two rounds of all."""
    turns = _Turns([(priority, 0) for priority in given_to], seed)
    for _ in range(len(given_to) * 8):
        turns.turn(Limits(jobs=slots))
        idle = turns.standbys.keys() - {j.standby for j in turns.jobs.values() if j.is_live}
        waited = [len(turns.begun) - turns.free_since[name] for name in idle]
        assert max([turns.longest, *waited]) <= 2 * len(given_to)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 10), st.integers(0, 2**16))
def test_a_higher_priority_is_served_more_often(others: int, seed: int) -> None:
    """One machine of high priority gets far more slots than each of the others."""
    turns = _Turns([(Priority.HIGH, 0), *[(Priority.LOW, 0)] * others], seed)
    for _ in range((others + 1) * 12):
        turns.turn(Limits(jobs=1))
    served = Counter(turns.begun)
    assert served["m00"] > max(served[name] for name in turns.standbys if name != "m00")


def test_who_waits_is_told_for_what() -> None:
    """A job without a slot says whose slots are taken, or that the target is slow."""
    standbys = {n: Standby(n, "/images", target=t) for n, t in (("a", "t0"), ("b", "t0"))}
    wanted = [WantedJob(JobKind.SYNC, name, None, "") for name in standbys]
    for told, why in (
        (Limits(jobs=1), Wait(Bound.ENGINE, "The one slot of the engine is taken.")),
        (Limits(targets={"t0": 1}), Wait(Bound.TARGET, "The one slot of target t0 is taken.")),
        (
            Limits(stores={"t0": "s"}, store_jobs={"s": 1}),
            Wait(Bound.DATASTORE, "The one slot of datastore s is taken."),
        ),
        (Limits(slow={"t0": "It writes slowly."}), Wait(Bound.SLOW, "It writes slowly.")),
    ):
        choice = choose(wanted, standbys, State(), told)
        assert [one.standby for one in choice.jobs] == ["a"]
        assert choice.waiting == {"b": why}
