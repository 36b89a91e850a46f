"""Stacks that few distributions have: a card keeps its name there too, or its settings."""

from __future__ import annotations

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import plan
from tests.unit.guests.test_plan import NICS, overlay
from tests.unit.guests.trees import ROOT, MemoryGuest, debian12


def guest(path: str, content: str) -> MemoryGuest:
    """Return a Debian whose network is configured by this file only."""
    disk = debian12()
    del disk.files[ROOT][b"/etc/network/interfaces"]
    disk.put(ROOT, path, content)
    return disk


def converted(disk: MemoryGuest) -> dict[bytes, object]:
    """Return the guest's files after its conversion, which leaves nothing to be done."""
    made = disk.replay(plan(disk, inspect(disk), overlay, NICS).edits)
    assert plan(made, inspect(made), overlay, NICS).edits == ()
    return dict(made.files[ROOT])


@pytest.mark.parametrize(
    ("stack", "path", "content"),
    [
        ("dhcpcd", "/etc/dhcpcd.conf", "# interface x\ninterface lan0\nstatic routers=192.0.2.1\n"),
        ("netctl", "/etc/netctl/lan", "Connection=ethernet\nInterface=lan0\nIP=static\n"),
        ("netifrc", "/etc/conf.d/net", 'config_lan0="192.0.2.3/24"\nconfig_lo="x"\n'),
    ],
)
def test_a_card_keeps_the_name_that_one_file_gives_it(stack: str, path: str, content: str) -> None:
    """The stack is told, and a rule binds the name to the VM's card."""
    disk = guest(path, content)

    assert stack in inspect(disk).networks
    assert b"/etc/systemd/network/00-bootpoint-lan0.link" in converted(disk)


def test_connman_s_settings_go_to_the_new_card() -> None:
    """It keeps a static address in a folder that is called after the old card's MAC."""
    folder = "/var/lib/connman/ethernet_%s_cable/settings"
    text = "[ethernet_aabbcc001122_cable]\nIPv4.method=manual\nIPv4.local_address=192.0.2.3\n"

    files = converted(guest(folder % "aabbcc001122", text))

    assert (
        files[(folder % "005056000001").encode()]
        == text.replace("aabbcc001122", "005056000001").encode()
    )


def test_an_address_that_ifupdown_gives_a_card_is_the_new_one() -> None:
    """A VM that sends from the old address is cut off by its switch."""
    text = "iface eno1 inet static\n hwaddress ether aa:bb:cc:00:11:22\n address 192.0.2.3/24\n"

    files = converted(guest("/etc/network/interfaces", text))

    assert b"hwaddress ether 00:50:56:00:00:01\n" in bytes(files[b"/etc/network/interfaces"])  # type: ignore[call-overload]  # a file
