"""Every command, with and without --json, against a scripted engine."""

from __future__ import annotations

import json
import shlex
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.cli.parser import parse
from engine.cli.table import COMMANDS
from engine.model.errors import Failure, Problem, Refused
from engine.model.points import BootPointId, Stage
from engine.model.progress import Progress
from engine.model.readrate import Pace
from engine.model.waits import Bound, Wait
from engine.model.work import JobKind, JobStatus, Severity
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
LOOKING = [
    "status",
    "sets",
    "points erp",
    "jobs",
    "journal",
    "findings",
    "who",
    "targets",
    "show erp",
    "standby list",
    "standby show erp",
    "serial erp",
    "guest erp",
    "drivers",
    "ledger erp",
    "ledger erp --point 4 --against 3",
]
ACTING = [
    "build erp",
    "hold erp --reason moving",
    "now erp",
    "now erp --dry-run",
    "pause erp --for 4h --reason moving",
    "pause --all --until 18:00",
    "resume --all",
    "start erp",
    "start erp --wait",
    "start erp --dry-run",
    "convert erp --again",
    "convert erp --again --wait",
    "convert erp --dry-run",
    "standby add new --images /r/new",
    "standby reload",
    "standby remove erp --yes-i-mean erp",
]


@pytest.mark.parametrize("line", [*LOOKING, *ACTING])
def test_each_command_has_words_and_json(bootpoint: Program, line: str) -> None:
    """Each command works, and prints one ASCII JSON object when asked."""
    told = bootpoint(*shlex.split(line))
    assert told.code == 0, told
    assert told.out or line.startswith(("journal", "serial"))


@pytest.mark.parametrize("line", [*LOOKING, *ACTING])
def test_json_is_one_ascii_object_with_the_schema_first(
    bootpoint: Program, service: ScriptedService, line: str
) -> None:
    """The output is a single object; names in any script are escaped."""
    service.write_line("サーバ起動")
    told = bootpoint("--json", *shlex.split(line))
    assert told.code == 0, told
    assert told.out.isascii()
    assert told.told
    assert told.err == ""


@pytest.mark.parametrize("line", LOOKING)
def test_lists_stand_under_items(bootpoint: Program, line: str) -> None:
    """A list is always in `items`, so that programs find it without knowing the command."""
    told = bootpoint(*shlex.split(line), "--json").told
    single = line.split(maxsplit=1)[0] in ("show", "serial", "guest") or line.startswith(
        "standby show"
    )
    assert ("items" in told) != single


# --- looking --------------------------------------------------------------------------------


def test_status_in_json_has_the_promised_shape(bootpoint: Program) -> None:
    """Programs find state, data, lag and what happens next under their names."""
    told = bootpoint("status", "--json").told
    assert list(told)[:5] == ["schema", "as_of", "live", "can_start", "machines"]
    assert (told["live"], told["can_start"], told["machines"]) == (True, 3, 3)
    first = told["items"][0]
    assert list(first)[:9] == [
        "name",
        "state",
        "can_start",
        "image_as_of",
        "data_as_of",
        "lag_s",
        "rpo_s",
        "point",
        "proven",
    ]
    assert (first["name"], first["state"], first["lag_s"]) == ("dc", "READY", 720)


def test_status_and_show_have_the_ladder(bootpoint: Program, service: ScriptedService) -> None:
    """Each rung has its data and age, and the one that loses the time is named."""
    service.put(recovery_point("web", 9, NOW - timedelta(minutes=5)))
    items = {one["name"]: one for one in bootpoint("status", "--json").told["items"]}
    rungs = items["web"]["ladder"]["rungs"]
    assert [one["rung"] for one in rungs] == ["written", "arrived", "verified", "ready", "proven"]
    assert [one["age_s"] for one in rungs] == [300, 300, 720, 720, None]
    assert items["web"]["ladder"]["losing"] == "verified"
    assert items["erp"]["ladder"]["losing"] == ""
    assert items["web"]["ladder"]["usual_s"] == 3600
    for words in (("show", "web"), ("standby", "show", "web")):
        told = bootpoint(*words).out
        assert "usually every 1h" in told
        lines = [line for line in told.splitlines() if "time is lost here" in line]
        assert [line.split()[0] for line in lines] == ["verified"]


def test_status_names_silence(bootpoint: Program, service: ScriptedService) -> None:
    """A machine that no image has come of for long is LATE, and the sentence says how it was."""
    service.advance(hours=27)
    told = bootpoint("status")
    assert told.out.splitlines()[2].split()[2] == "LATE"
    assert "No new image since 2026-11-22 04:34:07 UTC; usually every 60 min." in told.out


def test_status_puts_the_worst_on_top(bootpoint: Program, service: ScriptedService) -> None:
    """FAIL stands before READY, with its mark and the reason below."""
    image = recovery_point("web", 9, NOW)
    service.put(image, boot_point(50, image, stage=Stage.FAILED, reason="the file is damaged."))
    lines = bootpoint("status").out.splitlines()
    assert lines[0] == "CAN START NOW: 3 of 3"
    assert lines[2].split()[:3] == ["X", "web", "FAIL"]
    assert "the file is damaged" in lines[-1]


@pytest.mark.parametrize(
    ("state", "fail_on", "code"),
    [
        ("ready", "late", 0),
        ("late", "late", 1),
        ("late", "fail", 0),
        ("fail", "late", 1),
        ("fail", "fail", 1),
    ],
)
def test_monitoring_gets_an_exit_code(
    bootpoint: Program, service: ScriptedService, state: str, fail_on: str, code: int
) -> None:
    """`--fail-on` gives 1 when a machine is that bad or worse, and still prints."""
    if state == "late":
        service.advance(hours=3)
    if state == "fail":
        image = recovery_point("web", 9, NOW)
        service.put(image, boot_point(50, image, stage=Stage.FAILED, reason="broken."))
    told = bootpoint("status", "--fail-on", fail_on)
    assert told.code == code
    assert "CAN START NOW" in told.out


def test_nothing_protected_says_what_to_do(bootpoint: Program, service: ScriptedService) -> None:
    """An empty site is a sentence with the next step, not an empty table."""
    service.show(standbys={})
    told = bootpoint("status").out
    assert "NOTHING IS PROTECTED YET" in told
    assert "bootpoint standby add" in told


def test_the_last_known_state_needs_no_engine(
    bootpoint: Program, service: ScriptedService, door: Path
) -> None:
    """`status --offline` reads the file the engine left, and says that nothing is live."""
    bootpoint("status")
    while not (door.parent / "view" / "last.json").exists():
        bootpoint("status")
    told = bootpoint("status", "--offline")
    assert told.out.startswith("LAST KNOWN STATE of ")
    assert "erp" in told.out
    assert bootpoint("status", "--offline", "--json").told["live"] is False


def test_hostile_names_cannot_steer_the_terminal(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Whatever stands in an image, no control character is printed."""
    evil = "x\x1b]52;c;evil\x07\x9b[2J[/nope]"
    snapshot = service.snapshot()
    service.show(
        roots={
            name: replace(
                root, root=evil, sets=tuple(replace(s, machine_name=evil) for s in root.sets)
            )
            for name, root in snapshot.roots.items()
        },
        waiting={"erp": (evil,)},
    )
    for line in ("sets", "sets --json", "show erp", "findings", "status"):
        out = bootpoint(*line.split()).out
        assert not {c for c in out if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}, line


def test_wide_names_keep_the_columns(bootpoint: Program, service: ScriptedService) -> None:
    """A name in kanji takes two cells a character, and the next column stays in line."""
    snapshot = service.snapshot()
    root = next(iter(snapshot.roots.values()))
    wide = replace(root.sets[0], machine_name="基幹サーバ")
    service.show(roots={**snapshot.roots, root.root: replace(root, sets=(wide,))})
    lines = bootpoint("sets").out.splitlines()
    plain = next(line for line in lines if line.startswith("web"))
    kanji = next(line for line in lines if line.startswith("基"))
    assert plain.index("4.0 GiB") == kanji.index("4.0 GiB") + 5


def test_the_journal_is_read_in_pages(bootpoint: Program, service: ScriptedService) -> None:
    """More lines than one call gives are gathered, oldest first."""
    for number in range(450):
        service.write_line(f"line {number}", standby="erp" if number % 2 else "")
    out = bootpoint("journal", "--limit", "420").out.splitlines()
    assert len(out) == 420
    assert out[0].endswith("line 30")
    assert out[-1].endswith("line 449")
    only = bootpoint("journal", "--machine", "erp", "--limit", "5", "--json").told["items"]
    assert [one["machine"] for one in only] == ["erp"] * 5


def test_findings_come_with_their_remedy(bootpoint: Program, service: ScriptedService) -> None:
    """A folder that is offline is told with what to do."""
    snapshot = service.snapshot()
    root = replace(next(iter(snapshot.roots.values())), online=False, reason="The folder is gone.")
    service.show(roots={**snapshot.roots, root.root: root})
    out = bootpoint("findings").out
    assert "The folder is gone." in out
    assert "Mount or replicate" in out


# --- acting ---------------------------------------------------------------------------------


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
    refused = bootpoint("now", "erp")
    assert refused.code == 4
    assert "Resume it first" in refused.err
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
    lost = replace(target_status("local", "It is not there. Mount it."), away="It is not there.")
    service.show(targets=(lost,))
    told = bootpoint("target", "check", "local")
    assert (told.code, "X It is not there. Mount it." in told.out) == (1, True)
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


# --- exit codes -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", [*LOOKING, *ACTING, "journal --follow", "screen erp --to x"])
def test_without_an_engine_the_code_is_3(alone: Program, line: str) -> None:
    """Every command that needs the engine says that none answers, and where it looked."""
    told = alone(*shlex.split(line))
    assert told.code == 3
    assert str(alone.place) in told.err
    assert alone("--json", *shlex.split(line)).told["error"]["key"] == "engine.away"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("statsu", 2, "statsu: did you mean status?"),
        ("standby ad x", 2, "ad: did you mean add?"),
        ("start erp --pont 3", 2, "--pont: did you mean --point?"),
        ("start", 2, "MACHINE"),
        ("standby", 2, "needs a command"),
        ("status --fail-on never", 2, "--fail-on"),
        ("standby add x --images /x --rpo soon", 2, "expected a time such as 30m"),
        ("journal --limit 0", 2, "at least 1"),
        ("show nope", 2, "Known: dc, erp, web"),
        ("start nope", 2, "no standby nope"),
        ("start erp --point 99", 2, "no boot point bp000099"),
        ("job cancel 99", 2, "no job 99"),
        ("standby show nope", 2, "no standby nope"),
        ("standby add x --images /x --trigger weekly", 2, "weekly"),
        ("stop erp", 4, "does not run"),
        ("standby add erp --images /x", 4, "already"),
        ("standby remove erp", 4, "--yes-i-mean erp"),
        ("standby remove erp --yes-i-mean er", 4, "does not match"),
        ("start erp --read-only", 4, "needs the role operator"),
        ("image info /nope.bpi", 2, "no file"),
        ("image export a.bpi", 2, "--qcow2"),
    ],
)
def test_failures_have_stable_codes_and_words(
    bootpoint: Program, service: ScriptedService, line: str, code: int, words: str
) -> None:
    """2 for wrong use, 4 for refused, with what to do; nothing is changed."""
    told = bootpoint(*shlex.split(line))
    assert told.code == code, told
    assert words in told.err
    assert told.out == ""
    again = bootpoint("--json", *shlex.split(line))
    assert again.code == code
    assert set(again.told["error"]) >= {"key", "message", "facts"}
    assert not [call for call in service.calls if call[0] == "start"]


def test_a_failing_engine_is_1(bootpoint: Program, service: ScriptedService) -> None:
    """What the engine tried and could not do gives 1, with all three parts."""
    service.fails["build"] = Failure(
        Problem("x.y", "It broke.", "Nothing else did.", "Mend it.", {"disk": 3})
    )
    told = bootpoint("build", "erp")
    assert told.code == 1
    assert all(part in told.err for part in ("It broke.", "Nothing else did.", "Mend it."))
    assert bootpoint("build", "erp", "--json").told["error"]["facts"] == {"disk": 3}
    service.fails["build"] = Refused(Problem("vm.busy", "Job 3 has not ended."))
    assert bootpoint("build", "erp").code == 4


# --- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_examples_of_the_help_are_real(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example is read by the program itself, as the command it stands under."""
    for example in command.examples:
        words = shlex.split(example.split(" > ")[0])
        assert words[0] == "bootpoint"
        assert parse(words[1:]).handler is command
    with pytest.raises(SystemExit) as left:
        parse([*command.name.split(), "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert command.about in " ".join(text.split())
    assert all(example in text for example in command.examples)


def test_global_options_stand_before_or_after(bootpoint: Program) -> None:
    """`--json status` and `status --json` are the same."""
    before = json.loads(bootpoint("--json", "status").out)
    assert before == bootpoint("status", "--json").told
    assert parse(["--read-only", "standby", "list"]).read_only
    assert parse(["standby", "list", "--read-only"]).read_only
    assert parse(["standby", "add", "--images", "/x", "name"]).name == "name"


def test_severity_marks_a_journal_line(bootpoint: Program, service: ScriptedService) -> None:
    """An error in the journal has an X, and its remedy behind it."""
    service.write_line("It broke.", severity=Severity.ERROR, standby="erp", remedy="Mend it.")
    line = bootpoint("journal").out
    assert " X erp  It broke. Mend it." in line


def test_a_slow_target_is_told_with_what_it_means(
    bootpoint: Program, service: ScriptedService
) -> None:
    """`status` and `target list` say why fewer jobs are begun; JSON has the figures."""
    why = "Target local is slow: a small question to its hypervisor takes 900 ms, usually 20 ms."
    slow = replace(
        target_status(), slow=why, latency=0.02, call_latency=0.9, usual_call_latency=0.02
    )
    service.show(targets=(slow,))
    assert f"target local: {why}" in bootpoint("status").out
    told = bootpoint("status", "--json").told["targets"]
    assert [(one["name"], one["slow"], one["call_latency_s"]) for one in told] == [
        ("local", why, 0.9)
    ]
    listed = bootpoint("target", "list").out
    assert "20 ms   900 ms" in listed
    assert f"local: {why}" in listed
    assert bootpoint("target", "list", "--json").told["items"][0]["usual_call_latency_s"] == 0.02
    service.show(targets=(target_status(problem="It does not answer."),))
    assert "target local: It does not answer." in bootpoint("status").out
