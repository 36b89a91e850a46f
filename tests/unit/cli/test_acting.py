"""What commands that change something do, and what they leave."""

from __future__ import annotations

import json
import shlex
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.model.errors import Problem
from engine.model.points import BootPointId, Stage
from engine.model.progress import Progress
from engine.model.readrate import Pace
from engine.model.waits import Bound, Wait
from engine.model.work import JobKind, JobStatus
from tests.scripted import (
    NOW,
    PNG,
    ScriptedService,
    boot_point,
    recovery_point,
    target_status,
)
from tests.unit.cli.program import Program

ERP = BootPointId("bp000004")


def test_start_runs_the_newest_point_and_says_the_job(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Without --wait the job's number is printed."""
    assert bootpoint("start", "erp").out == "Starting erp from bp000004. Job 1.\n"
    assert service.calls[-1][:3] == ("start", "erp", ERP)


def test_a_point_may_be_named_by_its_number(bootpoint: Program, service: ScriptedService) -> None:
    """`--point 2` is bp000002."""
    bootpoint("start", "erp", "--point", "2")
    assert service.calls[-1][2] == "bp000002"


def test_wait_follows_the_job_to_its_end(bootpoint: Program) -> None:
    """With --wait the outcome is printed, the way there on standard error."""
    told = bootpoint("start", "erp", "--wait")
    assert told.out == "erp runs from bp000004 (0s).\n"
    assert "Starting erp" in told.err
    assert bootpoint("stop", "erp", "--wait", "--json").told["status"] == "done"


def test_a_job_that_fails_is_a_failed_command(bootpoint: Program, service: ScriptedService) -> None:
    """A failed job gives 1 and its reason, as text and as JSON."""
    service.settles = False

    def end() -> None:
        while not list(service.snapshot().state.live_jobs()):
            threading.Event().wait(0.01)
        job = next(iter(service.snapshot().state.live_jobs()))
        service.report(job.id, Progress("boot", 1, 4, 2.0, 1.5))
        service.end_job(job.id, JobStatus.FAILED, "QEMU ended at once.")

    thread = threading.Thread(target=end)
    thread.start()
    told = bootpoint("start", "erp", "--wait", "--json")
    thread.join()
    assert told.code == 1
    assert "QEMU ended at once" in told.told["error"]["message"]


def test_a_dry_run_changes_nothing(bootpoint: Program, service: ScriptedService) -> None:
    """The plan is shown, and the engine was asked for nothing."""
    out = bootpoint("start", "erp", "--dry-run").out
    assert "1. make a scratch layer" in out
    assert "Nothing was changed" in out
    assert service.calls == []


def test_a_dry_run_of_a_start_is_the_review(bootpoint: Program, service: ScriptedService) -> None:
    """Data and loss, what arrived and is not ready, guard, time, alternatives; as JSON too."""
    service.put(recovery_point("erp", 5, NOW))
    out = bootpoint("start", "erp", "--point", "3", "--dry-run").out
    assert "from boot point bp000003" in out
    assert "You lose     what was written in the last 1h12m" in out
    assert "increment 5, 1.0 GiB: arrived, nothing was made of it yet" in out
    assert "Guard        Nothing odd" in out
    assert "Time         not known. No history yet" in out
    assert "Proposed is bp000004: It is the newest" in out
    told = bootpoint("start", "erp", "--dry-run", "--json").told
    review = told["plan"]["review"]
    assert (review["proposed"], review["whose"]) == ("bp000004", "")
    assert [one["newer"] for one in review["choices"]] == [1, 2, 3, 4]
    assert review["missing"][0]["fate"] == "waits"


def test_a_job_can_be_cancelled(bootpoint: Program, service: ScriptedService) -> None:
    """`job cancel N` asks the engine to end it; an ended one is refused."""
    job = service.begin_job(JobKind.SYNC, "erp", ERP)
    assert bootpoint("job", "cancel", str(job.id)).code == 0
    assert bootpoint("job", "cancel", str(job.id)).code == 4


def test_a_pause_of_all_ends_by_itself(bootpoint: Program, service: ScriptedService) -> None:
    """Each machine gets the end; it stands in the list; `resume --all` undoes all of them."""
    told = bootpoint("--json", "pause", "--all", "--for", "4h", "--reason", "storage")
    assert [one["machine"] for one in told.told["items"]] == ["dc", "erp", "web"]
    found = service.snapshot()
    assert {s.held_until for s in found.standbys.values()} == {found.now + timedelta(hours=4)}
    assert "storage (until" in bootpoint("standby", "list").out
    assert "It stays paused for all others." in bootpoint("now", "erp").out
    assert "erp stays paused until" in bootpoint("now", "erp", "--dry-run").out
    assert "erp is resumed." in bootpoint("resume", "--all").out
    assert bootpoint("resume", "--all").out == "No machine is paused.\n"


@pytest.mark.parametrize(
    "line", ["pause", "pause erp --all", "resume", "pause erp --for never", "pause erp --until 1x"]
)
def test_a_pause_that_cannot_be_meant_is_wrong_use(bootpoint: Program, line: str) -> None:
    """One machine or all, and an end that can be read."""
    told = bootpoint(*shlex.split(line))
    assert told.code == 2
    assert "Nothing was changed" in told.err


def test_hold_and_resume(bootpoint: Program, service: ScriptedService) -> None:
    """A hold keeps its reason; resume undoes it; a second resume is refused."""
    bootpoint("hold", "erp", "--reason", "moving")
    assert service.snapshot().standbys["erp"].held.endswith("moving")
    assert bootpoint("resume", "erp").code == 0
    assert bootpoint("resume", "erp").code == 4


def test_options_of_a_standby_reach_the_engine(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Times and sizes are read in their units; a relative folder becomes absolute."""
    words = "standby add new --images rel --trigger daily@22:00 --keep 7 --rpo 4h"
    more = "--memory 4G --cpus 3 --firmware uefi --machine DC01"
    assert bootpoint(*words.split(), *more.split()).code == 0
    new = service.snapshot().standbys["new"]
    assert new.images == str(Path("rel").absolute())
    assert (new.rpo_s, new.memory, new.cpus, new.keep) == (14400, 4 << 30, 3, 7)
    assert (str(new.trigger), new.firmware, new.machine) == ("daily@22:00", "uefi", "DC01")
    assert new.blackouts is None
    windows = ("--blackouts", "mon-fri 08:00-18:00", "23:30-01:00", "--backlog", "newest")
    assert bootpoint("standby", "add", "w2", "--images", "/r/w2", *windows).code == 0
    added = service.snapshot().standbys["w2"]
    assert [one.text for one in added.blackouts or ()] == ["mon-fri 08:00-18:00", "23:30-01:00"]
    assert added.backlog.value == "newest"
    wrong = bootpoint("standby", "add", "w4", "--images", "/r/w4", "--blackouts", "noon")
    assert (wrong.code, "expected [DAYS ]HH:MM-HH:MM" in wrong.err) == (2, True)


def test_who_waits_is_listed_with_the_reason(bootpoint: Program, service: ScriptedService) -> None:
    """`jobs`, `status` and `show` name what a machine waits for; JSON has it in fields."""
    assert json.loads(bootpoint("jobs", "--json").out)["waiting"] == []
    image = recovery_point("erp", 9, NOW)
    made = boot_point(99, image, stage=Stage.PENDING)
    service.put(image, made)
    text = "All 2 slots of target local are taken."
    service.show(slots={"erp": Wait(Bound.TARGET, text)})
    assert text in bootpoint("jobs").out
    assert json.loads(bootpoint("jobs", "--json").out)["waiting"] == [
        {"machine": "erp", "target": "local", "bound": "target", "text": text, "until": None}
    ]
    assert "waits for a slot of its target" in bootpoint("status").out
    (erp,) = (
        one
        for one in json.loads(bootpoint("status", "--json").out)["items"]
        if one["name"] == "erp"
    )
    assert erp["wait"]["bound"] == "target"
    assert text in bootpoint("show", "erp").out


def test_a_job_that_is_held_back_says_until_when(
    bootpoint: Program, service: ScriptedService
) -> None:
    """`jobs` tells the rate at which images may be read, and when that ends."""
    service.settles = False
    job = service.start("erp", ERP, "me")
    running = replace(job, status=JobStatus.RUNNING, started_at=NOW)
    service.store(jobs={job.id: running})
    pace = Pace(40 << 20, NOW + timedelta(hours=1))
    service.show(progress={job.id: Progress("apply", 1, 2, 3.0, 4.0, pace)})
    assert "limited to 40 MiB/s until" in bootpoint("jobs").out
    (told,) = json.loads(bootpoint("jobs", "--json").out)["items"]
    assert told["limit"] == 40 << 20
    assert told["limit_until"] is not None


def test_a_target_is_looked_at_now(bootpoint: Program, service: ScriptedService) -> None:
    """`target check` lets the engine look; 1 while something stands in the way, 2 if unknown."""
    assert bootpoint("target", "check", "local").code == 0
    assert service.calls[-1] == ("check_target", "local")
    why = Problem("store.away", "It is not there.", "Nothing was written.", "Mount it.")
    lost = replace(target_status("local", str(why)), away=str(why), trouble=why)
    service.show(targets=(lost,))
    told = bootpoint("target", "check", "local")
    assert (told.code, "X It is not there.\n    Mount it.\n" in told.out) == (1, True)
    (one,) = bootpoint("target", "check", "local", "--json").told["items"]
    assert (one["gravity"], one["key"], one["remedy"]) == ("error", "store.away", "Mount it.")
    assert bootpoint("target", "check", "moon").code == 2


def test_the_screen_is_saved(bootpoint: Program, tmp_path: Path) -> None:
    """The PNG is written byte for byte."""
    assert bootpoint("screen", "erp", "--to", str(tmp_path / "x.png")).code == 0
    assert (tmp_path / "x.png").read_bytes() == PNG


def test_the_serial_line_is_text_or_bytes(bootpoint: Program, service: ScriptedService) -> None:
    """Text is safe and whole; --lines cuts it; --raw gives the bytes themselves."""
    service.serials["erp"] = b"\x1b[1mone\x1b[0m\r\ntwo\r\n" + b"x" * 70_000 + b"\r\nlogin: "
    out = bootpoint("serial", "erp").out.splitlines()
    assert (out[0], out[1], out[-1]) == ("one", "two", "login: ")
    assert bootpoint("serial", "erp", "--lines", "1").out.count("\n") == 2
    assert bootpoint.real("serial", "erp", "--raw").stdout.startswith("\x1b[1mone")
