"""A year of one machine's boot points under retention: settings, pins, VMs and clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from engine.daemon.clock import ManualClock
from engine.model.images import PointId
from engine.model.layers import LayerKind, layer_name
from engine.model.points import BootPoint, BootPointId, Stage, boot_point_id
from engine.model.retention import Rule, Rules, retain

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOTS = (Rule.HOURLY, Rule.DAILY, Rule.WEEKLY, Rule.MONTHLY, Rule.YEARLY)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class _Year:
    """One machine, its boot points, and what an operator does to them."""

    seed: int
    points: list[BootPoint] = field(default_factory=list)
    rules: Rules = field(default_factory=lambda: Rules(zone=BERLIN))
    running: BootPointId | None = None
    source_ahead: timedelta = timedelta()
    slots: dict[Rule, list[BootPointId]] = field(default_factory=dict)
    gone: int = 0

    def __post_init__(self) -> None:
        self.chance, self.clock = Random(self.seed), ManualClock(START)
        self.number = 0
        self.late: set[BootPointId] = set()

    # --- what happens -----------------------------------------------------------------------

    def alive(self) -> list[BootPoint]:
        return [point for point in self.points if point.stage is not Stage.RETIRED]

    def ready(self) -> list[BootPoint]:
        found = [point for point in self.alive() if point.stage is Stage.READY]
        return sorted(found, key=lambda one: one.id)  # the order of the line

    def arrive(self) -> None:
        """One more boot point; now and then it fails, or is proven."""
        self.number += 1
        name, now = boot_point_id(self.number), self.clock.now()
        stage = Stage.FAILED if self.chance.random() < 0.03 else Stage.READY
        proven = now if stage is Stage.READY and self.chance.random() < 0.05 else None
        parent = self.points[-1].id if self.points else None
        self.points.append(
            BootPoint(
                id=name,
                standby="erp",
                recovery_point=PointId(f"r{self.number}"),
                set_id="set",
                parent=parent,
                sequence=self.number,
                taken_at=now + self.source_ahead,
                stage=stage,
                replica=layer_name(name, LayerKind.REPLICA),
                boot=layer_name(name, LayerKind.CONVERSION),
                created_at=now,
                has_trunk=True,
                proven_at=proven,
            )
        )

    def repair(self) -> None:
        """What failed is ready after its next try."""
        for at, point in enumerate(self.points):
            if point.stage is Stage.FAILED:
                self.late.add(point.id)
                self.points[at] = replace(point, stage=Stage.READY)

    def meddle(self) -> None:
        """Start, stop, pin, unpin, set otherwise: rarely, and at random."""
        dice = self.chance.random()
        ready = self.ready()
        if dice < 0.01:
            self.running = self.chance.choice(ready).id if ready and not self.running else None
        elif dice < 0.015 and ready:
            at = self.points.index(self.chance.choice(ready))
            pin = "" if self.points[at].pin else "audit"
            self.points[at] = replace(self.points[at], pin=pin)
        elif dice < 0.02:
            self.slots.clear()
            asked = {
                rule: self.chance.randint(1, 9) for rule in SLOTS if self.chance.random() < 0.5
            }
            self.rules = replace(
                self.rules,
                keep=self.chance.randint(1, 40),
                slots=asked,
                max_age_days=self.chance.choice([0, 0, 5, 30, 200]),
                floor=self.chance.randint(1, 5),
                most=self.chance.choice([None, None, 30]),
                hold=self.chance.choice(["", "", "", "looks encrypted"]),
            )

    # --- what must hold ---------------------------------------------------------------------

    def retire(self) -> None:
        """Let go what goes, oldest first, and check each step."""
        for _ in range(len(self.points) + 1):
            verdicts = retain(self.points, self.rules, self.running)
            out = [point for point, verdict in verdicts.items() if not verdict.keep]
            assert all(verdict.reason for verdict in verdicts.values())
            if not out:
                self.check_slots()
                return
            self.check_kept(set(out))
            at = next(n for n, point in enumerate(self.points) if point.id == out[0])
            self.points[at] = replace(self.points[at], stage=Stage.RETIRED)
            self.gone += 1
        raise AssertionError("retention never ends")

    def check_kept(self, out: set[BootPointId]) -> None:
        ready = self.ready()
        proven = [point for point in ready if point.proven_at]
        floor = self.rules.floor
        assert not self.rules.hold, "nothing goes while retention is on hold"
        assert self.running not in out
        assert not {point.id for point in self.alive() if point.pin} & out
        assert ready[-1].id not in out, "the newest"
        assert not {point.id for point in proven[-max(floor, 1) :]} & out, "proven ones"
        left = [point for point in ready if point.id not in out]
        assert len(left) >= min(floor, len(ready)), "the floor"

    def check_slots(self) -> None:
        """What filled a slot fills it still, or the slot has passed; only firsts are new.

        But for the first of a period that became ready late, and for what took the place of one
        that grew too old.
        """
        verdicts = retain(self.points, self.rules, self.running)
        for rule in self.rules.slots:
            filled = [point for point, verdict in verdicts.items() if rule in verdict.rules]
            before = self.slots.get(rule, [])
            newest_before = before[-1] if before else ""
            strangers = {p for p in filled if p <= newest_before} - set(before) - self.late
            assert not strangers or self.rules.max_age_days, f"{rule} moved to {strangers}"
            self.slots[rule] = filled
        if self.rules.most is not None and not self.rules.hold:
            assert len(self.alive()) <= max(self.rules.most, self.firm())

    def firm(self) -> int:
        """Return how many stay whatever the settings say."""
        strict = replace(self.rules, keep=1, slots={}, max_age_days=1, most=1)
        return sum(one.keep for one in retain(self.points, strict, self.running).values())


def hours(chance: Random) -> Iterator[int]:
    """Yield the pauses between arrivals of a year: hourly, with outages and quiet weekends."""
    passed = 0
    while passed < 365 * 24:
        pause = 1 if chance.random() < 0.97 else chance.choice([5, 24, 60, 200])
        passed += pause
        yield pause


@pytest.mark.parametrize("seed", range(2))
def test_a_year_under_changing_settings(seed: int) -> None:
    """Through outages, failures, pins and new settings nothing goes that must stay."""
    year = _Year(seed)
    for count, pause in enumerate(hours(year.chance)):
        year.clock.advance(3600.0 * pause)
        year.arrive()
        if count % 3 == 0:
            year.repair()
        year.meddle()
        if count % 6 == 0:
            year.retire()
    year.rules = replace(year.rules, hold="")
    year.retire()
    assert year.gone > 1000
    assert len(year.alive()) < 400


@pytest.mark.parametrize("which", ["source", "engine", "both"])
def test_clocks_that_jump_by_years_empty_nothing(which: str) -> None:
    """Ten years ahead in March, back in April: the newest 24 were there all the time."""
    year = _Year(7, rules=Rules(keep=24, max_age_days=30, slots={Rule.DAILY: 7}, zone=BERLIN))
    by = timedelta(days=3650)
    for day in range(120):
        if day == 60:
            year.source_ahead += by if which != "engine" else timedelta()
            if which != "source":
                year.clock.advance(by.total_seconds())
                year.source_ahead -= by
        if day == 80:
            year.source_ahead -= by if which != "engine" else timedelta()
        for _ in range(6):
            year.clock.advance(4 * 3600.0)
            year.arrive()
            year.repair()
            before = len(year.ready())
            year.retire()
            assert len(year.ready()) >= min(before, 24), f"day {day}"
    assert year.gone > 400
