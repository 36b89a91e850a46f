"""Cron expressions: what is read, what is refused, and the moments around odd days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from engine.model.cron import NICKNAMES, parse_cron
from engine.model.standby import TriggerKind, parse_trigger

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "minutes", "hours"),
    [
        ("30 22 * * *", {30}, {22}),
        ("*/15 6-20/2 * * *", {0, 15, 30, 45}, {6, 8, 10, 12, 14, 16, 18, 20}),
        ("5,35 0,12 * * *", {5, 35}, {0, 12}),
        ("50/5 23 * * *", {50, 55}, {23}),
        ("0-10/5,59 1-2,4 * * *", {0, 5, 10, 59}, {1, 2, 4}),
    ],
)
def test_lists_ranges_and_steps(text: str, minutes: set[int], hours: set[int]) -> None:
    """A field is a list of numbers and ranges, each with a step; `a/n` goes to the end."""
    cron = parse_cron(text)
    assert (cron.minutes, cron.hours) == (minutes, hours)


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("mon-fri", {1, 2, 3, 4, 5}),
        ("FRI-MON", {5, 6, 0, 1}),
        ("sat-sun", {6, 0}),
        ("0", {0}),
        ("7", {0}),
        ("5-7", {5, 6, 0}),
        ("*/2", {0, 2, 4, 6}),
        ("*", set(range(7))),
    ],
)
def test_weekdays_have_names_and_go_round(field: str, weekdays: set[int]) -> None:
    """Sunday is 0 and 7, and a range may lead over the weekend."""
    assert parse_cron(f"0 0 * * {field}").weekdays == weekdays


def test_months_have_names() -> None:
    """Names of months work in lists and ranges."""
    assert parse_cron("0 0 1 jan-mar,Dec *").months == {1, 2, 3, 12}


@pytest.mark.parametrize("name", NICKNAMES)
def test_a_nickname_is_what_it_stands_for(name: str) -> None:
    """`@daily` and its like are read, and shown as they were written."""
    short, long = parse_cron(name), parse_cron(NICKNAMES[name])
    assert (short.minutes, short.hours, short.days) == (long.minutes, long.hours, long.days)
    assert (short.months, short.weekdays, short.text) == (long.months, long.weekdays, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "five fields"),
        ("* * * *", "found 4"),
        ("0 0 * * * *", "found 6"),
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of the month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of the week '8'"),
        ("* * * * monday", "day of the week 'monday'"),
        ("*/0 * * * *", "minute '\\*/0'"),
        ("5-1 * * * *", "minute '5-1'"),
        ("1,,2 * * * *", "minute ''"),
        ("-1 * * * *", "minute '-1'"),
        ("١ * * * *", "minute"),
        ("0 0 30 2 *", "no day 30"),
        ("0 0 31 apr,jun *", "no day 31"),
        ("0 0 L * *", "day of the month 'l'"),
        ("@reboot", "@daily"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    """The error names the field, what stands there and what would fit."""
    with pytest.raises(ValueError, match=said):
        parse_cron(text)


def test_a_trigger_is_written_as_it_is_read() -> None:
    """`cron:` triggers survive their file."""
    trigger = parse_trigger("cron:0  6-20/2 * *  Mon-Fri")
    assert trigger.kind is TriggerKind.CRON
    assert str(trigger) == "cron:0 6-20/2 * * mon-fri"
    assert parse_trigger(str(trigger)) == trigger


@pytest.mark.parametrize(
    ("text", "day", "counts"),
    [
        ("0 0 13 * fri", date(2026, 11, 13), True),  # Friday the 13th
        ("0 0 13 * fri", date(2026, 11, 20), True),  # either: a Friday
        ("0 0 13 * fri", date(2026, 10, 13), True),  # either: a 13th
        ("0 0 13 * fri", date(2026, 10, 14), False),
        ("0 0 13 * *", date(2026, 11, 20), False),
        ("0 0 * * fri", date(2026, 10, 13), False),
        ("0 0 1-7 * */6", date(2026, 11, 1), True),  # begins with *: both; the first Sunday
        ("0 0 1-7 * */6", date(2026, 11, 2), False),
        ("0 0 1-7 * */6", date(2026, 11, 15), False),
    ],
)
def test_two_restricted_days_are_an_either_or(text: str, day: date, *, counts: bool) -> None:
    """Vixie's rule: either day field will do, unless one of them begins with a star."""
    assert parse_cron(text).counts(day) is counts


def test_a_leap_day_is_found_far_away() -> None:
    """29 February on a Sunday or Saturday only: years lie between, in both directions."""
    cron = parse_cron("0 12 29 2 */6")
    now = datetime(2033, 1, 1, tzinfo=UTC)
    assert cron.last(now, UTC) == datetime(2032, 2, 29, 12, tzinfo=UTC)
    assert cron.next(now, UTC) == datetime(2048, 2, 29, 12, tzinfo=UTC)


def test_no_boot_point_on_a_day_that_the_calendar_left_out() -> None:
    """Samoa had no 30 December 2011: its 22:00 is that of the 31st, and comes once."""
    apia, cron = ZoneInfo("Pacific/Apia"), parse_cron("0 22 * * *")
    at = datetime(2011, 12, 29, tzinfo=UTC)
    seen = []
    for _ in range(4):
        at = cron.next(at, apia) or at
        seen.append(at.astimezone(apia).isoformat())
    assert seen == [
        "2011-12-28T22:00:00-10:00",
        "2011-12-29T22:00:00-10:00",
        "2011-12-31T22:00:00+14:00",
        "2012-01-01T22:00:00+14:00",
    ]


def test_a_skipped_time_before_midnight_may_come_after_the_first_of_the_next_day() -> None:
    """In Pyongyang 23:30 was 00:00 on 4 May 2018: 23:45 is then 00:15, after 00:00."""
    zone, cron = ZoneInfo("Asia/Pyongyang"), parse_cron("0,45 0,23 * * *")
    now = datetime(2018, 5, 5, 0, 20, tzinfo=zone)
    assert cron.last(now, zone) == datetime(2018, 5, 5, 0, 15, tzinfo=zone)
    before = datetime(2018, 5, 5, 0, 5, tzinfo=zone)
    assert cron.next(before, zone) == datetime(2018, 5, 5, 0, 15, tzinfo=zone)


def test_an_hourly_one_goes_by_the_clock() -> None:
    """Every hour has its moment when clocks are put back, and none is doubled when forward."""
    cron = parse_cron("0 * * * *")
    for day, hours in ((datetime(2026, 10, 25), 25), (datetime(2026, 3, 29), 23)):
        at = day.replace(tzinfo=BERLIN).astimezone(UTC) - timedelta(seconds=1)
        end = (day + timedelta(days=1)).replace(tzinfo=BERLIN)
        seen = []
        while (at := cron.next(at, BERLIN) or at) < end:
            seen.append(at)
        assert len(seen) == hours
        assert {later - earlier for earlier, later in pairwise(seen)} == {timedelta(hours=1)}
