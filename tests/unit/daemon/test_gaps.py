"""What an image set lacks, and whether that still stops something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.daemon.intake import gaps
from engine.model.images import ImageSet, PointId
from tests.scripted import NOW, boot_point, recovery_point

LACKED = {PointId("middle"): "The file of increment 2 is missing."}


@pytest.mark.parametrize(("days", "other", "stops"), [(1, True, False), (-1, True, True),
                                                      (1, False, True)])  # fmt: skip
def test_a_gap_stops_nothing_once_a_newer_chain_took_its_place(
    days: int, other: bool, stops: bool
) -> None:
    """Newer data of another chain is ready; older data, or that of the same chain, is no help."""
    point = recovery_point("erp", 3, NOW)
    images = ImageSet(point.set_id, point.machine_uuid, "erp", "/images", [point], LACKED)
    made = replace(
        boot_point(9, point),
        taken_at=NOW + timedelta(days=days),
        set_id="another" if other else point.set_id,
    )

    assert gaps(images, set(), [made]) == (LACKED if stops else {})
    assert gaps(images, set(), []) == LACKED
