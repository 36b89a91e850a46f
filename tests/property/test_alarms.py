"""Alerts over whole histories: told once, in time, and never lost, whatever the hours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.alarms import (
    ENDED,
    Alert,
    Condition,
    Message,
    Rules,
    What,
    heard,
    message,
    over,
    update,
)
from engine.model.quiet import DAYS, is_endless, is_quiet, parse_quiet
from engine.model.work import Severity

BERLIN = ZoneInfo("Europe/Berlin")
STARTS = (
    datetime(2026, 3, 28, 12, tzinfo=UTC),  # the night in which an hour is left out
    datetime(2026, 10, 24, 12, tzinfo=UTC),  # the night in which one comes twice
    datetime(2026, 6, 1, 0, tzinfo=UTC),
)
STEP = timedelta(minutes=10)
WAYS = {"mail": Severity.WARNING, "pager": Severity.ERROR, "log": Severity.INFO}
QUIET = (
    (),
    ("22:00-07:00",),
    ("02:00-03:00", "sat-sun"),
    ("01:30-02:30",),
    ("mon-fri 18:00-08:00", "sat-sun"),
)
LONGEST_QUIET = timedelta(hours=64)
ORDER = list(Severity).index
KEYS = ("rpo:erp", "silence:web", "folder:x")


@dataclass
class World:
    """A book of alerts, ways that may be down, and everything they were told."""

    rules: Rules
    alerts: dict[str, Alert] = field(default_factory=dict)
    sent: dict[str, list[Message]] = field(default_factory=lambda: {way: [] for way in WAYS})

    def turn(self, conditions: list[Condition], down: set[str], now: datetime) -> None:
        """Do what the engine does in one turn."""
        self.alerts |= {one.key: one for one in update(self.alerts, conditions, self.rules, now)}
        for way, least in WAYS.items():
            told = message(self.alerts.values(), way, least, self.rules, "site", now)
            if told is None or way in down:
                continue
            self.sent[way].append(told)
            for item in told.items:
                key = item.alert.key
                self.alerts[key] = heard(self.alerts[key], item, way, now)
        for key in over(self.alerts.values(), WAYS, self.rules, now):
            del self.alerts[key]


def condition(key: str, severity: Severity) -> Condition:
    """Return a condition."""
    return Condition(key, severity, "", key, f"{key} is wrong.")


history = st.lists(
    st.tuples(
        st.integers(1, 60),  # turns it lasts
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(Severity), max_size=3),
        st.sets(st.sampled_from(list(WAYS)), max_size=2),
    ),
    max_size=8,
)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(STARTS), st.sampled_from(QUIET), history, st.sampled_from([0, 7200, 86400]))
def test_each_way_hears_each_alert_once_in_time_and_to_its_end(
    start: datetime,
    quiet: tuple[str, ...],
    parts: list[tuple[int, dict[str, Severity], set[str]]],
    remind_s: int,
) -> None:
    """Raised once until it is cleared, not urgent never in quiet hours, nothing left at the end."""
    world = World(Rules([parse_quiet(one) for one in quiet], BERLIN, remind_s, 1200))
    now, mildest = start, dict[str, Severity]()
    for turns, wrong, down in parts:
        for key, severity in wrong.items():
            mildest[key] = min(mildest.get(key, severity), severity, key=ORDER)
        for _ in range(turns):
            world.turn([condition(*one) for one in wrong.items()], down, now)
            now += STEP
    until = now + LONGEST_QUIET + timedelta(hours=1)
    while now < until:
        world.turn([], set(), now)
        now += STEP
    assert world.alerts == {}
    for way, least in WAYS.items():
        _check_way(world, way, least, mildest)


def _check_way(world: World, way: str, least: Severity, mildest: dict[str, Severity]) -> None:
    knows: dict[str, datetime] = {}
    heard_of = set()
    for told in world.sent[way]:
        for item in told.items:
            key, what = item.alert.key, item.what
            if what is What.RAISED:
                assert key not in knows, f"{key} was raised twice"
                assert ORDER(item.alert.condition.severity) >= ORDER(least)
            elif what is What.PASSED:
                assert key not in knows
            else:
                assert key in knows, f"{what} of {key}, which {way} had not heard of"
            if what is What.REMINDER:
                passed = (told.at - knows[key]).total_seconds()
                assert world.rules.remind_s <= passed
            heard_of.add(key)
            if what in ENDED:
                knows.pop(key, None)
            else:
                knows[key] = told.at
            if what in (What.RAISED, What.REMINDER) and world.rules.is_quiet(told.at):
                assert item.alert.condition.severity is Severity.ERROR
    assert not knows, f"{way} was never told that {set(knows)} are over"
    assert {key for key, severity in mildest.items() if ORDER(severity) >= ORDER(least)} <= heard_of


windows = st.builds(
    "{} {:02d}:{:02d}-{:02d}:{:02d}".format,
    st.sampled_from([*DAYS, "sat-sun", "mon-fri", "fri-mon"]),
    st.integers(0, 11),
    st.integers(0, 59),
    st.integers(12, 23),
    st.integers(0, 59),
)


@settings(deadline=None)
@given(windows, st.integers(0, 7 * 24 * 60 - 1))
def test_a_window_holds_just_the_minutes_that_it_names(text: str, minute: int) -> None:
    """Against a slow reading of the words, for each minute of a week without a change of clocks."""
    days, times = text.split()
    first, _, last = days.partition("-")
    count = (DAYS.index(last or first) - DAYS.index(first)) % 7 + 1
    named = {(DAYS.index(first) + step) % 7 for step in range(count)}
    begin, end = (int(at[:2]) * 60 + int(at[3:]) for at in times.split("-"))
    now = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minute)
    inside = now.weekday() in named and begin <= now.hour * 60 + now.minute < end
    assert is_quiet([parse_quiet(text)], now, UTC) is inside
    night = parse_quiet(f"{days} {times.split('-')[1]}-{times.split('-')[0]}")
    before = (now - timedelta(days=1)).weekday() in named
    at = now.hour * 60 + now.minute
    assert is_quiet([night], now, UTC) is (
        (now.weekday() in named and at >= end) or (before and at < begin)
    )


@settings(deadline=None)
@given(st.lists(windows, max_size=4), st.sampled_from(STARTS))
def test_quiet_hours_end(texts: list[str], start: datetime) -> None:
    """Hours that do not fill the whole week end, over a change of the clocks as well."""
    told = [parse_quiet(text) for text in texts]
    assert not is_endless(told)
    assert any(
        not is_quiet(told, start + timedelta(minutes=10 * step), BERLIN) for step in range(8 * 144)
    )
