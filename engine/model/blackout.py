"""Windows in which no boot point is begun, so that a busy host is left alone. Pure.

    mon-fri 08:00-18:00      23:30-01:00 (every day, over midnight)      sun 00:00-24:00

A window belongs to the day on which it begins. What runs when one begins goes on. Where clocks are
put forward or back, its edges follow the rule of `engine.model.cron` for a time of day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

_DAY = timedelta(days=1)
_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES = 1440
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_WINDOW = re.compile(rf"(?:(?P<days>[a-z,-]+) )?(?P<first>{_CLOCK}) ?- ?(?P<last>{_CLOCK}|24:00)")


@dataclass(frozen=True, slots=True)
class Blackout:
    """One window.

    Attributes:
        text: As written, blanks made single.
        days: On which it begins; 0 is Monday.
        first, last: Minutes after midnight; `last` beyond 1440 is on the next day.
    """

    text: str
    days: frozenset[int]
    first: int
    last: int

    def end(self, now: datetime, zone: tzinfo) -> datetime | None:
        """Return when the window that holds `now` ends, in UTC; None outside of it."""
        today = now.astimezone(zone).date()
        ends = []
        for back in (-1, 0, 1, 2):  # two: a day that the calendar left out lies between
            day = today - back * _DAY
            if day.weekday() in self.days:
                begin, end = _moment(day, self.first, zone), _moment(day, self.last, zone)
                if begin <= now < end:
                    ends.append(end)
        return max(ends, default=None)


def _moment(day: date, minutes: int, zone: tzinfo) -> datetime:
    over, rest = divmod(minutes, _MINUTES)
    local = datetime.combine(day + over * _DAY, time(*divmod(rest, 60)), tzinfo=zone)
    return local.astimezone(UTC)


def parse_blackout(text: str) -> Blackout:
    """Read `[DAYS ]HH:MM-HH:MM`; DAYS as `mon-fri` or `sat,sun`, every day where left out.

    Raises:
        ValueError: The text is none; the message says what is expected.
    """
    told = " ".join(text.lower().split())
    found = _WINDOW.fullmatch(told)
    days = _days(found["days"]) if found else frozenset[int]()
    if found is None or not days:
        raise ValueError(
            "expected [DAYS ]HH:MM-HH:MM, such as mon-fri 08:00-18:00, sat,sun 00:00-24:00 or "
            "23:30-01:00 (every day, over midnight)"
        )
    first, last = (int(at[:2]) * 60 + int(at[3:]) for at in (found["first"], found["last"]))
    if first == last:
        raise ValueError(f"'{told}' begins and ends at the same time; a whole day is 00:00-24:00")
    return Blackout(told, days, first, last if last > first else last + _MINUTES)


def parse_blackouts(texts: Sequence[str]) -> tuple[Blackout, ...]:
    """Read several; ValueError for one that cannot be read, or when no minute of a week is left."""
    found = tuple(parse_blackout(text) for text in texts)
    week = 7 * _MINUTES
    closed = {
        (day * _MINUTES + minute) % week
        for one in found
        for day in one.days
        for minute in range(one.first, one.last)
    }
    if len(closed) == week:
        raise ValueError("together they leave no minute of the week for making boot points")
    return found


def _days(text: str | None) -> frozenset[int]:
    """Return the days that names and ranges of names mean; empty when one is unknown."""
    if not text:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        names = part.split("-")
        if len(names) > 2 or not set(names) <= set(_NAMES):
            return frozenset()
        first, last = _NAMES.index(names[0]), _NAMES.index(names[-1])
        found |= {day % 7 for day in range(first, last + 1 + (7 if last < first else 0))}
    return frozenset(found)


def closed_until(windows: tuple[Blackout, ...], now: datetime, zone: tzinfo) -> datetime | None:
    """Return when boot points may be begun again, in UTC; None: now.

    Windows that touch or overlap are one: the end is that of the last.
    """
    if not windows:
        return None
    return _closed_until(windows, now.replace(second=0, microsecond=0), zone)


@lru_cache(maxsize=1024)
def _closed_until(windows: tuple[Blackout, ...], minute: datetime, zone: tzinfo) -> datetime | None:
    at, limit = minute, minute + 15 * _DAY
    while at < limit:
        ends = [end for one in windows if (end := one.end(at, zone)) is not None]
        if not ends:
            break
        at = max(ends)
    return at if at > minute else None


def opens_after(windows: tuple[Blackout, ...], now: datetime, zone: tzinfo) -> datetime | None:
    """Return when the next window begins, in UTC; None: there is none. `now`: outside of all."""
    today = now.astimezone(zone).date()
    begins = (
        _moment(day, one.first, zone)
        for one in windows
        for ahead in range(-1, 10)  # a week, and the days that the calendar left out
        if (day := today + ahead * _DAY).weekday() in one.days
    )
    return min((begin for begin in begins if begin > now), default=None)
