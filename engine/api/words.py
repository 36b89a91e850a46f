"""Ages, sizes, rates and moments in words, the same on every front end. Pure.

    age 4h27m    duration 1m40s    size 1.2 GiB    rate 41 MiB/s    moment Sat 23:00

Figures are cut, not rounded, so that an age never jumps back.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_HOURS_ALONE_FROM, _DAYS_FROM = 36, 72
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP, _MOST, _ONE_FIGURE = 1024, 1000, 10
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEK = 7
NOTHING = "-"
NEED = ("LIVE", "NONE", "FAIL", "LOST", "LATE", "BUILD", "TEST", "HELD", "READY")
"""States in the order of a list sorted by how much a machine needs somebody."""


def age(seconds: float | None) -> str:
    """Return an age to the minute: `<1m`, `42m`, `4h27m`, `39h`, `9d`; `-` for None."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    return "<1m" if whole < _MINUTE else _long(whole)


def duration(seconds: float | None) -> str:
    """Return a duration: `12s`, `1m40s`, `4h27m`, `39h`, `9d`; `-` for None."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        minutes, rest = divmod(whole, _MINUTE)
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    return _long(whole)


def eta(seconds: float | None) -> str:
    """Return the time a job still takes, `-` while that is unknown."""
    return duration(seconds)


def _long(whole: int) -> str:
    if whole < _HOUR:
        return f"{whole // _MINUTE}m"
    hours = whole // _HOUR
    if hours >= _DAYS_FROM:
        return f"{whole // _DAY}d"
    minutes = whole % _HOUR // _MINUTE
    if hours >= _HOURS_ALONE_FROM or not minutes:
        return f"{hours}h"
    return f"{hours}h{minutes:02d}m"


def size(count: float | None) -> str:
    """Return bytes in binary units with at most three figures: `1.2 GiB`, `41 MiB`, `512 B`."""
    if count is None:
        return NOTHING
    value, unit = float(count), 0
    while value >= _MOST and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    if unit and value < _ONE_FIGURE:
        return f"{int(value * 10) / 10:.1f} {_UNITS[unit]}"
    return f"{int(value)} {_UNITS[unit]}"


def rate(per_second: float | None) -> str:
    """Return bytes per second, such as `41 MiB/s`; `-` for None."""
    return NOTHING if per_second is None else f"{size(per_second)}/s"


def limited(
    per_second: float | None, until: datetime | None, now: datetime, zone: tzinfo | None = None
) -> str:
    """Return how a job is held back, as `limited to 40 MiB/s until 18:00`; empty: it is not."""
    if per_second is None:
        return ""
    end = f" until {moment(until, now, zone)}" if until is not None else ""
    return f"limited to {rate(per_second)}{end}"


def percent(done: float, total: float | None) -> str:
    """Return how much is done, cut to whole per cent: `62%`; empty while the total is unknown."""
    if not total or total < 0:
        return ""
    return f"{min(100, max(0, int(100 * done / total)))}%"


def moment(at: datetime | None, now: datetime, zone: tzinfo | None = None) -> str:
    """Return a moment: today `13:40`, within a week `Sat 23:00`, else `13 Nov 22:00`.

    Another year's has the year instead of the time of day.

    Args:
        at: Aware; None gives `-`.
        now: Aware.
        zone: Zone to show; None: the host's.
    """
    if at is None:
        return NOTHING
    there, here = at.astimezone(zone), now.astimezone(zone)
    clock = f"{there:%H:%M}"
    days = (here.date() - there.date()).days
    if days == 0:
        return clock
    if 0 < days < _WEEK:
        return f"{_DAYS[there.weekday()]} {clock}"
    date = f"{there.day} {_MONTHS[there.month - 1]}"
    return f"{date} {clock}" if there.year == here.year else f"{date} {there.year}"
