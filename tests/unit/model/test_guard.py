"""The ransomware guard: drills of both kinds of attack, and years without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from engine.model import guard as guarding
from engine.model.conditions import Scene, conditions
from engine.model.guard import GUARD, Increment, guard, increments_of
from engine.model.images import PointId
from engine.model.retention import Retention
from engine.model.standby import Standby
from tests.bench.largesite import recovery_points

START = datetime(2026, 1, 1, tzinfo=UTC)
DISK = 200 << 30
DENSITIES = (0.3, 0.38, 0.45, 0.6, 0.9)


def increment(number: int, rate: float, density: float, per_day: int = 1) -> Increment:
    """Return an increment of one disk."""
    at = START + timedelta(hours=24 * number / per_day)
    changed = int(min(rate, 1.0) * DISK)
    return Increment(PointId(f"p{number}"), number, at, at, changed, int(changed * density), DISK)


def life(seed: int, days: int, per_day: int) -> list[Increment]:
    """Return the increments of a machine that nobody attacks.

    Changes vary by a factor of two around a rate of its own; nights and week-ends are quiet; it is
    patched each month, some write a dense dump each week, and rarely somebody copies a disk.
    """
    rnd = Random(seed)
    usual = rnd.choice([0.002, 0.005, 0.01, 0.02, 0.04]) / max(per_day / 2, 1)
    dense, dumps = rnd.choice(DENSITIES), rnd.random() < 0.4
    found = []
    for number in range(days * per_day):
        day, part = divmod(number, per_day)
        rate = usual * math.exp(rnd.gauss(0, 0.7)) * (0.25 if day % 7 > 4 else 1.0)
        rate *= 0.2 if per_day > 1 and part * 24 // per_day < 7 else 1.0
        density = min(max(rnd.gauss(dense, 0.03), 0.1), 1.0)
        if day % 30 == 12 and part == 0:
            rate, density = rate + rnd.uniform(0.02, 0.05), (density + 0.45) / 2
        if dumps and day % 7 == 6 and part == 0:
            rate, density = rate + 0.03, 0.95
        if rnd.random() < 1 / (180 * per_day):
            rate, density = rate + rnd.uniform(0.05, 0.3), rnd.uniform(0.3, 0.95)
        found.append(increment(number, rate, density, per_day))
    return found


def frozen_at(history: Sequence[Increment], attack: Sequence[tuple[float, float]]) -> int | None:
    """Return after how many increments of an attack the guard freezes; None if it never does."""
    released = history[-1].arrived_at
    seen = [replace(one) for one in history]
    for number, (rate, density) in enumerate(attack, start=1):
        seen.append(increment(len(history) + number, rate, density))
        # Whatever happened before the attack was released by hand.
        if guard(seen, released).is_frozen:
            return number
    return None


def quiet(density: float, count: int = 60) -> list[Increment]:
    """Return a history in which about one per cent changes each day."""
    rnd = Random(7)
    return [
        increment(n, 0.01 * math.exp(rnd.gauss(0, 0.5)), rnd.gauss(density, 0.02))
        for n in range(count)
    ]


@pytest.mark.parametrize("density", DENSITIES)
def test_encryption_of_everything_freezes_by_the_second_increment(density: float) -> None:
    """A fifth of the disk turned to ciphertext in each increment is seen at once."""
    reached = frozen_at(_unreleased(quiet(density)), [(0.2, 1.0)] * 5)
    assert reached is not None
    assert reached <= 2


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_encryption_of_every_fourth_block_freezes_by_the_fifth(density: float, rate: float) -> None:
    """Intermittent encryption changes much and makes it denser, but never quite incompressible."""
    mixed = 0.75 * density + 0.25
    reached = frozen_at(_unreleased(quiet(density)), [(rate, mixed)] * 6)
    assert reached is not None
    assert reached <= 5


def _unreleased(history: list[Increment]) -> list[Increment]:
    """Return the history with an arrival so early that its release says nothing about it."""
    return [*history[:-1], replace(history[-1], arrived_at=START - timedelta(days=1))]


def test_a_year_has_at_most_one_false_alarm_a_machine() -> None:
    """Twelve machines, a year each, released by hand after each alarm: at most twelve alarms."""
    alarms = 0
    for seed in range(12):
        judged: list[guarding.Judged] = []
        past = guarding._Past()
        for one in life(seed, 365, 4 if seed % 4 == 0 else 1):
            judged.append(guarding._judge(one, past, None))
            past.add(judged[-1])
            if guarding._alarm(judged[-guarding.WINDOW :]):
                alarms += 1
                judged = [guarding.Judged(known.increment, is_known=True) for known in judged]
                past = guarding._Past(judged)
            if past.count > 2 * guarding.LONGEST:
                judged = judged[-guarding.LONGEST :]
                past = guarding._Past(judged)
    assert alarms <= 12


def test_what_the_machine_did_before_is_no_alarm() -> None:
    """A weekly dump that is large and dense raises none once it was there before."""
    history = quiet(0.4, 40)
    for week in range(5, 40, 7):
        history[week] = increment(week, 0.15, 0.95)
    known = _unreleased(history)
    released = replace(known[0], arrived_at=START)
    assert frozen_at([released, *known[1:]], [(0.15, 0.95), (0.01, 0.4)]) is None


def test_the_reason_has_the_figures_and_release_ends_it() -> None:
    """The alarm says how much changed and how dense; after a release the same is known."""
    seen = [*quiet(0.4), increment(100, 0.25, 1.0)]
    verdict = guard(seen)
    assert "changed 25.0 % of the disks" in verdict.reason
    assert "compresses to 100 % (usually 4" in verdict.reason
    assert guard(seen, seen[-1].arrived_at).reason == ""
    assert verdict.judged[-1].evidence == 4
    assert GUARD.islower()


def test_an_alarm_lasts_until_it_is_released() -> None:
    """Usual increments after an attack do not clear it."""
    seen = [*quiet(0.4), increment(100, 0.25, 1.0)]
    seen += [increment(101 + n, 0.01, 0.4) for n in range(20)]
    assert guard(seen).is_frozen


def test_only_increments_of_the_folder_that_tell_their_size_are_judged() -> None:
    """Fulls, merged points and images that do not say what changed are left out."""
    full, first, second, third = recovery_points("erp", 4)
    merged = replace(second, replaces=(first.id,))
    part = replace(third.disks[0].part, data_bytes=None)
    silent = replace(third, disks=(replace(third.disks[0], part=part),))
    found = increments_of([silent, merged, first, full], "/images/erp")
    assert [one.point for one in found] == [first.id]
    assert increments_of([first], "/images/web") == []


def test_a_disk_that_is_new_is_no_change() -> None:
    """All of it is in its first image; a disk beside it that changed is judged by itself."""
    _full, first = recovery_points("erp", 2)
    part = replace(first.disks[0].part, data_bytes=1 << 20, size=1 << 30)
    fresh = replace(part, number=1, base=True, data_bytes=1 << 30)
    disks = [replace(first.disks[0], part=one) for one in (part, fresh)]
    (found,) = increments_of([replace(first, disks=disks)], "/images/erp")
    assert (found.changed, found.disk) == (1 << 20, 1 << 30)
    assert increments_of([replace(first, disks=disks[1:])], "/images/erp") == []


def test_an_early_alarm_does_not_claim_to_know_what_is_usual() -> None:
    """Much and dense is an alarm from the second increment on."""
    reason = guard([increment(1, 0.01, 0.4), increment(2, 0.5, 1.0)]).reason
    assert "changed 50.0 % of the disks" in reason
    assert "too few came before it" in reason


def slowly(history: Sequence[Increment], released: datetime | None) -> list[guarding.Judged]:
    """Judge each increment by a look at all those before it."""
    found: list[guarding.Judged] = []
    for one in history:
        if released and one.arrived_at and one.arrived_at <= released:
            found.append(guarding.Judged(one, is_known=True))
            continue
        usual = [j.increment for j in found[: -guarding.WINDOW] if j.evidence < 3]
        newest = found[-guarding.WINDOW :]
        usual += [j.increment for j in newest if j.is_known or not j.evidence]
        if len(usual) < guarding.ENOUGH:
            odd = 2 * (one.rate > 0.3 and one.density > 0.9 and bool(found))
            found.append(guarding.Judged(one, odd, odd, usual_density=1.0, is_early=True))
            continue
        rates = sorted(past.rate for past in usual)
        weighty = [past for past in usual if past.changed >= 4 << 20] or usual
        densities = sorted(past.density for past in weighty)
        p95, median = rates[int(0.95 * (len(rates) - 1))], densities[len(densities) // 2]
        volume = guarding._volume(one.rate, p95, rates[len(rates) // 2])
        dense = guarding._dense(one, densities, median, rates)
        known = any(p.rate * 1.25 >= one.rate and p.density + 0.06 >= one.density for p in usual)
        found.append(guarding.Judged(one, volume, dense, p95, median, known))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_what_is_usual_is_kept_as_it_would_be_found_anew(seed: int) -> None:
    """Released or not, small increments among them, each is judged as by a look at all before."""
    rnd = Random(seed)
    history = life(seed, 40, 2) + [
        increment(80 + n, rnd.choice([1e-6, 0.01, 0.3]), rnd.choice([0.4, 1.0])) for n in range(40)
    ]
    released = history[30].arrived_at if seed % 2 else None
    assert list(guard(history, released).judged) == slowly(history, released)


def test_the_alert_names_its_machine_in_the_title() -> None:
    """The subject of a mail is made of the title alone: at night it must say which machine."""
    held = Standby("erp", "/r", retention=Retention(hold=f"{GUARD}: 31 % of the disks changed."))
    told = conditions(Scene(START, standbys={"erp": held}))
    assert [(one.key, one.title) for one in told] == [
        ("guard:erp", "erp: may be encrypted by ransomware")
    ]
