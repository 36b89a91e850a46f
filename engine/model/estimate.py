"""What a standby will take: room for its boot points, by its images; pace, by what was measured.

full 41 GiB, increments of 0.6 GiB on average, 24 kept ─► 53 GiB first, 72 GiB in the end
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model.images import Arrival, RecoveryPoint
from engine.model.space import MARGIN, brought
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import JobKind, JobStatus

LEAST_S = 1.0
"""Jobs that took less say nothing about the pace of a disk."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes, margin included.

    Attributes:
        read: Bytes of images that the first boot point is made of; without any margin.
        first: That the first boot point takes.
        each: That each further one takes; None while no increment is there to go by.
        kept: That all take once as many are kept; None without `each`.
    """

    read: int
    first: int
    each: int | None
    kept: int | None


def estimate(points: Sequence[RecoveryPoint], keep: int) -> Estimate | None:
    """Return what a standby of these images takes; None while there is no complete full.

    Args:
        points: Recovery points of one image set, in any order.
        keep: Boot points kept in the long run.
    """
    whole = sorted((p for p in points if p.arrival is Arrival.COMPLETE), key=lambda p: p.sequence)
    fulls = [point for point in whole if point.parent is None]
    if not fulls:
        return None
    later = [
        brought(point)
        for point in whole
        if point.set_id == fulls[-1].set_id and point.sequence > fulls[-1].sequence
    ]
    read = brought(fulls[-1])
    first = int(read * MARGIN)
    if not later:
        return Estimate(read, first, None, None)
    each = int(statistics.fmean(later) * MARGIN)
    return Estimate(read, first, each, first + each * max(keep - 1, 0))


@dataclass(frozen=True, slots=True)
class Pace:
    """Bytes a second at which boot points were made: the median of so many jobs."""

    rate: float
    jobs: int


def pace(target: str, standbys: Mapping[str, Standby], state: State) -> Pace | None:
    """Return how fast boot points were made on a target; None while none was measured."""
    rates = []
    for job in state.jobs.values():
        standby = standbys.get(job.standby)
        point = state.boot_points.get(job.boot_point) if job.boot_point else None
        if job.kind is not JobKind.SYNC or job.status is not JobStatus.DONE or point is None:
            continue
        if standby is None or standby.target != target or not (job.started_at and job.ended_at):
            continue
        took = (job.ended_at - job.started_at).total_seconds()
        if took >= LEAST_S and point.bytes:
            rates.append(point.bytes / took)
    return Pace(statistics.median(rates), len(rates)) if rates else None
