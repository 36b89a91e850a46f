"""What conversion changes in a Windows: the registry, seen by an independent parser too."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from engine.guests.backends.directory import DirectoryBackend, folder, open_directory
from engine.guests.inspect import inspect
from engine.guests.ledger import export_ledger, import_ledger, make_ledger
from engine.guests.plan import ConversionOptions, plan
from engine.guests.windows import hive as registry
from engine.guests.windows.version import HiveDamaged, checksum
from engine.model.guest import ConversionPlan, Family, FileSystem
from tests.guests.phony_hive import empty_hive, hive, system_hive
from tests.guests.phony_windows import SERVER_2019, software

CONFIG = "Windows/System32/config"
CHANGED = {
    r"Services\storahci\StartOverride": None,
    r"Services\storahci:Start": "0",
    r"Services\stornvme:Start": "0",
    r"Services\partmgr\Parameters:SanPolicy": "1",
    r"Control\Session Manager\Power:HiberbootEnabled": "0",
    r"Control\CrashControl:AutoReboot": "0",
    r"Control\TimeZoneInformation:RealTimeIsUniversal": "1",
    r"Services\stornvme\StartOverride": None,
}


def windows(path: Path, system: bytes, drivers: tuple[str, ...] = ("storahci", "stornvme")) -> Path:
    """Make the tree of a Windows in a folder."""
    files = {
        f"{CONFIG}/SYSTEM": system,
        f"{CONFIG}/SOFTWARE": software(SERVER_2019),
        "Windows/System32/ntoskrnl.exe": b"MZ",
        "bootmgr": b"MZ",
        "Boot/BCD": b"regf",
        "Windows/System32/drivers/disk.sys": b"MZ",
        **{f"Windows/System32/drivers/{name}.sys": b"MZ" for name in drivers},
    }
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def opened(path: Path) -> DirectoryBackend:
    """Return the backend over the tree."""
    return open_directory([folder("C", path, FileSystem.NTFS)])


def planned(backend: DirectoryBackend) -> ConversionPlan:
    """Return the plan of whatever is there."""
    guest = inspect(backend)
    assert guest.family is Family.WINDOWS
    return plan(backend, guest, lambda _kernel: b"", ConversionOptions())


def reglookup(path: Path) -> dict[str, str]:
    """Return all values as another parser reads them: path to value in its own words."""
    done = subprocess.run(["reglookup", "-H", str(path)], capture_output=True, check=True)
    lines = [line.split(",") for line in done.stdout.decode().splitlines()]
    return {line[0]: line[2] for line in lines}


def test_in_box_drivers_are_switched_on(tmp_path: Path) -> None:
    """The plan names each registry value; the ledger's details survive their JSON."""
    backend = opened(windows(tmp_path, system_hive()))
    made = planned(backend)

    (edit,) = made.edits
    shown = {
        d.key.removeprefix("ControlSet001\\") + (f":{d.value}" if d.value else ""): d.after
        for d in edit.details
    }
    assert shown == CHANGED
    proof, driver = made.warnings
    assert proof.startswith("Not yet proven on a real Windows")
    assert driver == "Driver LSI_SAS is registered but its file is missing; it stays off."
    ledger = make_ledger(
        made, lambda _v, _p: b"", backend="directory", seconds=0, bytes_written=0, check="full"
    )
    assert import_ledger(export_ledger(ledger)) == ledger
    assert ledger.entries[0].details == edit.details


def test_an_independent_parser_sees_exactly_these_changes(tmp_path: Path) -> None:
    """The parser reglookup reads the new hive; at most ten pages of 4 KiB have changed."""
    path = windows(tmp_path, system_hive()) / CONFIG / "SYSTEM"
    old, before = path.read_bytes(), reglookup(path)
    backend = opened(tmp_path)
    backend.replay(planned(backend).edits)
    new, after = path.read_bytes(), reglookup(path)

    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    cs = "/ControlSet001"
    assert {key: after.get(key) for key in changed} == {
        f"{cs}/Services/storahci/Start": "0x00000000",
        f"{cs}/Services/stornvme/Start": "0x00000000",
        f"{cs}/Services/storahci/StartOverride": None,
        f"{cs}/Services/storahci/StartOverride/0": None,
        f"{cs}/Services/stornvme/StartOverride": None,
        f"{cs}/Services/stornvme/StartOverride/0": None,
        f"{cs}/Services/partmgr/Parameters/SanPolicy": "0x00000001",
        f"{cs}/Control/Session Manager/Power/HiberbootEnabled": "0x00000000",
        f"{cs}/Control/CrashControl/AutoReboot": "0x00000000",
        f"{cs}/Control/TimeZoneInformation/RealTimeIsUniversal": "0x00000001",
    }
    pages = range(0, max(len(old), len(new)), 4096)
    assert sum(old[at : at + 4096] != new[at : at + 4096] for at in pages) <= 10


def test_converting_again_changes_nothing(tmp_path: Path) -> None:
    """A second plan is empty."""
    backend = opened(windows(tmp_path, system_hive(current=1, default=2, sets=(1, 2, 3))))
    first = planned(backend)
    backend.replay(first.edits)

    touched = {detail.key.split("\\")[0] for detail in first.edits[0].details}
    assert touched == {"ControlSet001", "ControlSet002"}
    assert planned(backend).edits == ()


def test_the_same_guest_gives_the_same_hive(tmp_path: Path) -> None:
    """No clock gets into the new hive."""
    backend = opened(windows(tmp_path, system_hive()))

    assert planned(backend) == planned(backend)


def test_a_windows_without_drivers_is_refused(tmp_path: Path) -> None:
    """A boot driver whose file is missing would stop Windows."""
    made = planned(opened(windows(tmp_path, system_hive(), drivers=())))

    assert [obstacle.key for obstacle in made.obstacles] == ["guest.no_driver"]
    assert made.edits == ()


def test_a_windows_without_ahci_is_warned_of(tmp_path: Path) -> None:
    """It has another driver of a controller, but not of the one that VMs are given."""
    told = " ".join(planned(opened(windows(tmp_path / "a", system_hive(), ("stornvme",)))).warnings)
    assert "no driver for AHCI" in told
    told = " ".join(planned(opened(windows(tmp_path / "b", system_hive()))).warnings)
    assert "no driver for AHCI" not in told


def test_a_dirty_hive_is_refused(tmp_path: Path) -> None:
    """The library would take it and lose what is in the logs."""
    raw = bytearray(system_hive())
    struct.pack_into("<I", raw, 4, 9)
    struct.pack_into("<I", raw, 508, checksum(bytes(raw[:512])))
    windows(tmp_path, bytes(raw))
    (tmp_path / CONFIG / "SYSTEM.LOG1").write_bytes(b"regf" + bytes(1020))

    made = planned(opened(tmp_path))

    assert [obstacle.key for obstacle in made.obstacles] == ["guest.dirty_hive"]


@pytest.mark.parametrize(
    "answer",
    [b"", b"{", b"[" * 5000, b"[1]", b'[[["a"], 5]]',
     b'[[["a"], {"values": {"b": 1}, "keys": {}}]]',
     b'{"size": "x"}', b'{"size": 1e999}', b'{"size": 4096}\nmore'],
)  # fmt: skip
def test_a_hive_that_answers_for_the_library_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """A hive may take the library over; what it makes it say is believed as little as itself."""
    monkeypatch.setattr(registry, "run_tool", lambda *_args, **_more: answer)

    with pytest.raises(HiveDamaged):
        registry.read(system_hive(), [("Select",)])
    with pytest.raises(HiveDamaged):
        registry.edit(system_hive(), [])


@pytest.mark.parametrize("cut", [600, 4096 + 40, 5000])
def test_a_damaged_hive_is_refused(tmp_path: Path, cut: int) -> None:
    """Whatever libhivex does with hostile bytes, it does in its sandbox."""
    raw = system_hive()
    made = planned(opened(windows(tmp_path, raw[:cut] + b"\xff" * (len(raw) - cut))))

    assert [obstacle.key for obstacle in made.obstacles] == ["guest.damaged_hive"]


def test_a_hive_can_be_filled_and_read() -> None:
    """Texts, numbers and keys come back; keys and values are found in any case."""
    made = hive({"Abc": {"Text": "Grüße", "Number": 7, "Sub": {"x": 1}}})
    key = registry.read(made, [("aBC",)]).at(("ABC",))

    assert key is not None
    assert (key.values["text"].text, key.values["number"].number) == ("Grüße", 7)
    assert key.keys["sub"].values["x"].words == "1"
    with pytest.raises(HiveDamaged):
        registry.read(b"not a hive", [("Select",)])
    assert registry.read(empty_hive(), [("Select",)]) == registry.Key()
