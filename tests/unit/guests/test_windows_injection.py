"""Drivers of the user in a Windows: files, services, device databases, and what starts later."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from engine.guests.backends.directory import DirectoryBackend, folder, open_directory
from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.guests.windows.hive import EXPAND_SZ, edit, text
from engine.model.cards import CardChange
from engine.model.guest import ConversionPlan, FileSystem
from tests.guests.phony_drivers import files, iso, program, put, virtio_win, vmware_tools
from tests.guests.phony_hive import Tree, steps, system_hive
from tests.guests.phony_windows import SERVER_2008_R2, SERVER_2019, WINDOWS_11, software
from tests.guests.phony_windows import Tree as Version
from tests.unit.guests.test_windows_plan import CONFIG, reglookup, windows

NIC = CardChange("00:50:56:11:22:33", "d0:94:66:00:00:01", "Ethernet")
DRIVERS = "Windows/System32/drivers"
STAGED = "Windows/bootpoint/drivers"
CS = "/ControlSet001"


def said(arch: str = "AMD64", product: str = "ServerNT") -> Tree:
    """Return what a registry says of processor and product."""
    control = {
        "Session Manager": {"Environment": {"PROCESSOR_ARCHITECTURE": arch}},
        "ProductOptions": {"ProductType": product},
    }
    return {"ControlSet001": {"Control": control}}


def guest(path: Path, version: Version, more: Tree | None = None, arch: str = "AMD64") -> Path:
    """Make the tree of a Windows of some version and processor."""
    system = edit(system_hive(), [*steps(said(arch)), *steps(more or {})])
    windows(path, system)
    (path / CONFIG / "SOFTWARE").write_bytes(software(version))
    return path


def opened(path: Path) -> DirectoryBackend:
    """Return the backend over a tree."""
    return open_directory([folder("C", path, FileSystem.NTFS)])


def planned(path: Path, shelf: DriverShelf | None) -> ConversionPlan:
    """Return the plan for a VM with one card."""
    backend = opened(path)
    options = ConversionOptions((NIC,), shelf.choose if shelf else None)
    return plan(backend, inspect(backend), lambda _kernel: b"", options)


@pytest.fixture
def shelf(tmp_path: Path) -> DriverShelf:
    """Return virtio-win and VMware Tools, the first as an ISO."""
    disc = iso(virtio_win(tmp_path / "virtio"), tmp_path / "virtio.iso")
    return DriverShelf([disc, vmware_tools(tmp_path / "tools")], tmp_path / "cache")


def test_a_server_2019_gets_drivers_for_both_hypervisors(
    tmp_path: Path, shelf: DriverShelf
) -> None:
    """Each disk driver lies beside the others; the plan names what the VM may have."""
    c = guest(tmp_path / "c", SERVER_2019)
    made = planned(c, shelf)
    opened(c).replay(made.edits)

    assert made.drivers == (
        "storahci", "stornvme", "viostor", "vioscsi", "pvscsi", "netkvm", "vmxnet3",
    )  # fmt: skip
    built = files("viostor", decorations=("NTamd64.10.0...17763",))
    assert (c / DRIVERS / "viostor.sys").read_bytes() == built["viostor.sys"]
    assert {path.name for path in (c / DRIVERS).iterdir()} >= {"vioscsi.sys", "pvscsi.sys"}
    assert not (c / DRIVERS / "netkvm.sys").exists()
    for name in ("viostor", "vioscsi", "pvscsi", "netkvm", "vmxnet3"):
        kinds = {path.suffix for path in (c / STAGED / name).iterdir()}
        assert kinds == {".inf", ".sys", ".cat"}
    assert not [path for path in made.edits if path.path.endswith(b".pdb")]


def test_an_independent_parser_sees_the_driver_database(tmp_path: Path, shelf: DriverShelf) -> None:
    """The parser reglookup reads service and DriverDatabase as the table of the manual has it."""
    c = guest(tmp_path / "c", SERVER_2019)
    opened(c).replay(planned(c, shelf).edits)
    values = reglookup(c / CONFIG / "SYSTEM")

    service = f"{CS}/Services/viostor"
    assert values[f"{service}/Type"] == "0x00000001"
    assert values[f"{service}/Start"] == "0x00000000"
    assert values[f"{service}/ErrorControl"] == "0x00000001"
    assert values[f"{service}/Group"] == "SCSI miniport"
    assert values[f"{service}/ImagePath"] == r"system32\drivers\viostor.sys"
    assert values[f"{service}/Parameters/BusType"] == "0x00000001"
    assert values[f"{service}/Parameters/PnpInterface/5"] == "0x00000001"
    database = "/DriverDatabase"
    package = values[f"{database}/DriverInfFiles/viostor.inf/Active"]
    assert re.fullmatch(r"viostor\.inf_amd64_[0-9a-f]{16}", package)
    assert values[f"{database}/DriverInfFiles/viostor.inf/Configurations"] == "Install"
    for device in ("VEN_1AF4&DEV_1001", "VEN_1AF4&DEV_1042"):
        assert values[f"{database}/DeviceIds/PCI/{device}/viostor.inf"] == "%01%FF%00%00"
        descriptor = f"{database}/DriverPackages/{package}/Descriptors/PCI/{device}"
        assert values[f"{descriptor}/Configuration"] == "Install"
    configuration = f"{database}/DriverPackages/{package}/Configurations/Install"
    assert values[f"{configuration}/Service"] == "viostor"
    assert values[f"{configuration}/ConfigFlags"] == "0x00000000"
    assert not [key for key in values if "CriticalDeviceDatabase" in key]
    assert not [key for key in values if "netkvm" in key.lower()]


def shell(hive: Path, *commands: str) -> str:
    """Return what another program than ours reads out of a hive."""
    script = "\n".join((f"load {hive}", *commands, "quit", ""))
    done = subprocess.run(
        ["hivexsh"], input=script, capture_output=True, check=True, text=True, timeout=60
    )
    return done.stdout


def test_the_version_of_a_package_has_its_48_bytes(tmp_path: Path, shelf: DriverShelf) -> None:
    """Processor, class, and zeros; the default value of an .inf names its package."""
    c = guest(tmp_path / "c", SERVER_2019)
    opened(c).replay(planned(c, shelf).edits)
    told = shell(c / CONFIG / "SYSTEM", r"cd \DriverDatabase\DriverPackages", "ls")
    package = next(line for line in told.split() if line.startswith("viostor.inf_"))
    told = shell(c / CONFIG / "SYSTEM", rf"cd \DriverDatabase\DriverPackages\{package}", "lsval")

    guid = "7be9364d25e3ce11bfc108002be10318"
    version = told.partition('"Version"=hex(3):')[2].strip().replace(",", "")
    assert version == f"00ff090000000000{guid}{'00' * 24}"
    told = shell(c / CONFIG / "SYSTEM", r"cd \DriverDatabase\DriverInfFiles\viostor.inf", "lsval")
    raw = bytes.fromhex(told.partition('"@"=hex(7):')[2].partition("\n")[0].replace(",", ""))
    assert raw.decode("utf-16-le") == f"{package}\0\0"


def test_a_server_2008_r2_gets_the_old_device_database(tmp_path: Path, shelf: DriverShelf) -> None:
    """CriticalDeviceDatabase in each control set, drivers built for it, no DriverDatabase."""
    c = guest(tmp_path / "c", SERVER_2008_R2)
    made = planned(c, shelf)
    opened(c).replay(made.edits)
    values = reglookup(c / CONFIG / "SYSTEM")

    built = files("viostor", decorations=("NTamd64.6.1",))
    assert (c / DRIVERS / "viostor.sys").read_bytes() == built["viostor.sys"]
    for device, service in (
        ("VEN_1AF4&DEV_1001", "viostor"),
        ("VEN_1AF4&DEV_1042", "viostor"),
        ("VEN_1AF4&DEV_1004", "vioscsi"),
        ("VEN_15AD&DEV_07C0", "pvscsi"),
    ):
        key = f"{CS}/Control/CriticalDeviceDatabase/PCI#{device}"
        assert values[f"{key}/Service"] == service
        assert values[f"{key}/ClassGUID"] == "{4D36E97B-E325-11CE-BFC1-08002BE10318}"
    assert not [key for key in values if key.startswith("/DriverDatabase")]
    assert "vmxnet3" in made.drivers


def test_what_is_not_built_for_a_windows_stays_away(tmp_path: Path, shelf: DriverShelf) -> None:
    """A Windows 11 is later than everything here that says so; an ARM finds nothing."""
    made = planned(guest(tmp_path / "a", WINDOWS_11), shelf)
    assert "viostor" in made.drivers
    arm = planned(guest(tmp_path / "b", SERVER_2019, arch="ARM64"), shelf)
    assert arm.drivers == ("storahci", "stornvme")


def test_converting_again_changes_nothing(tmp_path: Path, shelf: DriverShelf) -> None:
    """On what it has changed, the plan is empty and names the same drivers."""
    for name, version in (("new", SERVER_2019), ("old", SERVER_2008_R2)):
        c = guest(tmp_path / name, version)
        first = planned(c, shelf)
        opened(c).replay(first.edits)
        again = planned(c, shelf)

        assert again.edits == ()
        assert sorted(again.drivers) == sorted(first.drivers)


def lines(hive: Path) -> list[str]:
    """Return a line for each value, as another parser prints them."""
    done = subprocess.run(["reglookup", "-H", str(hive)], capture_output=True, check=True)
    return [line for line in done.stdout.decode().splitlines() if ",KEY," not in line]


def test_the_ledger_names_every_value(tmp_path: Path, shelf: DriverShelf) -> None:
    """What the parser sees as changed is what the plan's details say, value by value."""
    c = guest(tmp_path / "c", SERVER_2019)
    before = set(lines(c / CONFIG / "SYSTEM"))
    made = planned(c, shelf)
    opened(c).replay(made.edits)
    changed = {line.split(",")[0] for line in set(lines(c / CONFIG / "SYSTEM")) - before}
    details = next(edit.details for edit in made.edits if edit.path.endswith(b"/SYSTEM"))

    told = {
        "/" + detail.key.replace("\\", "/") + "/" + detail.value.replace("(Default)", "")
        for detail in details
        if detail.type != "key"
    }
    assert changed == told
    assert len({(d.key, d.value) for d in details}) == len(details)
    assert all(detail.reason for detail in details)


def test_the_first_start_installs_what_is_staged(tmp_path: Path, shelf: DriverShelf) -> None:
    """Without a static address there is a script all the same, and Setup starts it once."""
    c = guest(tmp_path / "c", SERVER_2019)
    opened(c).replay(planned(c, shelf).edits)
    script = (c / "Windows/bootpoint/firstboot.ps1").read_bytes().decode("ascii")

    assert "pnputil.exe" in script
    assert "$cards = @(\r\n\r\n)" in script
    assert "firstboot.cmd" in reglookup(c / CONFIG / "SYSTEM")["/Setup/CmdLine"]


def test_a_driver_that_the_guest_has_is_left_to_it(tmp_path: Path, shelf: DriverShelf) -> None:
    """Its version stays, and is switched on; the VM may have that hardware."""
    own: Tree = {
        "viostor": {"Start": 3, "Type": 1,
                    "ImagePath": text(r"\SystemRoot\System32\drivers\viostor.sys", EXPAND_SZ)},
        "netkvm": {"Start": 3,
                   "ImagePath": text(r"\SystemRoot\System32\drivers\netkvm.sys", EXPAND_SZ)},
    }  # fmt: skip
    c = guest(tmp_path / "c", SERVER_2019, {"ControlSet001": {"Services": own}})
    for name in ("viostor", "netkvm"):
        (c / DRIVERS / f"{name}.sys").write_bytes(b"MZ its own")
    made = planned(c, shelf)
    opened(c).replay(made.edits)

    assert (c / DRIVERS / "viostor.sys").read_bytes() == b"MZ its own"
    assert not (c / STAGED / "viostor").exists()
    assert not (c / STAGED / "netkvm").exists()
    values = reglookup(c / CONFIG / "SYSTEM")
    assert values[f"{CS}/Services/viostor/Start"] == "0x00000000"
    assert not [key for key in values if "DriverInfFiles/viostor.inf" in key]
    assert {"viostor", "netkvm", "vioscsi"} <= set(made.drivers)
    assert {"viostor", "netkvm"} <= set(planned(c, None).drivers)


def test_a_driver_in_the_driver_store_counts_as_there(tmp_path: Path) -> None:
    """Since Windows 10 a driver may run from the folder that it was installed from."""
    place = r"System32\DriverStore\FileRepository\viostor.inf_amd64_0011\viostor.sys"
    own: Tree = {"viostor": {"Start": 0, "ImagePath": text(rf"\SystemRoot\{place}", EXPAND_SZ)}}
    c = guest(tmp_path / "c", SERVER_2019, {"ControlSet001": {"Services": own}})
    assert "viostor" not in planned(c, None).drivers
    put(c / "Windows", {place.replace("\\", "/"): b"MZ"})

    assert "viostor" in planned(c, None).drivers


def test_a_package_that_is_refused_is_a_warning(tmp_path: Path) -> None:
    """The guest is converted with what is there; the ledger says why not with more."""
    put(tmp_path / "d", files("viostor") | {"viostor.sys": program("x86")})
    put(tmp_path / "e", files("netkvm"))
    shelf = DriverShelf([tmp_path / "d", tmp_path / "e"], tmp_path / "cache")
    made = planned(guest(tmp_path / "c", SERVER_2019), shelf)

    assert any(
        "viostor.inf is not used: its driver viostor.sys is for x86, not for amd64" in warning
        for warning in made.warnings
    )
    assert made.drivers == ("storahci", "stornvme", "netkvm")


def test_without_in_box_drivers_those_of_the_user_are_enough(tmp_path: Path) -> None:
    """A Windows that had no driver for a VM has one now; a card's driver alone does not help."""
    put(tmp_path / "d", files("vioscsi"))
    put(tmp_path / "e", files("netkvm"))
    c = guest(tmp_path / "c", SERVER_2019)
    for name in ("storahci", "stornvme"):
        (c / DRIVERS / f"{name}.sys").unlink()

    only_card = planned(c, DriverShelf([tmp_path / "e"], tmp_path / "cache"))
    assert [obstacle.key for obstacle in only_card.obstacles] == ["guest.no_driver"]
    both = planned(c, DriverShelf([tmp_path / "d", tmp_path / "e"], tmp_path / "cache"))
    assert both.obstacles == ()
    assert both.drivers == ("vioscsi", "netkvm")


def test_the_processor_is_told_by_the_kernel_or_by_folders(tmp_path: Path) -> None:
    """A registry that does not say it: the folder of 32-bit programs does; else nothing is done."""
    put(tmp_path / "d", files("viostor"))
    shelf = DriverShelf([tmp_path / "d"], tmp_path / "cache")
    c = windows(tmp_path / "c", system_hive())

    made = planned(c, shelf)
    assert made.drivers == ("storahci", "stornvme")
    assert any("processor" in warning for warning in made.warnings)
    (c / "Windows/SysWOW64").mkdir()
    assert "viostor" in planned(c, shelf).drivers


def test_settings_of_an_inf_that_lead_astray_are_left_out(tmp_path: Path) -> None:
    """Odd keys and kinds of values get into no registry."""
    extra = r"""HKR,,Plain,0,text
        HKR,"..\..\Select","Current",0x00010001,9
        HKR,,Bytes,1,0a,ff
        HKR,,BadBytes,1,zz
        HKR,,List,0x00010000,one,two
        HKR,,Keyonly,0x10
        HKR,,Odd,0x00050000,1
        HKLM,SOFTWARE\X,Evil,0,text"""
    put(tmp_path / "d", files("viostor", extra=extra))
    c = guest(tmp_path / "c", SERVER_2019)
    shelf = DriverShelf([tmp_path / "d"], tmp_path / "cache")
    opened(c).replay(planned(c, shelf).edits)
    values = reglookup(c / CONFIG / "SYSTEM")

    service = f"{CS}/Services/viostor"
    assert values[f"{service}/Plain"] == "text"
    assert values[f"{service}/Bytes"] == "%0A%FF"
    assert values[f"{service}/List"] == "one|two"
    assert values["/Select/Current"] == "0x00000001"
    assert not [key for key in values if re.search("Odd|Evil|BadBytes|Keyonly", key)]
    assert not [key for key in values if "..]" in key or "/../" in key]
