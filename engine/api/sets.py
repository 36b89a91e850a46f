"""Pure: scanned folders into the views of image sets."""

from __future__ import annotations

from collections.abc import Mapping

from engine.api.views import SetPointView, SetView
from engine.model.images import ImageSet, RecoveryPoint, RootView
from engine.model.text import safe

MOST_POINTS = 1000
"""Points shown of one set; the newest, so that a view fits into one frame."""
REASON = 400
MOST_MISSING = 50


def set_views(root: RootView, owners: Mapping[str, str]) -> list[SetView]:
    """Return the views of one folder's sets.

    Args:
        root: Its scan.
        owners: Set -> name of the standby that follows it, empty without one.
    """
    return [_set(each, root, owners.get(each.id, "")) for each in root.sets]


def _set(each: ImageSet, root: RootView, standby: str) -> SetView:
    shown = each.points[-MOST_POINTS:]
    return SetView(
        id=safe(each.id),
        machine=safe(each.machine_name),
        machine_uuid=safe(each.machine_uuid),
        root=safe(each.root, REASON),
        standby=standby,
        online=root.online,
        points=[_point(point) for point in shown],
        size=sum(point.size for point in each.points),
        newest=max((point.taken_at for point in each.points), default=None),
        missing=[safe(text, REASON) for text in list(each.missing.values())[:MOST_MISSING]],
        hidden=len(each.points) - len(shown),
    )


def _point(point: RecoveryPoint) -> SetPointView:
    return SetPointView(
        sequence=point.sequence,
        id=safe(point.id),
        parent=safe(point.parent or ""),
        arrival=point.arrival.value,
        taken_at=point.taken_at,
        size=point.size,
        base=point.is_base,
        reason=safe(point.reason, REASON),
    )
