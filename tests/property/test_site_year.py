"""A whole site over months, on a clock of its own, through all that happens to a site.

Twenty machines with triggers and retentions of all kinds; increments every few hours; the line is
down for days, and then everything comes at once and in any order; the source folds its own files
and makes a new full each month; the disks are full for days; the engine is killed; its clock is
wrong for an hour; summer time begins and ends.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.daemon.clock import ManualClock
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.jobs.power import Shape
from engine.model import planner
from engine.model.images import PointId, RecoveryPoint
from engine.model.memo import Memo
from engine.model.points import Stage
from engine.model.retention import Retention, rules_of
from engine.model.schedule import Calendar
from engine.model.standby import Standby, parse_trigger
from engine.model.upkeep import Upkeep, resting, upkeep_from
from engine.model.work import Job, JobId, JobStatus, WantedJob
from engine.ports import NeverCancelled, PointReader
from engine.state.memory import MemoryState
from engine.stores.memory import AMPLE, MemoryStore
from tests.world import MemoryDisk, MemoryImages, data, no_hypervisor, zero

ZONE = ZoneInfo("America/New_York")
SIZE, BLOCK = 16384, 4096
BEGIN = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
KINDS = (
    ("immediate", Retention(floor=3)),
    ("daily@02:30", Retention(floor=3, daily=7)),
    ("every:3", Retention(floor=3, weekly=4)),
    ("cron:0 */8 * * *", Retention(floor=3, hourly=4, daily=3)),
)


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

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = ManualClock(BEGIN)
        self.state, self.store = MemoryState(), MemoryStore()
        self.sources = [self._machine(number) for number in range(20)]
        self.standbys = {one.standby.name: one.standby for one in self.sources}
        self.uuids = {one.standby.name: one.images.machine for one in self.sources}
        self.by_uuid = {one.images.machine: one.images for one in self.sources}
        target = Target("local", "simulated", self.store, no_hypervisor, SimulatedConverter())
        self.performer = Performer(self.state, self.clock, self, lambda _standby: target, Shape())
        self.memo = Memo()
        self.jobs = Counter[str]()
        self.is_up = True

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
    def open(self, point: RecoveryPoint) -> Iterator[PointReader]:
        """Open a point of whichever machine."""
        with self.by_uuid[point.machine_uuid].open(point) as reader:
            yield reader

    def hour(self) -> None:
        """Let an hour pass at every source, and here."""
        now = self.clock.now()
        for source in self.sources:
            age = int((now - BEGIN) / HOUR)
            if age % source.hours == 0:
                source.back_up(now, self.dice, is_full=source.count == 0 or age % 720 == 0)
            if self.is_up:
                self._replicate(source)
        self.turn()

    def _replicate(self, source: Source) -> None:
        arrived, source.waiting = source.waiting, []
        self.dice.shuffle(arrived)
        source.here += sorted(arrived, key=lambda one: one.sequence)
        gone: list[PointId] = []
        fresh = arrived
        if len(source.here) > 8 and self.dice.random() < 0.1:
            gone = source.consolidate()
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
        for _ in range(3000):
            now = self.clock.now()
            points = planner.new_boot_points(
                self.standbys, self.uuids, self.state.read(), now, ZONE, self.memo
            )
            with self.state.write() as tx:
                for point in points:
                    tx.save_boot_point(point)
            wanted = planner.next_jobs(
                self.standbys, self.state.read(), now, planner.Limits(), self._upkeep(),
                Calendar(ZONE), self.memo,
            )  # fmt: skip
            if not wanted and not points:
                return
            for one in wanted:
                self._perform(one)
        raise AssertionError("the work does not end")

    def _upkeep(self) -> Mapping[str, Upkeep]:
        state = self.state.read()
        pauses = resting(state, self.clock.now(), BEGIN)
        found = {}
        for name, standby in self.standbys.items():
            chain = self.store.chain(name)
            rules = rules_of(standby.keep, standby.retention, Retention(), ZONE)
            retired = [p for p in state.by_standby.get(name, ()) if p.stage is Stage.RETIRED]
            seen = upkeep_from(rules, chain.layers(), retired, folds_files=False)
            found[name] = replace(seen, resting=pauses.get(name, frozenset()))
        return found

    def _perform(self, wanted: WantedJob) -> None:
        blank = Job(
            JobId(0), wanted.kind, wanted.standby, wanted.boot_point, JobStatus.QUEUED,
            self.clock.now(),
        )  # fmt: skip
        with self.state.write() as tx:
            job = tx.add_job(blank)
        standby = self.standbys[wanted.standby]
        self.performer.perform(job, standby, NeverCancelled(), lambda _progress: None)
        self.jobs[str(wanted.kind)] += 1

    # --- what happens to a site -----------------------------------------------------------------

    def misfortune(self, day: int) -> None:
        """Let this day's trouble begin or end."""
        self.is_up = day % 30 not in (10, 11, 12)
        is_full = day % 45 in (20, 21)
        self.store.capacity = self._used() if is_full else AMPLE

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


def layers_of(point: planner.BootPoint) -> Sequence[str]:
    """Return both layers of a boot point."""
    return point.replica, point.boot


def run(site: Site, days: int) -> None:
    """Let days pass; the last three without trouble."""
    for day in range(days):
        site.misfortune(day if day < days - 3 else 0)
        for hour in range(24):
            site.hour()
            if site.dice.random() < 0.01:
                restart(site)
            if day % 50 == 7 and hour == 5:
                jump(site)
            site.clock.advance(3600)
        site.check()
    site.turn()
    site.check_end()


def restart(site: Site) -> None:
    """Take up what a killed engine left."""
    with site.state.write() as tx:
        for point in planner.interrupted(tx.state()):
            tx.save_boot_point(point)
    site.memo = Memo()


def jump(site: Site) -> None:
    """Let the clock be three years ahead for one turn; nothing may age away by that."""
    before = {p.id for name in site.standbys for p in site.state.read().ready(name)}
    right = site.clock
    site.clock = ManualClock(right.now() + timedelta(days=1100))
    site.turn()
    site.clock = right
    after = {p.id for name in site.standbys for p in site.state.read().ready(name)}
    assert len(before - after) <= len(site.standbys) * 2


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("days", [pytest.param(45), pytest.param(365, marks=pytest.mark.nightly)])
def test_a_site_through_all_that_happens(days: int) -> None:
    """Every ready boot point holds its image's bytes on every day; at the end nothing is left."""
    site = Site(seed=days)
    run(site, days)
    assert site.jobs["sync"] > 20 * days
    assert site.jobs["retire"] > 10 * days
