"""What a decision looks at grows with what changed, not with the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from engine.model import planner, slots
from engine.model.memo import Memo
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.retention import Rule, Rules, retain
from engine.model.space import Room
from engine.model.state import State
from engine.model.work import Job, JobId, JobKind, JobStatus
from engine.state.memory import MemoryState
from tests.bench.largesite import START, Site, made_of, picture, recovery_points, standbys

MACHINES = 40


class Planned:
    """A site of which every increment waits, and the memo of its decisions."""

    def __init__(self, waiting: int = 3) -> None:
        """Store two boot points of each machine, and what has arrived since."""
        self.known = standbys(Site(MACHINES, 2, waiting))
        self.sources = {name: f"{name}-uuid" for name in self.known}
        self.store, self.memo = MemoryState(), Memo()
        number = 1
        with self.store.write() as tx:
            for name in self.known:
                points = recovery_points(name, 2 + waiting)
                tx.save_recovery_points(points)
                for made in made_of(points[:2], number, name):
                    tx.save_boot_point(made)
                number += 2

    def due(self) -> list[BootPoint]:
        """Return the boot points that are missing."""
        state = self.store.read()
        found = planner.new_boot_points(self.known, self.sources, state, START, UTC, self.memo)
        alone = planner.new_boot_points(self.known, self.sources, state, START, UTC)
        assert found == alone, "the same as without a memo"
        return list(found)

    def save(self, *points: BootPoint) -> None:
        """Store boot points."""
        with self.store.write() as tx:
            for point in points:
                tx.save_boot_point(point)


def counted(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, of: Callable[..., str]
) -> Counter[str]:
    """Count the calls of a function by what `of` makes of its arguments."""
    calls: Counter[str] = Counter()
    really = getattr(where, name)

    def call(*args: Any, **more: Any) -> Any:
        calls[of(*args)] += 1
        return really(*args, **more)

    monkeypatch.setattr(where, name, call)
    return calls


def test_only_lines_about_which_something_changed_are_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of forty machines one that goes on costs one line; nothing new costs none."""
    site = Planned()
    fresh = site.due()
    assert len(fresh) == MACHINES * 3
    site.save(*fresh)
    assert site.due() == []
    asked: Counter[str] = Counter()
    really = site.memo.of

    def of(key: tuple[str, str], *more: Any) -> Any:
        asked[key[1]] += 1
        return really(key, *more)

    monkeypatch.setattr(site.memo, "of", of)
    assert site.due() == []
    assert not asked
    site.save(replace(fresh[0], stage=Stage.APPLYING))
    assert site.due() == []
    assert asked == {fresh[0].standby: 2}, "its line, and what it is laid on"
    with site.store.write() as tx:
        tx.save_recovery_points(recovery_points("m0007", 6)[5:])
    assert [point.standby for point in site.due()] == ["m0007"]
    assert asked == {fresh[0].standby: 2, "m0007": 2}
    assert [point.standby for point in site.due()] == ["m0007"], "until it is stored"


def test_a_standby_that_comes_goes_or_changes_is_looked_at() -> None:
    """Whatever the memo knows."""
    site = Planned()
    site.known["m0003"] = replace(site.known["m0003"], held="Somebody paused it.")
    gone = site.known.pop("m0004")
    fresh = site.due()
    assert {point.standby for point in fresh} == site.known.keys() - {"m0003"}
    site.save(*fresh)
    site.known["m0004"] = gone
    site.known["m0003"] = replace(site.known["m0003"], held="")
    assert {point.standby for point in site.due()} == {"m0003", "m0004"}


def test_what_changed_meanwhile_is_left_for_the_next_round() -> None:
    """A job that goes on beside the decision voids its own standby's part of it, no more."""
    site = Planned()
    seen, due = site.store.read(), site.due()
    assert planner.still_missing(due, seen, seen) == due
    job = Job(JobId(0), JobKind.SYNC, "m0001", None, JobStatus.RUNNING, START)
    pinned = replace(seen.by_standby["m0002"][-1], pin="keep")
    with site.store.write() as tx:
        tx.add_job(job)
        tx.save_boot_point(pinned)
        tx.save_recovery_points([replace(recovery_points("m0003", 1)[0], size=1)])
    state = site.store.read()
    left = planner.still_missing(due, seen, state)
    assert left == [p for p in due if p.standby not in ("m0001", "m0002", "m0003")]
    site.save(*left)
    assert {point.standby for point in site.due()} == {"m0001", "m0002", "m0003"}
    taken = replace(due[0], id=BootPointId("bp9000"))
    assert planner.still_missing(due, seen, replace(state, boot_points={taken.id: taken})) == []


def test_room_is_worked_out_for_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free slot is given out without adding up the increments of all who wait for one."""
    site = Planned()
    site.save(*site.due())
    sums = counted(monkeypatch, slots, "still_needed", lambda point, *_: point.standby)
    limits = slots.Limits(jobs=2)
    rooms = {"local": Room(1 << 40, 1 << 41, 1 << 30)}

    def choice(memo: Memo | None) -> slots.Choice:
        state = site.store.read()
        wanted = planner.wanted_jobs(site.known, state, START, limits, memo=site.memo)
        return slots.choose(wanted, site.known, state, limits, rooms, memo=memo)

    first = choice(site.memo)
    assert len(first.jobs) == 2
    assert first == choice(None)
    sums.clear()
    assert choice(site.memo) == first
    assert not sums
    busy = first.jobs[0].standby
    point = next(p for p in site.store.read().by_standby[busy] if p.stage is Stage.PENDING)
    site.save(replace(point, stage=Stage.APPLYING), replace(point, stage=Stage.FAILED))
    again = choice(site.memo)
    assert sums == {busy: 1}
    assert again == choice(None)


def test_a_picture_without_news_is_no_other() -> None:
    """Groups that did not change are the same objects, which all of this goes by."""
    site = Planned()
    before: State = site.store.read()
    site.save(replace(before.by_standby["m0001"][-1], pin="keep"))
    after = site.store.read()
    assert after.by_machine is before.by_machine
    same = [n for n in site.known if after.by_standby[n] is before.by_standby[n]]
    assert len(same) == MACHINES - 1


def test_alike_verdicts_are_one_object() -> None:
    """All that need no words of their own: of thirty boot points of a machine 25."""
    rules = Rules(keep=12, slots={Rule.DAILY: 3, Rule.WEEKLY: 2})
    groups = picture(Site(MACHINES, 30, 0)).by_standby.values()
    verdicts = [one for made in groups for one in retain(made, rules, None).values()]
    assert len(verdicts) == MACHINES * 30
    assert len({id(one) for one in verdicts}) <= MACHINES * 5 + 30
