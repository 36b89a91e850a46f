"""The first start: static addresses follow the VM's network cards."""

from __future__ import annotations

from pathlib import Path

from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.guests.windows.hive import MULTI_SZ, edit, text
from engine.model.cards import CardChange
from engine.model.guest import ConversionPlan
from tests.guests.phony_hive import Tree, steps, system_hive
from tests.unit.guests.test_windows_plan import CONFIG, opened, reglookup, windows

GUID = "{01234567-89AB-CDEF-0123-456789ABCDEF}"
NIC = CardChange("00:50:56:11:22:33", "d0:94:66:00:00:01", "Ethernet")


def static(address: str) -> Tree:
    """Return a card's settings."""
    lists = {"IPAddress": address, "SubnetMask": "255.255.255.0", "DefaultGateway": "10.1.2.1"}
    values = {name: text(f"{value}\0", MULTI_SZ) for name, value in lists.items()}
    return {"EnableDHCP": 0, **values, "NameServer": "10.1.2.2,10.1.2.3"}


def guest(path: Path, more: Tree) -> Path:
    """Make a Windows with more in its registry."""
    return windows(path, edit(system_hive(), steps(more)))


def with_card(address: str) -> Tree:
    """Return the registry of a card with a static address."""
    parameters = {"Parameters": {"Interfaces": {GUID: static(address)}}}
    return {"ControlSet001": {"Services": {"Tcpip": parameters}}}


def planned(path: Path) -> ConversionPlan:
    """Return the plan for a VM with one card."""
    backend = opened(path)
    return plan(backend, inspect(backend), lambda _kernel: b"", ConversionOptions((NIC,)))


def test_a_static_address_moves_to_the_new_card(tmp_path: Path) -> None:
    """The script names the new card's address; Setup starts it once; a second plan is empty."""
    guest(tmp_path, with_card("10.1.2.9"))
    opened(tmp_path).replay(planned(tmp_path).edits)

    script = (tmp_path / "Windows/bootpoint/firstboot.ps1").read_bytes().decode("ascii")
    assert f"Mac = '00:50:56:11:22:33'; Old = '{GUID.lower()}'" in script
    assert "@('10.1.2.9/255.255.255.0'); Gateways = @('10.1.2.1/0')" in script
    assert "Dns = @('10.1.2.2', '10.1.2.3'); Metric = 0" in script
    values = reglookup(tmp_path / CONFIG / "SYSTEM")
    assert values["/Setup/SetupType"] == "0x00000002"
    assert "firstboot.cmd" in values["/Setup/CmdLine"]
    assert planned(tmp_path).edits == ()


def test_metrics_move_too(tmp_path: Path) -> None:
    """The metric of a gateway and of an interface; what is none is left to Windows."""
    card = {**static("10.1.2.9"), "InterfaceMetric": 25}
    card["DefaultGatewayMetric"] = text("256\0", MULTI_SZ)
    parameters = {"Parameters": {"Interfaces": {GUID: card}}}
    guest(tmp_path, {"ControlSet001": {"Services": {"Tcpip": parameters}}})
    opened(tmp_path).replay(planned(tmp_path).edits)

    script = (tmp_path / "Windows/bootpoint/firstboot.ps1").read_bytes().decode("ascii")
    assert "Gateways = @('10.1.2.1/256')" in script
    assert "Metric = 25" in script


def test_what_is_no_address_gets_into_no_script(tmp_path: Path) -> None:
    """A registry value that would end a string of the script is left out."""
    guest(tmp_path, with_card("1.1.1.1'; rm"))

    assert [edit.path.rpartition(b"/")[2] for edit in planned(tmp_path).edits] == [b"SYSTEM"]


def test_a_set_up_that_goes_on_is_not_disturbed(tmp_path: Path) -> None:
    """Its own command stays; the operator is warned."""
    guest(tmp_path, {**with_card("10.1.2.9"), "Setup": {"SetupType": 1, "CmdLine": "oobe"}})
    made = planned(tmp_path)

    assert len(made.edits) == 1
    assert any("set-up" in warning for warning in made.warnings)
