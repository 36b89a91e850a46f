"""A machine into which disks are plugged: real loop devices behind a made-up `/sys`."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from engine.hypervisors.esxi.blockdevice import Devices


def page_83(*names: str) -> bytes:
    """Return a VPD page 0x83 as disks tell it: a text first, then NAA names."""
    told = b"\x02\x00\x00\x04text"
    for name in names:
        raw = bytes.fromhex(name)
        told += bytes((0x01, 0x03, 0, len(raw))) + raw
    return bytes((0, 0x83)) + len(told).to_bytes(2, "big") + told


class Plugged:
    """The `/sys` and `/dev` of a machine; `close` takes everything out."""

    def __init__(self, folder: Path) -> None:
        """Have one controller in slot 192, and the machine's own disk on another one."""
        self.sys, self.dev = folder / "sys", folder / "dev"
        self._loops: dict[str, str] = {}
        for part in ("block", "bus/pci/slots", "class/scsi_host"):
            (self.sys / part).mkdir(parents=True)
        self.dev.mkdir()
        self.scanned: list[str] = []
        self._slot(160, "0000:03:00")
        self._slot(192, "0000:0b:00")

    def _slot(self, number: int, address: str) -> None:
        (self.sys / f"bus/pci/slots/{number}").mkdir()
        (self.sys / f"bus/pci/slots/{number}/address").write_text(f"{address}\n")

    def devices(self, pause: Callable[[float], object] = lambda _s: None) -> Devices:
        """Return the finder of this machine."""
        return Devices(pause, sys=self.sys, dev=self.dev)

    def plug(
        self, file: Path, unit: int, uuid: str, slot: int = 192, *, read_only: bool = False
    ) -> str:
        """Show a file as a disk; return its name, which no test can tell beforehand."""
        words = ["losetup", "--find", "--show", *(["--read-only"] if read_only else []), str(file)]
        loop = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        # Letters are given in an order of the kernel's own.
        free = (f"sd{one}{two}" for two in ("", "a", "b") for one in "qcxbmzkahwp")
        name = next(one for one in free if one not in self._loops)
        number = Path(loop).stat().st_rdev
        os.mknod(self.dev / name, stat.S_IFBLK | 0o600, number)
        self._loops[name] = loop
        self.show(name, unit, uuid, file.stat().st_size, slot, number)
        return name

    def show(
        self, name: str, unit: int, uuid: str, size: int, slot: int = 192, number: int = 0
    ) -> None:
        """Describe a disk in `/sys` as Linux does."""
        address = (self.sys / f"bus/pci/slots/{slot}/address").read_text().strip()
        bus = f"devices/pci0000:00/0000:00:16.0/{address}.0/host{slot % 7}"
        scsi = self.sys / f"{bus}/target{slot % 7}:0:{unit}/{slot % 7}:0:{unit}:0"
        place = scsi / f"block/{name}"
        place.mkdir(parents=True)
        (place / "device").symlink_to(scsi)
        (place / "size").write_text(f"{size // 512}\n")
        (place / "dev").write_text(f"{os.major(number)}:{os.minor(number)}\n")
        (scsi / "vpd_pg83").write_bytes(page_83(uuid.replace("-", "").lower()))
        (self.sys / f"block/{name}").symlink_to(place)

    def unplug(self, name: str) -> None:
        """Take a disk out."""
        place = (self.sys / f"block/{name}").resolve()
        (self.sys / f"block/{name}").unlink()
        subprocess.run(["rm", "-rf", str(place.parent.parent)], check=True)
        (self.dev / name).unlink(missing_ok=True)
        if name in self._loops:
            subprocess.run(["losetup", "--detach", self._loops.pop(name)], check=True)

    def close(self) -> None:
        """Take out what is left."""
        for name in list(self._loops):
            self.unplug(name)
