"""What commands that only look say, in words and as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.model.points import BootPointId, Stage
from engine.model.work import Severity
from tests.scripted import (
    NOW,
    ScriptedService,
    boot_point,
    recovery_point,
    target_status,
)
from tests.unit.cli.program import Program

ERP = BootPointId("bp000004")


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
