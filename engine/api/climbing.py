"""Pure: a machine's ladder and rhythm in words, the same on every front end.

RUNG      DATA AS OF    AGE  REACHED    LOST
written   13:00         42m  13:00         -
ready     Sat 23:00      2d  Sat 23:07    1d  <- time is lost here
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from engine.api.ladder_views import LadderView, RungView
from engine.api.words import NOTHING, age, duration, moment

HEADS = ["RUNG", "DATA AS OF", ">AGE", "REACHED", ">LOST", ""]
LOST_HERE = "<- time is lost here"
WHERE = {
    "written": "no newer image was taken",
    "arrived": "on the way here",
    "verified": "before a boot point was begun",
    "ready": "making the boot point",
}
"""Rung -> what the time went into that it costs."""


def age_of(rung: RungView, now: datetime) -> float | None:
    """Return the age of the newest data on a rung in seconds; None where there is none."""
    if rung.data_as_of is None:
        return None
    return max(0.0, (now - rung.data_as_of).total_seconds())


def rows(ladder: LadderView, now: datetime, zone: tzinfo | None = None) -> list[list[str]]:
    """Return the rungs in cells, as `HEADS` names them."""
    return [
        [
            rung.rung,
            moment(rung.data_as_of, now, zone) if rung.data_as_of else "never",
            age(age_of(rung, now)),
            moment(rung.reached_at, now, zone),
            duration(rung.lost_s) if rung.lost_s else NOTHING,
            LOST_HERE if rung.rung == ladder.losing else "",
        ]
        for rung in ladder.rungs
    ]


def line(ladder: LadderView, now: datetime, zone: tzinfo | None = None) -> str:
    """Return the ladder in one line: `written 13:00  arrived 13:00  ready Sat 23:00 <- …`."""
    parts = []
    for rung in ladder.rungs:
        told = moment(rung.data_as_of, now, zone) if rung.data_as_of else "never"
        mark = f" {LOST_HERE}" if rung.rung == ladder.losing else ""
        parts.append(f"{rung.rung} {told}{mark}")
    return "   ".join(parts)


def losing(ladder: LadderView, now: datetime) -> str:
    """Return where time is lost and how much, such as `ready 1d`; `-` where none is."""
    rung = next((one for one in ladder.rungs if one.rung == ladder.losing), None)
    if rung is None:
        return NOTHING
    lost = rung.lost_s if rung.rung != "written" else age_of(rung, now)
    return rung.rung if lost is None else f"{rung.rung} {age(lost)}"


def in_words(ladder: LadderView, now: datetime) -> str:
    """Return where time is lost as a phrase, such as `1d making the boot point`; `-` if nowhere."""
    rung, _, lost = losing(ladder, now).partition(" ")
    return NOTHING if rung == NOTHING else f"{lost} {WHERE[rung]}".lstrip()


def rhythm(ladder: LadderView, now: datetime, zone: tzinfo | None = None) -> str:
    """Return how often images come, and from when on the machine is silent."""
    if ladder.arrived_at is None:
        return "no image has arrived yet"
    since = f"the newest came {age((now - ladder.arrived_at).total_seconds())} ago"
    usual = f"usually every {duration(ladder.usual_s)}, " if ladder.usual_s else ""
    if ladder.silent_from is None:
        return f"{usual}{since}; silence is no alarm"
    when = ahead(ladder.silent_from, now, zone)
    return f"{usual}{since}; " + (
        f"SILENT since {when}" if ladder.silent else f"silent from {when}"
    )


def ahead(at: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """Return a moment that may be to come, always with its day when it is not today's."""
    there = at.astimezone(zone)
    if there.date() == now.astimezone(zone).date():
        return f"{there:%H:%M}"
    return f"{there:%a %d %b %H:%M}"
