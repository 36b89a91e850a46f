"""How long a pause lasts: what an operator types, and what everybody is shown. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST = timedelta(days=366)
_SPAN = re.compile(r"(?:\d{1,5}[mhdw])+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?")


def pause_end(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    """Return when a pause ends, in UTC; None for an empty text: when somebody resumes it.

    Args:
        text: `4h`, `90m`, `1d12h`; `18:00`, the next one; `2026-11-30 18:00`; ISO 8601.
        now: Aware.
        zone: Of times that do not say theirs.

    Raises:
        ValueError: It is none of these, has passed, or is more than a year away; a sentence's end.
    """
    told = text.strip()
    if not told:
        return None
    end = _read(told, now, zone)
    if end is None:
        raise ValueError(
            "expected a time such as 4h, 90m, 1d12h, 18:00, '2026-11-30 18:00' or "
            "2026-11-30T18:00:00Z"
        )
    if end <= now:
        raise ValueError("that has passed already")
    if end - now > _LONGEST:
        raise ValueError("that is more than a year away")
    return end


def _read(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    if _SPAN.fullmatch(text):
        parts = re.findall(r"(\d+)([mhdw])", text)
        return _after(now, sum(int(count) * _UNITS[unit] for count, unit in parts))
    if found := re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text):
        return _next(time(int(found[1]), int(found[2])), now, zone)
    if not _DATE.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _after(now: datetime, seconds: int) -> datetime | None:
    try:
        return now.astimezone(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _next(at: time, now: datetime, zone: tzinfo) -> datetime:
    """Return the next moment at which the clock shows a time of day."""
    today = now.astimezone(zone).date()
    days = (today + timedelta(days=days) for days in (0, 1, 2))
    moments = (datetime.combine(day, at, tzinfo=zone).astimezone(UTC) for day in days)
    return min(moment for moment in moments if moment > now)
