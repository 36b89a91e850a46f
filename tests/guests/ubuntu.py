"""Whole Ubuntus as their installers left them: their own GRUB, its menu by update-grub, netplan.

    jammy   22.04   GPT │ for GRUB │ btrfs: @, @home │ swap          AHCI, BIOS   networkd
    noble   24.04   GPT │ ESP: shim │ /boot ext4 │ / ext4            NVMe, UEFI   NetworkManager
    focal   20.04   GPT │ for GRUB │ /boot ext4 │ PV ─ ubuntu-lv     AHCI, BIOS   networkd, lz4

Disks are named by UUID; what binds each to its machine are the drivers in its initrd, and its
network: jammy's by the card's MAC, the others' by the name that the card has from its slot.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.local.durable import file_lock, move_folder, remove_tree
from tests.guests import texts
from tests.guests.boot import Hardware
from tests.guests.laying import DISK_A, FIRST, by_libguestfs, new_disk, run
from tests.guests.physical import MIB
from tests.guests.shapes import Built, installed
from tests.guests.whole import SWAP, Release, Whole, furnish, remake_initrds, write

PACKAGES = ("linux-image-virtual", "systemd-sysv", "udev", "netplan.io", "iproute2", "kmod",
            "initramfs-tools")  # fmt: skip
ARCHIVE = "http://archive.ubuntu.com/ubuntu"
KEYS = ("pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb",
        "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8")  # fmt: skip
"""The package with the archive's keys, and its SHA-256. Debian 12 has none of its own."""
_HASTE = 'cd "$1/etc"; mkdir -p initramfs-tools/conf.d; echo MODULES=list > $_/rack'
"""The initrd that the packages make is replaced anyway."""
_GRUB = f"""GRUB_DEFAULT=0
GRUB_TIMEOUT_STYLE=hidden
GRUB_TIMEOUT=0
GRUB_RECORDFAIL_TIMEOUT=0
GRUB_DISTRIBUTOR=Ubuntu
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=tty1 console=ttyS0,115200 {texts.PATIENT}"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
"""
_INSTALL = """by_uuid() { echo "/dev/disk/by-uuid/$(blkid -s UUID -o value $1)"; }
by_lv() { echo "/dev/disk/by-id/dm-uuid-LVM-$(lvs --noheadings -o vg_uuid,lv_uuid | tr -d ' -')"; }
cat > /etc/fstab <<END
%s
END
%s
update-grub
"""
_EXT4 = "features:^metadata_csum_seed,^orphan_file"
"""Defaults of newer e2fsprogs, which these releases do not know."""


@dataclass(frozen=True, slots=True)
class Ubuntu(Whole):
    """A release with what its installer does.

    Attributes:
        codename: Of the release.
        packages: More of them.
        modules: The only ones that its initrd is asked to hold.
        netplan: Name and text of its configuration.
        size: Of the disk, bytes.
        table: Its partitions, in sfdisk's language.
        laying: Commands of guestfish that make the file systems and mount them.
        fstab: Lines of the shell; `by_uuid` names what the installer sees, as the installer does.
        loader: A shell command that installs the boot loader.
    """

    codename: str = ""
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    netplan: tuple[str, str] = ("", "")
    size: int = 0
    table: str = ""
    laying: tuple[str, ...] = ()
    fstab: str = ""
    loader: str = ""

    def build(self, folder: Path, cache: Path) -> Built:
        """Make its disk; see `Whole`."""
        disk = new_disk(folder / "disk-0.raw", self.size, f"label: gpt\n{self.table}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".draft.") as made:
            work = Path(made)
            root, packed = work / "root", work / "root.tar"
            _release(self.codename, self.packages, cache).unpack(cache, root)
            self._age(root)
            run("tar", "-C", str(root), "--numeric-owner", "-cf", str(packed), ".")
            by_libguestfs([disk], [
                *self.laying, f"tar-in {packed} /", 'command "sh -ex /root/install"',
                "rm /root/install",
            ])  # fmt: skip
        if not self.is_efi:
            return Built([disk])
        return Built([disk], installed(folder, ESP, partition=ESP_GUID, vendor="ubuntu"))

    def _age(self, root: Path) -> None:
        """Make of a fresh system one that knows its own hardware only."""
        name, text = self.netplan
        write(root, {
            f"etc/netplan/{name}": text,
            "etc/default/grub": _GRUB,
            "etc/initramfs-tools/modules": "\n".join([*self.modules, ""]),
            "etc/initramfs-tools/conf.d/rack": "MODULES=list\nRESUME=none\n",
            "root/install": _INSTALL % (self.fstab, self.loader),
        })  # fmt: skip
        (root / "etc/netplan" / name).chmod(0o600)
        furnish(root)
        remake_initrds(root, "update-initramfs -u -k all")


def _release(codename: str, packages: Sequence[str], cache: Path) -> Release:
    sources = [f"deb [signed-by={_keys(cache)}] {ARCHIVE} {suite} main universe"
               for suite in (codename, f"{codename}-updates")]  # fmt: skip
    return Release(f"ubuntu-1-{codename}", codename, sources, (*PACKAGES, *packages), _HASTE)


def _keys(cache: Path) -> Path:
    """Return the archive's keys, which are in a package that is checked by its hash."""
    path, digest = KEYS
    place = cache / Path(path).stem
    with file_lock(cache / ".ubuntu-keys.lock", wait=True):
        if not place.exists():
            deb, draft = cache / ".keys.deb", cache / ".keys"
            remove_tree(draft)
            run("/usr/lib/apt/apt-helper", "download-file", f"{ARCHIVE}/{path}", str(deb),
                f"SHA256:{digest}")  # fmt: skip
            run("dpkg-deb", "-x", str(deb), str(draft))
            deb.unlink()
            move_folder(draft, place)
    return place / "usr/share/keyrings/ubuntu-archive-keyring.gpg"


def _table(*parts: tuple[int, str]) -> str:
    """Return sfdisk's lines for partitions of a size in bytes, each of a kind."""
    lines, start = [], FIRST
    for size, kind in parts:
        lines.append(f"start={start // 512}, size={size // 512}, type={kind}\n")
        start += size
    return "".join(lines)


ESP = 64 * MIB
ESP_GUID = uuid.UUID("3b2a1908-f7e6-4d5c-8b4a-392817060f5e")
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_NAMED = f"""network:
  version: 2
  renderer: %s
  ethernets:
    ens7:
      addresses: [{texts.ADDRESS}/24]
"""

JAMMY = Ubuntu(
    "jammy", "Ubuntu 22.04", Hardware.AHCI, ("/home", SWAP),
    codename="jammy",
    packages=("btrfs-progs", "zstd", "grub-pc"),
    modules=("ahci", "btrfs"),
    netplan=("50-cloud-init.yaml", f"""network:
    ethernets:
        enp3s0:
            addresses:
            - {texts.ADDRESS}/24
            match:
                macaddress: {texts.OLD_MAC}
            set-name: enp3s0
    version: 2
"""),
    size=1700 * MIB,
    table=_table((MIB, _BIOS_BOOT), (1600 * MIB, "L"), (64 * MIB, "S")),
    laying=(
        f"mkfs btrfs {DISK_A}2", f"mkswap {DISK_A}3", f"mount {DISK_A}2 /",
        "btrfs-subvolume-create /@", "btrfs-subvolume-create /@home", "umount /",
        f"mount-options subvol=@ {DISK_A}2 /", "mkdir /home",
        f"mount-options subvol=@home {DISK_A}2 /home",
    ),
    # The swap was added by hand.
    fstab=f"""$(by_uuid {DISK_A}2) / btrfs defaults,subvol=@ 0 1
$(by_uuid {DISK_A}2) /home btrfs defaults,subvol=@home 0 2
/dev/sda3 none swap sw 0 0""",
    loader=f"grub-install --target=i386-pc {DISK_A}",
)  # fmt: skip
NOBLE = Ubuntu(
    "noble", "Ubuntu 24.04", Hardware.NVME, ("/boot", "/boot/efi"), "ens7", "addr=7",
    codename="noble",
    packages=("e2fsprogs", "zstd", "shim-signed", "grub-efi-amd64-signed", "network-manager"),
    modules=("nvme",),
    netplan=("01-network-manager-all.yaml", _NAMED % "NetworkManager"),
    size=1700 * MIB,
    table=_table((ESP, f"U, uuid={ESP_GUID}"), (300 * MIB, "L"), (1300 * MIB, "L")),
    laying=(
        f"mkfs vfat {DISK_A}1", f"mkfs ext4 {DISK_A}2 {_EXT4}", f"mkfs ext4 {DISK_A}3 {_EXT4}",
        f"mount {DISK_A}3 /", "mkdir /boot", f"mount {DISK_A}2 /boot", "mkdir /boot/efi",
        f"mount {DISK_A}1 /boot/efi",
    ),
    fstab=f"""$(by_uuid {DISK_A}3) / ext4 defaults 0 1
$(by_uuid {DISK_A}2) /boot ext4 defaults 0 1
$(by_uuid {DISK_A}1) /boot/efi vfat defaults 0 1""",
    loader="grub-install --target=x86_64-efi --uefi-secure-boot --no-nvram",
)  # fmt: skip
FOCAL = Ubuntu(
    "focal", "Ubuntu 20.04", Hardware.AHCI, ("/boot",), "ens7", "addr=7",
    codename="focal",
    packages=("e2fsprogs", "lvm2", "lz4", "grub-pc"),
    modules=("ahci",),
    netplan=("00-installer-config.yaml", _NAMED % "networkd"),
    size=1900 * MIB,
    table=_table((MIB, _BIOS_BOOT), (300 * MIB, "L"), (1500 * MIB, "V")),
    laying=(
        f"pvcreate {DISK_A}3", f"vgcreate ubuntu-vg {DISK_A}3", "lvcreate ubuntu-lv ubuntu-vg 1400",
        f"mkfs ext4 {DISK_A}2 {_EXT4}", f"mkfs ext4 /dev/ubuntu-vg/ubuntu-lv {_EXT4}",
        "mount /dev/ubuntu-vg/ubuntu-lv /", "mkdir /boot", f"mount {DISK_A}2 /boot",
    ),
    fstab=f"""$(by_lv) / ext4 defaults 0 1
$(by_uuid {DISK_A}2) /boot ext4 defaults 0 1""",
    loader=f"grub-install --target=i386-pc {DISK_A}",
)  # fmt: skip
GUESTS = (JAMMY, NOBLE, FOCAL)
