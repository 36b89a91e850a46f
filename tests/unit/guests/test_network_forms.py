"""Network: forms of the usual files that few of them have, each as real as the usual one."""

from __future__ import annotations

import pytest

from engine.guests.linux.network import netplan
from engine.guests.linux.network.stack import Card, plain_mac
from tests.unit.guests.test_network import (
    LINK,
    NEW,
    NEW2,
    OLD,
    OLD2,
    ONE,
    NicChange,
    guest,
    planned,
)

TWO = (NicChange(new=NEW, old=OLD), NicChange(new=NEW2, old=OLD2))
KEYFILE = "/etc/NetworkManager/system-connections/lan"
INTERFACES = "/etc/network/interfaces"


def test_an_old_keyfile_has_the_address_in_decimal_numbers() -> None:
    """NetworkManager before 0.9.10 wrote bytes, one by one; it gets them back so."""
    text = "[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\nmac-address=%s\n[ipv4]\nx=1;2;3\n"
    disk = guest({KEYFILE: text % "170;187;204;0;17;34;"})

    texts, warnings = planned(disk, *ONE)

    assert texts == {KEYFILE: text % "0;80;86;0;0;10;"}
    assert warnings == []


@pytest.mark.parametrize("raw", [b"170;187;204;0;17;999", b"170;187;204;0;17", b"1;2;3;4;5;6;7"])
def test_other_numbers_are_no_address(raw: bytes) -> None:
    """Six bytes, no more and no less."""
    assert plain_mac(raw) == ""


@pytest.mark.parametrize("listed", ["eno1;eno2;", "|eno1;|eno2", "eno1,!eno9,eno2"])
def test_a_keyfile_may_match_several_names(listed: str) -> None:
    """What it forbids is no card of the machine."""
    text = f"[connection]\ntype=ethernet\n[match]\ninterface-name={listed}\n"

    texts, _ = planned(guest({KEYFILE: text}), *TWO)

    assert set(texts) == {LINK % "eno1", LINK % "eno2"}


def test_networkd_may_match_several_names() -> None:
    """As the ports of a bond; names that it forbids are none."""
    text = "[Match]\nName=eno1 eno2\n[Network]\nBond=bond0\n"
    other = "[Match]\nName=!eno7 eno8\n[Network]\nDHCP=yes\n"
    folder = "/etc/systemd/network"

    texts, _ = planned(guest({f"{folder}/1.network": text, f"{folder}/2.network": other}), *TWO)

    assert set(texts) == {LINK % "eno1", LINK % "eno2"}


def test_the_address_may_stand_in_a_file_beside() -> None:
    """What systemd calls a drop-in: `NAME.network.d/*.conf` is laid over it."""
    own = "/etc/systemd/network/10-lan.network"
    more = f"{own}.d/card.conf"
    text = "[Network]\nAddress=192.0.2.9/24\n"
    disk = guest({more: f"[Match]\nMACAddress={OLD}\n", f"{more}.off": OLD, own: text})

    assert planned(disk, *ONE)[0] == {more: f"[Match]\nMACAddress={NEW}\n"}


@pytest.mark.parametrize("line", ["auto mac/%s=lan", "rename mac/%s=lan", "allow-hotplug mac/%s"])
def test_ifupdown_may_call_a_card_by_its_address(line: str) -> None:
    """No card with the old address comes back."""
    text = line + "\niface lan inet static\n\taddress 192.0.2.9/24\n"

    texts, _ = planned(guest({INTERFACES: text % OLD}), *ONE)

    assert texts[INTERFACES] == text % NEW
    assert LINK % "lan" in texts


ONE_LINE = "network: {ethernets: {eno1: {addresses: [a, b]}, 'eno2': {}}, bridges: {b: {}}}"
LINES = f"""network:
  ethernets: {{
    x: {{match: {{macaddress: '{OLD}'}},
        set-name: lan}}
  }}
"""
BLOCK = f"""network:
  ethernets:
    x: {{match: {{macaddress: "{OLD}"}}, set-name: lan}}
    y: {{}}
"""


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        (ONE_LINE, [Card("eno1"), Card("eno2")]),
        (LINES, [Card("lan", OLD)]),
        (BLOCK, [Card("lan", OLD), Card("y")]),
        ("network: {ethernets: {eno1: {dhcp4: true}", []),
    ],
    ids=["one line", "over lines", "in a block", "cut off"],
)
def test_netplan_may_be_written_in_braces(text: str, cards: list[Card]) -> None:
    """YAML has two forms for the same; the name of a card is found in both."""
    assert list(netplan.STACK.cards(b"/etc/netplan/1.yaml", text.encode())) == cards


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/netplan/1.yaml", "ethernets: {" * 80_000),
        ("/etc/netplan/1.yaml", "ethernets: {" + "a: {name: b}, " * 60_000),
        (KEYFILE, "[match]\ninterface-name=" + "a;" * 500_000),
        ("/etc/systemd/network/1.network", "[Match]\nName=" + "a " * 500_000),
    ],
)
def test_forms_that_never_end_are_read_in_linear_time(path: str, text: str) -> None:
    """A guest is hostile until shown otherwise: a megabyte of it takes no minutes."""
    planned(guest({path: text}), *ONE)
