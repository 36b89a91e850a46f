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
           "No bootable device", "error: ", "unpacking failed")  # fmt: skip
"""Failure is told by words: a time-out could be a busy machine."""
_SCSI = ("-device", "scsi-hd,bus=s0.0,drive=d0,bootindex=0")


class Hardware(StrEnum):
    """What the disk hangs on."""

    AHCI = "ahci"
    VIRTIO_BLK = "virtio-blk"
    VIRTIO_SCSI = "virtio-scsi"
    PVSCSI = "pvscsi"
    MPTSAS = "mptsas"
    NVME = "nvme"


_DEVICES: dict[Hardware, Sequence[str]] = {
    Hardware.AHCI: (
        "-device", "ich9-ahci,id=s0", "-device", "ide-hd,bus=s0.0,drive=d0,bootindex=0",
    ),
    Hardware.VIRTIO_BLK: ("-device", "virtio-blk-pci,drive=d0,bootindex=0"),
    Hardware.VIRTIO_SCSI: ("-device", "virtio-scsi-pci,id=s0", *_SCSI),
    Hardware.PVSCSI: ("-device", "pvscsi,id=s0", *_SCSI),
    # Without world wide names its disk does not show itself.
    Hardware.MPTSAS: (
        "-device", "mptsas1068,id=s0,sas_address=0x5000c50015ea7100",
        "-device", f"{_SCSI[1]},scsi-id=0,wwn=0x5000c50015ea71ac,port_wwn=0x5000c50015ea71ad",
    ),
    Hardware.NVME: ("-device", "nvme,drive=d0,serial=boot,bootindex=0"),
}  # fmt: skip


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
    disk: Path,
    hardware: Hardware,
    *,
    nic: str = "e1000e",
    mac: str = MAC,
    timeout_s: float = 240,
    extra: Sequence[str] = (),
) -> Boot:
    """Boot a disk until it says a word of success or failure; nothing is written to it.

    Args:
        nic: QEMU's name of the network card.
        extra: More arguments for QEMU.
    """
    began = time.monotonic()
    command = ["setpriv", "--pdeathsig", "KILL", "--", *_command(disk, hardware, nic, mac), *extra]
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


def _command(disk: Path, hardware: Hardware, nic: str, mac: str) -> Sequence[str]:
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-machine", "pc,vmport=on", "-cpu", "qemu64", "-m", str(MEMORY), "-smp", "1",
        "-accel", "tcg,thread=multi,tb-size=256", "-serial", "stdio",
        "-drive", f"file={disk},format=raw,if=none,id=d0,snapshot=on", *_DEVICES[hardware],
        "-netdev", "user,id=n0,restrict=on", "-device", f"{nic},netdev=n0,mac={mac},romfile=",
    ]  # fmt: skip


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
