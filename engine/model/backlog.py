"""In which order the boot points of one standby are made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from engine.model.conversion import ConversionMode
from engine.model.points import UNMADE, BootPoint, BootPointId
from engine.model.standby import Standby


def open_now(made: Sequence[BootPoint], closed_until: datetime | None) -> Sequence[BootPoint]:
    """Return the boot points that may be begun, in the order in which they are.

    Those asked for by hand, and what they are made from, come first; nothing else inside a window.
    """
    by_id = {point.id: point for point in made}
    urgent: set[BootPointId] = set()
    for point in made:
        at = point if point.asked else None
        while at is not None and at.stage in UNMADE and at.id not in urgent:
            urgent.add(at.id)
            at = by_id.get(at.parent) if at.parent is not None else None
    first = [point for point in made if point.id in urgent]
    if closed_until is not None:
        return first
    return [*first, *(point for point in made if point.id not in urgent)] if first else made


def as_told(standby: Standby, point: BootPoint) -> BootPoint:
    """Return the boot point without its obstacle when conversion was switched off meanwhile."""
    is_off = standby.conversion is ConversionMode.NONE
    return replace(point, obstacle="") if is_off and point.obstacle else point
