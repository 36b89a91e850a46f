"""Ways through the recovery points of a set: which can be reproduced, and by applying what.

p1 ── p2 ── p3 ── p4         to p4 from p2: p3, p4
 └───────── p3c              or p3c, p4 where p2 is not applied, or p3 is gone
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from engine.model.images import ROOTLESS, Arrival, ImagePart, PointId, RecoveryPoint
from engine.model.text import safe

USABLE = frozenset({Arrival.COMPLETE, Arrival.VERIFIED})
_TIME = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True, slots=True)
class Missing:
    """Why no way leads to a point.

    Attributes:
        point: What is not there, or not usable.
        reason: A sentence.
    """

    point: PointId
    reason: str


def path_to(
    point: PointId, applied: Collection[PointId], points: Iterable[RecoveryPoint]
) -> Sequence[RecoveryPoint] | Missing:
    """Return what to apply, oldest first, to bring a disk that holds an applied point to `point`.

    A consolidated point may be applied on its parent and on any point it replaces but itself. Of
    all ways the one with the fewest points, then the fewest bytes, is taken; one that begins at a
    base only when none begins at an applied point.

    Args:
        point: The goal; an empty path when it is applied already.
        applied: Points that a trunk layer exists of.
        points: All that is there; several forms of one point are allowed.
    """
    forms = _by_id(points)
    order = count()
    queue: list[tuple[int, int, int, PointId, tuple[RecoveryPoint, ...]]]
    queue = [(0, 0, next(order), point, ())]
    done: dict[PointId, tuple[RecoveryPoint, ...]] = {}
    stuck = point
    while queue:
        steps, size, _, at, path = heapq.heappop(queue)
        if at in applied:
            return path
        if at in done:
            continue
        done[at] = path
        if at != ROOTLESS and not forms[at]:
            stuck = at
        for form, below in ((f, b) for f in forms[at] for b in _below(f)):
            longer = (steps + 1, size + form.size, next(order), below, (form, *path))
            heapq.heappush(queue, longer)
    if ROOTLESS in done:
        return done[ROOTLESS]
    return Missing(stuck, f"Point {safe(stuck, 40)} is not there, or cannot be used.")


def _by_id(points: Iterable[RecoveryPoint]) -> dict[PointId, list[RecoveryPoint]]:
    """Return the usable forms of each point."""
    forms: dict[PointId, list[RecoveryPoint]] = defaultdict(list)
    for one in points:
        if one.arrival in USABLE and not one.locked:
            forms[one.id].append(one)
    return forms


def _below(form: RecoveryPoint) -> list[PointId]:
    """Return what a form may be applied on: nothing (a base), its parent, or rule C4."""
    if form.parent is None:
        return [ROOTLESS]
    return [form.parent, *(old for old in form.replaces if old != form.id)]


def newest(points: Iterable[RecoveryPoint]) -> RecoveryPoint | None:
    """Return the newest point whose chain is whole down to a base; None without one."""
    points = list(points)
    reached = reachable((point for point in points if not point.locked), ())
    whole = [point for point in points if id(point) in reached]
    return max(whole, key=lambda point: (point.taken_at, point.sequence, point.id), default=None)


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
