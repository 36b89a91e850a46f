"""How much older than the newest each boot point is, whatever clocks say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

from engine.model.points import BootPoint, BootPointId

SLACK = timedelta(days=7)
"""What a step may be longer than we can explain, and still be believed."""


def ages(alive: Sequence[BootPoint]) -> Mapping[BootPointId, timedelta]:
    """Return how much older than the newest each is.

    A step from one boot point to the next counts as the source's clock tells it, but no more than
    a week beyond what this engine saw pass between making the two, and a week beyond twice what
    so many increments usually take. So history that arrives at once has its age, and no clock
    that is set forward by years, nor both together, makes boot points old by itself.

    Args:
        alive: Oldest first.
    """
    usual = _usual_pause(alive)
    found: dict[BootPointId, timedelta] = {}
    age = timedelta()
    for newer, older in pairwise((None, *reversed(alive))):
        if older is None:
            break
        if newer is not None:
            seen = max(newer.created_at - older.created_at, timedelta())
            likely = 2 * usual * _increments(older, newer)
            age += min(newer.taken_at - older.taken_at, seen + SLACK, likely + SLACK)
        found[older.id] = age
    return found


def _usual_pause(alive: Sequence[BootPoint]) -> timedelta:
    """Return the median time between two increments, by the source's clock."""
    pauses = sorted(
        (newer.taken_at - older.taken_at) / _increments(older, newer)
        for older, newer in pairwise(alive)
    )
    return pauses[(len(pauses) - 1) // 2] if pauses else timedelta()


def _increments(older: BootPoint, newer: BootPoint) -> int:
    """Return how many increments lie between two boot points; 1 where a new chain began."""
    return max(newer.sequence - older.sequence, 1) if newer.set_id == older.set_id else 1
