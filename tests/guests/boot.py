"""Boots a raw disk on hardware of one's choice, under QEMU without hardware help, and listens."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MEMORY = 256
"""MiB; enough for a kernel, an initrd and a shell."""
MAC = "52:54:00:70:2b:01"
SUCCESS = ("login:",)
FAILURE = ("Gave up waiting", "(initramfs)", "Kernel panic", "emergency mode", "Shell>",
           "No bootable device", "error: no such", "error: file", "error: disk", "error: unknown",
           "grub rescue>", "unpacking failed")  # fmt: skip
"""Failure is told by words: a time-out could be a busy machine."""
_OVMF = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")


class Hardware(StrEnum):
    """What the disk hangs on."""

    AHCI = "ahci"
    VIRTIO_BLK = "virtio-blk"
    VIRTIO_SCSI = "virtio-scsi"
    PVSCSI = "pvscsi"
    MPTSAS = "mptsas"
    NVME = "nvme"


_CONTROLLERS: dict[Hardware, Sequence[str]] = {
    Hardware.AHCI: ("-device", "ich9-ahci,id=s0"),
    Hardware.VIRTIO_BLK: (),
    Hardware.VIRTIO_SCSI: ("-device", "virtio-scsi-pci,id=s0"),
    Hardware.PVSCSI: ("-device", "pvscsi,id=s0"),
    Hardware.MPTSAS: ("-device", "mptsas1068,id=s0,sas_address=0x5000c50015ea7100"),
    Hardware.NVME: (),
}
_DISKS: dict[Hardware, str] = {
    Hardware.AHCI: "ide-hd,bus=s0.{n},drive=d{n}",
    Hardware.VIRTIO_BLK: "virtio-blk-pci,drive=d{n}",
    Hardware.VIRTIO_SCSI: "scsi-hd,bus=s0.0,scsi-id={n},drive=d{n}",
    Hardware.PVSCSI: "scsi-hd,bus=s0.0,scsi-id={n},drive=d{n}",
    # Without world wide names its disk does not show itself.
    Hardware.MPTSAS: "scsi-hd,bus=s0.0,scsi-id={n},drive=d{n},"
    "wwn=0x5000c50015ea71{n}c,port_wwn=0x5000c50015ea71{n}d",
    Hardware.NVME: "nvme,drive=d{n},serial=boot{n}",
}

NICS = {
    Hardware.AHCI: ("e1000e", "e1000e"),
    Hardware.VIRTIO_BLK: ("virtio-net-pci", "virtio_net"),
    Hardware.PVSCSI: ("vmxnet3", "vmxnet3"),
    Hardware.MPTSAS: ("vmxnet3", "vmxnet3"),
    Hardware.NVME: ("e1000e", "e1000e"),
}
"""The card beside each, as QEMU names it and its driver in Linux."""
DRIVERS = {
    Hardware.AHCI: {"sd", "ahci"},
    Hardware.VIRTIO_BLK: {"virtio_blk", "virtio-pci"},
    Hardware.PVSCSI: {"sd", "vmw_pvscsi"},
    Hardware.MPTSAS: {"sd", "mptsas"},
    Hardware.NVME: {"nvme"},
}
"""What Linux drives each with, from the disk up to the bus."""


@dataclass(frozen=True, slots=True)
class Boot:
    """How a boot went.

    Attributes:
        said: Everything on the serial line.
        word: The word of success or failure that ended it; empty when time or guest ended.
    """

    said: str
    word: str
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the guest got to its login."""
        return self.word in SUCCESS


def boot(
    disks: Path | Sequence[Path],
    hardware: Hardware,
    *,
    nvram: Path | None = None,
    nic: str = "e1000e",
    mac: str = MAC,
    timeout_s: float = 240,
    memory: int | None = None,
    extra: Sequence[str] = (),
) -> Boot:
    """Boot a raw disk until it says a word of success or failure; nothing is written to it.

    Args:
        disks: One disk or all, in the guest's order.
        nvram: Variables of UEFI, which are not written either; without, the firmware is a BIOS.
        nic: QEMU's name of the network card.
        memory: MiB; None: what a tiny guest needs.
        extra: More arguments for QEMU.
    """
    began = time.monotonic()
    files = [disks] if isinstance(disks, Path) else disks
    machine = _command(files, hardware, nic, mac, nvram, memory)
    command = ["setpriv", "--pdeathsig", "KILL", "--", *machine, *extra]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, word = _listen(process, began + timeout_s)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    return Boot(said, word, time.monotonic() - began)


def _command(
    disks: Sequence[Path],
    hardware: Hardware,
    nic: str,
    mac: str,
    nvram: Path | None,
    memory: int | None,
) -> Sequence[str]:
    memory = memory or (MEMORY if nvram is None else 2 * MEMORY)
    drives = [
        word
        for number, disk in enumerate(disks)
        for word in ("-drive", f"file={disk},format=raw,if=none,id=d{number},snapshot=on",
                     "-device", _DISKS[hardware].format(n=number) + _rank(number, nvram))
    ]  # fmt: skip
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-machine", "pc,vmport=on", "-cpu", "qemu64", "-m", str(memory), "-smp", "1",
        "-accel", "tcg,thread=multi,tb-size=256", "-serial", "stdio",
        *_firmware(nvram), *_CONTROLLERS[hardware], *drives,
        "-netdev", "user,id=n0,restrict=on", "-device", f"{nic},netdev=n0,mac={mac},romfile=",
    ]  # fmt: skip


def _rank(number: int, nvram: Path | None) -> str:
    """Return where a disk is in the boot order; UEFI goes by its variables instead."""
    return f",bootindex={number}" if nvram is None else ""


def _firmware(nvram: Path | None) -> Sequence[str]:
    if nvram is None:
        return ()
    return (
        "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_OVMF}",
        "-drive", f"if=pflash,format=raw,unit=1,snapshot=on,file={nvram}",
    )  # fmt: skip


def _listen(process: subprocess.Popen[bytes], until: float) -> tuple[str, str]:
    """Return what was said, and the word that ended it."""
    assert process.stdout is not None
    said = b""
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([process.stdout], [], [], left)
        if not ready:
            break
        piece = os.read(process.stdout.fileno(), 1 << 16)
        if not piece:
            break
        said += piece
        text = said.decode("utf-8", "replace")
        for word in (*FAILURE, *SUCCESS):
            if word in text:
                return text, word
    return said.decode("utf-8", "replace"), ""
