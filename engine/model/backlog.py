"""In which order the boot points of one standby are made, above all when increments piled up. Pure.

    bp4 ─ bp5 ─ bp6 ─ bp7        1. the trunk layers of bp5 and bp6, without conversion (APPLY)
    READY            newest      2. bp7: trunk layer and twig, so the newest data is READY (SYNC)
                                 3. the twigs of bp6, then bp5 (SYNC)

A trunk layer can only be laid on the one before it; a twig needs nothing but its trunk layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.model.conversion import ConversionMode
from engine.model.images import RecoveryPoint
from engine.model.line import bed, is_usable, path_for
from engine.model.points import UNMADE, BootPoint, BootPointId, Stage, in_order
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import JobKind

AHEAD = 24
"""Trunk layers that may wait for their conversion at a time."""


def open_now(made: Sequence[BootPoint], *, by_hand: bool) -> Sequence[BootPoint]:
    """Return the boot points that may be begun, in the order in which they are.

    Those asked for by hand, and what they are made from, come first, unless only other images help;
    `by_hand`: nothing else, as in a window or a pause.
    """
    by_id = {point.id: point for point in made}
    urgent: set[BootPointId] = set()
    for point in made:
        at = point if point.asked and not point.obstacle else None
        while at is not None and at.stage in UNMADE and at.id not in urgent:
            urgent.add(at.id)
            at = by_id.get(at.parent) if at.parent is not None else None
    first = [point for point in made if point.id in urgent]
    if by_hand:
        return first
    return [*first, *(point for point in made if point.id not in urgent)] if first else made


def as_told(standby: Standby, point: BootPoint) -> BootPoint:
    """Return the boot point without its obstacle when conversion was switched off meanwhile."""
    is_off = standby.conversion is ConversionMode.NONE
    return replace(point, obstacle="") if is_off and point.obstacle else point


def next_step(
    due: Sequence[BootPoint], made: Sequence[BootPoint], state: State, *, is_full: bool
) -> tuple[BootPoint, JobKind] | None:
    """Return which of the boot points that are due is worked on, and how far.

    Args:
        due: In the order in which they may be begun.
        made: All of the standby.
        state: The picture.
        is_full: No further trunk layer finds room.
    """
    bare = next((point for point in due if not point.has_trunk), None)
    laid = [point for point in due if point.has_trunk]
    tip = _tip(made)
    behind = len(laid) >= AHEAD and all(in_order(point.id) < tip for point in laid)
    if bare is None or (laid and (is_full or behind)):
        newest = max(laid, key=lambda point: (point.asked, in_order(point.id)), default=None)
        return None if newest is None else (newest, JobKind.SYNC)
    return bare, JobKind.APPLY if _can_wait(bare, made, state) else JobKind.SYNC


def _tip(made: Sequence[BootPoint]) -> tuple[int, str]:
    """Return the place of the boot point that was planned last of those that are ready."""
    ready = (in_order(point.id) for point in made if point.stage is Stage.READY)
    return max(ready, default=(0, ""))


def _can_wait(point: BootPoint, made: Sequence[BootPoint], state: State) -> bool:
    """Tell whether conversion waits: a newer one follows, and somewhat fresh data can start.

    Without any boot point that is ready the first one is made ready; and no more than `AHEAD` wait,
    or a source that is quicker than we are would keep all of them from it, and fill the store.
    """
    if not any(one.stage is Stage.READY for one in made):
        return False
    waiting = sum(one.stage is Stage.PENDING and one.has_trunk for one in made)
    follows = (one for one in made if one.parent == point.id and one.stage is Stage.PENDING)
    return waiting < AHEAD and any(_has_images(one, state) for one in follows)


def _has_images(point: BootPoint, state: State) -> bool:
    path = path_for(point, state)
    return bool(path) and all(is_usable(one) for one in path)


def reaimed(point: BootPoint | None, newer: Sequence[RecoveryPoint]) -> BootPoint | None:
    """Return a boot point nobody began as one of newer increments; None: it was begun.

    Args:
        point: The newest that was planned.
        newer: Increments after it, the last is the one to be made.
    """
    if point is None or point.stage is not Stage.PENDING or point.attempts or point.has_trunk:
        return None
    last = newer[-1]
    return replace(
        point,
        recovery_point=last.id,
        set_id=last.set_id,
        sequence=last.sequence,
        taken_at=last.taken_at,
        skipped=point.skipped + len(newer),
    )


def rebedded(made: Sequence[BootPoint], state: State) -> Sequence[BootPoint]:
    """Return new generations nobody began, to be compared with a newer trunk layer than planned.

    Args:
        made: All boot points of one standby.
        state: The picture that holds them and their recovery points.
    """
    found = []
    for point in made:
        begun = point.stage is not Stage.PENDING or point.attempts or point.has_trunk
        if begun or point.parent is None:
            continue
        path = path_for(point, state)
        if not path or not path[0].is_base:
            continue
        below = bed(one for one in made if in_order(one.id) < in_order(point.id))
        if below is not None and below.id != point.parent:
            found.append(replace(point, parent=below.id))
    return found
