"""What happens next on a standby, when, or what that waits for. Pure, derived each time.

a job runs ─ paused ─ a boot point failed ─ one waits for its turn, or for a window to end
─ something is missing ─ the next moment ─ N more increments ─ the next arrival
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.model import schedule
from engine.model.images import RecoveryPoint
from engine.model.line import follow
from engine.model.planner import Limits, is_parked, retry_at
from engine.model.points import UNMADE, BootPoint, Stage
from engine.model.schedule import Calendar
from engine.model.standby import Standby, TriggerKind
from engine.model.state import State
from engine.model.text import safe
from engine.model.work import Job, JobKind, JobStatus


class NextKind(StrEnum):
    """What happens next on a standby."""

    RUNNING = "running"
    QUEUED = "queued"
    DUE = "due"
    RETRY = "retry"
    WAITING = "waiting"
    HELD = "held"
    BLACKOUT = "blackout"
    SCHEDULED = "scheduled"
    COUNTING = "counting"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What happens next.

    Attributes:
        text: In a few words, or a sentence about what is awaited.
        at: When, UTC: the next try or moment, the end of the pause or window; None: it is not the
            clock that it waits for.
    """

    kind: NextKind
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """What the time says about one standby; the same as long as nothing passes.

    Attributes:
        is_held: Its work is paused.
        closed_until: End of the window in which nothing is begun; None: none is open.
        moment: Next moment of its trigger; None: it goes by arrivals.
    """

    is_held: bool
    closed_until: datetime | None
    moment: datetime | None


def clock_of(standby: Standby, now: datetime, calendar: Calendar) -> Clock:
    """Return what the time says about a standby now."""
    return Clock(
        standby.is_held(now),
        calendar.closed_until(standby, now),
        schedule.next_moment(standby.trigger, now, calendar.zone),
    )


def outlook(
    standby: Standby,
    job: Job | None,
    images: Sequence[RecoveryPoint],
    made: Sequence[BootPoint],
    failed: BootPoint | None,
    waiting: Sequence[str],
    state: State,
    now: datetime,
    limits: Limits,
    calendar: Calendar,
) -> Outlook:
    """Return what happens next on a standby.

    Args:
        standby: Its definition.
        job: Its live job.
        images: Recovery points of its machine in its folder.
        made: Its boot points, retired ones included.
        failed: The newest one that failed and that none made good since.
        waiting: Sentences about what is missing.
        state: The picture.
        now: Aware.
        limits: Of the planner.
        calendar: Zone and windows.
    """
    if job is not None:
        is_running = job.status is JobStatus.RUNNING
        return Outlook(NextKind.RUNNING if is_running else NextKind.QUEUED, _DOES[job.kind])
    clock = clock_of(standby, now, calendar)
    coming = _failed(failed, state, limits) or _pending(made)
    by_hand = any(point.asked and point.stage in UNMADE for point in made)
    goes_on = by_hand and coming is not None and coming.kind is not NextKind.WAITING
    if clock.is_held and not goes_on:
        return Outlook(NextKind.HELD, safe(standby.held), standby.held_until)
    if coming is None and waiting:
        return Outlook(NextKind.WAITING, waiting[0])
    coming = coming or _triggered(standby, images, made, clock, now, calendar)
    return coming if by_hand else _after_window(coming, clock)


def _failed(failed: BootPoint | None, state: State, limits: Limits) -> Outlook | None:
    if failed is None:
        return None
    if is_parked(failed, state, limits):
        return Outlook(NextKind.WAITING, "new images; it was tried often enough")
    if failed.obstacle:
        return Outlook(NextKind.WAITING, "new images; the guest of the newest ones is NOT BOOTABLE")
    at = retry_at(failed, limits)
    return Outlook(NextKind.RETRY, "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC", at)


def _pending(made: Sequence[BootPoint]) -> Outlook | None:
    if any(point.stage is Stage.PENDING for point in made):
        return Outlook(NextKind.DUE, "a boot point waits for its turn")
    return None


def _triggered(
    standby: Standby,
    images: Sequence[RecoveryPoint],
    made: Sequence[BootPoint],
    clock: Clock,
    now: datetime,
    calendar: Calendar,
) -> Outlook:
    """Return when the trigger makes the next boot point, if what it needs arrives."""
    trigger = standby.trigger
    if clock.moment is not None and not schedule.is_time(trigger, made, now, calendar.zone):
        open_at = calendar.closed_until(standby, clock.moment)
        return Outlook(NextKind.SCHEDULED, str(trigger), open_at or clock.moment)
    if trigger.kind is TriggerKind.EVERY and trigger.count is not None:
        line = follow(images, made)
        more = 0 if line is None else schedule.more_needed(line, trigger.count)
        if more:
            return Outlook(NextKind.COUNTING, f"{more} more increment{'s' * (more > 1)}")
    return Outlook(NextKind.NONE)


def _after_window(coming: Outlook, clock: Clock) -> Outlook:
    """Return the end of the open window instead of what could not be begun before it."""
    end = clock.closed_until
    sooner = coming.at is None or (end is not None and coming.at <= end)
    held_up = (NextKind.DUE, NextKind.RETRY, NextKind.SCHEDULED, NextKind.NONE)
    if end is None or not sooner or coming.kind not in held_up:
        return coming
    return Outlook(NextKind.BLACKOUT, coming.text, end)


_DOES = {
    JobKind.SYNC: "makes a boot point",
    JobKind.APPLY: "applies an increment; newer ones go first",
    JobKind.MEASURE: "measures what a boot point would take",
    JobKind.CONVERT: "converts a boot point again",
    JobKind.RETIRE: "retires a boot point",
    JobKind.ARM: "gets its newest boot point armed",
    JobKind.START: "starts",
    JobKind.HOME: "is brought home",
    JobKind.STOP: "stops",
}
