"""The tiny guest in the shapes that machines in racks have, each unable to boot anywhere else.

    ext4-uefi   GPT │ ESP: EFI/debian only, shim and GRUB as the installer lays them │ ext4
    no-shim     GPT │ ESP: EFI/debian only, GRUB alone, as grub-install makes it │ ext4
    entries     GPT │ ESP on /boot: systemd-boot, kernel, an entry for it │ ext4
    xfs         MBR │ xfs
    btrfs       MBR │ btrfs, system in the subvolume @rootfs
    lvm         MBR │ /boot ext4 │ PV ─ rack-root
    lvm-two     MBR │ /boot ext4 │ PV ┐
                MBR │ PV ─────────────┴ rack-root
    md          MBR │ /boot, RAID 1, superblock at its end │ root, RAID 1, superblock at its begin
                MBR │ the same, bit for bit                │ the same
    md-lvm      as md, with a PV on the second mirror ─ rack-root

Nothing is mounted by this machine: ext4 and xfs are filled by their mkfs; btrfs and LVM, in the
nightly tests only, by libguestfs in its virtual machine; the members of a mirror hold the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from engine.local.durable import file_lock
from engine.sample import packages as debs
from engine.sample.packages import Say
from tests.guests import mirror, nvram, texts
from tests.guests.laying import (
    DISK_A,
    DISK_B,
    FIRST,
    by_libguestfs,
    efi_grub,
    ext4,
    install_grub,
    lay,
    new_disk,
    run,
    sparse,
)
from tests.guests.physical import MIB, Physical, System, fetch_physical, lay_out

ROOT_UUID = "5b2f6f0e-93c1-4d7f-8a55-0d1c2b3a4f5e"
BOOT_UUID = "7c3e8a1d-2b4f-4e6a-9d8c-1f2e3d4c5b6a"
ESP_GUID = uuid.UUID("d2c1b0a9-8f7e-4d6c-9b5a-493827160f5e")
FALLBACK = b"/EFI/BOOT/BOOTX64.EFI"
ROOT_OFFSET = 64 * MIB
"""Where the second one does, behind /boot or the ESP."""


class Shape(StrEnum):
    """What a guest lies on."""

    EXT4_UEFI = "ext4-uefi"
    NO_SHIM = "no-shim"
    ENTRIES = "entries"
    XFS = "xfs"
    BTRFS = "btrfs"
    LVM = "lvm"
    LVM_TWO = "lvm-two"
    MD = "md"
    MD_LVM = "md-lvm"

    @property
    def is_efi(self) -> bool:
        """Whether it is started by UEFI."""
        return self in (Shape.EXT4_UEFI, Shape.NO_SHIM, Shape.ENTRIES)

    @property
    def has_fallback(self) -> bool:
        """Whether firmware that does not know it finds its loader."""
        return self is Shape.ENTRIES

    @property
    def mounts(self) -> Sequence[str]:
        """Return what is mounted beside the root."""
        if self in (Shape.EXT4_UEFI, Shape.NO_SHIM):
            return ("/boot/efi",)
        return ("/boot",) if self.is_apart or self is Shape.ENTRIES else ()

    @property
    def is_lvm(self) -> bool:
        """Whether its root is a logical volume on bare partitions."""
        return self in (Shape.LVM, Shape.LVM_TWO)

    @property
    def is_apart(self) -> bool:
        """Whether /boot is beside the root."""
        return self.is_md or self.is_lvm

    @property
    def is_md(self) -> bool:
        """Whether it lies on a mirror."""
        return self in (Shape.MD, Shape.MD_LVM)


@dataclass(frozen=True, slots=True)
class Built:
    """A guest that was built.

    Attributes:
        nvram: Its own machine's UEFI variables; None with a BIOS.
    """

    disks: Sequence[Path]
    nvram: Path | None = None

    def elsewhere(self, folder: Path) -> Built:
        """Return the same disks in a machine that was just made: variables do not travel."""
        return replace(self, nvram=nvram.fresh(folder / "fresh.fd") if self.nvram else None)

    def copy(self, folder: Path) -> Built:
        """Return a copy of its disks, in a machine that was just made."""
        copies = [folder / disk.name for disk in self.disks]
        for disk, other in zip(self.disks, copies, strict=True):
            run("cp", "--sparse=always", str(disk), str(other))
        return replace(self.elsewhere(folder), disks=copies)


def build(folder: Path, shape: Shape, cache: Path, say: Say) -> Built:
    """Make the disks of a guest, sparse raw files, in a folder.

    Args:
        cache: Keeps the downloaded packages and the kernel with the few modules that are used.
    """
    parts = fetch_physical(cache, say)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".draft.") as made:
        work = Path(made)
        root = work / "root"
        lay_out(root, parts, _system(shape, parts.version), work)
        match shape:
            case Shape.EXT4_UEFI | Shape.NO_SHIM:
                alone = parts if shape is Shape.NO_SHIM else None
                return _build_efi(folder, root, cache, work, alone)
            case Shape.ENTRIES:
                return _build_entries(folder, root, parts.version, cache, work)
            case Shape.XFS:
                disks = [_build_xfs(folder, root, work)]
            case Shape.BTRFS:
                disks = [_build_btrfs(folder, root, work)]
            case Shape.MD | Shape.MD_LVM:
                disks = mirror.build(folder, root, work, is_lvm=shape is Shape.MD_LVM)
            case _:
                disks = _build_lvm(folder, root, work, is_two=shape is Shape.LVM_TWO)
        prefix = {Shape.XFS: "/boot/grub", Shape.BTRFS: "/@rootfs/boot/grub"}.get(shape, "/grub")
        for disk in disks if shape.is_md else disks[:1]:
            install_grub(disk, parts, prefix, work)
        return Built(disks)


def _system(shape: Shape, version: str) -> System:
    own = [b"ahci", b"sd_mod", b"crc32c_generic"]
    kernel, files = f"/boot/vmlinuz-{version}", texts.files
    if shape.is_efi:
        menu = texts.grub_cfg(ROOT_UUID, kernel, "/dev/nvme0n1p2")
        fstab = ("/dev/nvme0n1p2 / ext4 errors=remount-ro 0 1\n"
                 f"/dev/nvme0n1p1 {shape.mounts[0]} vfat umask=0077 0 1\n")  # fmt: skip
        return System([b"nvme", b"ext4", b"crc32c_generic"], files(menu, fstab),
                      texts.initrd_init("ext4"))  # fmt: skip
    if shape.is_lvm:
        menu = texts.grub_cfg(BOOT_UUID, kernel.removeprefix("/boot"), texts.VOLUME)
        # Two disks are found in either order, on their own hardware as well.
        boot = f"UUID={BOOT_UUID}" if shape is Shape.LVM_TWO else "/dev/sda1"
        fstab = f"{texts.VOLUME} / ext4 errors=remount-ro 0 1\n{boot} /boot ext4 defaults 0 2\n"
        script = texts.initrd_init("ext4", ready=texts.FIND_VOLUMES)
        program = shutil.which("lvm", path="/usr/sbin:/sbin:/usr/bin")
        assert program is not None
        return System([*own, b"ext4", b"dm_mod"], files(menu, fstab), script, [Path(program)])
    if shape.is_md:
        return mirror.system(own, kernel, is_lvm=shape is Shape.MD_LVM)
    if shape is Shape.BTRFS:
        options = "subvol=@rootfs"
        menu = texts.grub_cfg(ROOT_UUID, f"/@rootfs{kernel}", "/dev/sda1", f"rootflags={options}")
        fstab = f"/dev/sda1 / btrfs defaults,{options} 0 0\n"
        return System([*own, b"btrfs"], files(menu, fstab), texts.initrd_init("btrfs", options))
    menu = texts.grub_cfg(ROOT_UUID, kernel, "/dev/sda1")
    return System([*own, b"xfs"], files(menu, "/dev/sda1 / xfs defaults 0 0\n"),
                  texts.initrd_init("xfs"))  # fmt: skip


def _efi_disk(folder: Path, root: Path) -> Path:
    """Make a disk of an ESP and the root, which is filled."""
    sectors = (ROOT_OFFSET - FIRST) // 512
    disk = new_disk(folder / "disk-0.raw", 160 * MIB, "label: gpt\n"
                 f"start={FIRST // 512}, size={sectors}, type=U, uuid={ESP_GUID}\n"
                 f"start={ROOT_OFFSET // 512}, size={95 * MIB // 512}, type=L\n")  # fmt: skip
    ext4(disk, root, ROOT_OFFSET, 95 * MIB, ROOT_UUID)
    return disk


def _build_entries(folder: Path, root: Path, version: str, cache: Path, work: Path) -> Built:
    """Make a guest as `bootctl install` leaves it: its loader is where every firmware looks."""
    boot = work / "boot"
    (root / "boot").rename(boot)
    (root / "boot").mkdir()
    disk, image = _efi_disk(folder, root), f"{folder / 'disk-0.raw'}@@{FIRST}"
    _make_fat(disk, ROOT_OFFSET - FIRST)
    loader = (_package(cache, "systemd-boot-efi")
              / "usr/lib/systemd/boot/efi/systemd-bootx64.efi")  # fmt: skip
    told = {
        "loader.conf": "timeout 0\ndefault debian.conf\n",
        "debian.conf": texts.loader_entry(version, "/dev/nvme0n1p2"),
    }
    for name, text in told.items():
        (work / name).write_text(text)
    run("mmd", "-i", image, "::/EFI", "::/EFI/BOOT", "::/EFI/systemd", "::/loader",
        "::/loader/entries")  # fmt: skip
    run("mcopy", "-i", image, str(loader), "::/EFI/systemd")
    run("mcopy", "-i", image, str(loader), f"::{FALLBACK.decode()}")
    run("mcopy", "-i", image, str(work / "loader.conf"), "::/loader")
    run("mcopy", "-i", image, str(work / "debian.conf"), "::/loader/entries")
    kernel = [boot / f"vmlinuz-{version}", boot / f"initrd.img-{version}"]
    run("mcopy", "-i", image, *map(str, kernel), "::/")
    return Built([disk], nvram.fresh(folder / "own.fd"))


def _build_efi(folder: Path, root: Path, cache: Path, work: Path, alone: Physical | None) -> Built:
    (root / "boot/efi").mkdir()
    size = ROOT_OFFSET - FIRST
    disk = _efi_disk(folder, root)
    if alone is None:
        make_esp(disk, size, ROOT_UUID, "/boot/grub", cache, work)
    else:
        modules = _package(cache, "grub-efi-amd64-bin") / "usr/lib/grub/x86_64-efi"
        _lay_esp(disk, size, {"grubx64.efi": efi_grub(alone, modules, "/boot/grub", work)})
    return Built([disk], installed(folder, size, has_shim=alone is None))


def installed(
    folder: Path,
    size: int,
    *,
    partition: uuid.UUID = ESP_GUID,
    vendor: str = "debian",
    has_shim: bool = True,
) -> Path:
    """Make the UEFI variables of the machine in which the installer ran.

    Args:
        size: Of the ESP, bytes.
        partition: The ESP's own GUID.
        vendor: The system's folder in it.
    """
    loader = "shimx64.efi" if has_shim else "grubx64.efi"
    entry = rf"\EFI\{vendor}\{loader}"
    return nvram.with_entry(folder / "own.fd", entry, partition, FIRST // 512, size // 512)


def make_esp(disk: Path, size: int, identity: str, prefix: str, cache: Path, work: Path) -> None:
    """Make an ESP of the first partition as Debian's installer lays it for Secure Boot.

    Args:
        size: Of the partition, bytes.
        identity: UUID of the file system in which `prefix`, the folder with grub.cfg, lies.
    """
    # Debian's own image of GRUB looks for this file beside itself, as grub-install writes it.
    stub = work / "grub.cfg"
    stub.write_text(f"search.fs_uuid {identity} root\nset prefix=($root)'{prefix}'\n"
                    "configfile $prefix/grub.cfg\n")  # fmt: skip
    _lay_esp(disk, size, {"grub.cfg": stub} | _signed(cache))


def _lay_esp(disk: Path, size: int, files: Mapping[str, Path]) -> None:
    image = f"{disk}@@{FIRST}"
    _make_fat(disk, size)
    run("mmd", "-i", image, "::/EFI", "::/EFI/debian")
    for name, source in files.items():
        run("mcopy", "-i", image, str(source), f"::/EFI/debian/{name}")


def _signed(cache: Path) -> dict[str, Path]:
    grub = _package(cache, "grub-efi-amd64-signed") / "usr/lib/grub/x86_64-efi-signed"
    helpers = _package(cache, "shim-helpers-amd64-signed") / "usr/lib/shim"
    return {
        "shimx64.efi": _package(cache, "shim-signed") / "usr/lib/shim/shimx64.efi.signed",
        "grubx64.efi": grub / "grubx64.efi.signed",
        "mmx64.efi": helpers / "mmx64.efi.signed",
        "fbx64.efi": helpers / "fbx64.efi.signed",
        "BOOTX64.CSV": _package(cache, "shim-unsigned") / "usr/lib/shim/BOOTX64.CSV",
    }


def _make_fat(disk: Path, size: int) -> None:
    run("mformat", "-i", f"{disk}@@{FIRST}", "-F", "-N", "CAFE0816", "-T", str(size // 512),
        "-h", "16", "-s", "32", "-c", "1", "::")  # fmt: skip


def _package(cache: Path, name: str) -> Path:
    """Return a folder with a package of the distribution, unpacked."""
    folder = cache / "packages"
    with file_lock(cache / ".physical.lock", wait=True):
        if debs._cached(folder, name) is None:
            debs._download([name], folder)
        return debs._unpacked(folder, name, print)


def _build_xfs(folder: Path, root: Path, work: Path) -> Path:
    size = 320 * MIB
    disk = new_disk(
        folder / "disk-0.raw", size, f"label: dos\nstart={FIRST // 512}, type=83, bootable\n"
    )
    part = sparse(work / "part", size - FIRST)
    (work / "proto").write_text(f"/nothing\n0 0\n{_proto(root)}$\n$\n")
    # Newer xfsprogs switch on what Debian's GRUB cannot read.
    run("mkfs.xfs", "-q", "-m", f"uuid={ROOT_UUID}", "-i", "nrext64=0", "-p", str(work / "proto"),
         str(part))  # fmt: skip
    lay(part, disk, FIRST)
    return disk


def _proto(folder: Path) -> str:
    """Return a folder in mkfs.xfs's language: all is root's, nothing is set-uid."""
    lines = ["d--755 0 0"]
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            lines.append(f"{path.name} l--777 0 0 {path.readlink()}")
        elif path.is_dir():
            lines.append(f"{path.name} {_proto(path)}$")
        else:
            mode = 0o755 if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o644
            lines.append(f"{path.name} ---{mode:o} 0 0 {path}")
    return "\n".join(lines) + "\n"


def _build_btrfs(folder: Path, root: Path, work: Path) -> Path:
    size = 320 * MIB
    disk = new_disk(
        folder / "disk-0.raw", size, f"label: dos\nstart={FIRST // 512}, type=83, bootable\n"
    )
    part = sparse(work / "part", size - FIRST)
    run("mkfs.btrfs", "-q", "-f", "-M", "-U", ROOT_UUID, str(part))
    lay(part, disk, FIRST)
    by_libguestfs([disk], [
        f"mount {DISK_A}1 /", "btrfs-subvolume-create /@rootfs", "umount /",
        f"mount-options subvol=@rootfs {DISK_A}1 /", f"tar-in {_tar(root, work)} /",
    ])  # fmt: skip
    return disk


def _build_lvm(folder: Path, root: Path, work: Path, *, is_two: bool) -> Sequence[Path]:
    (root / "boot").rename(work / "boot")
    (root / "boot").mkdir()
    sectors = (ROOT_OFFSET - FIRST) // 512
    first = new_disk(folder / "disk-0.raw", 160 * MIB, "label: dos\n"
                  f"start={FIRST // 512}, size={sectors}, type=83, bootable\n"
                  f"start={ROOT_OFFSET // 512}, type=8e\n")  # fmt: skip
    ext4(first, work / "boot", FIRST, ROOT_OFFSET - FIRST, BOOT_UUID)
    disks, members, megabytes = [first], f"{DISK_A}2", 80
    if is_two:
        second = f"label: dos\nstart={FIRST // 512}, type=8e\n"
        disks.append(new_disk(folder / "disk-1.raw", 96 * MIB, second))
        members, megabytes = f'"{DISK_A}2 {DISK_B}1"', 160
    by_libguestfs(disks, [
        *(f"pvcreate {member}" for member in members.strip('"').split()),
        f"vgcreate rack {members}", f"lvcreate root rack {megabytes}", "mkfs ext4 /dev/rack/root",
        "mount /dev/rack/root /", f"tar-in {_tar(root, work)} /",
    ])  # fmt: skip
    return disks


def _tar(root: Path, work: Path) -> Path:
    out = work / "root.tar"
    run("tar", "-C", str(root), "--owner=0", "--group=0", "-cf", str(out), ".")
    return out
