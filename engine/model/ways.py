"""Which recovery points of a set can be reproduced, and how a point is called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from engine.model.images import Arrival, ImagePart, PointId, RecoveryPoint

USABLE = frozenset({Arrival.COMPLETE, Arrival.VERIFIED})
_TIME = "%Y-%m-%d %H:%M:%S UTC"


def reachable(points: Iterable[RecoveryPoint], known: Collection[PointId]) -> set[int]:
    """Return `id()` of each usable form whose chain is whole down to a base or a known point."""
    children: dict[PointId, list[RecoveryPoint]] = defaultdict(list)
    todo: list[RecoveryPoint] = []
    for point in points:
        if point.arrival not in USABLE:
            continue
        if point.parent is None or point.parent in known:
            todo.append(point)
        else:
            children[point.parent].append(point)
    found: set[int] = set()
    while todo:
        point = todo.pop()
        if id(point) not in found:
            found.add(id(point))
            todo.extend(children[point.id])
    return found


def label(point: ImagePart | RecoveryPoint) -> str:
    """Return how a point is called in sentences, such as `p000014 (2026-01-01 03:00:00 UTC)`."""
    return f"p{point.sequence:06d} ({point.taken_at.strftime(_TIME)})"
