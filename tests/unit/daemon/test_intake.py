"""What scans found, taken into the state and told."""

from __future__ import annotations

from dataclasses import replace

from engine.daemon.intake import Intake
from engine.model.images import RootView
from engine.state.memory import MemoryState
from tests.bench.largesite import START, recovery_points, view

OWNERS = {"erp-set": "erp"}


def outer(inner: RootView) -> RootView:
    """Return the view of the folder above, which holds the same image set."""
    (one,) = inner.sets
    points = [
        replace(
            point,
            root="/images",
            disks=tuple(replace(disk, path=f"erp/{disk.path}") for disk in point.disks),
        )
        for point in one.points
    ]
    return replace(inner, root="/images", sets=(replace(one, root="/images", points=points),))


def test_an_arrival_in_two_watched_folders_is_told_once() -> None:
    """One folder inside the other: what a site's root and a standby's `images` usually are."""
    state = MemoryState()
    inner = view("erp", recovery_points("erp", 3))
    Intake(state).take([outer(inner), inner], OWNERS, START)
    assert [line.key for line in state.journal()] == ["image.arrived"] * 3
    assert {point.root for point in state.read().recovery_points.values()} == {"/images/erp"}
