"""Quiet hours: when what is not urgent waits. Pure.

    "22:00-07:00"            each night
    "sat-sun"                two whole days
    "mon-fri 18:00-08:00"    nights that begin on these days

Read on the wall clock of the site's zone, so that they keep their times over daylight saving; an
hour that comes twice is quiet twice or not at all, one that is left out is simply left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
EXPECTED = "expected times such as 22:00-07:00, days such as sat-sun, or mon-fri 18:00-08:00"
_TIMES = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Quiet:
    """One window a week or several.

    Attributes:
        days: Weekdays on which it begins, Monday 0.
        begins, ends: Minutes of the day, `ends` of the next one where it is not later.
    """

    days: frozenset[int]
    begins: int
    ends: int

    def minutes(self) -> int:
        """Return how long it lasts."""
        return (self.ends - self.begins - 1) % DAY_MINUTES + 1

    def holds(self, weekday: int, minute: int) -> bool:
        """Tell whether a minute of the week is inside."""
        at = weekday * DAY_MINUTES + minute
        return any(
            (at - day * DAY_MINUTES - self.begins) % WEEK_MINUTES < self.minutes()
            for day in self.days
        )


def parse_quiet(text: str) -> Quiet:
    """Read one window. ValueError, saying what is expected, when it is none."""
    words = text.lower().split()
    days, times = frozenset(range(7)), (0, DAY_MINUTES)
    if words and not words[0][:1].isdigit():
        days = _days(words.pop(0))
    elif not words:
        raise ValueError(EXPECTED)
    if words:
        times = _times(words.pop(0))
    if words:
        raise ValueError(EXPECTED)
    return Quiet(days, *times)


def _days(text: str) -> frozenset[int]:
    first, _, last = text.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise ValueError(EXPECTED)
    begins, ends = DAYS.index(first), DAYS.index(last or first)
    return frozenset((begins + step) % 7 for step in range((ends - begins) % 7 + 1))


def _times(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text)
    if found is None:
        raise ValueError(EXPECTED)
    hours, minutes = (int(found[1]), int(found[3])), (int(found[2]), int(found[4]))
    begins, ends = hours[0] * 60 + minutes[0], hours[1] * 60 + minutes[1]
    if max(minutes) > 59 or begins >= DAY_MINUTES or ends > DAY_MINUTES or begins == ends:
        raise ValueError(EXPECTED)
    return begins, ends


def is_quiet(windows: Iterable[Quiet], now: datetime, zone: tzinfo) -> bool:
    """Tell whether a moment lies in quiet hours."""
    local = now.astimezone(zone)
    return any(one.holds(local.weekday(), local.hour * 60 + local.minute) for one in windows)


def is_endless(windows: Iterable[Quiet]) -> bool:
    """Tell whether no minute of the week is left in which anything would be sent."""
    told = list(windows)
    return bool(told) and all(
        any(one.holds(*divmod(at, DAY_MINUTES)) for one in told) for at in range(WEEK_MINUTES)
    )
