"""Shapes of machines: what the source was, and what the standby VM shall be."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

VMRef = NewType("VMRef", str)


class Firmware(StrEnum):
    """How the machine boots."""

    BIOS = "bios"
    UEFI = "uefi"


class Network(StrEnum):
    """What a started VM's network cards are connected to."""

    NONE = "none"
    ISOLATED = "isolated"
    PRODUCTION = "production"


class DiskBus(StrEnum):
    """Controller the standby VM's disks hang on; `scsi` is virtio's."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    PVSCSI = "pvscsi"
    SATA = "sata"


class CardModel(StrEnum):
    """Network cards of the standby VM."""

    VIRTIO = "virtio"
    VMXNET3 = "vmxnet3"
    E1000E = "e1000e"


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card of the source: `mac` as `52:54:00:11:22:33`, addresses in CIDR form."""

    name: str
    mac: str
    addresses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Hints:
    """What an image says about its machine; None or empty where it says nothing.

    Attributes:
        memory: Bytes.
        drivers: Of a converted Windows: the drivers that it can start with; see `GuestFacts`.
        boot_disk: Number of the disk that its firmware starts it from.
    """

    os: str = ""
    firmware: Firmware | None = None
    secure_boot: bool = False
    cpus: int | None = None
    memory: int | None = None
    nics: Sequence[Nic] = ()
    drivers: tuple[str, ...] = ()
    boot_disk: int | None = None


@dataclass(frozen=True, slots=True)
class VMSpec:
    """The standby VM to create.

    Attributes:
        name: VM name on the target, `[a-zA-Z0-9._-]+`.
        memory: Bytes.
        boot_disk: Number of the disk that the firmware tries first.
    """

    name: str
    firmware: Firmware
    cpus: int
    memory: int
    nics: Sequence[Nic]
    bus: DiskBus = DiskBus.VIRTIO
    card: CardModel = CardModel.VIRTIO
    boot_disk: int = 0


class Power(StrEnum):
    """Power state of a VM."""

    OFF = "off"
    ON = "on"
    PAUSED = "paused"
    CRASHED = "crashed"


class Homing(StrEnum):
    """How a target brings a VM home: from the disks it was started on to a datastore of its own."""

    NONE = "none"
    LIVE = "live"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Home:
    """A VM that was brought home.

    Attributes:
        datastore: Where all its disks are.
        was_there: They were there before.
        stays: Why the appliance's share stays mounted on the hosts; empty: it does not.
    """

    datastore: str
    was_there: bool = False
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a VM's target asks before it goes on; a person answers by the number of a choice.

    Attributes:
        id: The target's own name of it, raw.
        text: One line, safe to show.
        choices: Safe to show; the first is number 1.
        keys: The target's own names of the choices, raw, one for each.
    """

    id: str
    text: str
    choices: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return question and choices in one line."""
        return f"{self.text} (choices: {', '.join(self.choices) or 'none'})"

    @property
    def mark(self) -> str:
        """Return what is another one as soon as words or choices are: targets reuse their ids."""
        told = repr((self.id, self.text, self.choices, self.keys))
        return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life of a VM.

    Attributes:
        agent: The guest's tools or agent answer; None where the target cannot tell.
        addresses: IP addresses the guest reports.
        serial_tail: Last bytes of the serial console (at most 64 KiB), raw and hostile.
        question: What the target waits for an answer to; None: nothing.
        home: Datastore of the target that it was brought to, all of it; empty: it was not.
        leaving: Datastore that it is on its way to; empty: it is on no way.
        settles: It is off, and the target is at something with it, such as its start.
    """

    power: Power
    agent: bool | None = None
    addresses: Sequence[str] = ()
    serial_tail: bytes = b""
    question: Asked | None = None
    home: str = ""
    leaving: str = ""
    settles: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a target can do.

    Attributes:
        layer_limit: Longest chain of layers; None without limit.
        accelerator: `kvm`, `tcg`, `esxi`, `none`.
        buses, cards: Hardware that a VM gets without being asked, the best first. SATA and e1000e
            must be among it, for they are what each Windows has drivers for.
        arms: The VM can be left off, ready to be powered on in the target's own client.
        homing: How a started VM gets onto a datastore of the target; OFF: it is off meanwhile.
    """

    layer_limit: int | None
    accelerator: str
    screen: bool
    serial: bool
    buses: tuple[DiskBus, ...] = (DiskBus.VIRTIO, DiskBus.SCSI, DiskBus.SATA)
    cards: tuple[CardModel, ...] = (CardModel.VIRTIO, CardModel.VMXNET3, CardModel.E1000E)
    arms: bool = False
    homing: Homing = Homing.NONE


class Gravity(StrEnum):
    """How bad a finding is."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
