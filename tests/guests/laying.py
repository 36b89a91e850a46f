"""Disks for guests: a table, file systems, a boot loader; this machine mounts none of them."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from engine.local.tools import run_tool
from tests.guests.physical import MIB, Physical

FIRST = 1 * MIB
"""Where the first partition starts."""
DISK_A, DISK_B = "/dev/disk/guestfs/a", "/dev/disk/guestfs/b"
"""Where the first and the second disk is in libguestfs; a partition's number follows."""
_COMMON = ("ext2", "normal", "linux", "search", "search_fs_uuid", "serial", "terminal",
           "configfile", "echo", "boot")  # fmt: skip
_MEMORY = 4 << 30


def by_libguestfs(disks: Sequence[Path], commands: Sequence[str]) -> None:
    """Run guestfish without hardware help; the commands' paths are of plain letters.

    Commands, and programs that they run inside, find the disks at `DISK_A` and `DISK_B`: the kernel
    may well call them otherwise at every start, for it asks several disks at once.
    """
    environment = {**os.environ, "LIBGUESTFS_BACKEND": "direct",
                   "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}  # fmt: skip
    added = [f"add-drive {disk} format:raw label:{Path(label).name}"
             for disk, label in zip(disks, (DISK_A, DISK_B), strict=False)]  # fmt: skip
    script = "\n".join([*added, "run", *commands, "umount-all", "sync", ""])
    told = subprocess.run(["guestfish"], input=script, text=True, env=environment, check=False,
                          capture_output=True, timeout=600)  # fmt: skip
    assert told.returncode == 0, told.stderr


def new_disk(path: Path, size: int, table: str) -> Path:
    """Make a sparse disk with a partition table in sfdisk's language; return its path."""
    sparse(path, size)
    subprocess.run(["sfdisk", "-q", "--no-tell-kernel", path], input=table, text=True, check=True)
    return path


def sparse(path: Path, size: int) -> Path:
    """Make a file of zeros; return its path."""
    with path.open("xb") as file:
        file.truncate(size)
    return path


def lay(part: Path, disk: Path, offset: int) -> None:
    """Copy a partition onto a disk, at whole MiB."""
    run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={offset // MIB}", "conv=notrunc,sparse",
        "status=none")  # fmt: skip


def ext4(
    disk: Path, root: Path, offset: int, size: int, identity: str, *, kind: str = "ext4"
) -> None:
    """Make an ext file system in a disk with what a folder holds; `identity`: its UUID."""
    # The two features are defaults of newer e2fsprogs that Debian's GRUB cannot read.
    run("mke2fs", "-q", "-F", "-t", kind, "-b", "4096", "-m", "0", "-U", identity,
         "-O", "^metadata_csum_seed,^orphan_file", "-E", f"offset={offset},root_owner=0:0",
         "-d", str(root), str(disk), str(size // 4096))  # fmt: skip


def install_grub(disk: Path, parts: Physical, prefix: str, work: Path) -> None:
    """Write GRUB into the gap before the first partition; see `engine.sample.bootloader`.

    Args:
        prefix: Folder with grub.cfg in the first partition.
    """
    modules = parts.packages.grub / "usr/lib/grub/i386-pc"
    tool, image = parts.packages.grub_tools / "usr/bin/grub-mkimage", work / "core.img"
    run(str(tool), "-O", "i386-pc", "-d", str(modules), "-p", f"(hd0,msdos1){prefix}", "-o",
         str(image), "biosdisk", "part_msdos", "xfs", "btrfs", *_COMMON)  # fmt: skip
    core, boot = (bytearray(file.read_bytes()) for file in (image, modules / "boot.img"))
    assert len(core) < FIRST - 512
    struct.pack_into("<Q", boot, 0x5C, 1)
    boot[0x64:0x68] = bytes((0xFF, boot[0x65], 0x90, 0x90))
    struct.pack_into("<QHH", core, 0x1F4, 2, -(-len(core) // 512) - 1, 0x820)
    with disk.open("r+b") as file:
        file.write(boot[:440])
        file.seek(512)
        file.write(core)


def efi_grub(parts: Physical, modules: Path, prefix: str, work: Path) -> Path:
    """Make GRUB for UEFI as grub-install does where there is no shim: it knows its own folder.

    Args:
        modules: The folder `x86_64-efi` of the distribution's package.
        prefix: Folder with grub.cfg in the second partition of the disk that it is started from.
    """
    tool, image = parts.packages.grub_tools / "usr/bin/grub-mkimage", work / "grubx64.efi"
    run(str(tool), "-O", "x86_64-efi", "-d", str(modules), "-p", f"(,gpt2){prefix}", "-o",
         str(image), "part_gpt", *_COMMON)  # fmt: skip
    return image


def run(*command: str) -> bytes:
    """Run a program that must succeed; return what it says."""
    return run_tool(list(command), cpu_s=300, memory=_MEMORY, timeout_s=1800)
