"""How fast image directories may be read, by the hour: `[[watch.limits]]`. Pure.

    directory ─ 40 MiB/s ─ mon-fri 08:00-18:00 ─ 200 MiB/s outside (or as fast as it goes)

The hours are those of the site's zone; where clocks are put forward or back their edges follow the
rule of blackout windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from engine.model.blackout import Blackout, closed_until, opens_after

SLOWEST = 64 << 10
"""Bytes a second; one piece of an image is up to 4 MiB, and shall not take minutes."""
_RATE = re.compile(r"(\d+(?:\.\d+)?) ?([kKMG]?)(iB|B|bit)/s")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3}


@dataclass(frozen=True, slots=True)
class ReadLimit:
    """The limit of one directory, shared by all that read in it or below.

    Attributes:
        directory: Absolute, without `..`.
        rate: Bytes a second within `hours`.
        hours: When; empty: always.
        outside: Bytes a second at other times; None: as fast as it goes.
    """

    directory: str
    rate: int
    hours: tuple[Blackout, ...] = ()
    outside: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What holds now.

    Attributes:
        rate: Bytes a second; None: as fast as it goes.
        until: When that changes, UTC; None: it does not.
    """

    rate: int | None = None
    until: datetime | None = None


_ALWAYS = timedelta(days=14)
"""Hours that go on for so long leave no minute of a week: nothing changes."""
FREE = Pace()
"""As fast as it goes, always."""


def pace(limit: ReadLimit | None, now: datetime, zone: tzinfo) -> Pace:
    """Return how fast may be read now, and until when.

    Args:
        limit: Of the directory; None: it has none.
        now: Aware.
        zone: Of the hours.
    """
    if limit is None:
        return FREE
    if not limit.hours:
        return Pace(limit.rate)
    end = closed_until(limit.hours, now, zone)
    if end is not None:
        return Pace(limit.rate, end if end - now < _ALWAYS else None)
    return Pace(limit.outside, opens_after(limit.hours, now, zone))


def limit_of(path: str, limits: Iterable[ReadLimit]) -> ReadLimit | None:
    """Return the limit that holds for a file: that of the nearest directory above it."""
    above = [one for one in limits if f"{path}/".startswith(f"{one.directory.rstrip('/')}/")]
    return max(above, key=lambda one: len(one.directory), default=None)


def parse_rate(text: str) -> int:
    """Return bytes a second.

    `40MiB/s` (of 1024), `40MB/s` (of 1000) or `100Mbit/s` (of 1000, eight to a byte).

    Raises:
        ValueError: The text is none; the message says what is expected.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise ValueError("expected a rate such as 40MiB/s, 500kB/s or 100Mbit/s")
    number, step, unit = float(found[1]), found[2], found[3]
    power = _POWERS[step]
    each = float(1024**power) if unit == "iB" else float(1000**power)
    rate = int(number * each / (8 if unit == "bit" else 1))
    if rate < SLOWEST:
        raise ValueError("expected at least 64KiB/s")
    return rate
