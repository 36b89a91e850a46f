"""Network: every stack follows the new card, and the card keeps its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests.inspect import inspect, tree_of
from engine.guests.linux.draft import Draft
from engine.guests.linux.network import STACKS
from engine.guests.linux.network.naming import NicChange, plan_network
from engine.guests.linux.network.stack import Card, Stack
from engine.model.guest import FileEdit
from tests.unit.guests.trees import ROOT, Link, MemoryGuest, debian12

OLD = "aa:bb:cc:00:11:22"
NEW = "00:50:56:00:00:0a"
OLD2 = "aa:bb:cc:00:11:33"
NEW2 = "00:50:56:00:00:0b"
ONE = (NicChange(new=NEW, old=OLD),)
BY_NAME: dict[str, Stack] = {stack.name: stack for stack in STACKS}


def planned(disk: MemoryGuest, *nics: NicChange) -> tuple[dict[str, str], list[str]]:
    """Return the texts that would be written, by path, and the warnings."""
    edits, warnings = drafted(disk, *nics)
    return {edit.path.decode(): edit.after.decode() for edit in edits if edit.after}, warnings


def drafted(disk: MemoryGuest, *nics: NicChange) -> tuple[list[FileEdit], list[str]]:
    """Return the edits and warnings of the network alone."""
    draft = Draft(disk, tree_of(disk, inspect(disk)))
    plan_network(draft, nics)
    return list(draft.edits()), draft.warnings


def guest(files: dict[str, str]) -> MemoryGuest:
    """Return a Debian guest with these files instead of its network configuration."""
    disk = debian12()
    del disk.files[ROOT][b"/etc/network/interfaces"]
    for path, content in files.items():
        disk.put(ROOT, path, content)
    return disk


LINK = "/etc/systemd/network/00-bootpoint-%s.link"
CASES = {
    "ifcfg": ("/etc/sysconfig/network-scripts/ifcfg-em1", f"DEVICE=em1\nHWADDR={OLD.upper()}\n"),
    "netplan": (
        "/etc/netplan/01.yaml",
        f"network:\n  ethernets:\n    em1:\n      match: {{}}\n      macaddress: '{OLD}'\n",
    ),
    "networkd": ("/etc/systemd/network/10.network", f"[Match]\nMACAddress={OLD}\nName=em1\n"),
    "NetworkManager": (
        "/etc/NetworkManager/system-connections/a.nmconnection",
        f"[connection]\ntype=ethernet\ninterface-name=em1\n[ethernet]\nmac-address={OLD.upper()}\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_address_is_replaced_and_the_name_kept(name: str) -> None:
    """Each stack's file names the new address in the old spelling; a rule gives the name."""
    path, content = CASES[name]
    disk = guest({path: content})

    texts, warnings = planned(disk, *ONE)

    expected = content.replace(OLD, NEW).replace(OLD.upper(), NEW.upper())
    assert texts == {
        path: expected,
        LINK % "em1": f"[Match]\nMACAddress={NEW}\n\n[Link]\nName=em1\n",
    }
    assert warnings == []


@pytest.mark.parametrize("name", CASES)
def test_planning_the_network_again_changes_nothing(name: str) -> None:
    """The new address is found where the old one was."""
    disk = guest(dict([CASES[name]]))
    edits, _ = drafted(disk, *ONE)

    assert drafted(disk.replay(edits), *ONE)[0] == []


def test_older_rules_are_rewritten_instead_of_a_link_file() -> None:
    """Where 70-persistent-net.rules names the card, it is the only rule."""
    path = "/etc/udev/rules.d/70-persistent-net.rules"
    rule = f'SUBSYSTEM=="net", ATTR{{address}}=="{OLD}", ATTR{{type}}=="1", NAME="eth0"\n'

    texts, _ = planned(guest({path: f"# {OLD}\n" + rule}), *ONE)

    assert texts == {path: f"# {OLD}\n" + rule.replace(OLD, NEW)}


def test_a_link_file_that_names_the_card_is_rule_enough() -> None:
    """A rule by address alone follows the new card; one with more conditions may not fit it."""
    path = "/etc/systemd/network/10-old.link"
    rule = f"# old\n[Match]\nMACAddress={OLD}\n\n[Link]\nName=lan0\n"
    assert planned(guest({path: rule}), *ONE)[0] == {path: rule.replace(OLD, NEW)}

    rule = rule.replace("[Match]\n", "[Match]\nPath=pci-0000:02:00.0\n")
    assert set(planned(guest({path: rule}), *ONE)[0]) == {path, LINK % "lan0"}


def test_ifupdown_needs_only_the_name() -> None:
    """Ifupdown knows cards by name alone; its file stays."""
    texts, warnings = planned(debian12(), *ONE)

    assert list(texts) == [LINK % "enp3s0"]
    assert warnings == []


def test_two_cards_get_their_own_names() -> None:
    """Each card keeps the name that its address had, whatever the order."""
    disk = guest(
        {
            "/etc/sysconfig/network-scripts/ifcfg-a": f"DEVICE=lan\nHWADDR={OLD2}\n",
            "/etc/sysconfig/network-scripts/ifcfg-b": f"DEVICE=wan\nHWADDR={OLD}\n",
        }
    )
    texts, warnings = planned(disk, *ONE, NicChange(new=NEW2, old=OLD2))

    assert f"MACAddress={NEW}\n" in texts[LINK % "wan"]
    assert f"MACAddress={NEW2}\n" in texts[LINK % "lan"]
    assert warnings == []


def test_names_that_only_order_gives_are_in_doubt() -> None:
    """Two unbound names for two cards are a guess, and said to be one."""
    disk = guest({"/etc/network/interfaces": "iface eth0 inet dhcp\niface eth1 inet dhcp\n"})

    texts, warnings = planned(disk, *ONE, NicChange(new=NEW2, old=OLD2))

    assert f"MACAddress={NEW}\n" in texts[LINK % "eth0"]
    assert f"MACAddress={NEW2}\n" in texts[LINK % "eth1"]
    assert "order" in warnings[0]


def test_a_name_that_is_told_wins() -> None:
    """The image's hint about a card beats what the guest lets one guess."""
    texts, _ = planned(debian12(), NicChange(new=NEW, old=OLD, name="ens7"))

    assert LINK % "ens7" in texts


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "a" * 16, "a\nb", ".."])
def test_a_name_that_is_no_file_name_is_not_used(name: str) -> None:
    """A hostile name never becomes a path."""
    texts, _ = planned(debian12(), NicChange(new=NEW, old=OLD, name=name))

    assert list(texts) == [LINK % "enp3s0"]


def test_bridges_bonds_and_vlans_are_no_cards() -> None:
    """Only physical cards are named by address."""
    disk = guest({"/etc/network/interfaces": "".join(
        f"iface {name} inet dhcp\n" for name in ("lo", "br0", "bond0", "eth0.7", "eth0:1", "eth0")
    )})  # fmt: skip
    texts, warnings = planned(disk, *ONE)

    assert list(texts) == [LINK % "eth0"]
    assert warnings == []


MADE = {
    "a bridge of any name before its port": (
        "/etc/network/interfaces",
        "iface vmbr0 inet static\n\tmtu 9000\n\tbridge-ports eno1\niface eno1 inet manual\n",
    ),
    "a bond whose slave has no stanza": (
        "/etc/network/interfaces", "auto up\niface up inet dhcp\n  bond-slaves eno1\n",
    ),
    "a VLAN of a card without a stanza": (
        "/etc/network/interfaces", "iface lan inet dhcp\n\tvlan-raw-device eno1\n",
    ),
    "a tagged card": ("/etc/network/interfaces", "iface eno1.42 inet dhcp\n"),
    "a bridge of SUSE": (
        "/etc/sysconfig/network/ifcfg-lan", "BRIDGE='yes'\nBRIDGE_PORTS='eno1'\nBOOTPROTO=dhcp\n",
    ),
    "a VLAN of SUSE": ("/etc/sysconfig/network/ifcfg-office", "ETHERDEVICE='eno1'\n"),
    "a file that another one names": (
        "/etc/network/interfaces", "source /etc/network/more/*.cfg\n",
        "/etc/network/more/a.cfg", "iface eno1 inet dhcp\n",
    ),
    "a pattern that no card of a VM fits": (
        "/etc/systemd/network/10.network", "[Match]\nName=eno?\n[Network]\nDHCP=yes\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_the_card_below_is_named_not_what_is_made_of_it(name: str) -> None:
    """Whatever a bridge, a bond or a VLAN is called, the card gets the name of its part."""
    files = MADE[name]
    texts, warnings = planned(guest(dict(zip(files[::2], files[1::2], strict=True))), *ONE)

    assert list(texts) == [LINK % ("eno0" if "pattern" in name else "eno1")]
    assert warnings == []


def test_what_networkd_makes_is_no_card() -> None:
    """A bridge of its own name beside a pattern that any card fits: nothing is to be named."""
    disk = guest(
        {
            "/etc/systemd/network/10.netdev": "[NetDev]\nName=lan\nKind=bridge\n",
            "/etc/systemd/network/20.network": "[Match]\nName=en*\n[Network]\nBridge=lan\n",
            "/etc/systemd/network/30.network": "[Match]\nName=lan\n[Network]\nDHCP=yes\n",
        }
    )
    assert planned(disk, *ONE) == ({}, [])


def test_a_bridge_of_the_red_hat_family_and_its_port() -> None:
    """The type tells; a port says by BRIDGE= whose it is."""
    top = "/etc/sysconfig/network-scripts/ifcfg-"
    disk = guest(
        {f"{top}lan": "DEVICE=lan\nTYPE=Bridge\n", f"{top}em1": "DEVICE=em1\nBRIDGE=lan\n"}
    )
    texts, warnings = planned(disk, *ONE)

    assert list(texts) == [LINK % "em1"]
    assert warnings == []


OLD_HARDWARE: dict[str, tuple[str, str]] = {
    "/etc/systemd/network/20-wired.network": (
        "[Match]\nPath=pci-0000:02:00.0\nDriver=igb\n\n[Network]\nDHCP=no\n",
        ("[Match]\nMACAddress=@\n# bootpoint: Path=pci-0000:02:00.0\n# bootpoint: Driver=igb\n\n"
        "[Network]\nDHCP=no\n"),
    ),
    "/etc/NetworkManager/system-connections/a.nmconnection": (
        "[connection]\ntype=ethernet\n\n[match]\npath=pci-0000:02:00.0;\n\n[ipv4]\nmethod=auto\n",
        ("[connection]\ntype=ethernet\n\n[match]\n# bootpoint: path=pci-0000:02:00.0;\n\n[ipv4]\n"
        "method=auto\n\n[ethernet]\nmac-address=@\n"),
    ),
    "/etc/netplan/01.yaml": (
        "network:\n  ethernets:\n    lan:\n      match:\n        driver: igb\n      dhcp4: true\n",
        ("network:\n  ethernets:\n    lan:\n      match:\n        # bootpoint: driver: igb\n"
        '        macaddress: "@"\n      dhcp4: true\n'),
    ),
    "/etc/netplan/02.yaml": (
        "network:\n  ethernets:\n    lan:\n      match: {driver: igb}\n      mtu: 9000\n",
        'network:\n  ethernets:\n    lan:\n      match: {macaddress: "@"}\n      mtu: 9000\n',
    ),
}  # fmt: skip
"""Before, and after with the new address at `@`."""


@pytest.mark.parametrize("path", OLD_HARDWARE)
def test_a_slot_or_driver_of_the_old_hardware_gives_way_to_the_address(path: str) -> None:
    """The VM's card is in another slot with another driver; a second plan changes nothing."""
    before, after = OLD_HARDWARE[path]
    disk = guest({path: before})
    edits, warnings = drafted(disk, *ONE)

    assert {edit.path.decode(): edit.after.decode() for edit in edits}[path] == (
        after.replace("@", NEW.upper() if "Manager" in path else NEW)
    )
    assert warnings == []
    assert [e for e in drafted(disk.replay(edits), *ONE)[0] if e.path == path.encode()] == []


def test_more_cards_by_slot_than_the_vm_has_are_told() -> None:
    """The first file gets the card; the second is left, with a word."""
    text = OLD_HARDWARE["/etc/systemd/network/20-wired.network"][0]
    disk = guest({"/etc/systemd/network/1.network": text, "/etc/systemd/network/2.network": text})
    texts, warnings = planned(disk, *ONE)

    assert list(texts) == ["/etc/systemd/network/1.network"]
    assert "2.network is bound" in warnings[0]


def test_a_pattern_for_all_cards_is_left_alone() -> None:
    """What fits the VM's card by itself needs no rule, and its block's key is no card's name."""
    disk = guest(
        {"/etc/netplan/a.yaml": 'network:\n  ethernets:\n    all:\n      match: {name: "en*"}\n'}
    )
    assert planned(disk, *ONE) == ({}, [])


def test_without_systemd_no_rule_is_written() -> None:
    """Where nobody reads link files, the operator is told."""
    disk = debian12()
    del disk.files[ROOT][b"/usr/lib/systemd/systemd-udevd"]

    texts, warnings = planned(disk, *ONE)

    assert texts == {}
    assert "has no systemd" in warnings[0]


def test_addresses_of_others_are_kept() -> None:
    """Only the old cards' addresses are replaced, only where a key binds a card."""
    content = f"[Match]\nMACAddress=02:00:00:00:00:01\nName=em1\n# was MACAddress={OLD}\nX={OLD}\n"
    path = "/etc/systemd/network/10.network"

    texts, _ = planned(guest({path: content}), *ONE)

    assert path not in texts


def test_cloud_init_does_not_write_the_network_anew() -> None:
    """Its network step is switched off once, and not where it is off already."""
    path, content = "/etc/netplan/50-cloud-init.yaml", CASES["netplan"][1]
    disk = guest({path: content, "/etc/cloud/cloud.cfg.d/05.cfg": ""})
    texts, _ = planned(disk, *ONE)
    assert (
        texts["/etc/cloud/cloud.cfg.d/99-bootpoint-network.cfg"] == "network: {config: disabled}\n"
    )

    disk.put(ROOT, "/etc/cloud/cloud.cfg.d/99-own.cfg", "network: {config: disabled}\n")
    assert not any("cloud" in path for path in planned(disk, *ONE)[0] if "netplan" not in path)


def test_no_cards_change_nothing() -> None:
    """Without cards nothing is planned."""
    assert planned(debian12()) == ({}, [])


def test_a_card_without_a_valid_address_is_left_out() -> None:
    """A broken address is told, not written."""
    texts, warnings = planned(debian12(), NicChange(new="x\n[Link]"))

    assert texts == {}
    assert len(warnings) == 1


def test_a_rule_that_leads_elsewhere_is_not_followed_out() -> None:
    """A link file that is a link to /dev/null is left as it is, with a word."""
    disk = debian12()
    disk.put(ROOT, LINK % "enp3s0", Link(b"/dev/null"))

    texts, warnings = planned(disk, *ONE)

    assert texts == {}
    assert len(warnings) == 1


def test_netplan_blocks_are_told_apart() -> None:
    """Cards are the blocks under ethernets; a set-name wins over the block's key."""
    content = (
        "network:\n  version: 2\n  ethernets:\n    a:\n      addresses: [192.0.2.1/24]\n"
        f"      match:\n        macaddress: {OLD}\n      set-name: lan\n    eth9: {{dhcp4: true}}\n"
        "  wifis:\n    wl0:\n      dhcp4: true\n"
    )
    cards = BY_NAME["netplan"].cards(b"/etc/netplan/x.yaml", content.encode())

    assert list(cards) == [Card("lan", OLD), Card("eth9")]


def test_a_wireless_connection_names_no_card() -> None:
    """A VM has no wireless card."""
    content = b"[connection]\ntype=wifi\ninterface-name=wlp2s0\n"

    assert list(BY_NAME["NetworkManager"].cards(b"/x", content)) == []


@given(st.sampled_from(sorted(BY_NAME)), st.binary(max_size=300))
def test_any_bytes_are_a_configuration(name: str, content: bytes) -> None:
    """Nothing in a file makes a stack fail, and only addresses change its length by nothing."""
    stack = BY_NAME[name]
    stack.cards(b"/etc/sysconfig/network/ifcfg-a", content)
    stack.cards(b"/etc/systemd/network/a.link", content)
    stack.makes(b"/etc/systemd/network/a.netdev", content)
    stack.sources(content)
    stack.unbind(b"/etc/systemd/network/a.network", content, NEW.encode())

    assert stack.convert(content, {OLD: NEW}) == content or OLD.encode() in content.lower()
