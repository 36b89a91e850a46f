"""Pure: when a target is looked at again by itself, once a night.

    01:00 ├──── jitter, by site, target and day ────┤ 04:00

Many sites with one hoster must not all ask at the same minute.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta, tzinfo

FROM = timedelta(hours=1)
SPAN_S = 3 * 3600
AGAIN = timedelta(minutes=10)
"""After which a target that did not answer is asked again."""


def moment(site: str, target: str, day: date, zone: tzinfo) -> datetime:
    """Return when a target is looked at on a day: the same answer whenever it is asked."""
    digest = hashlib.sha256(f"{site}/{target}/{day.isoformat()}".encode()).digest()
    shift = timedelta(seconds=int.from_bytes(digest[:4]) % SPAN_S)
    return datetime(day.year, day.month, day.day, tzinfo=zone) + FROM + shift


def is_due(
    site: str, target: str, last: datetime | None, now: datetime, zone: tzinfo, *, away: bool
) -> bool:
    """Tell whether a target is to be looked at now.

    Args:
        last: When it was looked at, aware; None: never.
        now: Aware. A night that passed while the engine was off is made up for.
        away: It did not answer then.
    """
    if last is None:
        return True
    if last > now:  # a clock that was put back: nobody knows how old that is
        return True
    if away and now - last >= AGAIN:
        return True
    tonight = moment(site, target, now.astimezone(zone).date(), zone)
    return last < tonight <= now
