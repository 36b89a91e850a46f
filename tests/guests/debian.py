"""A whole Debian as it stood in a rack: systemd, its own kernel and initrd, made by mmdebstrap.

    logical    MBR │ sda1 /boot ext2 │ extended: sda5 / ext4 │ sda6 swap           AHCI, BIOS
    uefi-lvm   GPT │ ESP: EFI/debian only │ /boot ext2 │ PV ─ rack-root ext4       NVMe, UEFI
    dracut     as `logical`, but an initrd by dracut and a network by systemd-networkd

Each has drivers for its own disks only, `/dev/…` names where an installer of its time wrote them,
and a static address on a card that is known by its MAC. Instead of mounting, file systems are
filled by mke2fs, and LVM by libguestfs.
"""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.guests import texts
from tests.guests.boot import Hardware
from tests.guests.laying import (
    DISK_A,
    FIRST,
    by_libguestfs,
    ext4,
    install_grub,
    lay,
    new_disk,
    run,
    sparse,
)
from tests.guests.physical import MIB, fetch_physical
from tests.guests.shapes import Built, installed, make_esp
from tests.guests.whole import SWAP, Release, Whole, furnish, remake_initrds, write

PACKAGES = ("linux-image-amd64", "systemd-sysv", "udev", "ifupdown", "iproute2", "kmod",
            "e2fsprogs", "lvm2")  # fmt: skip
ROOT_UUID = "2f0d4c5e-8b1a-4f6e-9a3d-7c5b1e2d3f4a"
BOOT_UUID = "a4b3c2d1-5e6f-4a7b-8c9d-0e1f2a3b4c5d"
ESP_GUID = uuid.UUID("9c8b7a69-5847-4635-a241-302f1e0d0c0b")
_BOOT = 200 * MIB
_ROOT = 1400 * MIB
_SWAP = 48 * MIB
_ESP = 63 * MIB
_LVM = "/dev/mapper/rack-root"
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_HASTE = 'cd "$1/etc"; mkdir -p dracut.conf.d; echo compress=cat > dracut.conf.d/haste.conf'
"""The initrd that the packages make is replaced anyway."""
_NETWORK = f"""[Match]
MACAddress={texts.OLD_MAC}
[Network]
Address={texts.ADDRESS}/24
LinkLocalAddressing=no
"""


@dataclass(frozen=True, slots=True)
class Debian(Whole):
    """The release that this machine runs.

    Attributes:
        tool: The package that makes its initrds.
    """

    tool: str = "initramfs-tools"

    def build(self, folder: Path, cache: Path) -> Built:
        """Make its disk; see `Whole`."""
        with tempfile.TemporaryDirectory(dir=folder, prefix=".draft.") as made:
            work = Path(made)
            root, boot = work / "root", work / "boot"
            _release(self.tool).unpack(cache, root)
            _age(root, self)
            (root / "boot").rename(boot)
            (root / "boot").mkdir()
            if self.is_efi:
                return _build_efi(folder, root, boot, cache, work)
            return _build_logical(folder, root, boot, cache, work)


LOGICAL = Debian("logical", "Debian", Hardware.AHCI, ("/boot", SWAP))
UEFI_LVM = Debian("uefi-lvm", "Debian", Hardware.NVME, ("/boot", "/boot/efi"))
DRACUT = Debian("dracut", "Debian", Hardware.AHCI, ("/boot", SWAP), tool="dracut")


def _release(tool: str) -> Release:
    sources = next(file for file in _SOURCES if file.exists() and file.stat().st_size)
    lines = Path("/etc/os-release").read_text().splitlines()
    codename = dict(line.split("=", 1) for line in lines if line)["VERSION_CODENAME"]
    packages = (*PACKAGES, tool)
    return Release(f"debian-2-{tool}-{codename}", codename, [str(sources)], packages, _HASTE)


def _age(root: Path, guest: Debian) -> None:
    """Make of a fresh system one that knows its own hardware only."""
    own = ["nvme", "ext4"] if guest.is_efi else ["ahci", "sd_mod", "ext4", "ext2"]
    disk = "/dev/nvme0n1p" if guest.is_efi else "/dev/sda"
    fstab = f"{_LVM} / ext4 errors=remount-ro 0 1\n" if guest.is_efi else (
        "/dev/sda5 / ext4 errors=remount-ro 0 1\n/dev/sda6 none swap sw 0 0\n")  # fmt: skip
    fstab += f"{disk}{2 if guest.is_efi else 1} /boot ext2 defaults 0 2\n"
    if guest.is_efi:
        fstab += f"{disk}1 /boot/efi vfat umask=0077 0 1\n"
    known = texts.files("", fstab)
    told = {name: known[name] for name in ("etc/fstab", "etc/systemd/network/10-old.link")}
    if guest.tool == "dracut":
        told["etc/dracut.conf.d/rack.conf"] = (
            f'hostonly="no"\ncompress="gzip"\ndrivers="{" ".join(own)}"\n'
        )
        told["etc/systemd/network/20-lan.network"] = _NETWORK
        again, words = 'dracut --force --quiet "/boot/initrd.img-$2" "$2"', "rd.retry=20"
        wants = root / "etc/systemd/system/multi-user.target.wants"
        (wants / "systemd-networkd.service").symlink_to(
            "/lib/systemd/system/systemd-networkd.service"
        )
    else:
        told["etc/initramfs-tools/modules"] = "\n".join([*own, ""])
        told["etc/initramfs-tools/conf.d/rack"] = "MODULES=list\nRESUME=none\n"
        told["etc/network/interfaces"] = known["etc/network/interfaces"]
        again, words = "update-initramfs -u -k all", ""
    write(root, told)
    furnish(root)
    version = remake_initrds(root, again)
    (root / "boot/grub").mkdir()
    words = words if guest.is_efi else f"resume={disk}6 {words}".strip()
    menu = texts.grub_cfg(BOOT_UUID, f"/vmlinuz-{version}",
                          _LVM if guest.is_efi else "/dev/sda5", words)  # fmt: skip
    (root / "boot/grub/grub.cfg").write_text(menu.replace("net.ifnames=0 ", ""))


def _build_logical(folder: Path, root: Path, boot: Path, cache: Path, work: Path) -> Built:
    inside, swap = FIRST + _BOOT + 2 * MIB, FIRST + _BOOT + 4 * MIB + _ROOT
    disk = new_disk(
        folder / "disk-0.raw", swap + _SWAP + MIB,
        "label: dos\n"
        f"start={FIRST // 512}, size={_BOOT // 512}, type=83, bootable\n"
        f"start={(FIRST + _BOOT + MIB) // 512}, type=5\n"
        f"start={inside // 512}, size={_ROOT // 512}, type=83\n"
        f"start={swap // 512}, size={_SWAP // 512}, type=82\n",
    )  # fmt: skip
    ext4(disk, boot, FIRST, _BOOT, BOOT_UUID, kind="ext2")
    ext4(disk, root, inside, _ROOT, ROOT_UUID)
    pages = sparse(work / "swap", _SWAP)
    run("mkswap", "-q", str(pages))
    lay(pages, disk, swap)
    install_grub(disk, fetch_physical(cache, print), "/grub", work)
    return Built([disk])


def _build_efi(folder: Path, root: Path, boot: Path, cache: Path, work: Path) -> Built:
    (root / "boot/efi").mkdir()
    boots, member = FIRST + _ESP, FIRST + _ESP + _BOOT
    disk = new_disk(
        folder / "disk-0.raw", member + _ROOT + 64 * MIB,
        "label: gpt\n"
        f"start={FIRST // 512}, size={_ESP // 512}, type=U, uuid={ESP_GUID}\n"
        f"start={boots // 512}, size={_BOOT // 512}, type=L\n"
        f"start={member // 512}, size={(_ROOT + 32 * MIB) // 512}, type=V\n",
    )  # fmt: skip
    make_esp(disk, _ESP, BOOT_UUID, "/grub", cache, work)
    ext4(disk, boot, boots, _BOOT, BOOT_UUID, kind="ext2")
    packed = work / "root.tar"
    run("tar", "-C", str(root), "--numeric-owner", "-cf", str(packed), ".")
    by_libguestfs([disk], [
        f"pvcreate {DISK_A}3", f"vgcreate rack {DISK_A}3", f"lvcreate root rack {_ROOT // MIB}",
        "mkfs ext4 /dev/rack/root", "mount /dev/rack/root /", f"tar-in {packed} /",
    ])  # fmt: skip
    return Built([disk], installed(folder, _ESP, partition=ESP_GUID))
