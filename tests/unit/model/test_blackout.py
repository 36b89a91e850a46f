"""Blackout windows and ends of pauses: what is read, and when they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.model.blackout import closed_until, parse_blackouts
from engine.model.pause import pause_end

BERLIN, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")


def closed(windows: list[str], local: str, zone: ZoneInfo = BERLIN) -> str:
    """Return until when windows are closed at a local time, as local text; empty: they are open."""
    now = datetime.fromisoformat(local).replace(tzinfo=zone)
    end = closed_until(parse_blackouts(windows), now, zone)
    return "" if end is None else end.astimezone(zone).strftime("%a %d %H:%M")


@pytest.mark.parametrize(
    ("windows", "local", "until"),
    [
        (["mon-fri 08:00-18:00"], "2026-11-25 07:59:59", ""),  # a Wednesday
        (["mon-fri 08:00-18:00"], "2026-11-25 08:00", "Wed 25 18:00"),
        (["mon-fri 08:00-18:00"], "2026-11-25 17:59:59", "Wed 25 18:00"),
        (["mon-fri 08:00-18:00"], "2026-11-25 18:00", ""),
        (["mon-fri 08:00-18:00"], "2026-11-28 12:00", ""),  # a Saturday
        (["FRI-mon 08:00-18:00"], "2026-11-29 12:00", "Sun 29 18:00"),  # over the weekend
        (["sat,sun 00:00-24:00"], "2026-11-28 12:00", "Mon 30 00:00"),  # two that touch are one
        (["23:30-01:00"], "2026-11-25 23:45", "Thu 26 01:00"),
        (["23:30-01:00"], "2026-11-26 00:59", "Thu 26 01:00"),
        (["fri 22:00-06:00"], "2026-11-28 05:00", "Sat 28 06:00"),  # it is Friday's
        (["fri 22:00-06:00"], "2026-11-27 05:00", ""),
        (["08:00-10:00", "09:00 - 12:00"], "2026-11-25 08:30", "Wed 25 12:00"),
        ([], "2026-11-25 08:30", ""),
        # Clocks are put forward at 02:00 and back at 03:00; edges follow the rule of triggers.
        (["01:00-02:30"], "2026-03-29 01:30", "Sun 29 03:30"),
        (["01:00-02:30"], "2026-10-25 01:30", "Sun 25 02:30"),
    ],
)
def test_windows_close_and_open_by_the_local_clock(
    windows: list[str], local: str, until: str
) -> None:
    """A window belongs to the day on which it begins; windows that touch have one end."""
    assert closed(windows, local) == until


def test_a_window_over_a_day_that_was_left_out_ends_all_the_same() -> None:
    """Samoa had no 30 December 2011: what began on the 29th ends on the 31st."""
    assert closed(["23:00-02:00"], "2011-12-29 23:30", APIA) == "Sat 31 02:00"
    assert closed(["23:00-02:00"], "2011-12-31 12:00", APIA) == ""


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        (["08:00"], "expected"),
        (["mon 08:00-25:00"], "expected"),
        (["24:00-08:00"], "expected"),
        (["monday 08:00-18:00"], "expected"),
        (["mon-tue-wed 08:00-18:00"], "expected"),
        (["08:00-08:00"], "whole day is 00:00-24:00"),
        (["00:00-24:00"], "no minute"),
        (["mon-fri 00:00-24:00", "sat,sun 00:00-24:00"], "no minute"),
    ],
)
def test_what_cannot_be_meant_is_refused(windows: list[str], said: str) -> None:
    """So is a list that never lets a boot point be made."""
    with pytest.raises(ValueError, match=said):
        parse_blackouts(windows)


NOW = datetime(2026, 11, 25, 13, 41, tzinfo=UTC)  # 14:41 in Berlin


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("4h", NOW + timedelta(hours=4)),
        ("90m", NOW + timedelta(minutes=90)),
        ("1d12h", NOW + timedelta(hours=36)),
        ("18:00", datetime(2026, 11, 25, 17, tzinfo=UTC)),
        ("9:05", datetime(2026, 11, 26, 8, 5, tzinfo=UTC)),  # past today: tomorrow's
        ("14:41", datetime(2026, 11, 26, 13, 41, tzinfo=UTC)),
        ("2026-11-30 18:00", datetime(2026, 11, 30, 17, tzinfo=UTC)),
        ("2026-11-30", datetime(2026, 11, 29, 23, tzinfo=UTC)),
        ("2026-11-30T18:00:00Z", datetime(2026, 11, 30, 18, tzinfo=UTC)),
        ("2026-11-30T18:00+09:00", datetime(2026, 11, 30, 9, tzinfo=UTC)),
        ("", None),
        ("  ", None),
    ],
)
def test_the_end_of_a_pause(text: str, end: datetime | None) -> None:
    """A span counts from now; a time is the engine's own zone's unless it says another."""
    assert pause_end(text, NOW, BERLIN) == end


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon", "expected"),
        ("4", "expected"),
        ("-4h", "expected"),
        ("25:00", "expected"),
        ("2026-13-01", "expected"),
        ("2026-02-30 10:00", "expected"),
        ("0m", "passed"),
        ("2026-11-25 14:40", "passed"),
        ("53w", "more than a year"),
        ("99999w99999w", "expected|more than a year"),
    ],
)
def test_an_end_that_cannot_be_meant(text: str, said: str) -> None:
    """Rubbish, the past and a far future are refused, each in its own words."""
    with pytest.raises(ValueError, match=said):
        pause_end(text, NOW, BERLIN)
