"""A standby VM in libvirt's words. Pure: a machine and its files in, XML out, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement, tostring

from engine.model.layers import LayerName
from engine.model.machine import CardModel, DiskBus, Firmware, Network, Nic, VMSpec
from engine.ports import DiskFile

OURS = "urn:bootpoint:vm:1"
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_CARDS = {
    CardModel.VIRTIO: "virtio-net-pci",
    CardModel.VMXNET3: "vmxnet3",
    CardModel.E1000E: "e1000e",
}
_BUSES = {
    DiskBus.VIRTIO: ("virtio", "vd"),
    DiskBus.SCSI: ("scsi", "sd"),
    DiskBus.PVSCSI: ("scsi", "sd"),
    DiskBus.SATA: ("sata", "sd"),
}
"""libvirt's word for a bus, and how names of disks on it begin."""
_SCSI = {DiskBus.SCSI: "virtio-scsi", DiskBus.PVSCSI: "vmpvscsi"}
_MACHINES = {Firmware.BIOS: "pc", Firmware.UEFI: "q35"}
MOST_CARDS = 8
# libvirt gives PCI slots away from the lowest; these are out of its sight.
_LAST_SLOT = 0x1C
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

ET.register_namespace("bootpoint", OURS)
ET.register_namespace("qemu", _QEMU)


@dataclass(frozen=True, slots=True)
class Host:
    """What a VM's description needs to know of where it runs.

    Attributes:
        kind: libvirt's domain type: `kvm`, `qemu` (emulation) or `test`.
        loader, variables: UEFI firmware and the template of its variables; empty without.
    """

    kind: str
    loader: str = ""
    variables: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """What a VM is started on.

    Attributes:
        disks: In disk order.
        serial: File that takes what the guest prints.
        typing: Unix socket that takes what is typed for the guest.
        nvram: File that keeps its UEFI variables.
    """

    layer: LayerName
    network: Network
    disks: Sequence[DiskFile]
    serial: Path
    typing: Path
    nvram: Path


@dataclass(frozen=True, slots=True)
class Tag:
    """Our mark in a VM's description.

    Attributes:
        owner: UUID of the engine's target that made it.
        spec: As it was created.
        layer: What it was started on last; empty before.
    """

    owner: str
    spec: VMSpec
    layer: str = ""
    network: str = ""


def domain_xml(spec: VMSpec, owner: str, host: Host, running: Running | None = None) -> str:
    """Describe a VM.

    Args:
        spec: Its shape.
        owner: UUID that marks it as ours.
        running: What it is started on; None: only its place is taken, with no disk.
    """
    domain = Element("domain", type=host.kind)
    SubElement(domain, "name").text = spec.name
    # Made from who and what, so that a description replaces the earlier one of the same VM.
    SubElement(domain, "uuid").text = str(uuid5(UUID(owner), spec.name))
    domain.append(_tag(spec, owner, running))
    SubElement(domain, "memory", unit="b").text = str(spec.memory)
    SubElement(domain, "vcpu").text = str(spec.cpus)
    domain.append(_boot(spec, host, running))
    _processor(domain, host)
    SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        SubElement(domain, f"on_{event}").text = action
    _devices(SubElement(domain, "devices"), spec, host, running)
    if running is not None and host.kind != "test":
        _qemu_options(domain, spec, running)
    return tostring(domain, encoding="unicode")


def read_tag(xml: str) -> Tag | None:
    """Return our mark from a VM's description; None when it is not ours."""
    domain = ET.fromstring(xml)  # noqa: S314 - what libvirt prints
    found = domain.find(f"metadata/{{{OURS}}}vm")
    if found is None:
        return None
    name = domain.findtext("name", "")
    nics = tuple(Nic(nic.get("name", ""), nic.get("mac", "")) for nic in found)
    try:
        spec = VMSpec(
            name,
            Firmware(found.get("firmware", "")),
            int(found.get("cpus", "")),
            int(found.get("memory", "")),
            nics,
            DiskBus(found.get("bus", "")),
            CardModel(found.get("card", CardModel.VIRTIO)),
            int(found.get("boot", "0")),
        )
    except ValueError:
        return None
    return Tag(found.get("owner", ""), spec, found.get("layer", ""), found.get("network", ""))


def mac_of(spec: VMSpec, number: int) -> str:
    """Return the address of a network card: the source's, or one made from the VM's name."""
    told = spec.nics[number].mac.lower().replace("-", ":")
    if _MAC.fullmatch(told):
        return told
    digest = hashlib.sha256(f"{spec.name}/{number}".encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def _tag(spec: VMSpec, owner: str, running: Running | None) -> Element:
    metadata = Element("metadata")
    tag = SubElement(metadata, f"{{{OURS}}}vm", owner=owner, firmware=spec.firmware, bus=spec.bus)
    tag.set("card", spec.card)
    tag.set("boot", str(spec.boot_disk))
    tag.set("cpus", str(spec.cpus))
    tag.set("memory", str(spec.memory))
    if running is not None:
        tag.set("layer", running.layer)
        tag.set("network", running.network)
    for nic in spec.nics:
        SubElement(tag, f"{{{OURS}}}nic", name=_printable(nic.name), mac=_printable(nic.mac))
    return metadata


def _printable(text: str) -> str:
    """Return text from an image without what XML cannot hold."""
    return "".join(c for c in text[:128] if c.isprintable())


def _boot(spec: VMSpec, host: Host, running: Running | None) -> Element:
    boot = Element("os")
    if host.kind == "test":
        SubElement(boot, "type").text = "hvm"
        return boot
    SubElement(boot, "type", arch="x86_64", machine=_MACHINES[spec.firmware]).text = "hvm"
    if spec.firmware is Firmware.UEFI:
        SubElement(boot, "loader", readonly="yes", type="pflash").text = host.loader
        if running is not None:
            nvram = SubElement(boot, "nvram", template=host.variables)
            nvram.text = str(running.nvram)
    return boot


def _processor(domain: Element, host: Host) -> None:
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    if host.kind == "qemu":
        # The default of 1 GiB of translated code a VM is much for a host that runs several.
        cache = SubElement(SubElement(features, "tcg"), "tb-cache", unit="MiB")
        cache.text = "512"
        # 76 processor seconds to a Debian's login prompt, against 106 with `max`.
        cpu = SubElement(domain, "cpu", mode="custom", match="exact", check="none")
        SubElement(cpu, "model", fallback="forbid").text = "qemu64"
    elif host.kind == "kvm":
        SubElement(domain, "cpu", mode="host-passthrough", check="none")


def _devices(devices: Element, spec: VMSpec, host: Host, running: Running | None) -> None:
    if host.kind != "test":
        SubElement(devices, "controller", type="usb", model="none")
        if spec.bus in _SCSI:
            SubElement(devices, "controller", type="scsi", model=_SCSI[spec.bus])
        video = SubElement(devices, "video")
        SubElement(video, "model", type="vga", vram="16384")
        SubElement(devices, "memballoon", model="none")
    if running is None:
        return
    order = sorted(range(len(running.disks)), key=lambda number: number != spec.boot_disk)
    for number, disk in enumerate(running.disks):
        devices.append(_disk(disk, number, spec.bus, order.index(number) + 1))
    # QEMU keeps the log whether somebody is connected or not, and waits for nobody.
    serial = SubElement(devices, "serial", type="unix")
    SubElement(serial, "source", mode="bind", path=str(running.typing))
    SubElement(serial, "log", file=str(running.serial), append="on")
    SubElement(serial, "target", port="0")
    if running.network is Network.NONE:
        devices.extend(_unplugged(spec))


def _disk(disk: DiskFile, number: int, bus: DiskBus, order: int) -> Element:
    element = Element("disk", type="file", device="disk")
    # `writeback` obeys the guest's flushes; the format is stated, never guessed from the content.
    SubElement(element, "driver", name="qemu", type=disk.format, cache="writeback", discard="unmap")
    SubElement(element, "source", file=str(disk.path))
    word, prefix = _BUSES[bus]
    SubElement(element, "target", dev=prefix + _letters(number), bus=word)
    SubElement(element, "boot", order=str(order))
    return element


def _letters(number: int) -> str:
    """Return `a` … `z`, then `aa`, `ab` and so on."""
    ahead, last = divmod(number, len(_LETTERS))
    return (_letters(ahead - 1) if ahead else "") + _LETTERS[last]


def _unplugged(spec: VMSpec) -> Iterator[Element]:
    """Yield network cards whose cable is out."""
    for number in range(min(len(spec.nics), MOST_CARDS)):
        card = Element("interface", type="user")
        SubElement(card, "mac", address=mac_of(spec, number))
        SubElement(card, "model", type=spec.card)
        SubElement(card, "link", state="down")
        yield card


def _qemu_options(domain: Element, spec: VMSpec, running: Running) -> None:
    """Isolated cards: the link is up, and QEMU drops every frame, for the card has no peer.

    No socket, no bridge, no user-mode network: there is nothing a frame could leave through.
    libvirt has no name for it.
    """
    if running.network is not Network.ISOLATED or not spec.nics:
        return
    options = SubElement(domain, f"{{{_QEMU}}}commandline")
    for number in range(min(len(spec.nics), MOST_CARDS)):
        card = f"{_CARDS[spec.card]},mac={mac_of(spec, number)},addr={_LAST_SLOT - number:#x}"
        # Not on a hub of its own: that keeps frames instead, and Linux 6.12 then reports a stuck
        # transmit queue on the console every five seconds.
        for word in ("-device", card):
            SubElement(options, f"{{{_QEMU}}}arg", value=word)
