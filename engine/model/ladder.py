"""How far each machine's newest data has climbed, which rung loses the time, and when it is silent.

    written ──► arrived ──► verified ──► ready ──► proven
     11:00       11:00        11:00       08:00      never      data as of
                                        └ 3 h are lost here

Pure, and derived from the state each time. The rhythm in which images arrive is learned from the
machine's own history: the median gap, so that outages and consolidation at the source do not
count, and pauses that the machine made a day or a week ago at the same time, so that nights and
weekends are no silence. Both are compared with room for a clock that is put forward or back.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.points import BootPoint, Stage

HOUR_S = 3600.0
LEAST_ROOM_S, MOST_ROOM_S = 2 * HOUR_S, 12 * HOUR_S
"""Room beyond one usual gap before a machine counts as silent: twice the gap, within these."""
NEWCOMER_S = 26 * HOUR_S
"""Silence goal of a machine that has not been seen for a whole week: its nights are not known."""
LEARNED = timedelta(days=8)
GAPS = 60
"""Newest gaps that the median is taken of."""
LEAST_GAPS = 2
NEAR = timedelta(minutes=75)
"""A pause counts as made at the same time within this: an hour of daylight saving, and some."""
BEFORE = (timedelta(days=1), timedelta(days=7), timedelta(days=14))


class Rung(StrEnum):
    """What a machine's data has reached."""

    WRITTEN = "written"
    ARRIVED = "arrived"
    VERIFIED = "verified"
    READY = "ready"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Step:
    """The newest data that has reached one rung.

    Attributes:
        data_as_of: Its moment; None: nothing has come that far.
        reached_at: When it came there; None where that is not known.
        lost_s: By how much it is older than the data on the rung before, in seconds; None where
            either is missing, and for `written`.
    """

    rung: Rung
    data_as_of: datetime | None
    reached_at: datetime | None
    lost_s: float | None


@dataclass(frozen=True, slots=True)
class Ladder:
    """One machine now.

    Attributes:
        steps: One for each rung, in order.
        losing: The rung that costs the most of the newest ready boot point's age, or that nothing
            has reached; None when nothing is lost beyond the machine's usual gap. `proven` never
            is: it costs no age.
        usual_s: Usual gap between two images in seconds; None while it is not known.
        silence_s: Seconds without a new image after which the machine is silent, known pauses
            aside; None: not watched, or it is not known since when.
        arrived_at: When the newest image arrived.
        silent_from: From when on it is silent; None like `silence_s`.
        silent: True when that is past.
    """

    steps: Sequence[Step]
    losing: Rung | None
    usual_s: float | None
    silence_s: float | None
    arrived_at: datetime | None
    silent_from: datetime | None
    silent: bool

    def step(self, rung: Rung) -> Step:
        """Return the step of a rung."""
        return next(step for step in self.steps if step.rung is rung)


def climb(
    images: Sequence[RecoveryPoint],
    made: Sequence[BootPoint],
    silence_s: int | None,
    now: datetime,
    written: datetime | None = None,
    since: datetime | None = None,
) -> Ladder:
    """Return the ladder of one machine.

    Args:
        images: Its recovery points.
        made: Its boot points, retired ones included.
        silence_s: The operator's goal; 0: never silent; None: as learned.
        now: Aware.
        written: Moment of the newest image that is on its way, where one is.
        since: When its standby was added: silence counts from then where nothing ever arrived.
    """
    here = [point for point in images if point.arrival in (Arrival.COMPLETE, Arrival.VERIFIED)]
    steps = _steps(images, here, made, written)
    moments = _moments(here, made)
    usual = usual_gap(moments)
    arrived = _newest_arrival(here, made)
    heard = arrived or since
    goal = _goal(silence_s, moments, usual) if heard else None
    silent_from = None
    if heard is not None and goal is not None:
        learned = not silence_s and moments
        pause = known_pause(moments, moments[-1], usual) if learned else 0.0
        silent_from = heard + timedelta(seconds=goal + pause)
    return Ladder(
        steps=steps,
        losing=_losing(steps, usual, now),
        usual_s=usual,
        silence_s=goal,
        arrived_at=arrived,
        silent_from=silent_from,
        silent=silent_from is not None and now > silent_from,
    )


def _newest_arrival(here: Sequence[RecoveryPoint], made: Iterable[BootPoint]) -> datetime | None:
    """Return when the newest image arrived; of a folder that was emptied, by its boot points."""
    if here:
        return _arrived(max(here, key=lambda point: (_arrived(point), point.taken_at)))
    return max((point.created_at for point in made), default=None)


def _arrived(point: RecoveryPoint) -> datetime:
    return point.arrived_at or point.taken_at


def silence(ladder: Ladder, now: datetime | None = None) -> str:
    """Return the sentence about a silent machine.

    Args:
        ladder: Of the machine.
        now: Tell how long it has been; None: since when.
    """
    if ladder.arrived_at is None:
        return "No image has arrived since it was added."
    told = "No new image"
    if now is not None:
        told += f" for {span((now - ladder.arrived_at).total_seconds())}"
    else:
        told += f" since {ladder.arrived_at:%Y-%m-%d %H:%M:%S} UTC"
    return told + ("." if ladder.usual_s is None else f"; usually every {span(ladder.usual_s)}.")


def span(seconds: float) -> str:
    """Return a time in its largest fitting unit, rounded: `45 min`, `26 h`, `4 days`."""
    if seconds < 1.5 * HOUR_S:
        return f"{max(1, round(seconds / 60))} min"
    if seconds < 72 * HOUR_S:
        return f"{round(seconds / HOUR_S)} h"
    return f"{round(seconds / 24 / HOUR_S)} days"


# --- the rungs ------------------------------------------------------------------------------


def _steps(
    images: Sequence[RecoveryPoint],
    here: Sequence[RecoveryPoint],
    made: Sequence[BootPoint],
    written: datetime | None,
) -> tuple[Step, ...]:
    trunks = [p for p in made if p.has_trunk or p.ready_at is not None or p.stage is Stage.READY]
    ready = [p for p in made if p.stage is Stage.READY]
    reached: dict[Rung, list[tuple[datetime, datetime | None]]] = {
        Rung.WRITTEN: [(p.taken_at, p.taken_at) for p in images],
        Rung.ARRIVED: [(p.taken_at, p.arrived_at) for p in here],
        Rung.VERIFIED: [*_checked(here), *((p.taken_at, p.ready_at) for p in trunks)],
        Rung.READY: [(p.taken_at, p.ready_at) for p in ready],
        Rung.PROVEN: [(p.taken_at, p.proven_at) for p in ready if p.proven_at is not None],
    }
    if written is not None:
        reached[Rung.WRITTEN].append((written, written))
    # What came to a rung passed those below, though its image may be gone from the folder by now.
    for lower, upper in reversed(list(pairwise(Rung))):
        reached[lower] += [(taken, None) for taken, _at in reached[upper]]
    steps: list[Step] = []
    for rung in Rung:
        data, at = _newest(reached[rung])
        before = steps[-1].data_as_of if steps else None
        lost = (before - data).total_seconds() if before and data else None
        steps.append(Step(rung, data, at, lost))
    return tuple(steps)


def _newest(
    reached: Iterable[tuple[datetime, datetime | None]],
) -> tuple[datetime | None, datetime | None]:
    found: tuple[datetime | None, datetime | None] = (None, None)
    for data, at in reached:
        if found[0] is None or data > found[0] or (data == found[0] and found[1] is None):
            found = (data, at)
    return found


def _checked(here: Iterable[RecoveryPoint]) -> list[tuple[datetime, datetime | None]]:
    return [(p.taken_at, None) for p in here if p.arrival is Arrival.VERIFIED]


def _losing(steps: Sequence[Step], usual: float | None, now: datetime) -> Rung | None:
    costs: dict[Rung, float] = {}
    for step in steps:
        if step.rung is Rung.PROVEN:
            break
        if step.data_as_of is None:
            return step.rung
        cost = step.lost_s
        if step.rung is Rung.WRITTEN:
            age = (now - step.data_as_of).total_seconds()
            cost = None if usual is None else age - 2 * usual
        costs[step.rung] = cost or 0.0
    worst = max(costs, key=lambda rung: costs[rung])
    return worst if costs[worst] > 0 else None


# --- the rhythm -----------------------------------------------------------------------------


def _moments(here: Iterable[RecoveryPoint], made: Iterable[BootPoint]) -> list[datetime]:
    """Return the moments of all images known of, sorted; also of those gone from the folder."""
    by_id: dict[PointId, datetime] = {point.recovery_point: point.taken_at for point in made}
    by_id |= {point.id: point.taken_at for point in here}
    return sorted(set(by_id.values()))


def usual_gap(moments: Sequence[datetime]) -> float | None:
    """Return the usual gap between images in seconds; None with fewer than two gaps.

    The median of the newest gaps: an outage, a weekend or an hour of daylight saving among them
    does not move it.

    Args:
        moments: When the images were taken, sorted.
    """
    newest = moments[-GAPS - 1 :]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(newest)]
    return statistics.median(gaps) if len(gaps) >= LEAST_GAPS else None


def known_pause(moments: Sequence[datetime], last: datetime, usual: float | None) -> float:
    """Return by how many seconds the gap after `last` may be longer than usual, by experience.

    That of the longest gap that began a day, a week or two weeks before, at about the same time:
    the night after the last image of a day, the weekend after the last one of a week.

    Args:
        moments: When the images were taken, sorted.
        last: Moment of the newest one.
        usual: `usual_gap(moments)`.
    """
    if usual is None:
        return 0.0
    longest = usual
    for ago in BEFORE:
        first = bisect_left(moments, last - ago - NEAR)
        end = bisect_right(moments, last - ago + NEAR)
        for at in range(first, min(end, len(moments) - 1)):
            longest = max(longest, (moments[at + 1] - moments[at]).total_seconds())
    return longest - usual


def _goal(told: int | None, moments: Sequence[datetime], usual: float | None) -> float | None:
    if told is not None:
        return float(told) or None
    room = None if usual is None else usual + min(max(2 * usual, LEAST_ROOM_S), MOST_ROOM_S)
    if not moments:
        return NEWCOMER_S
    if room is None or moments[-1] - moments[0] < LEARNED:
        return max(NEWCOMER_S, room or 0.0)
    return room
