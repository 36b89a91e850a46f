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
from enum import StrEnum
from pathlib import Path

from engine.local.durable import move_file
from tests.guests import texts
from tests.guests.laying import FIRST, by_libguestfs, ext4, install_grub, lay, new_disk, run, sparse
from tests.guests.physical import MIB, fetch_physical
from tests.guests.shapes import Built, installed, make_esp

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
_REPORT = f"""#!/bin/sh
# Tells what the machine runs on.
say() {{ echo "{texts.ANSWER} $*"; }}
drivers_of() {{
    at=$(readlink -f $1)
    while [ "$at" != /sys/devices ] && [ "$at" != / ]; do
        [ -e "$at/driver" ] && echo -n " $(basename $(readlink "$at/driver"))"
        at=$(dirname "$at")
    done
    for below in $1/slaves/*; do [ -e $below ] && drivers_of $below; done
}}
block=/sys/dev/block/$(mountpoint -d /)
say root /dev/$(basename $(readlink -f $block)) on $(drivers_of $block)
for place in /boot /boot/efi; do mountpoint -q $place && say mounted $place; done
# Nothing waits for systemd-networkd.
n=0
while [ $n -lt 60 ] && ! ip -4 -o address | grep -q {texts.ADDRESS}; do sleep 1; n=$((n+1)); done
for nic in /sys/class/net/*; do
    name=$(basename $nic)
    [ $name = lo ] && continue
    driver=$(basename $(readlink -f $nic/device/driver))
    address=$(ip -4 -o address show dev $name | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p')
    say nic $name $driver $(cat $nic/address) ${{address:-none}}
done
say units $(systemctl list-units --failed --no-legend --plain | cut -d ' ' -f 1)
"""
_UNIT = """[Unit]
After=networking.service local-fs.target
Before=serial-getty@ttyS0.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/report
StandardOutput=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
"""


_HASTE = 'cd "$1/etc"; mkdir -p dracut.conf.d; echo compress=cat > dracut.conf.d/haste.conf'
"""The initrd that the packages make is replaced anyway."""
_NETWORK = f"""[Match]
MACAddress={texts.OLD_MAC}
[Network]
Address={texts.ADDRESS}/24
LinkLocalAddressing=no
"""


class Layout(StrEnum):
    """What the guest lies on."""

    LOGICAL = "logical"
    UEFI_LVM = "uefi-lvm"
    DRACUT = "dracut"

    @property
    def tool(self) -> str:
        """Return the package that makes its initrds."""
        return "dracut" if self is Layout.DRACUT else "initramfs-tools"

    @property
    def is_efi(self) -> bool:
        """Whether it is started by UEFI, from NVMe."""
        return self is Layout.UEFI_LVM

    @property
    def mounts(self) -> list[str]:
        """Return what is mounted beside the root."""
        return ["/boot", "/boot/efi"] if self.is_efi else ["/boot"]


def build_debian(folder: Path, layout: Layout, cache: Path) -> Built:
    """Make the disk of a guest, a sparse raw file, in a folder.

    Args:
        cache: Keeps the distribution's root file system, which takes minutes to make.
    """
    packed = _fetch(cache, layout.tool)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".draft.") as made:
        work = Path(made)
        root = work / "root"
        root.mkdir()
        run("tar", "-C", str(root), "--numeric-owner", "-xpf", str(packed))
        _age(root, layout)
        boot = work / "boot"
        (root / "boot").rename(boot)
        (root / "boot").mkdir()
        if layout.is_efi:
            return _build_efi(folder, root, boot, cache, work)
        return _build_logical(folder, root, boot, cache, work)


def _fetch(cache: Path, tool: str) -> Path:
    """Return a tar of the distribution that this machine runs, with a tool for initrds."""
    sources = next(file for file in _SOURCES if file.exists() and file.stat().st_size)
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    place = cache / f"debian-2-{tool}-{release['VERSION_CODENAME']}.tar"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}")
        packages = ",".join((*PACKAGES, tool))
        run("mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar", "--quiet",
            f"--include={packages}", f"--essential-hook={_HASTE}",
            "--customize-hook=chroot \"$1\" passwd -d root",
            release["VERSION_CODENAME"], str(draft), str(sources))  # fmt: skip
        move_file(draft, place)
    return place


def _age(root: Path, layout: Layout) -> None:
    """Make of a fresh system one that knows its own hardware only."""
    own = ["nvme", "ext4"] if layout.is_efi else ["ahci", "sd_mod", "ext4", "ext2"]
    disk = "/dev/nvme0n1p" if layout.is_efi else "/dev/sda"
    fstab = f"{_LVM} / ext4 errors=remount-ro 0 1\n" if layout.is_efi else (
        "/dev/sda5 / ext4 errors=remount-ro 0 1\n/dev/sda6 none swap sw 0 0\n")  # fmt: skip
    fstab += f"{disk}{2 if layout.is_efi else 1} /boot ext2 defaults 0 2\n"
    if layout.is_efi:
        fstab += f"{disk}1 /boot/efi vfat umask=0077 0 1\n"
    known = texts.files("", fstab)
    told = {name: known[name] for name in ("etc/fstab", "etc/systemd/network/10-old.link")}
    told |= {
        "etc/hostname": "physical\n",
        "usr/local/sbin/report": _REPORT,
        "etc/systemd/system/report.service": _UNIT,
    }
    if layout is Layout.DRACUT:
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
    for name, text in told.items():
        (root / name).write_text(text)
    (root / "usr/local/sbin/report").chmod(0o755)
    (root / "etc/systemd/system/multi-user.target.wants/report.service").symlink_to(
        "/etc/systemd/system/report.service"
    )
    # Slow as it is, an emulated machine has its disks before systemd gives up on them.
    slow = root / "etc/systemd/system.conf.d"
    slow.mkdir()
    (slow / "slow.conf").write_text("[Manager]\nDefaultDeviceTimeoutSec=600\n")
    version = _version(root / "boot")
    inside = 'mount -t proc proc "$1/proc" && exec chroot "$1" sh -ec "$3" sh "" "$2"'
    run("unshare", "--mount", "sh", "-ec", inside, "sh", str(root), version, again)
    (root / "boot/grub").mkdir()
    words = words if layout.is_efi else f"resume={disk}6 {words}".strip()
    menu = texts.grub_cfg(BOOT_UUID, f"/vmlinuz-{version}",
                          _LVM if layout.is_efi else "/dev/sda5", words)  # fmt: skip
    (root / "boot/grub/grub.cfg").write_text(menu.replace("net.ifnames=0 ", ""))


def _version(boot: Path) -> str:
    (kernel,) = boot.glob("vmlinuz-*")
    return kernel.name.removeprefix("vmlinuz-")


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
        "pvcreate /dev/sda3", "vgcreate rack /dev/sda3", f"lvcreate root rack {_ROOT // MIB}",
        "mkfs ext4 /dev/rack/root", "mount /dev/rack/root /", f"tar-in {packed} /",
    ])  # fmt: skip
    return Built([disk], installed(folder, _ESP))
