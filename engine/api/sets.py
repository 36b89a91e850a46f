"""Pure: scanned folders into the views of image sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.api.views import SetPointView, SetView
from engine.model.images import ImageSet, PointId, RecoveryPoint, RootView
from engine.model.text import safe

MOST_POINTS = 1000
"""Points shown of one set; the newest, so that a view fits into one frame."""
REASON = 400
MOST_MISSING = 50


def set_views(
    root: RootView, owners: Mapping[str, str], lacking: Mapping[str, Mapping[PointId, str]]
) -> list[SetView]:
    """Return the views of one folder's sets.

    Args:
        root: Its scan.
        owners: Set -> name of the standby that follows it, empty without one.
        lacking: Set -> missing parents that stop something (`intake.standing`).
    """
    return [
        _set(each, root, owners.get(each.id, ""), lacking.get(each.id, {})) for each in root.sets
    ]


def without_outer(views: Sequence[SetView]) -> list[SetView]:
    """Return views without those of a folder in which another watched folder holds the same set.

    A site's root and a standby's `images` below it see the same files.
    """
    inner: dict[str, list[SetView]] = {}
    for view in views:
        inner.setdefault(view.id, []).append(view)
    return [
        view
        for view in views
        if not any(
            other.root.startswith(view.root.rstrip("/") + "/") and _has_all(other, view)
            for other in inner[view.id]
        )
    ]


def _has_all(one: SetView, other: SetView) -> bool:
    return {point.id for point in one.points} >= {point.id for point in other.points}


def _set(each: ImageSet, root: RootView, standby: str, lacking: Mapping[PointId, str]) -> SetView:
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
        missing=[safe(text, REASON) for text in list(lacking.values())[:MOST_MISSING]],
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
