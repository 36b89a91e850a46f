"""Cron expressions: five fields, and the moments they name in a time zone. Pure.

    minute hour day-of-month month day-of-week      30 22 * * mon-fri      @daily

A field is `*`, a number, a name (jan-dec, sun-sat), a range `a-b`, each also with a step `/n`, or a
list of these with commas. Sunday is 0 and 7. Where both day fields are restricted, a day counts
when *either* fits; a field that begins with `*`, such as `*/2`, restricts only beside the other.

When the clocks are put forward or back:

* a time that the clocks skip counts as if they had not been put forward yet (02:30 is then 03:30);
* of a time that comes twice, the first counts;
* but an expression for every hour goes by the clock: it takes what the clock shows, as often as it
  shows it.

Source: crontab(5) of Vixie cron, for fields and for the rule about days.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

_DAY = timedelta(days=1)
_LONGEST = 45 * 366
"""Days to look for a moment: 29 February on one weekday comes once in 28 years, or in 40."""

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {name.lower(): n for n, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: n for n, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_ITEM = re.compile(r"(\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True)
class _Field:
    """What one of the five fields may hold."""

    title: str
    first: int
    last: int
    names: tuple[tuple[str, int], ...] = ()
    is_round: bool = False

    def number(self, text: str) -> int:
        """Return what a number or name means. ValueError when it does not fit."""
        found = dict(self.names).get(text)
        value = found if found is not None else int(text) if text.isdecimal() else -1
        if not self.first <= value <= self.last:
            raise self.wrong(text)
        return value

    def wrong(self, text: str) -> ValueError:
        """Return the error that says what would fit."""
        names = f" or {self.names[0][0]}-{self.names[-1][0]}" if self.names else ""
        return ValueError(
            f"the {self.title} '{text[:40]}' does not fit: expected {self.first}-{self.last}"
            f"{names}, as *, a, a-b, */n, a-b/n, or a list of these"
        )


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS.items())),
    _Field("day of the week", 0, 7, tuple(_WEEKDAYS.items()), is_round=True),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was read.

    Attributes:
        text: As written, blanks made single.
        weekdays: 0 is Sunday, at most 6.
        either: A day counts when one of `days` and `weekdays` fits; False: when both do.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def last(self, now: datetime, zone: tzinfo) -> datetime | None:
        """Return the newest moment up to `now`, in UTC; None when there is none in 45 years."""
        found: list[datetime] = []
        day_before = date.max
        for day in self._days_back(now.astimezone(zone).date() + _DAY):
            if found and day < day_before:
                break
            moments = _moments(self, day, zone)
            if at := bisect_right(moments, now):
                # A skipped hour before midnight may come after the first ones of the next day.
                day_before = day_before if found else day - _DAY
                found.append(moments[at - 1])
        return max(found, default=None)

    def next(self, after: datetime, zone: tzinfo) -> datetime | None:
        """Return the first moment after `after`, in UTC; None when there is none in 45 years."""
        found: list[datetime] = []
        day_after = date.min
        for day in self._days_on(after.astimezone(zone).date() - _DAY):
            if found and day > day_after:
                break
            moments = _moments(self, day, zone)
            at = bisect_right(moments, after)
            if at < len(moments):
                day_after = day_after if found else day + _DAY
                found.append(moments[at])
        return min(found, default=None)

    def counts(self, day: date) -> bool:
        """Tell whether there are moments on a day of the calendar."""
        by_month_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        fits = by_month_day or by_weekday if self.either else by_month_day and by_weekday
        return fits and day.month in self.months

    def _days_back(self, start: date) -> Iterator[date]:
        day, end = start, start - _LONGEST * _DAY
        while day > end:
            if day.month not in self.months:
                day = day.replace(day=1) - _DAY
                continue
            if self.counts(day):
                yield day
            day -= _DAY

    def _days_on(self, start: date) -> Iterator[date]:
        day, end = start, start + _LONGEST * _DAY
        while day < end:
            if day.month not in self.months:
                day = day.replace(day=calendar.monthrange(day.year, day.month)[1]) + _DAY
                continue
            if self.counts(day):
                yield day
            day += _DAY


@lru_cache(maxsize=2048)
def _moments(cron: Cron, day: date, zone: tzinfo) -> tuple[datetime, ...]:
    """Return the moments that a day of the calendar brings, sorted, in UTC."""
    by_the_clock = len(cron.hours) == 24
    found: set[datetime] = set()
    for hour in cron.hours:
        for minute in cron.minutes:
            local = datetime.combine(day, time(hour, minute), tzinfo=zone)
            first = local.astimezone(UTC)
            if not by_the_clock:
                found.add(first)
                continue
            both = (first, local.replace(fold=1).astimezone(UTC))
            found |= {one for one in both if _shows(one, local)}
    return tuple(sorted(found))


def _shows(moment: datetime, local: datetime) -> bool:
    """Tell whether the clock really shows a local time at a moment: False where it is skipped."""
    return moment.astimezone(local.tzinfo).replace(tzinfo=None, fold=0) == local.replace(
        tzinfo=None
    )


def parse_cron(text: str) -> Cron:
    """Read five fields, or a nickname such as `@daily`.

    Raises:
        ValueError: It is none, or names a day that never comes; the message says what is expected.
    """
    told = " ".join(text.lower().split())
    parts = NICKNAMES.get(told, told).split()
    if told.startswith("@") and told not in NICKNAMES:
        raise ValueError(f"'{told[:40]}' is not known: expected one of {', '.join(NICKNAMES)}")
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"expected five fields (minute hour day-of-month month day-of-week), found {len(parts)}"
        )
    minutes, hours, days, months, weekdays = (
        _read(part, field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    either = not (parts[2].startswith("*") or parts[4].startswith("*"))
    longest = max(29 if month == 2 else calendar.monthrange(2001, month)[1] for month in months)
    if not either and min(days) > longest:
        raise ValueError(f"there is no day {min(days)} in any of the months of '{told[:60]}'")
    return Cron(told, minutes, hours, days, months, frozenset(d % 7 for d in weekdays), either)


@lru_cache(maxsize=1440)
def daily(at: time) -> Cron:
    """Return the expression of a time of day."""
    return parse_cron(f"{at.minute} {at.hour} * * *")


def _read(text: str, field: _Field) -> frozenset[int]:
    """Return the numbers that a field holds."""
    found: set[int] = set()
    for item in text.split(","):
        told = _ITEM.fullmatch(item)
        step = int(told[4]) if told and told[4] else 1
        if told is None or step == 0:
            raise field.wrong(item)
        if told[1] == "*":
            first, last = field.first, field.last
        else:
            first = field.number(told[2])
            last = field.number(told[3]) if told[3] else field.last if told[4] else first
        if last < first:
            if not field.is_round:
                raise field.wrong(item)
            last += 7
        found |= {n if n <= field.last else n - 7 for n in range(first, last + 1, step)}
    return frozenset(found)
