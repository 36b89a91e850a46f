"""Retention's rules, each on arbitrary sets of boot points, settings and clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.images import PointId
from engine.model.layers import LayerKind, LayerName, layer_name
from engine.model.points import BootPoint, BootPointId, Stage, boot_point_id
from engine.model.retention import Retention, Rule, Rules, Verdict, occupies, retain, rules_of

START = datetime(2026, 3, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SLOTS = (Rule.HOURLY, Rule.DAILY, Rule.WEEKLY, Rule.MONTHLY, Rule.YEARLY)
ALWAYS = {Rule.RUNS, Rule.PIN, Rule.NEWEST, Rule.NEXT, Rule.PARENT, Rule.PROVEN, Rule.FLOOR}

SETTINGS = settings(deadline=None, max_examples=80)

Past = tuple[list[BootPoint], Rules, BootPointId | None]


def boot_point(
    number: int,
    stage: Stage = Stage.READY,
    hours: float | None = None,
    made: float | None = None,
) -> BootPoint:
    """Return a boot point of data `hours` (its number's) after the start, made `made` after it."""
    name = boot_point_id(number)
    hours = number if hours is None else hours
    return BootPoint(
        id=name,
        standby="erp",
        recovery_point=PointId(f"r{number}"),
        set_id="set",
        parent=None if number == 1 else boot_point_id(number - 1),
        sequence=number,
        taken_at=START + timedelta(hours=hours),
        stage=stage,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=START + timedelta(hours=hours if made is None else made),
    )


def slots(**asked: int) -> Mapping[Rule, int]:
    """Return slots by the words of the configuration."""
    return {Rule(word): count for word, count in asked.items()}


steps = st.one_of(st.integers(0, 3), st.integers(0, 60), st.integers(0, 24 * 40))
stages = st.sampled_from([*(Stage.READY,) * 6, *Stage])
rules = st.builds(
    Rules,
    keep=st.integers(1, 6),
    max_age_days=st.sampled_from([0, 0, 1, 7, 30]),
    slots=st.dictionaries(st.sampled_from(SLOTS), st.integers(1, 4), max_size=3),
    floor=st.integers(1, 4),
    zone=st.sampled_from([UTC, BERLIN]),
    most=st.one_of(st.none(), st.none(), st.integers(1, 12)),
)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """Up to sixteen boot points, mostly ready, some pinned or proven; settings; perhaps a VM."""
    points: list[BootPoint] = []
    hours = 0
    for number in range(1, draw(st.integers(0, 16)) + 1):
        hours += draw(steps)
        proven = draw(st.sampled_from([None, None, START]))
        pin = draw(st.sampled_from(["", "", "", "audit"]))
        point = boot_point(number, draw(stages), hours)
        points.append(replace(point, pin=pin, proven_at=proven))
    running = draw(st.sampled_from([None, *(p.id for p in points if p.stage is Stage.READY)]))
    return draw(st.permutations(points)), draw(rules), running


def kept(verdicts: Mapping[BootPointId, Verdict]) -> set[BootPointId]:
    """Return what stays."""
    return {point for point, verdict in verdicts.items() if verdict.keep}


def ready_of(points: Sequence[BootPoint]) -> list[BootPoint]:
    """Return the ready ones, oldest data first."""
    return sorted((p for p in points if p.stage is Stage.READY), key=lambda p: (p.taken_at, p.id))


@given(pasts())
@SETTINGS
def test_what_must_stay_stays(past: Past) -> None:
    """Pinned, running, needed, unfinished and the newest stay, whatever the settings say."""
    points, rules, running = past
    verdicts = retain(points, rules, running)
    alive = [p for p in points if p.stage is not Stage.RETIRED]
    making = (Stage.PENDING, Stage.APPLYING, Stage.CONVERTING)
    must = {p.id for p in alive if p.pin or p.stage in making}
    must |= {running} if running else set()
    must |= {p.parent for p in alive if p.stage is not Stage.READY} & {p.id for p in alive}
    must |= {p.id for p in ready_of(points)[-1:]}

    assert must <= kept(verdicts)
    assert all(verdict.reason and verdict.rules for verdict in verdicts.values())


@given(pasts())
@SETTINGS
def test_the_floor_holds(past: Past) -> None:
    """The newest proven one stays, and as many proven, else ready ones, as the floor says."""
    points, rules, running = past
    staying = kept(retain(points, rules, running))
    ready = ready_of(points)
    proven = [p for p in ready if p.proven_at]

    assert {p.id for p in proven[-rules.floor :]} <= staying
    assert len(staying & {p.id for p in ready}) >= min(rules.floor, len(ready))
    if not proven:
        assert {p.id for p in ready[-rules.floor :]} <= staying


@given(pasts())
@SETTINGS
def test_what_nothing_speaks_for_goes(past: Past) -> None:
    """A ready one beyond count and slots goes; and only the firm rules save one that is too old."""
    points, rules, running = past
    verdicts = retain(points, replace(rules, most=None), running)
    ready = ready_of(points)
    for number, point in enumerate(reversed(ready)):
        told = set(verdicts[point.id].rules)
        if verdicts[point.id].keep:
            assert told & ALWAYS or Rule.COUNT in told or told & set(SLOTS)
            assert (Rule.COUNT not in told) or number < rules.keep
        else:
            assert told == {Rule.AGE} or number >= rules.keep


@given(pasts(), st.integers(1, 4), st.sampled_from(SLOTS))
@SETTINGS
def test_a_slot_is_filled_by_the_first_of_its_period(past: Past, count: int, rule: Rule) -> None:
    """Of each of the newest periods that have any, the first ready boot point stays."""
    points, rules, running = past
    rules = replace(rules, slots={rule: count}, max_age_days=0, most=None)
    verdicts = retain(points, rules, running)
    cut = {
        Rule.HOURLY: "%Y%m%d%H%z",
        Rule.DAILY: "%Y%m%d",
        Rule.WEEKLY: "%G%V",
        Rule.MONTHLY: "%Y%m",
        Rule.YEARLY: "%Y",
    }[rule]
    first: dict[str, BootPointId] = {}
    for point in ready_of(points):
        first.setdefault(point.taken_at.astimezone(rules.zone).strftime(cut), point.id)

    filled = {point for point, verdict in verdicts.items() if rule in verdict.rules}
    assert filled == set(list(first.values())[-count:])


@given(pasts(), st.lists(steps, max_size=6))
@SETTINGS
def test_newer_points_never_move_a_slot(past: Past, more: list[int]) -> None:
    """A slot that is still kept after newer boot points came is filled by the same one."""
    points, rules, running = past
    rules = replace(rules, max_age_days=0, most=None)
    before = retain(points, rules, running)
    alive = [p for p in points if before.get(p.id) is None or before[p.id].keep]
    number, hours = (
        len(points) + 1,
        max((p.taken_at - START for p in points), default=START - START),
    )
    for step in more:
        hours += timedelta(hours=step)
        alive.append(boot_point(number, hours=hours / timedelta(hours=1)))
        number += 1
    after = retain(alive, rules, running)
    old = {p.id for p in points}
    for rule in rules.slots:
        filled = {point for point, verdict in before.items() if rule in verdict.rules}
        assert {p for p, v in after.items() if rule in v.rules} & old <= filled


@given(pasts())
@SETTINGS
def test_retiring_until_nothing_goes_ends_where_it_was_said(past: Past) -> None:
    """One at a time, oldest first: what was said to stay does, but for parents of what went."""
    points, rules, running = past
    rules = replace(rules, max_age_days=0)
    said = retain(points, rules, running)
    for _ in range(len(points) + 1):
        verdicts = retain(points, rules, running)
        gone = next((point for point, verdict in verdicts.items() if not verdict.keep), None)
        if gone is None:
            break
        points = [replace(p, stage=Stage.RETIRED) if p.id == gone else p for p in points]
    else:
        raise AssertionError("never ends")

    staying = {p.id for p in points if p.stage is not Stage.RETIRED}
    assert staying <= kept(said)
    assert all(Rule.PARENT in said[point].rules for point in kept(said) - staying)


@given(pasts())
@SETTINGS
def test_a_hold_retires_nothing(past: Past) -> None:
    """While retention is on hold nothing goes, and each that would have gone says why it stays."""
    points, rules, running = past
    free = retain(points, rules, running)
    held = retain(points, replace(rules, hold="3 of 4 blocks changed"), running)

    assert kept(held) == set(held)
    for point, verdict in free.items():
        if not verdict.keep:
            assert held[point].reason == "retention is on hold: 3 of 4 blocks changed"


@given(pasts())
@SETTINGS
def test_what_something_reads_from_is_not_folded(past: Past) -> None:
    """A boot point whose files a running machine reads stays until that machine was stopped."""
    points, rules, running = past
    layers: set[LayerName] = {p.replica for p in points if p.stage is Stage.READY}
    verdicts = retain(points, rules, running, layers)

    assert {p.id for p in ready_of(points)} <= kept(verdicts)


@given(pasts(), st.integers(1, 12))
@SETTINGS
def test_no_more_stay_than_the_target_can_hold(past: Past, most: int) -> None:
    """Beyond what the target holds only those stay that must; slots outlive the mere count."""
    points, rules, running = past
    free = retain(points, replace(rules, most=None), running)
    verdicts = retain(points, replace(rules, most=most), running)
    held = {p.id for p in points if occupies(p)} & kept(verdicts)
    firm = {p for p in held if set(verdicts[p].rules) & ALWAYS or Rule.MAKING in verdicts[p].rules}

    assert len(held) <= max(most, len(firm))
    assert kept(verdicts) <= kept(free)
    gone = kept(free) - kept(verdicts)
    assert all(verdicts[p].rules == (Rule.MOST,) for p in gone)
    if any(set(free[p].rules) & set(SLOTS) for p in gone):
        assert all(set(verdicts[p].rules) & {*SLOTS, *ALWAYS, Rule.MAKING} for p in held)


@given(pasts(), st.integers(-10_000, 10_000), st.sampled_from(["taken_at", "created_at", "both"]))
@SETTINGS
def test_no_clock_ages_a_point(past: Past, shift: int, which: str) -> None:
    """Moving all times of one clock, or of both, changes no verdict but which slots there are."""
    points, rules, running = past
    rules = replace(rules, slots={})
    by = timedelta(hours=shift)
    moved = [
        replace(
            p,
            taken_at=p.taken_at + (by if which != "created_at" else timedelta()),
            created_at=p.created_at + (by if which != "taken_at" else timedelta()),
        )
        for p in points
    ]

    assert retain(moved, rules, running) == retain(points, rules, running)


@given(pasts(), st.integers(1, 15), st.sampled_from(["taken_at", "created_at"]))
@SETTINGS
def test_a_clock_that_jumps_by_years_counts_as_a_week(past: Past, at: int, which: str) -> None:
    """From some boot point on one clock is ten years ahead: only the other one is believed."""
    points, rules, running = past
    by = timedelta(days=3650)
    jumped = [
        replace(p, **{which: getattr(p, which) + by}) if int(p.id[2:]) > at else p for p in points
    ]
    short = replace(rules, slots={}, most=None)
    if rules.max_age_days:
        patient = replace(short, max_age_days=rules.max_age_days + 7)
        newest = max((p.taken_at for p in points if p.stage is Stage.READY), default=START)
        young = timedelta(days=rules.max_age_days)
        before = kept(retain(points, short, running))
        before &= {p.id for p in points if newest - p.taken_at <= young}
        after = kept(retain(jumped, patient, running))
        assert before <= after
    else:
        assert kept(retain(jumped, short, running)) == kept(retain(points, short, running))


def test_age_counts_from_the_newest_boot_point() -> None:
    """A machine that sends nothing for a year loses nothing; what is older than the newest may."""
    points = [boot_point(n, hours=24 * n) for n in range(1, 11)]
    rules = Rules(keep=24, max_age_days=5, floor=1)

    verdicts = retain(points, rules, None)

    assert sorted(kept(verdicts)) == [boot_point_id(n) for n in range(5, 11)]
    assert verdicts[boot_point_id(1)].reason == "9 days older than the newest, more than 5"


def test_history_that_arrives_at_once_has_its_age() -> None:
    """60 daily images copied in one afternoon are judged by their own times."""
    points = [boot_point(n, hours=24 * n, made=n / 60) for n in range(1, 61)]

    verdicts = retain(points, Rules(keep=100, max_age_days=30, floor=1), None)

    assert sorted(kept(verdicts)) == [boot_point_id(n) for n in range(30, 61)]


def test_days_are_those_of_the_engine_s_zone() -> None:
    """23:30 UTC is the next day in Berlin; the repeated hour of autumn is two hours."""
    late = [boot_point(1, hours=23), boot_point(2, hours=23.5), boot_point(3, hours=25)]
    daily = Rules(keep=1, slots=slots(daily=5), floor=1, zone=BERLIN)
    assert kept(retain(late, daily, None)) == {boot_point_id(1), boot_point_id(3)}
    utc = replace(daily, zone=UTC)
    assert kept(retain(late, utc, None)) == {boot_point_id(1), boot_point_id(3)}
    earlier = [boot_point(1, hours=22.5), *late[1:]]
    assert kept(retain(earlier, daily, None)) == {boot_point_id(n) for n in (1, 2, 3)}

    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in Berlin, twice
    twice = [
        replace(boot_point(n), taken_at=autumn + timedelta(minutes=20 * n)) for n in range(1, 6)
    ]
    hourly = Rules(keep=1, slots=slots(hourly=9), floor=1, zone=BERLIN)
    filled = [p for p, v in retain(twice, hourly, None).items() if Rule.HOURLY in v.rules]
    assert filled == [boot_point_id(1), boot_point_id(2), boot_point_id(5)]


def test_weeks_and_months_are_those_of_a_year() -> None:
    """The week around New Year is one; the same week, month or day a year later is another."""
    days = [
        datetime(2026, 3, 2, tzinfo=UTC),
        datetime(2026, 12, 31, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2027, 3, 8, tzinfo=UTC),
    ]
    points = [replace(boot_point(n), taken_at=day) for n, day in enumerate(days, 1)]

    def filled(**asked: int) -> list[int]:
        verdicts = retain(points, Rules(keep=1, slots=slots(**asked), floor=1), None)
        rule = Rule(next(iter(asked)))
        return [n for n, verdict in enumerate(verdicts.values(), 1) if rule in verdict.rules]

    assert filled(weekly=9) == [1, 2, 4]
    assert filled(monthly=9) == [1, 2, 3, 4]
    assert filled(yearly=9) == [1, 3]
    assert filled(daily=3) == [2, 3, 4]


def test_what_is_not_told_is_as_usual_and_nought_means_none() -> None:
    """A standby's own settings go before the engine's; 0 takes away what is usual."""
    usual = Retention(max_age_days=90, daily=7, weekly=4, floor=2)

    rules = rules_of(10, Retention(weekly=0, monthly=12), usual)

    assert rules == Rules(10, 90, slots(daily=7, monthly=12), 2)
    assert rules_of(24, Retention(), Retention()) == Rules(24, 0, {}, 3)


def test_verdicts_come_oldest_first_with_reasons() -> None:
    """The first that goes is the oldest; each kept one says why."""
    points = [boot_point(n) for n in range(1, 8)]
    points[0] = replace(points[0], pin="before the upgrade")
    points[3] = replace(points[3], proven_at=START)

    verdicts = retain(points, Rules(keep=2, floor=2), boot_point_id(3))

    assert [(point, v.keep, v.reason) for point, v in verdicts.items()] == [
        ("bp000001", True, "pinned: before the upgrade"),
        ("bp000002", False, "5 newer ones are ready"),
        ("bp000003", True, "a VM runs from it"),
        ("bp000004", True, "newest proven boot point"),
        ("bp000005", False, "2 newer ones are ready"),
        ("bp000006", True, "one of the newest 2"),
        ("bp000007", True, "newest ready boot point"),
    ]


@pytest.mark.parametrize("which", [("taken_at",), ("created_at",), ("taken_at", "created_at")])
def test_ten_years_between_two_hours_age_nothing(which: tuple[str, ...]) -> None:
    """Whichever clock jumps, or both: yesterday's boot points are not ten years old."""
    by = timedelta(days=3650)
    points = [boot_point(n) for n in range(1, 21)]
    points = [
        replace(p, **{clock: getattr(p, clock) + by for clock in which}) if number > 17 else p
        for number, p in enumerate(points, 1)
    ]

    assert len(kept(retain(points, Rules(keep=50, max_age_days=30), None))) == 20


def test_a_jump_between_points_a_month_apart_counts_as_the_month() -> None:
    """Where most boot points are gone already, what this engine saw pass tells the gap's length."""
    points = [
        replace(boot_point(n, hours=720 * n), sequence=720 * n, parent=None) for n in range(1, 6)
    ]
    points[4] = replace(points[4], taken_at=points[4].taken_at + timedelta(days=3650))

    verdicts = retain(points, Rules(keep=9, max_age_days=40, floor=1), None)

    assert sorted(kept(verdicts)) == [boot_point_id(4), boot_point_id(5)]


@pytest.mark.parametrize("by", [-20 * 365 * 24, 10 * 24])
def test_a_clock_that_is_put_back_or_ahead_makes_no_newer_point_the_older(by: float) -> None:
    """What was made last stays, and the oldest of the line goes, whatever the clock told of it."""
    made = [boot_point(n, hours=n + (by if n in (4, 5) else 0)) for n in range(1, 7)]
    judged = retain(made, Rules(keep=3, floor=1), None)
    assert [name for name, one in judged.items() if not one.keep] == [p.id for p in made[:3]]
    assert judged[made[-1].id].reason == "newest ready boot point"
    last = [boot_point(n, hours=n + (by if n >= 4 else 0)) for n in range(1, 7)]
    judged = retain(last, Rules(keep=3, floor=1), None)
    assert [name for name, one in judged.items() if not one.keep] == [p.id for p in last[:3]]
