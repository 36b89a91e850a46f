"""Reports of self-check scripts: what they prove, what is doubted, what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.daemon.reports import Reports
from engine.model.errors import FormatError, Problem, WrongUse
from engine.model.guest import Family
from engine.model.points import BootPointId
from engine.model.selfcheck import judge, read_report
from tests.records import facts

MAC = "00:50:56:11:22:33"
WINDOWS = facts(family=Family.WINDOWS, name="Windows Server 2019 Standard")
REPORT = {
    "version": 1,
    "family": "windows",
    "system": "Microsoft Windows Server 2019 Standard",
    "build": "10.0.17763",
    "product": "Standard PC",
    "controllers": [{"Name": "Red Hat VirtIO SCSI controller", "DriverName": "viostor",
                     "PNPDeviceID": "PCI\\VEN_1AF4", "Status": "OK"}],
    "disks": [{"Number": 0, "IsOffline": False}, {"Number": 1, "IsOffline": False}],
    "cards": {"Description": "VirtIO Ethernet", "MACAddress": MAC.upper(),
              "IPAddress": ["192.0.2.9", "fe80::1"], "ServiceName": "netkvm"},
    "services": [{"name": "viostor", "start": 0, "overridden": False}],
    "setup": {"type": 0, "command": ""},
    "first_start": ["done"],
    "stop_codes": [],
}  # fmt: skip


def judged(**changes: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return facts and doubts of the report with changes, as PowerShell writes it."""
    check = read_report(json.dumps({**REPORT, **changes}).encode("utf-16"))
    verdict = judge(check, WINDOWS, [MAC])
    return verdict.facts, verdict.doubts


def test_a_windows_that_started_as_converted_has_no_doubts() -> None:
    """System, controller and card with its driver and addresses are what is proven."""
    proven, doubts = judged()
    assert doubts == ()
    assert proven == (
        "Microsoft Windows Server 2019 Standard 10.0.17763 started on Standard PC.",
        "Controller: Red Hat VirtIO SCSI controller, driver viostor.",
        f"Card {MAC}: 192.0.2.9, fe80::1, driver netkvm.",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cards": []}, f"No active network card has the address {MAC}"),
        ({"cards": [{"MACAddress": MAC, "IPAddress": None}]}, f"Card {MAC} has no address"),
        ({"disks": [{"Number": 1, "IsOffline": True}]}, "Disk 1 is off line"),
        ({"services": {"name": "storahci", "overridden": True}}, "StartOverride"),
        ({"setup": {"type": 2}}, "first start did not come to its end"),
        ({"stop_codes": "0x0000007b"}, "stop code: 0x0000007b"),
    ],
)
def test_what_is_not_as_promised_is_a_doubt(changes: dict[str, object], words: str) -> None:
    """One sentence each; the report is kept all the same."""
    (doubt,) = judged(**changes)[1]
    assert words in doubt


def test_a_report_of_another_system_is_refused() -> None:
    """A Linux's report proves nothing about a Windows."""
    check = read_report(json.dumps({"version": 1, "family": "linux"}).encode())
    with pytest.raises(WrongUse, match="The report is of a Linux"):
        judge(check, WINDOWS, ())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(sorted(REPORT)) | st.just("name"), inner, max_size=6)
        ),
        max_leaves=20,
    )
)
def test_a_hostile_report_is_read_or_refused(told: object) -> None:
    """Whatever a guest writes: sentences without control characters, or one kind of error."""
    for content in (told, {**REPORT, **(told if isinstance(told, dict) else {})}):
        try:
            verdict = judge(read_report(json.dumps(content).encode()), WINDOWS, [MAC])
        except (FormatError, WrongUse):
            continue
        assert all(word.isprintable() for word in (*verdict.facts, *verdict.doubts))


def test_a_report_is_kept_for_its_boot_point(tmp_path: Path) -> None:
    """It survives a restart byte for byte; the newest wins; the journal is told."""
    told: list[str] = []

    def tell(_standby: str, problem: Problem) -> None:
        told.append(problem.happened)

    now = datetime(2026, 11, 25, tzinfo=UTC)
    point, data = BootPointId("bp000001"), b"\xff\xfe\0x"
    reports = Reports(tmp_path / "reports", lambda: now, tell)
    assert reports.of("erp", point) is None
    reports.keep("erp", point, b"old", "root", "as expected.")
    reports.keep("erp", point, data, "root", "2 doubts.")

    kept = Reports(tmp_path / "reports", lambda: now, tell).of("erp", point)
    assert kept is not None
    assert (kept.actor, kept.at, kept.data) == ("root", now, data)
    assert told[1].endswith("self-check for boot point bp000001: 2 doubts.")
    (tmp_path / "reports/erp/bp000001.json").write_text("{")
    assert reports.of("erp", point) is None
