"""Snapshots into views."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from engine.api.present import Presenter
from engine.api.views import FindingView, FleetView
from engine.daemon.service import Snapshot
from engine.model.fleet import survey
from engine.model.images import Arrival, BadFile, FileMark, PointId
from engine.model.machine import Gravity
from engine.model.planner import Limits
from engine.model.points import BootPointId, Stage
from engine.model.progress import Progress
from engine.model.work import JobKind
from engine.ports import Finding
from tests.scripted import (
    FOLDER,
    NOW,
    ScriptedService,
    boot_point,
    empty,
    recovery_point,
    root_view,
    site,
    target_status,
)


def fleet_of(snapshot: Snapshot) -> dict[str, FleetView]:
    """Return the fleet by name."""
    return {one.id: one for one in Presenter().views(snapshot).fleet}


def test_an_empty_engine_has_empty_views() -> None:
    """Nothing protected is no error."""
    views = Presenter().views(empty())
    assert (views.fleet, views.jobs, views.sets, views.findings) == ([], [], [], [])
    assert [one.id for one in views.targets] == ["local"]


def test_a_ready_machine_says_from_when_its_data_is() -> None:
    """A READY machine has its newest point, the age of its data and a strip."""
    erp = fleet_of(site())["erp"]
    assert (erp.state, erp.can_start, erp.point) == ("READY", True, "bp000004")
    assert erp.lag_s == 720
    assert erp.data_as_of == NOW - timedelta(minutes=12)
    assert (erp.points, erp.strip) == (4, "....")


def test_only_time_makes_a_machine_late() -> None:
    """The same presenter turns READY into LATE when the goal is passed, and counts the lag."""
    presenter, snapshot = Presenter(), site()
    assert presenter.views(snapshot).fleet[0].state == "READY"
    later = replace(snapshot, now=NOW + timedelta(minutes=40))
    assert presenter.views(later).fleet[0].lag_s == 52 * 60
    assert presenter.views(later).fleet[0].state == "READY"
    late = presenter.views(replace(snapshot, now=NOW + timedelta(hours=2))).fleet[0]
    assert late.state == "LATE"
    assert late.alarm
    assert late.remedy


def test_a_remembering_presenter_says_what_a_fresh_one_says() -> None:
    """Whatever changes, the views made from memory equal those made anew."""
    service, presenter = ScriptedService(site(4, 3)), Presenter()
    image = recovery_point("erp", 9, NOW)
    job = service.begin_job(JobKind.SYNC, "web", BootPointId("bp000002"))
    steps: list[Callable[[], object]] = [
        lambda: service.put(image, boot_point(77, image, stage=Stage.APPLYING)),
        lambda: service.report(job.id, Progress("apply", 5, 10, 1.0, 5.0)),
        lambda: service.run("dc", BootPointId("bp000009")),
        lambda: service.put(boot_point(77, image, stage=Stage.FAILED, reason="broken.")),
        lambda: service.hold("m003", "moving", "ops"),
        lambda: service.advance(hours=2),
        lambda: service.show(waiting={"erp": ("a parent is missing",)}),
        lambda: service.show(targets=(target_status(problem="no answer"),)),
        lambda: service.remove_standby("web", "ops"),
    ]
    for step in steps:
        step()
        snapshot = service.snapshot()
        assert presenter.views(snapshot) == Presenter().views(snapshot)


def test_the_fleet_agrees_with_the_survey_of_all() -> None:
    """Asking for each standby alone gives the same states as asking for all at once."""
    service = ScriptedService(site(5, 3))
    image = recovery_point("web", 9, NOW)
    service.put(image, boot_point(50, image, stage=Stage.FAILED, reason="broken."))
    service.run("dc", BootPointId("bp000009"))
    snapshot = service.snapshot()
    told = survey(snapshot.standbys, snapshot.sources, snapshot.state, NOW, Limits())
    assert {name: one.code for name, one in told.items()} == {
        name: one.state for name, one in fleet_of(snapshot).items()
    }


def test_progress_is_part_of_what_happens_next() -> None:
    """A running job tells its share and its time left on the machine's line."""
    service = ScriptedService()
    job = service.begin_job(JobKind.SYNC, "erp", BootPointId("bp000004"))
    service.report(job.id, Progress("apply", 62, 100, 10.0, 4.0))
    told = fleet_of(service.snapshot())["erp"].next
    assert (told.kind, told.done, told.eta_s) == ("running", 0.62, 4.0)


def test_everything_wrong_is_a_finding_with_a_way_out() -> None:
    """Bad files, folders offline, missing parents, damaged points and targets are all told."""
    mark = FileMark(1, 1, 1, 1, 1)
    good = recovery_point("erp", 1, NOW)
    broken = recovery_point("erp", 2, NOW, arrival=Arrival.DAMAGED, reason="its hash is wrong")
    root = root_view(
        (good, broken),
        bad=(BadFile("x\x1b[2J.bpi", mark, "image.damaged", False, "no magic", "copy it again"),),
    )
    family = replace(root.sets[0], missing={PointId("seven"): "point 7 waits for point 6"})
    root = replace(root, sets=(family,), online=False, reason="the folder is not there")
    target = replace(
        target_status(problem="no answer"),
        findings=(Finding(Gravity.WARNING, "space", "little room", "free some"),),
    )
    snapshot = replace(site(1), roots={f"{FOLDER}/erp": root}, targets=(target,))
    found = list(Presenter().views(snapshot).findings)
    assert {one.id.split(":")[0] for one in found} == {
        "file",
        "folder",
        "missing",
        "point",
        "target",
    }
    assert all("\x1b" not in f"{one}" for one in found)
    assert {one.gravity for one in found} == {"warning", "error"}
    assert all(isinstance(one, FindingView) and one.text for one in found)


def test_what_was_applied_may_vanish_at_the_source() -> None:
    """The parent of a point that a boot point was made of is missed by nobody."""
    snapshot = site(1)
    (made, *_) = {point.recovery_point for point in snapshot.state.boot_points.values()}
    lone = replace(recovery_point("erp", 9, NOW), id=made)
    root = root_view((lone,))
    family = replace(root.sets[0], missing={made: "the point before it is not here"})
    root = replace(root, sets=(family,))
    told = Presenter().views(replace(snapshot, roots={root.root: root}))
    assert [one.missing for one in told.sets] == [[]]
    assert not told.findings


def test_a_set_in_a_folder_and_the_folder_above_is_shown_once() -> None:
    """A site's root and a standby's `images` below it; a copy elsewhere is one of its own."""
    inner = root_view((recovery_point("erp", 1, NOW),))
    roots = {inner.root: inner}
    for folder in (str(Path(inner.root).parent), "/mnt/copy"):
        roots[folder] = replace(
            inner, root=folder, sets=tuple(replace(one, root=folder) for one in inner.sets)
        )
    told = Presenter().views(replace(site(1), roots=roots)).sets
    assert [one.root for one in told] == [inner.root, "/mnt/copy"]


def test_ten_thousand_bad_files_are_not_ten_thousand_findings() -> None:
    """A folder full of foreign files is told as a number after the first ones."""
    mark = FileMark(1, 1, 1, 1, 1)
    bad = tuple(
        BadFile(f"{n}.tmp", mark, "image.foreign", False, "foreign", "") for n in range(10_000)
    )
    snapshot = replace(site(1), roots={"r": root_view((recovery_point("erp", 1, NOW),), bad=bad)})
    found = Presenter().views(snapshot).findings
    assert len(found) < 300
    assert any("9800 more files" in one.text for one in found)


def test_one_set_in_two_folders_has_two_ids() -> None:
    """A set that was copied to a second folder does not hide the first."""
    snapshot = site(1)
    view = snapshot.roots[f"{FOLDER}/erp"]
    again = replace(view, root="/copy", sets=(replace(view.sets[0], root="/copy"),))
    snapshot = replace(snapshot, roots={**snapshot.roots, "/copy": again})
    ids = [one.id for one in Presenter().views(snapshot).sets]
    assert ids == ["set-of-erp", "set-of-erp in /copy"]


def test_a_machine_tells_disks_points_and_the_run() -> None:
    """Points have their occupation, files and reasons; a run has safe serial lines."""
    service = ScriptedService()
    service.serials["erp"] = b"line one\r\nlogin: "
    service.run("erp", BootPointId("bp000004"))
    told = Presenter().machine(service.snapshot(), "erp")
    assert told is not None
    assert (told.source, told.set_id, told.disks[0].size) == ("erp", "set-of-erp", 40 << 30)
    assert (told.memory, told.cpus, told.firmware) == (1 << 30, 2, "bios")
    newest = told.points[-1]
    assert (newest.id, newest.kept, newest.used) == ("bp000004", "newest ready boot point", 1 << 30)
    assert newest.images == ["erp-000004-d00.bpi"]
    assert told.run is not None
    assert told.run.serial == ["line one", "login: "]
    assert Presenter().machine(service.snapshot(), "nope") is None


def steps(presenter: Presenter, service: ScriptedService) -> int:
    """Return how many functions are called to present what there is."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    gc.disable()  # what other tests left behind is cleared away by calls too
    sys.setprofile(count)
    try:
        presenter.views(service.snapshot())
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls


def test_what_was_presented_before_costs_as_many_steps_as_there_are_machines() -> None:
    """Not as many as there are points: a hub of 500 machines is presented twice a second."""
    told = []
    for points in (3, 30):
        service, presenter = ScriptedService(site(100, points)), Presenter()
        presenter.views(service.snapshot())
        nothing = steps(presenter, service)
        image = recovery_point("web", 40, NOW)
        service.put(image, boot_point(90_000, image))
        told.append((nothing, steps(presenter, service)))
    (few, _), (many, changed) = told
    assert many == few
    assert changed < 2 * many  # the machine that changed, not all hundred
