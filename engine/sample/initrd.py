"""The sample guest's initrd: its kernel modules, and a shell that finds the root file system."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from pathlib import Path

from engine.guests.cpio import Archive
from engine.sample.packages import Packages

WANTED = ("virtio_pci", "virtio_blk", "sd_mod", "virtio_scsi", "ahci", "ata_piix", "ext4",
          "virtio_net", "button", "evdev")  # fmt: skip
"""Modules for the disks, cards and power button of standby VMs; those built in are absent."""

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read module; do insmod /modules/$module; done < /modules/order
tries=0
while [ $tries -lt 100 ]; do
    for disk in /dev/vda1 /dev/sda1; do
        [ -b $disk ] || continue
        mount -t ext4 -o rw $disk /root || continue
        mount --move /dev /root/dev
        mount --move /proc /root/proc
        mount --move /sys /root/sys
        exec switch_root /root /sbin/init
    done
    tries=$((tries + 1))
    usleep 100000
done
echo "Gave up waiting for the root file system on /dev/vda1 or /dev/sda1."
exec sh
"""


def build_initrd(packages: Packages) -> bytes:
    """Return the archive that the boot loader hands to the kernel."""
    archive = Archive()
    for folder in (b"bin", b"dev", b"modules", b"proc", b"root", b"sys"):
        archive.folder(folder)
    archive.device(b"dev/console", 5, 1)
    archive.file(b"bin/busybox", packages.shell.read_bytes(), 0o755)
    for applet in (b"sh", b"mount", b"insmod", b"switch_root", b"usleep", b"echo"):
        archive.link(b"bin/" + applet, b"busybox")
    order = list(_in_order(packages.modules))
    for path in order:
        archive.file(f"modules/{_name(path)}.ko".encode(), _content(path))
    archive.file(b"modules/order", "".join(f"{_name(path)}.ko\n" for path in order).encode())
    archive.file(b"init", _INIT.encode(), 0o755)
    return archive.finish()


def _in_order(modules: Path) -> Iterator[Path]:
    """Yield the wanted modules, each after those it needs."""
    found = {_name(path): path for path in modules.rglob("*.ko*")}
    done: set[str] = set()

    def visit(name: str) -> Iterator[Path]:
        if name in done or name not in found:
            return
        done.add(name)
        for needed in _needs(found[name]):
            yield from visit(needed)
        yield found[name]

    for name in WANTED:
        yield from visit(name)


def _needs(path: Path) -> list[str]:
    told = _DEPENDS.search(_content(path))
    return [name.replace("-", "_") for name in told[1].decode().split(",") if name] if told else []


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _name(path: Path) -> str:
    return path.name.split(".")[0].replace("-", "_")
