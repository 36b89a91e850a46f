"""Guests, ledgers and conversion on the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from engine.daemon.reports import Reports
from engine.guests.ledger import import_ledger
from engine.model.errors import NotBootable, Problem
from engine.model.points import BootPointId, Stage
from tests.records import ROOT, entries, entry, ledger, record
from tests.scripted import NOW, ScriptedService, boot_point, driver_source, recovery_point
from tests.unit.cli.program import Program

NEWEST, BAD = BootPointId("bp000004"), BootPointId("bp000050")
REASON = "The root is encrypted (LUKS). Decrypt it on the source machine."


def hopeless(service: ScriptedService) -> None:
    """Put a newest boot point that is NOT BOOTABLE into the picture."""
    image = recovery_point("erp", 5, NOW)
    more = {"obstacle": "guest.luks", "has_trunk": True, "reason": REASON}
    service.put(image, boot_point(50, image, stage=Stage.FAILED, **more))


# --- guest ----------------------------------------------------------------------------------


def test_a_guest_is_told_in_lines(bootpoint: Program) -> None:
    """System, loader, kernels, networks, then one line a volume."""
    lines = bootpoint("guest", "erp").out.splitlines()
    assert lines[0].startswith("GUEST of erp, boot point bp000004, data as of ")
    assert "System       Debian GNU/Linux 12 (debian)" in lines
    assert "Network      ifupdown: eth0 static 192.168.10.21/24" in lines
    assert lines[-1].startswith("disk 1 part 5  1.0 GiB  swap      -")
    assert bootpoint("guest", "erp", "--json").told["guest"]["volumes"][0]["mounted"] == ["/"]


def test_a_guest_of_an_older_point(bootpoint: Program) -> None:
    """`--point` chooses, by number too."""
    assert "boot point bp000003" in bootpoint("guest", "erp", "--point", "3").out


REPORT = {
    "version": 1,
    "family": "linux",
    "system": "Debian GNU/Linux 12",
    "kernel": "6.1.0-50-amd64",
    "product": "Standard PC",
    "controllers": [{"vendor": "0x1af4", "device": "0x1001", "driver": "virtio-pci"}],
    "cards": [{"name": "eth0", "mac": "00:50:56:00:00:01", "driver": "virtio_net",
               "addresses": "192.0.2.9/24"}],
}  # fmt: skip


def test_a_report_is_kept_and_shown(
    bootpoint: Program, service: ScriptedService, tmp_path: Path
) -> None:
    """What the guest said of itself stands below what was found in it, until another report."""
    service.reports = Reports(tmp_path / "reports", lambda: NOW, lambda _name, _problem: None)
    file = tmp_path / "check.json"
    file.write_text(json.dumps(REPORT), "utf-16")
    for lines in (
        bootpoint("guest", "erp", "--import-report", str(file)).out.splitlines(),
        bootpoint("guest", "erp").out.splitlines(),
    ):
        assert "SELF-CHECK   as expected; imported 2026-11-22 04:42 UTC by root" in lines
        assert "Debian GNU/Linux 12 6.1.0-50-amd64 started on Standard PC." in lines
        assert "Card 00:50:56:00:00:01: 192.0.2.9/24, driver virtio_net." in lines
    assert bootpoint("guest", "erp", "--json").told["guest"]["report"]["as_expected"]
    assert bootpoint("guest", "erp", "--point", "3", "--json").told["guest"]["report"] is None


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"not json", 1, "no report of a self-check"),
        (b"{}", 1, "of which family"),
        (json.dumps(REPORT | {"version": 9}).encode(), 1, "version is 9"),
        (json.dumps(REPORT | {"family": "windows"}).encode(), 2, "is of a Windows, but"),
        (b" " * (300 << 10), 2, "more than 256 KiB"),
        (None, 1, "No such file"),
    ],
)
def test_what_is_no_report_is_refused(
    bootpoint: Program, tmp_path: Path, content: bytes | None, code: int, words: str
) -> None:
    """The error says why; nothing is kept."""
    file = tmp_path / "check.json"
    if content is not None:
        file.write_bytes(content)
    told = bootpoint("guest", "erp", "--import-report", str(file))
    assert (told.code, words in told.err) == (code, True), told
    assert bootpoint("guest", "erp", "--json").told["guest"]["report"] is None


def test_the_script_for_a_guest_can_be_had(bootpoint: Program) -> None:
    """It is the one of the guest's family, and runs as it is printed."""
    script = bootpoint("guest", "erp", "--self-check").out
    done = subprocess.run(["sh"], input=script, capture_output=True, check=True, text=True)
    assert json.loads(done.stdout)["family"] == "linux"
    assert bootpoint("guest", "erp", "--self-check", "--json").told["name"] == "linux.sh"


def test_a_viewer_imports_nothing(bootpoint: Program, tmp_path: Path) -> None:
    """A report changes what others see."""
    file = tmp_path / "check.json"
    file.write_text(json.dumps(REPORT))
    told = bootpoint("--read-only", "guest", "erp", "--import-report", str(file))
    assert told.code == 4


def test_drivers_are_told_with_who_gets_them(bootpoint: Program, service: ScriptedService) -> None:
    """One line a package, then what is wrong with the source and what to do."""
    assert bootpoint("drivers").out.startswith("No drivers are registered")
    service.show(drivers=(driver_source(),))
    lines = bootpoint("drivers").out.splitlines()
    assert lines[0] == "DRIVERS in /srv/virtio-win.iso"
    assert "2019, 2022 (amd64); 8 (x86)" in lines[2]
    assert "not used" in lines[3]
    assert lines[4] == (
        "! Driver package NetKVM/netkvm.inf is not used: its file netkvm.sys is missing. "
        "Get the package again."
    )
    told = bootpoint("drivers", "--json").told["items"]
    (finding,) = [f for f in bootpoint("findings", "--json").told["items"] if "drivers" in f["id"]]
    assert finding["subject"] == "drivers in /srv/virtio-win.iso"
    assert finding["remedy"] == "Get the package again."
    assert told[0]["drivers"][0]["systems"] == ["2019 amd64", "2022 amd64", "8 x86"]


# --- ledger ---------------------------------------------------------------------------------


def test_a_ledger_shows_each_change_as_a_diff(bootpoint: Program) -> None:
    """What changed, why, where, and the lines before and after; binaries by size and digest."""
    lines = bootpoint("ledger", "erp").out.splitlines()
    assert lines[1] == "3 changes, 0.4 s, 1.4 MiB written, by backend userland."
    assert " 3. write   /etc/fstab" in lines
    assert f"   on volume {ROOT} (/)" in lines
    assert "   -/dev/sda1 / ext4 errors=remount-ro 0 1" in lines
    assert f"   +UUID={ROOT} / ext4 errors=remount-ro 0 1" in lines
    assert f"   + sha256 {'ab' * 32}" in lines
    assert "Warning: The guest has no serial console." in lines


def test_two_ledgers_are_compared(bootpoint: Program) -> None:
    """Only what differs is shown, and which boot point is which."""
    out = bootpoint("ledger", "erp", "--point", "4", "--against", "3").out
    assert "1 file differs." in out
    assert "only in bp000004: write" in out
    assert "device.map" not in out
    told = bootpoint("ledger", "erp", "--point", "3", "--against", "4", "--json").told
    assert (told["point"], told["against"]) == ("bp000004", "bp000003")
    assert told["items"][0]["earlier"] is None


def test_an_exported_ledger_is_the_ledger(bootpoint: Program, tmp_path: Path) -> None:
    """The file can be read back, and holds all that was kept."""
    file = tmp_path / "ledger.json"
    told = bootpoint("ledger", "erp", "--export", str(file))
    assert told.out == f"The ledger of bp000004 is in {file} (3 changes).\n"
    assert import_ledger(file.read_text()) == ledger()
    both = bootpoint("ledger", "erp", "--against", "3", "--export", str(file), "--json").told
    assert both["count"] == 1
    assert json.loads(file.read_text())["items"][0]["path"] == "/etc/fstab"


def test_a_long_ledger_is_gathered(bootpoint: Program, service: ScriptedService) -> None:
    """A ledger of many pages comes out whole."""
    long = [entry(f"/etc/{n:03}", "a\n" * 20000, "b\n" * 20000) for n in range(60)]
    service.records[NEWEST] = record(*long)
    told = bootpoint("ledger", "erp", "--json").told
    assert [one["path"] for one in told["items"]] == [one.path for one in long]


def test_a_ledger_that_is_not_there(bootpoint: Program, service: ScriptedService) -> None:
    """A boot point without one is wrong use, and the reason of a NOT BOOTABLE one is told."""
    hopeless(service)
    told = bootpoint("ledger", "erp", "--point", "50")
    assert told.code == 2
    assert "NOT BOOTABLE" in told.err
    assert "Decrypt it" in told.err
    assert bootpoint("ledger", "web").code == 2
    assert bootpoint("ledger", "erp", "--point", "4", "--against", "4").code == 2


# --- convert --------------------------------------------------------------------------------


def test_a_dry_run_prints_guest_and_changes(bootpoint: Program, service: ScriptedService) -> None:
    """Everything that would change is printed; the engine is asked to change nothing."""
    out = bootpoint("convert", "erp", "--dry-run").out
    assert "System       Debian GNU/Linux 12" in out
    assert "3 changes would be made" in out
    assert "-/dev/sda1 / ext4" in out
    assert out.endswith("Nothing was changed: this was a dry run.\n")
    assert service.calls == []
    told = bootpoint("convert", "erp", "--dry-run", "--json").told
    assert (told["dry_run"], len(told["ledger"]["entries"])) == (True, len(entries()))


def test_a_dry_run_of_what_cannot_boot_fails_with_the_remedy(
    bootpoint: Program, service: ScriptedService
) -> None:
    """The obstacle's reason and remedy are printed, and the exit code is 1."""
    problem = Problem("guest.luks", "The root is encrypted (LUKS).", "", "Decrypt it.")
    service.fails["plan_conversion"] = NotBootable(problem)
    told = bootpoint("convert", "erp", "--dry-run", "--json")
    assert told.code == 1
    assert told.told["error"]["key"] == "guest.luks"
    assert told.told["error"]["remedy"] == "Decrypt it."


def test_a_converted_point_is_converted_again_only_when_told(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Without --again it is refused with 4 and nothing is asked of the engine."""
    told = bootpoint("convert", "erp")
    assert told.code == 4
    assert "converted already" in told.err
    assert "--again" in told.err
    assert service.calls == []
    assert (
        bootpoint("convert", "erp", "--again").out == "Converting bp000004 of erp again. Job 1.\n"
    )
    assert service.calls[-1][:3] == ("convert", "erp", "bp000004")
    out = bootpoint("convert", "erp", "--point", "4", "--again", "--wait").out
    assert out.startswith("bp000004 of erp is converted again (")


@pytest.mark.parametrize("words", [[], ["--again"], ["--point", "50", "--again"]])
def test_a_failed_point_needs_no_again(
    bootpoint: Program, service: ScriptedService, words: list[str]
) -> None:
    """The newest one is not bootable: after a fix it is tried at once, and there is no job yet."""
    hopeless(service)
    told = bootpoint("convert", "erp", *words)
    assert told.out == "bp000050 of erp is converted as soon as a slot is free.\n"
    assert service.calls[-1][:3] == ("convert", "erp", BAD)


def test_wait_follows_the_job_that_a_failed_point_gets(
    bootpoint: Program, service: ScriptedService
) -> None:
    """The planner queues it a moment later; --wait tells how that job ends."""
    hopeless(service)
    service.plans_soon = True
    told = bootpoint("convert", "erp", "--again", "--wait", "--json").told
    assert (told["status"], told["details"]["kind"]) == ("done", "sync")


def test_wait_does_not_wait_for_ever_for_a_slot(
    bootpoint: Program, monkeypatch: pytest.MonkeyPatch, service: ScriptedService
) -> None:
    """Where other work comes first, that is said."""
    hopeless(service)
    monkeypatch.setattr("engine.cli.commands.acting.COMING_S", 0.0)
    told = bootpoint("convert", "erp", "--again", "--wait")
    assert told.code == 0
    assert "other work comes first" in told.err


def test_a_point_without_a_conversion_needs_no_again(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Where there is no record there is nothing to replace."""
    assert bootpoint("convert", "erp", "--point", "1").code == 0
    assert service.calls[-1][:3] == ("convert", "erp", "bp000001")


def test_read_only_looks_and_does_not_convert(bootpoint: Program, service: ScriptedService) -> None:
    """A dry run is looking; converting is not."""
    assert bootpoint("convert", "erp", "--dry-run", "--read-only").code == 0
    assert bootpoint("convert", "erp", "--again", "--read-only").code == 4
    assert service.calls == []


# --- around ---------------------------------------------------------------------------------


def test_points_mark_what_is_not_bootable(bootpoint: Program, service: ScriptedService) -> None:
    """The table says so, and below it stand the reason and the remedy in full."""
    hopeless(service)
    out = bootpoint("points", "erp").out
    assert "not bootable" in out.splitlines()[1]
    assert f"bp000050 is NOT BOOTABLE: {REASON}" in out
    assert "After a fix on this host: bootpoint convert erp --point bp000050" in out
    assert bootpoint("points", "erp", "--json").told["items"][0]["obstacle"] == "guest.luks"
    assert REASON in bootpoint("show", "erp").out


def test_a_standby_may_go_unconverted(bootpoint: Program, service: ScriptedService) -> None:
    """`--conversion none` reaches the definition, and is shown."""
    words = ("standby", "add", "raw", "--images", "/r/raw", "--conversion", "none")
    assert bootpoint(*words).code == 0
    assert service.snapshot().standbys["raw"].conversion.value == "none"
    assert "Conversion  none" in bootpoint("standby", "show", "raw").out
    assert bootpoint(*words[:-1], "maybe").code == 2


def test_hostile_guests_cannot_steer_the_terminal(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Whatever stands in a guest's files, no control character is printed."""
    evil = "x\x1b]52;c;evil\x07\x9b[2J\r\u202e"
    service.records[NEWEST] = record(
        entry("/etc/" + evil, evil + "\n", evil * 2 + "\n", reason=evil), warnings=(evil,)
    )
    for line in ("ledger erp", "ledger erp --against 3", "ledger erp --json"):
        out = bootpoint(*line.split()).out
        assert "evil" in out
        assert not {c for c in out if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}, line
