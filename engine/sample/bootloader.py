"""GRUB on a disk with an MBR, written without grub-install, mounts or privileges.

sector 0     boot.img, partition table
sector 1…    core.img, in the gap before the first partition
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from engine.local.tools import run_tool
from engine.sample.packages import Packages

SECTOR = 512
_BUILT_IN = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal",
             "configfile", "echo", "boot")  # fmt: skip
_CODE = 440
"""Bytes of sector 0 that are code; the disk's signature and the partition table follow."""


def partition_table(first: int, sectors: int) -> bytes:
    """Return bytes 440 to 511 of an MBR with one active Linux partition (LBA values)."""
    # CHS fields are the "too large" mark; every BIOS that matters reads the LBA fields.
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, sectors)
    return os.urandom(4) + bytes(2) + entry + bytes(48) + b"\x55\xaa"


def install(disk: int, packages: Packages, work: Path) -> None:
    """Write GRUB to an open disk whose first partition holds `/boot/grub`.

    Args:
        disk: Descriptor, writable; the partition table is left alone.
        work: Folder for drafts.
    """
    modules = packages.grub / "usr/lib/grub/i386-pc"
    core = bytearray(_core(packages, modules, work))
    boot = bytearray((modules / "boot.img").read_bytes())
    # Source: GRUB 2.06, boot.S (kernel_sector, boot_drive, the drive check) and diskboot.S (the
    # last block list entry of the first sector): what grub-bios-setup patches.
    struct.pack_into("<Q", boot, 0x5C, 1)
    boot[0x64] = 0xFF
    boot[0x66:0x68] = b"\x90\x90"
    struct.pack_into("<QHH", core, 0x1F4, 2, -(-len(core) // SECTOR) - 1, 0x820)
    os.pwrite(disk, bytes(boot[:_CODE]), 0)
    os.pwrite(disk, bytes(core), SECTOR)


def _core(packages: Packages, modules: Path, work: Path) -> bytes:
    tool = packages.grub_tools / "usr/bin/grub-mkimage"
    core = work / "core.img"
    run_tool(
        [str(tool), "-O", "i386-pc", "-d", str(modules), "-p", "(hd0,msdos1)/boot/grub",
         "-o", str(core), *_BUILT_IN],
        cpu_s=60, memory=1 << 30, timeout_s=60,
    )  # fmt: skip
    return core.read_bytes()
