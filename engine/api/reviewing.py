"""Pure: the review of a start, made of the present picture."""

from __future__ import annotations

from collections.abc import Iterator

from engine.api.review_views import (
    ChoiceView,
    MissingView,
    PhaseView,
    ReviewView,
    UsualView,
)
from engine.daemon.service import Snapshot
from engine.model.guard import GUARD, guard, increments_of, words
from engine.model.images import PointId, RecoveryPoint
from engine.model.line import lies_in
from engine.model.pace import Pace, lasted, pace
from engine.model.review import Choice, Missing, review
from engine.model.standby import Standby
from engine.model.text import safe
from engine.model.work import Job, JobKind

MOST_CHOICES, MOST_MISSING = 40, 12
REASON, SENTENCES = 400, 700
SHOWN = (JobKind.START, JobKind.STOP)
"""Kinds of jobs whose phases are told."""


def review_view(snapshot: Snapshot, name: str) -> ReviewView:
    """Return what an operator must know before a machine is started."""
    standby, state = snapshot.standbys[name], snapshot.state
    stored = state.by_machine.get(snapshot.sources.get(name, ""), ())
    verdict = guard(increments_of(stored, standby.images), standby.guard_released)
    hold = standby.retention.hold
    told = review(
        state.points_of(name),
        _arrived(snapshot, standby),
        verdict,
        rpo_s=standby.rpo_s,
        is_frozen=hold.startswith(GUARD),
    )
    usual = usual_pace(snapshot, standby)
    return ReviewView(
        proposed=told.proposed.id if told.proposed else "",
        why=told.why,
        choices=[_choice(snapshot, one) for one in told.choices[:MOST_CHOICES]],
        hidden=max(0, len(told.choices) - MOST_CHOICES),
        missing=[_missing(one) for one in told.missing[:MOST_MISSING]],
        more_missing=max(0, len(told.missing) - MOST_MISSING),
        newest=told.newest,
        guard=safe(hold if hold.startswith(GUARD) else verdict.reason, SENTENCES),
        judged=len(verdict.judged),
        odd_since=told.odd_since,
        usual=usual_views(usual),
        whose=usual.whose,
        starts=usual.starts,
        power_s=usual.power_s,
        guest_s=usual.guest_s,
    )


def usual_pace(snapshot: Snapshot, standby: Standby) -> Pace:
    """Return how long starts of a machine take, by its own or its target's history."""
    near = {one.name for one in snapshot.standbys.values() if one.target == standby.target}
    return pace(snapshot.state.jobs.values(), standby.name, near)


def usual_views(usual: Pace) -> list[UsualView]:
    """Return the phases of a pace."""
    return [UsualView(name=p.name, seconds=p.seconds, starts=p.starts) for p in usual.phases]


def phase_views(job: Job) -> list[PhaseView]:
    """Return the phases of a start or stop; none of other jobs."""
    if job.kind not in SHOWN:
        return []
    return [
        PhaseView(name=safe(one.name), at=one.began_at, seconds=one.seconds) for one in lasted(job)
    ]


def _arrived(snapshot: Snapshot, standby: Standby) -> Iterator[RecoveryPoint]:
    """Yield all recovery points of a machine: as last scanned, and as stored."""
    uuid = snapshot.sources.get(standby.name, "")
    seen: dict[PointId, RecoveryPoint] = {
        point.id: point for point in snapshot.state.by_machine.get(uuid, ())
    }
    for root in snapshot.roots.values():
        for family in root.sets:
            if family.machine_uuid == uuid:
                seen |= {point.id: point for point in family.points}
    folded = {old for point in seen.values() for old in point.replaces}
    return (
        point
        for point in seen.values()
        if point.id not in folded and lies_in(point, standby.images)
    )


def _choice(snapshot: Snapshot, one: Choice) -> ChoiceView:
    point = one.point
    return ChoiceView(
        point=point.id,
        data_as_of=point.taken_at,
        lost_s=max(0.0, (snapshot.now - point.taken_at).total_seconds()),
        newer=one.newer,
        proven_at=point.proven_at,
        suspect=one.is_suspect,
        guard=words(one.odd) if one.odd else "",
        pin=safe(point.pin),
    )


def _missing(one: Missing) -> MissingView:
    return MissingView(
        sequence=one.point.sequence,
        data_as_of=one.point.taken_at,
        arrived_at=one.point.arrived_at,
        size=one.point.size,
        fate=one.fate.value,
        reason=safe(one.reason, REASON),
    )
