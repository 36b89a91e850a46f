"""What scans found, taken into the state and told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engine.api.findings import findings
from engine.daemon.intake import Intake
from engine.model.conditions import Scene, conditions
from engine.model.images import Arrival, BadFile, FileMark, RootView
from engine.model.work import Severity
from engine.state.memory import MemoryState
from tests.bench.largesite import START, recovery_points, view
from tests.scripted import site

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


def settling(told: RootView, *, size: int = 9000) -> RootView:
    """Return the first view after a start: the files are there, and may still change."""
    (one,) = told.sets
    points = []
    for point in one.points:
        (disk,) = point.disks
        assert disk.mark is not None
        mark = replace(disk.mark, device=7, size=size)
        points.append(replace(point, arrival=Arrival.ARRIVING, disks=(replace(disk, mark=mark),)))
    return replace(told, sets=(replace(one, points=points),))


def test_a_start_of_the_engine_is_no_second_arrival() -> None:
    """Files settle anew; what is known of them stays, and with it when they arrived.

    Else each start told all arrivals again, and a release of the ransomware guard, which goes by
    them, was void.
    """
    state, told = MemoryState(), view("erp", recovery_points("erp", 3))
    Intake(state).take([told], OWNERS, START)
    again, later = Intake(state), START + timedelta(days=1)
    for one in (settling(told), told):
        again.take([one], OWNERS, later)
    points = state.read().recovery_points.values()
    assert [point.arrived_at for point in points] == [START] * 3
    assert len(state.journal()) == 3


def test_a_point_whose_file_is_being_replaced_is_not_used_meanwhile() -> None:
    """It is another file, and not whole yet."""
    state, told = MemoryState(), view("erp", recovery_points("erp", 3))
    intake = Intake(state)
    intake.take([told], OWNERS, START)
    intake.take([settling(told, size=8000)], OWNERS, START)
    assert not state.read().recovery_points


def test_a_second_copy_is_no_warning() -> None:
    """It is in the journal and among the findings, and nobody is called for it."""
    state = MemoryState()
    mark = FileMark(1, 1, 1, 1, 1)
    copy = BadFile("b/1.bpi", mark, "image.duplicate", False, "1.bpi is a second copy.", "")
    broken = BadFile("2.bpi", mark, "image.damaged", False, "2.bpi is damaged.", "Send it again.")
    told = replace(view("erp", recovery_points("erp", 1)), bad=(copy, broken))
    Intake(state).take([told], OWNERS, START)
    lines = {line.key: line.severity for line in state.journal()}
    assert (lines["image.duplicate"], lines["image.damaged"]) == (Severity.INFO, Severity.WARNING)
    snapshot = replace(site(1), roots={told.root: told})
    found = {one.text: one.gravity for one in findings(snapshot)}
    assert found == {copy.reason: "note", broken.reason: "warning"}
    scene = Scene(START, state.read(), roots={told.root: told})
    assert [one.text for one in conditions(scene) if one.key.startswith("image:")] == [
        "2.bpi: 2.bpi is damaged."
    ]
