"""Descriptions of VMs for libvirt."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from engine.hypervisors.libvirt.domain import Host, Running, domain_xml, mac_of, read_tag
from engine.model.layers import LayerName
from engine.model.machine import DiskBus, Firmware, Network, Nic, VMSpec
from engine.ports import DiskFile

OWNER = "5f0c1f7e-1111-4222-8333-444455556666"
EMULATION = Host("qemu", "/usr/share/OVMF/CODE.fd", "/usr/share/OVMF/VARS.fd")
SPEC = VMSpec("web01", Firmware.BIOS, 2, 256 << 20, (Nic("eth0", "52:54:00:11:22:33"),))


def running(network: Network = Network.ISOLATED, *disks: DiskFile) -> Running:
    """Return what a VM is started on."""
    place = Path("/var/lib/bootpoint/vms/web01")
    some = disks or (DiskFile(Path("/store/a & <b>/disk-0.raw"), "raw"),)
    return Running(
        LayerName("bp1-scratch"),
        network,
        some,
        place / "serial.log",
        place / "typing",
        place / "nvram",
    )


def described(spec: VMSpec = SPEC, host: Host = EMULATION, on: Running | None = None) -> ET.Element:
    """Return a description, parsed."""
    return ET.fromstring(domain_xml(spec, OWNER, host, on))


def orders(disks: list[ET.Element]) -> list[str | None]:
    """Return when the firmware tries each disk."""
    return [boot.get("order") for one in disks for boot in one.findall("boot")]


def test_a_vm_that_is_off_has_no_disks() -> None:
    """A created VM refers to no layer, so layers can come and go."""
    domain = described()
    assert domain.findall("devices/disk") == []
    assert domain.findall("devices/serial") == []


def test_paths_are_escaped_and_formats_stated() -> None:
    """A path with XML's own signs arrives as it is, and no format is left to be guessed."""
    disk = described(on=running()).find("devices/disk")
    assert disk is not None
    assert disk.find("source").attrib == {"file": "/store/a & <b>/disk-0.raw"}  # type: ignore[union-attr]  # there is one
    assert disk.find("driver").get("type") == "raw"  # type: ignore[union-attr]  # there is one


@pytest.mark.parametrize(
    ("bus", "word", "model", "names"),
    [
        (DiskBus.VIRTIO, "virtio", None, ["vda", "vdb"]),
        (DiskBus.SCSI, "scsi", "virtio-scsi", ["sda", "sdb"]),
        (DiskBus.PVSCSI, "scsi", "vmpvscsi", ["sda", "sdb"]),
        (DiskBus.SATA, "sata", None, ["sda", "sdb"]),
    ],
)
def test_disks_hang_on_their_bus_in_order(
    bus: DiskBus, word: str, model: str | None, names: list[str]
) -> None:
    """Disk 0 comes first, and is tried first where nothing else is said."""
    spec = VMSpec("web01", Firmware.BIOS, 1, 1 << 28, (), bus)
    disks = [DiskFile(Path(f"/d{n}.qcow2"), "qcow2") for n in range(2)]
    domain = described(spec, on=running(Network.NONE, *disks))
    scsi = domain.find("devices/controller[@type='scsi']")
    assert (scsi.get("model") if scsi is not None else None) == model
    found = domain.findall("devices/disk")
    assert [one.find("target").attrib for one in found] == [  # type: ignore[union-attr]  # there is one
        {"dev": name, "bus": word} for name in names
    ]
    assert orders(found) == ["1", "2"]


def test_the_disk_that_the_firmware_tries_first_is_told() -> None:
    """The others stay where they are and come after it; a description read back says the same."""
    spec = VMSpec("web01", Firmware.BIOS, 1, 1 << 28, (), boot_disk=1)
    disks = [DiskFile(Path(f"/d{n}.qcow2"), "qcow2") for n in range(3)]
    found = described(spec, on=running(Network.NONE, *disks)).findall("devices/disk")
    assert [target.get("dev") for one in found for target in one.findall("target")] == [
        "vda", "vdb", "vdc",
    ]  # fmt: skip
    assert orders(found) == ["2", "1", "3"]
    tag = read_tag(domain_xml(spec, OWNER, EMULATION))
    assert tag is not None
    assert tag.spec == spec


def test_the_thirtieth_disk_has_a_name() -> None:
    """After vdz comes vdaa."""
    disks = [DiskFile(Path(f"/d{n}.raw"), "raw") for n in range(30)]
    found = described(on=running(Network.NONE, *disks)).findall("devices/disk/target")
    assert [one.get("dev") for one in found[25:28]] == ["vdz", "vdaa", "vdab"]


def test_isolated_cards_lead_nowhere_outside() -> None:
    """An isolated VM has no network of libvirt and none of QEMU: its cards have no peer."""
    domain = described(on=running(Network.ISOLATED))
    assert domain.findall("devices/interface") == []
    words = [arg.get("value") for arg in domain.iter() if arg.tag.endswith("}arg")]
    assert words == ["-device", "virtio-net-pci,mac=52:54:00:11:22:33,addr=0x1c"]


def test_cards_without_a_network_are_unplugged() -> None:
    """Without a network the card is there and its link is down."""
    domain = described(on=running(Network.NONE))
    assert [card.find("link").attrib for card in domain.findall("devices/interface")] == [  # type: ignore[union-attr]  # there is one
        {"state": "down"}
    ]
    assert not [arg for arg in domain.iter() if arg.tag.endswith("}arg")]


@pytest.mark.parametrize(
    "mac", ["", "01:00:5e:00:00:01", "junk", "52:54:00:11:22:33,script=/bin/sh"]
)
def test_a_bad_address_is_replaced_by_a_stable_one(mac: str) -> None:
    """Multicast, missing or hostile addresses never reach QEMU; the VM's own is always the same."""
    spec = VMSpec("web01", Firmware.BIOS, 1, 1 << 28, (Nic("eth0", mac),))
    assert mac_of(spec, 0).startswith("52:54:00:")
    assert len(mac_of(spec, 0)) == 17
    assert mac_of(spec, 0) == mac_of(spec, 0)


def test_a_hundred_cards_are_no_hundred_cards() -> None:
    """An image that claims hundreds of cards gets as many as fit."""
    spec = VMSpec("web01", Firmware.BIOS, 1, 1 << 28, tuple(Nic(f"e{n}", "") for n in range(100)))
    domain = described(spec, on=running())
    assert len([a for a in domain.iter() if a.tag.endswith("}arg")]) == 2 * 8


def test_uefi_brings_firmware_and_its_own_variables() -> None:
    """A UEFI VM boots the host's firmware with variables in a file of its own."""
    spec = VMSpec("web01", Firmware.UEFI, 1, 1 << 28, ())
    boot = described(spec, on=running()).find("os")
    assert boot is not None
    assert boot.findtext("loader") == EMULATION.loader
    assert boot.findtext("nvram") == "/var/lib/bootpoint/vms/web01/nvram"
    assert boot.find("type").get("machine") == "q35"  # type: ignore[union-attr]  # there is one


def test_emulation_and_kvm_get_their_processor() -> None:
    """qemu64 is the fastest under emulation; KVM passes the host's processor through."""
    assert described().findtext("cpu/model") == "qemu64"
    assert described(host=Host("kvm")).find("cpu").get("mode") == "host-passthrough"  # type: ignore[union-attr]  # there is one


def test_our_mark_survives_the_way_there_and_back() -> None:
    """The tag gives back the shape the VM was created with, and what it runs on."""
    tag = read_tag(domain_xml(SPEC, OWNER, EMULATION, running()))
    assert tag is not None
    assert (tag.owner, tag.spec, tag.layer, tag.network) == (OWNER, SPEC, "bp1-scratch", "isolated")


def test_a_hostile_card_name_makes_no_bad_xml() -> None:
    """Control characters in names from an image cannot break the description."""
    spec = VMSpec("web01", Firmware.BIOS, 1, 1 << 28, (Nic('e\x00\x1b"<&>', "\x07"),))
    tag = read_tag(domain_xml(spec, OWNER, EMULATION))
    assert tag is not None
    assert tag.spec.nics[0].name == 'e"<&>'


@pytest.mark.parametrize(
    "xml",
    [
        "<domain><name>x</name></domain>",
        "<domain><metadata><vm xmlns='urn:other'/></metadata></domain>",
        "<domain><metadata><vm xmlns='urn:bootpoint:vm:1' owner='x'/></metadata></domain>",
    ],
)
def test_what_does_not_carry_our_mark_is_not_ours(xml: str) -> None:
    """No mark, a foreign one and a broken one all mean: hands off."""
    assert read_tag(xml) is None


def test_the_same_vm_always_has_the_same_id() -> None:
    """A new description replaces the earlier one of the same VM, and no other's."""
    first, again = described(), described(on=running())
    other = ET.fromstring(domain_xml(SPEC, OWNER.replace("5f", "6f"), EMULATION))
    assert first.findtext("uuid") == again.findtext("uuid") != other.findtext("uuid")
