"""A whole site over months, on a clock of its own, through all that happens to a site.

Twenty machines with triggers and retentions of all kinds; increments every few hours; the line is
down for days, and then everything comes at once and in any order; the source folds its own files
and makes a new full each month; the disks are full for days; the engine is killed in the middle of
jobs; its clock is wrong for an hour; summer time begins and ends. Each of these is counted, so that
a shorter time without one of them is no test of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from engine.daemon.clock import ManualClock
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.jobs.power import Shape
from engine.model import planner
from engine.model.images import PointId, RecoveryPoint
from engine.model.layers import Layer, LayerName
from engine.model.memo import Memo
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.retention import Retention, rules_of
from engine.model.schedule import Calendar
from engine.model.standby import Standby, parse_trigger
from engine.model.state import State
from engine.model.upkeep import Upkeep, resting, upkeep_from
from engine.model.work import Job, JobId, JobStatus, WantedJob
from engine.ports import NEVER, Cancel, PointReader
from engine.state.memory import MemoryState
from engine.stores.memory import AMPLE, MemoryStore
from tests.world import MemoryDisk, MemoryImages, data, no_hypervisor, zero

ZONE = ZoneInfo("America/New_York")
SIZE, BLOCK = 16384, 4096
HOUR = timedelta(hours=1)
KINDS = (
    ("immediate", Retention(floor=3)),
    ("daily@02:30", Retention(floor=3, daily=7)),
    ("every:3", Retention(floor=3, weekly=4)),
    ("cron:0 */8 * * *", Retention(floor=3, hourly=4, daily=3)),
)


class Killed(BaseException):
    """The engine is gone, at once."""


@dataclass(frozen=True)
class Pace:
    """When what happens: first day, days of it, and every how many days.

    Attributes:
        chain_days: Days from one full to the next.
        kills: Chance that the engine is killed in a job.
        must: How often each thing must have happened in the end.
    """

    begin: datetime
    days: int
    outage: tuple[int, int, int]
    full: tuple[int, int, int]
    jump: tuple[int, int, int]
    chain_days: int
    kills: float
    must: Mapping[str, int]


FORTNIGHT = Pace(
    begin=datetime(2026, 3, 2, tzinfo=UTC),  # summer time begins on the 8th
    days=14,
    outage=(3, 1, 6),
    full=(4, 1, 5),
    jump=(2, 1, 7),
    chain_days=5,
    kills=0.03,
    must={
        "arrival": 400, "outage": 2, "disk full": 20, "kill": 10, "wrong clock": 2,
        "summer time": 1, "consolidation": 10, "new chain": 40, "sync": 280, "retire": 140,
    },
)  # fmt: skip
YEAR = Pace(
    begin=datetime(2026, 2, 1, tzinfo=UTC),
    days=365,
    outage=(10, 3, 30),
    full=(20, 2, 45),
    jump=(7, 1, 50),
    chain_days=30,
    kills=0.002,
    must={
        "arrival": 15000, "outage": 30, "disk full": 100, "kill": 20, "wrong clock": 6,
        "summer time": 2, "consolidation": 500, "new chain": 200, "sync": 7300, "retire": 3650,
    },
)  # fmt: skip


def is_on(when: tuple[int, int, int], day: int) -> bool:
    """Tell whether something that has first day, days and period happens on a day."""
    first, days, every = when
    return first <= day % every < first + days


class Fuse:
    """A cancel flag that kills the engine after so many looks at it; 0: it never does."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def is_set(self) -> bool:
        """Nobody asks the job to end."""
        return False

    def check(self) -> None:
        """Kill, or let it go on."""
        self.looks -= 1
        if self.looks == 0:
            raise Killed


@dataclass
class Source:
    """One machine, its backup product, and what of its files is here."""

    standby: Standby
    images: MemoryImages
    hours: int
    newest: RecoveryPoint | None = None
    count: int = 0
    waiting: list[RecoveryPoint] = field(default_factory=list)
    here: list[RecoveryPoint] = field(default_factory=list)

    def back_up(self, now: datetime, dice: random.Random, *, is_full: bool) -> None:
        """Take an increment, or a full."""
        self.count += 1
        parent = None if is_full else self.newest
        content = bytes([self.count % 251 + 1]) * BLOCK
        at = dice.randrange(SIZE // BLOCK) * BLOCK
        parts = [data(at, content)]
        if parent is None:
            parts = [data(0, content), zero(BLOCK, SIZE - BLOCK)]
        self.newest = self.images.add([MemoryDisk(SIZE, parts)], parent, self.count, now)
        self.waiting.append(self.newest)

    def consolidate(self) -> list[PointId]:
        """Fold the two oldest increments that are here into one; return what vanishes."""
        by_parent = {one.parent: one for one in self.here if one.parent is not None}
        first = next((one for one in self.here if one.parent is not None), None)
        second = by_parent.get(first.id) if first is not None else None
        if first is None or second is None or second is self.newest:
            return []
        self.count += 1
        seen = self.images.truth[second.id][0]
        parent = next((one for one in self.here if one.id == first.parent), None)
        if parent is None:
            return []
        whole = [data(at, seen[at : at + BLOCK]) for at in range(0, SIZE, BLOCK)]
        folded = self.images.add(
            [MemoryDisk(SIZE, whole)], parent, self.count, second.taken_at,
            (first.id, second.id),
        )  # fmt: skip
        heirs = [one for one in self.here if one.parent == second.id]
        self.here = [one for one in self.here if one.id not in (first.id, second.id)]
        self.here.append(folded)
        for heir in heirs:
            _, reader = self.images.points[heir.id]
            moved = replace(heir, parent=folded.id)
            self.images.points[heir.id] = (moved, reader)
            self.here[self.here.index(heir)] = moved
            if self.newest is heir:
                self.newest = moved
        for old in (first.id, second.id):
            del self.images.points[old]
        return [first.id, second.id]


class Site:
    """Twenty machines, one engine."""

    def __init__(self, pace: Pace, seed: int) -> None:
        self.pace = pace
        self.dice = random.Random(seed)
        self.clock = ManualClock(pace.begin)
        self.state, self.store = MemoryState(), MemoryStore()
        self.sources = [self._machine(number) for number in range(20)]
        self.standbys = {one.standby.name: one.standby for one in self.sources}
        self.uuids = {one.standby.name: one.images.machine for one in self.sources}
        self.by_uuid = {one.images.machine: one.images for one in self.sources}
        target = Target("local", "simulated", self.store, no_hypervisor, SimulatedConverter())
        self.performer = Performer(self.state, self.clock, self, lambda _standby: target, Shape())
        self.memo = Memo()
        self.layers: dict[str, Mapping[LayerName, Layer]] = {}
        self.happened = Counter[str]()
        self.is_up = True
        self.since = pace.begin

    def _machine(self, number: int) -> Source:
        trigger, retention = KINDS[number % len(KINDS)]
        name = f"m{number:02d}"
        standby = Standby(
            name=name,
            images=f"/images/{name}",
            trigger=parse_trigger(trigger),
            keep=4 + number % 5,
            retention=retention,
        )
        machine = f"{number:08d}-1111-4111-8111-111111111111"
        images = MemoryImages(machine=machine, name=name)
        return Source(standby, images, hours=(4, 6, 8, 12, 24)[number % 5])

    @contextmanager
    def open(self, point: RecoveryPoint, cancel: Cancel = NEVER) -> Iterator[PointReader]:
        """Open a point of whichever machine."""
        with self.by_uuid[point.machine_uuid].open(point, cancel) as reader:
            yield reader

    def hour(self) -> None:
        """Let an hour pass at every source, and here."""
        now = self.clock.now()
        age = int((now - self.pace.begin) / HOUR)
        is_moved = (now - HOUR).astimezone(ZONE).utcoffset() != now.astimezone(ZONE).utcoffset()
        self.happened["summer time"] += is_moved
        for source in self.sources:
            if age % source.hours == 0:
                is_new = source.count > 0 and age % (self.pace.chain_days * 24) == 0
                self.happened["new chain"] += is_new
                source.back_up(now, self.dice, is_full=source.count == 0 or is_new)
            if self.is_up and (source.waiting or age % 4 == 0):
                self._replicate(source)
        self.turn()

    def _replicate(self, source: Source) -> None:
        arrived, source.waiting = source.waiting, []
        self.happened["arrival"] += len(arrived)
        self.dice.shuffle(arrived)
        source.here += sorted(arrived, key=lambda one: one.sequence)
        gone: list[PointId] = []
        fresh = arrived
        if len(source.here) > 8 and self.dice.random() < 0.1:
            gone = source.consolidate()
            self.happened["consolidation"] += bool(gone)
            fresh = source.here if gone else arrived
        with self.state.write() as tx:
            known = tx.state().recovery_points
            now = self.clock.now()
            stamped = [
                replace(p, arrived_at=known[p.id].arrived_at if p.id in known else now)
                for p in fresh
            ]
            tx.save_recovery_points(stamped)
            tx.forget_recovery_points(gone)

    def turn(self) -> None:
        """Plan and perform until nothing is due."""
        limits = planner.Limits(jobs=len(self.sources))
        for _ in range(3000):
            now, state = self.clock.now(), self.state.read()
            points = planner.new_boot_points(self.standbys, self.uuids, state, now, ZONE, self.memo)
            if points:
                with self.state.write() as tx:
                    for point in points:
                        tx.save_boot_point(point)
                state = self.state.read()
            wanted = planner.next_jobs(
                self.standbys, state, now, limits, self._upkeep(state), Calendar(ZONE), self.memo
            )
            if not wanted and not points:
                return
            for one in wanted:
                self._perform(one)
        raise AssertionError("the work does not end")

    def _upkeep(self, state: State) -> Mapping[str, Upkeep]:
        pauses = resting(state, self.clock.now(), self.since)
        nobody = frozenset[BootPointId]()
        found = {}
        for name, standby in self.standbys.items():
            layers = self.layers.get(name) or self._look(name)
            made, pausing = state.by_standby.get(name, ()), pauses.get(name, nobody)
            work = partial(_upkeep_of, standby, layers, made, pausing)
            found[name] = self.memo.of(("upkeep", name), (standby, layers, made, pausing), work)
        return found

    def _look(self, name: str) -> Mapping[LayerName, Layer]:
        self.layers[name] = self.store.chain(name).layers()
        return self.layers[name]

    def _perform(self, wanted: WantedJob) -> None:
        blank = Job(
            JobId(0), wanted.kind, wanted.standby, wanted.boot_point, JobStatus.QUEUED,
            self.clock.now(),
        )  # fmt: skip
        with self.state.write() as tx:
            job = tx.add_job(blank)
        standby = self.standbys[wanted.standby]
        looks = self.dice.randint(1, 5) if self.dice.random() < self.pace.kills else 0
        try:
            self.performer.perform(job, standby, Fuse(looks), lambda _progress: None)
        except Killed:
            self.happened["kill"] += 1
            self._restart()
        self._look(wanted.standby)
        self.happened[str(wanted.kind)] += 1
        ended = self.state.job(job.id)
        failed = ended is not None and ended.status is JobStatus.FAILED and "full" in ended.reason
        self.happened["disk full"] += failed

    def _restart(self) -> None:
        """Take up what the killed engine left."""
        self.since = now = self.clock.now()
        with self.state.write() as tx:
            for job in tx.state().live_jobs():
                tx.save_job(replace(job, status=JobStatus.FAILED, ended_at=now, reason="killed"))
            for point in planner.interrupted(tx.state()):
                tx.save_boot_point(point)
        self.memo, self.layers = Memo(), {}

    # --- what happens to a site -----------------------------------------------------------------

    def misfortune(self, day: int) -> None:
        """Let this day's trouble begin or end."""
        self.is_up = not is_on(self.pace.outage, day)
        self.happened["outage"] += not self.is_up
        self.store.capacity = self._used() if is_on(self.pace.full, day) else AMPLE

    def jump(self) -> None:
        """Let the clock be three years ahead for one turn; nothing may age away by that."""
        self.happened["wrong clock"] += 1
        before = {p.id for name in self.standbys for p in self.state.read().ready(name)}
        self.clock.set(self.clock.now() + timedelta(days=1100))
        self.turn()
        self.clock.set(self.clock.now() - timedelta(days=1100))
        after = {p.id for name in self.standbys for p in self.state.read().ready(name)}
        assert len(before - after) <= len(self.standbys) * 2

    def _used(self) -> int:
        chains = (self.store.chain(name) for name in self.standbys)
        return BLOCK * len({id(page) for chain in chains for page in chain.pages()})

    # --- what must be true ----------------------------------------------------------------------

    def check(self) -> None:
        """Assert the promises of every day."""
        for source in self.sources:
            name = source.standby.name
            state, chain = self.state.read(), self.store.chain(name)
            ready, layers = state.ready(name), chain.layers()
            for point in ready:
                truth = source.images.truth[point.recovery_point][0]
                for layer in (point.replica, point.boot):
                    assert layers[layer].sealed, (name, layer)
                for layer in (point.replica,) if point is not ready[-1] else layers_of(point):
                    with chain.open(layer, 0) as device:
                        seen = bytearray(SIZE)
                        device.read(0, memoryview(seen))
                    assert bytes(seen) == truth, (name, point.id)

    def check_end(self) -> None:
        """Assert what must be true once all trouble is over."""
        for source in self.sources:
            name, standby = source.standby.name, source.standby
            made = self.state.read().points_of(name)
            ready = self.state.read().ready(name)
            assert {p.stage for p in made} == {Stage.READY}, (name, made[-1])
            assert 3 <= len(ready) <= standby.keep + 12, name
            assert source.newest is not None
            if str(standby.trigger) == "immediate":
                assert ready[-1].recovery_point == source.newest.id, name
            known = {layer for p in made for layer in (p.replica, p.boot)}
            assert set(self.store.chain(name).layers()) <= known, name


def layers_of(point: BootPoint) -> Sequence[str]:
    """Return both layers of a boot point."""
    return point.replica, point.boot


def _upkeep_of(
    standby: Standby,
    layers: Mapping[LayerName, Layer],
    made: Sequence[BootPoint],
    pausing: frozenset[BootPointId],
) -> Upkeep:
    rules = rules_of(standby.keep, standby.retention, Retention(), ZONE)
    retired = [point for point in made if point.stage is Stage.RETIRED]
    return replace(upkeep_from(rules, layers, retired, folds_files=False), resting=pausing)


def run(site: Site) -> None:
    """Let the days pass; the last three without trouble."""
    for day in range(site.pace.days):
        is_calm = day >= site.pace.days - 3
        site.misfortune(0 if is_calm else day)
        for hour in range(24):
            site.hour()
            if hour == 5 and is_on(site.pace.jump, day) and not is_calm:
                site.jump()
            site.clock.advance(3600)
        site.check()
    site.turn()
    site.check_end()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "pace",
    [
        pytest.param(FORTNIGHT, id="fortnight"),
        pytest.param(YEAR, id="year", marks=pytest.mark.nightly),
    ],
)
def test_a_site_through_all_that_happens(pace: Pace) -> None:
    """Every ready boot point holds its image's bytes on every day; at the end nothing is left."""
    site = Site(pace, seed=45)
    run(site)
    short = {what: site.happened[what] for what, n in pace.must.items() if site.happened[what] < n}
    assert not short, f"too rare to be tested: {short}"
