"""How each standby stands: one code, the lag, the strip, and what is wrong in a sentence. Pure.

    LIVE TEST NONE LOST FAIL HELD LATE BUILD READY      the first that applies is shown

Derived from the state each time, never stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.model.guard import GUARD
from engine.model.images import RecoveryPoint
from engine.model.ladder import Ladder, climb, silence
from engine.model.line import forks, is_usable, lies_in, outdated, tip_of
from engine.model.outlook import Outlook, outlook
from engine.model.planner import Limits, is_parked
from engine.model.points import WORKING, BootPoint, BootPointId, Stage, in_order
from engine.model.schedule import Calendar
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.text import safe
from engine.model.work import Job

STRIP = 12


class Code(StrEnum):
    """State of a standby, in the order in which the first that applies is shown."""

    LIVE = "LIVE"
    TEST = "TEST"
    NONE = "NONE"
    LOST = "LOST"
    FAIL = "FAIL"
    HELD = "HELD"
    LATE = "LATE"
    BUILD = "BUILD"
    READY = "READY"


NEED = (
    Code.LIVE,
    Code.NONE,
    Code.FAIL,
    Code.LOST,
    Code.LATE,
    Code.BUILD,
    Code.TEST,
    Code.HELD,
    Code.READY,
)
"""The order of a list sorted by how much a standby needs somebody."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One standby now.

    Attributes:
        can_start: A ready boot point exists (and its target answers).
        image_as_of: Of the newest usable recovery point, whether it was made or not.
        data_as_of: Of the newest ready boot point.
        lag_s: Age of that data in seconds.
        points: Ready boot points.
        strip: Newest boot points, oldest first: `.` on time, `o` late, `X` failed, `>` on its way.
        running: Boot point a VM runs from.
        job: The live job, if there is one.
        alarms: What is wrong, sentences; the gravest first.
        ladder: How far the newest data has climbed, and when the machine is silent.
    """

    code: Code
    can_start: bool
    image_as_of: datetime | None
    data_as_of: datetime | None
    lag_s: float | None
    points: int
    strip: str
    running: BootPointId | None
    job: Job | None
    next: Outlook
    alarms: Sequence[str]
    ladder: Ladder


def survey(
    standbys: Mapping[str, Standby],
    sources: Mapping[str, str],
    state: State,
    now: datetime,
    limits: Limits,
    waiting: Mapping[str, Sequence[str]] | None = None,
    lost: Mapping[str, str] | None = None,
    written: Mapping[str, datetime] | None = None,
    calendar: Calendar | None = None,
) -> dict[str, Standing]:
    """Return how all standbys stand.

    Args:
        standbys: By name.
        sources: Standby -> machine UUID; absent: unknown.
        state: The picture.
        now: Aware.
        limits: Of the planner, for the time of the next try.
        waiting: Standby -> sentences about what it waits for.
        lost: Target -> why it cannot be used.
        written: Machine UUID -> moment of its newest image that is on its way.
        calendar: Zone and windows; None: UTC and the standbys' own.
    """
    made, machines = state.by_standby, state.by_machine
    jobs = {job.standby: job for job in state.live_jobs()}
    found = {}
    for name, standby in standbys.items():
        images = [
            point
            for point in machines.get(sources.get(name, ""), ())
            if lies_in(point, standby.images)
        ]
        around = _Around(
            images,
            made.get(name, ()),
            jobs.get(name),
            (waiting or {}).get(name, ()),
            (lost or {}).get(standby.target, ""),
            (written or {}).get(sources.get(name, "")),
        )
        found[name] = _standing(standby, around, state, now, limits, calendar or Calendar())
    return found


@dataclass(frozen=True, slots=True)
class _Around:
    """What concerns one standby."""

    images: Sequence[RecoveryPoint]
    made: Sequence[BootPoint]
    job: Job | None
    waiting: Sequence[str]
    lost: str
    written: datetime | None

    def alive(self) -> list[BootPoint]:
        return [point for point in self.made if point.stage is not Stage.RETIRED]


def _standing(
    standby: Standby,
    around: _Around,
    state: State,
    now: datetime,
    limits: Limits,
    calendar: Calendar,
) -> Standing:
    alive = around.alive()
    ready = [point for point in alive if point.stage is Stage.READY]
    newest = max(ready, key=lambda p: in_order(p.id), default=None)
    lag = None if newest is None else max(0.0, (now - newest.taken_at).total_seconds())
    failed = _failed(alive, newest)
    late = standby.rpo_s is not None and lag is not None and lag > standby.rpo_s
    ladder = climb(
        around.images, around.made, standby.silence_s, now, around.written, standby.created_at
    )
    run = state.runs.get(standby.name)
    applies = {
        Code.TEST: run is not None,
        Code.NONE: newest is None,
        Code.LOST: bool(around.lost),
        Code.FAIL: failed is not None,
        Code.HELD: standby.is_held(now),
        Code.LATE: late or ladder.silent,
        Code.BUILD: any(point.stage in WORKING for point in alive),
    }
    return Standing(
        code=next((code for code in Code if applies.get(code)), Code.READY),
        can_start=newest is not None and not around.lost,
        image_as_of=max((p.taken_at for p in around.images if is_usable(p)), default=None),
        data_as_of=None if newest is None else newest.taken_at,
        lag_s=lag,
        points=len(ready),
        strip="".join(_mark(point, standby.rpo_s) for point in alive[-STRIP:]),
        running=None if run is None else run.boot_point,
        job=around.job,
        next=outlook(
            standby,
            around.job,
            around.images,
            around.made,
            failed,
            around.waiting,
            state,
            now,
            limits,
            calendar,
        ),
        alarms=[
            *_alarms(standby, around, newest, failed, state, late=late, limits=limits),
            *([silence(ladder)] if ladder.silent else []),
        ],
        ladder=ladder,
    )


def release_of(standby: Standby) -> str:
    """Return the command that ends the hold of a standby's retention."""
    if standby.retention.hold.startswith(GUARD):
        return f"bootpoint guard release {standby.name}"
    return f"bootpoint retention {standby.name} --release"


def _failed(alive: Sequence[BootPoint], newest: BootPoint | None) -> BootPoint | None:
    """Return the newest failed boot point that no ready one has made good since."""
    failed = [
        point
        for point in alive
        if point.stage is Stage.FAILED
        and (newest is None or in_order(point.id) > in_order(newest.id))
    ]
    return failed[-1] if failed else None


def _mark(point: BootPoint, rpo_s: int | None) -> str:
    if point.stage is Stage.FAILED:
        return "X"
    if point.stage is not Stage.READY or point.ready_at is None:
        return ">" if point.stage is not Stage.READY else "."
    behind = (point.ready_at - point.taken_at).total_seconds()
    return "o" if rpo_s is not None and behind > rpo_s else "."


def _alarms(
    standby: Standby,
    around: _Around,
    newest: BootPoint | None,
    failed: BootPoint | None,
    state: State,
    *,
    late: bool,
    limits: Limits,
) -> list[str]:
    told = []
    if hold := safe(standby.retention.hold, 400).rstrip("."):
        told.append(f"Retention is on hold by {hold}.")
        told.append(f"Nothing is taken away before it is released: {release_of(standby)}.")
    if around.lost:
        told.append(f"Target {standby.target} cannot be used: {around.lost}")
    if failed is not None:
        again = (
            f" It was tried {failed.attempts} times and waits until its images change."
            if is_parked(failed, state, limits)
            else ""
        )
        what = "is NOT BOOTABLE" if failed.obstacle else "could not be made"
        told.append(f"Boot point {failed.id} {what}: {failed.reason}{again}")
    if newest is None and failed is None and not around.waiting:
        told.append("No boot point is ready yet; this machine cannot be started.")
    told += around.waiting
    if late and newest is not None:
        told.append(
            f"The newest boot point holds data as of {newest.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
            f"which is older than the goal of {standby.rpo_s} s."
        )
    told += [
        f"Recovery point {fork.sequence} ({safe(fork.id)}) branches off before the newest boot "
        "point and is not newer; it is held. Check which backup chain of this machine goes on."
        for fork in forks(around.images, around.made)
    ]
    told += [_archive(end, around) for end in outdated(around.images, around.made)]
    return told


def _archive(end: RecoveryPoint, around: _Around) -> str:
    """Say what came later and is older, why nothing is made of it, and how to have it anyway."""
    count = sum(point.set_id == end.set_id for point in around.images)
    what = f"{count} recovery points" if count > 1 else "1 recovery point"
    file = next((disk.path for disk in end.disks if disk.path), "")
    where = f" ({safe(file, 200)})" if file else ""
    tip = tip_of(around.made)
    newest = f" of {tip.taken_at:%Y-%m-%d %H:%M:%S} UTC" if tip is not None else ""
    return (
        f"An older chain of images has arrived after the newer one: {what}, the last of "
        f"{end.taken_at:%Y-%m-%d %H:%M:%S} UTC{where}, older than the newest boot point{newest}. "
        "No boot points are made of it: the newest one would then hold older data. To have them "
        "anyway, move its files to a folder of their own and add a standby for that folder. If "
        "these are new backups and the machine's clock was put back, set the clock right and make "
        "a full backup."
    )
