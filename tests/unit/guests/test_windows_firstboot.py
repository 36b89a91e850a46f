"""The first start: static addresses follow the VM's network cards."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.guests.windows.firstboot import WANTED, statics
from engine.guests.windows.hive import BINARY, MULTI_SZ, Value, edit, read, text
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


NSI = "{eb004a01-9b1a-11d4-9123-0050047759bc}"
CLASS = "{4D36E972-E325-11CE-BFC1-08002BE10318}"


def six(*addresses: str, length: int = 64, servers: str = "", routes: bool = False) -> Tree:
    """Return a control set with a card whose LUID is 6/9 and its addresses in the store.

    `0000000900000600` is how the sources of `ipv6.py` print the LUID of such a card.
    """
    data = Value(BINARY, struct.pack("<IIIIB", 0xFFFFFFFF, 0xFFFFFFFF, 1, 1, length) + b"\xff" * 31)
    names = ["0000000900000600" + ipaddress.IPv6Address(each).packed.hex() for each in addresses]
    store: dict[str, Tree] = {"10": dict.fromkeys(names, data)}
    if routes:
        store["16"] = {"00" * 4 + "0000000900000600" + "00" * 20: data}
    card = {"NetCfgInstanceId": GUID, "NetLuidIndex": 9, "*IfType": 6}
    return {
        "Control": {"Nsi": {NSI: store}, "Class": {CLASS: {"0007": card}}},
        "Services": {"Tcpip6": {"Parameters": {"Interfaces": {GUID: {"NameServer": servers}}}}},
    }


def test_a_static_address_of_ipv6_moves_too(tmp_path: Path) -> None:
    """By DHCP in IPv4, static in IPv6: the script adds it with its prefix and name servers."""
    guest(tmp_path, {"ControlSet001": six("2001:db8::9", servers="2001:db8::2,x'y")})
    made = planned(tmp_path)
    opened(tmp_path).replay(made.edits)

    script = (tmp_path / "Windows/bootpoint/firstboot.ps1").read_bytes().decode("ascii")
    assert "Addresses = @(); Gateways = @(); Dns = @(); Metric = 0" in script
    assert "Six = @('2001:db8::9/64'); Dns6 = @('2001:db8::2') }" in script
    assert not any("IPv6" in warning for warning in made.warnings)
    assert planned(tmp_path).edits == ()


def test_both_kinds_of_addresses_are_of_one_card(tmp_path: Path) -> None:
    """A card with both is one card; routes of its own are not moved, which is said."""
    four = {"Services": {"Tcpip": {"Parameters": {"Interfaces": {GUID: static("10.1.2.9")}}}}}
    hive = edit(system_hive(), steps({"ControlSet001": four}))
    both = six("2001:db8::9", "2001:db8::a", routes=True)
    windows(tmp_path, edit(hive, steps({"ControlSet001": both})))
    made = planned(tmp_path)
    opened(tmp_path).replay(made.edits)

    script = (tmp_path / "Windows/bootpoint/firstboot.ps1").read_bytes().decode("ascii")
    assert script.count("Mac = '00:50") == 1
    assert "'10.1.2.9/255.255.255.0'" in script
    assert "Six = @('2001:db8::9/64', '2001:db8::a/64')" in script
    assert any("IPv6 routes" in warning for warning in made.warnings)


@pytest.mark.parametrize("odd", ["::1", "ff02::1", "fe80::1", "::"])
def test_an_address_that_no_card_keeps_is_left_out(odd: str) -> None:
    """Loopback, multicast, link-local; and a prefix that is none."""
    hive = edit(system_hive(), steps({"ControlSet001": six(odd)}))
    assert statics(read(hive, WANTED).keys["controlset001"]) == []
    hive = edit(system_hive(), steps({"ControlSet001": six("2001:db8::9", length=129)}))
    assert statics(read(hive, WANTED).keys["controlset001"]) == []


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
