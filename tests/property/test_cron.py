"""Moments of cron expressions against a slow oracle, minute by minute, where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.cron import Cron, parse_cron

MINUTE = timedelta(minutes=1)
ZONES = (
    "Europe/Berlin",
    "Europe/Dublin",  # winter time is the odd one
    "America/New_York",
    "America/St_Johns",
    "America/Caracas",  # half an hour for good, 2016
    "America/Sao_Paulo",  # midnight itself was skipped
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Chatham",  # 12:45, changes at 02:45
    "Pacific/Apia",  # a whole day skipped
    "Africa/Casablanca",  # four changes a year
    "Africa/Cairo",  # midnight is skipped
    "Asia/Pyongyang",
    "Antarctica/Troll",  # two hours
)


def offset(at: datetime, zone: ZoneInfo) -> timedelta:
    """Return how far the clocks are ahead of UTC."""
    return at.astimezone(zone).utcoffset() or timedelta()


@lru_cache
def changes(name: str) -> list[datetime]:
    """Return the moments at which a zone's clocks are put forward or back, 2007 to 2030."""
    zone, at = ZoneInfo(name), datetime(2007, 1, 1, tzinfo=UTC)
    found = []
    while at.year < 2031:
        later = at + timedelta(hours=12)
        if offset(at, zone) != offset(later, zone):
            steps = (at + n * MINUTE for n in range(12 * 60 + 1))
            found += [b for a, b in pairwise(steps) if offset(a, zone) != offset(b, zone)]
        at = later
    return found


def fits(cron: Cron, local: datetime) -> bool:
    """Tell whether a clock's face fits an expression; the slow and obvious way."""
    month_day, weekday = local.day in cron.days, local.isoweekday() % 7 in cron.weekdays
    day = (month_day or weekday) if cron.either else (month_day and weekday)
    clock = local.minute in cron.minutes and local.hour in cron.hours
    return clock and day and local.month in cron.months


def strikes(cron: Cron, at: datetime, zone: ZoneInfo, change: datetime) -> bool:
    """Tell whether a whole minute is a moment of an expression.

    Args:
        cron: The expression.
        at: The minute, UTC.
        zone: Where the clock hangs.
        change: The only change of the clocks near by.
    """
    local = at.astimezone(zone)
    if len(cron.hours) == 24:
        return fits(cron, local)
    if fits(cron, local) and local.fold == 0:
        return True
    before, after = offset(change - MINUTE, zone), offset(change, zone)
    skipped = change <= at < change + (after - before)
    return skipped and fits(cron, at.replace(tzinfo=None) + before)


expressions = st.builds(
    "{} {} {} * {}".format,
    st.sampled_from(["0", "30", "15,45", "*/20", "*", "59", "7-9"]),
    st.sampled_from(["*", "0", "1", "2", "3", "0-3", "*/2", "1,2,3", "22", "23", "22,23", "12"]),
    st.sampled_from(["*", "*", "*", "1-31/2", "30"]),
    st.sampled_from(["*", "*", "*", "sun", "sat-mon", "*/2"]),
)


@given(expressions, st.sampled_from(ZONES), st.integers(0, 10**6), st.integers(-3600, 3600))
@settings(max_examples=150, deadline=None)
def test_moments_are_those_of_a_clock_that_is_watched(
    text: str, name: str, pick: int, away: int
) -> None:
    """`last` and `next` are what somebody would note who looks at the clock each minute."""
    cron, zone, known = parse_cron(text), ZoneInfo(name), changes(name)
    change = known[pick % len(known)]
    now = change + away * MINUTE
    days = [now + n * MINUTE for n in range(-1440, 1441)]
    near = [one for one in known if abs(one - now) < timedelta(days=4)]
    if len(near) > 1:
        return
    seen = [one for one in days if strikes(cron, one, zone, change)]

    earlier = [one for one in seen if one <= now]
    last = cron.last(now + timedelta(seconds=30), zone)
    assert last is not None
    assert last == earlier[-1] if earlier else last < days[0]
    later = [one for one in seen if one > now]
    coming = cron.next(now + timedelta(seconds=30), zone)
    assert coming is not None
    assert coming == later[0] if later else coming > days[-1]


@given(st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 59), st.integers(2007, 2029))
@settings(max_examples=60, deadline=None)
def test_a_year_has_one_moment_for_each_day(name: str, hour: int, minute: int, year: int) -> None:
    """Daily moments: a whole year of them, none lost and none doubled, each found again."""
    cron, zone = parse_cron(f"{minute} {hour} * * *"), ZoneInfo(name)
    at = datetime(year, 1, 1, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)
    end = datetime(year + 1, 1, 1, tzinfo=zone) - timedelta(seconds=1)
    seen: list[datetime] = []
    while (at := cron.next(at, zone) or end) < end:
        seen.append(at)
        assert cron.last(at, zone) == at
    days = (datetime(year + 1, 1, 1) - datetime(year, 1, 1)).days
    left_out = name == "Pacific/Apia" and year == 2011
    assert len(seen) == days - left_out
    assert all(timedelta(hours=20) < b - a < timedelta(hours=28) for a, b in pairwise(seen))
