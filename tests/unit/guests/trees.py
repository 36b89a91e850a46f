"""Guests in memory: volumes with files, read and changed by the backend's verbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.guests.backend import Stat, Type
from engine.guests.linux.draft import digest
from engine.model.errors import Failure, Problem
from engine.model.guest import Action, FileEdit, FileSystem, Owner, Volume, VolumeId

ROOT = "0f3b2c1d-0000-4000-8000-00000000000a"
SWAP = "0f3b2c1d-0000-4000-8000-00000000000b"
BOOT = "0f3b2c1d-0000-4000-8000-00000000000c"
DATA = "0f3b2c1d-0000-4000-8000-00000000000d"
ESP = "ABCD-1234"


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: bytes


Content = bytes | Link | None
"""A file's content, a link, or None for a folder."""


class MemoryGuest:
    """Volumes as dictionaries of paths; folders above a file exist by themselves."""

    name = "memory"

    def __init__(
        self, volumes: Sequence[Volume], files: Mapping[str, Mapping[str, Content | str]]
    ) -> None:
        self._volumes = tuple(volumes)
        self.files: dict[str, dict[bytes, Content]] = {volume.id: {} for volume in volumes}
        self.owners: dict[tuple[str, bytes], Owner] = {}
        for volume, tree in files.items():
            for path, content in tree.items():
                self.put(volume, path, content)

    def put(self, volume: str, path: str, content: Content | str) -> None:
        """Lay a file, link or folder into a volume."""
        raw = content.encode() if isinstance(content, str) else content
        at = path.encode("utf-8", "surrogateescape")
        self.files[volume][at] = raw
        while at := at.rpartition(b"/")[0]:
            self.files[volume].setdefault(at, None)

    def volumes(self) -> Sequence[Volume]:
        """Return the volumes."""
        return self._volumes

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path."""
        assert not (path != b"/" and path.endswith(b"/")), path
        files = self.files[volume]
        owner = self.owners.get((volume, path), Owner())
        if path == b"/":
            return Stat(Type.FOLDER, 4096, owner)
        if path not in files:
            return None
        content = files[path]
        if content is None:
            return Stat(Type.FOLDER, 4096, owner)
        if isinstance(content, Link):
            return Stat(Type.LINK, len(content.target), owner)
        return Stat(Type.FILE, len(content), owner)

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the names in a folder."""
        start = path.rstrip(b"/") + b"/"
        names = (p[len(start) :] for p in self.files[volume] if p.startswith(start))
        return sorted(name for name in names if b"/" not in name)

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a file's content."""
        content = self.files[volume].get(path)
        if not isinstance(content, bytes) or len(content) > limit:
            raise Failure(Problem("memory.read", f"{path!r} is no file or too long."))
        return content

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a link points."""
        content = self.files[volume][path]
        assert isinstance(content, Link)
        return content.target

    def replay(self, edits: Sequence[FileEdit]) -> MemoryGuest:
        """Return a copy with all edits made, each only when `before` fits."""
        copy = MemoryGuest(self._volumes, {})
        copy.files = {volume: dict(files) for volume, files in self.files.items()}
        copy.owners = dict(self.owners)
        for edit in edits:
            copy.make(edit)
        return copy

    def make(self, edit: FileEdit) -> None:
        """Make one edit; refuse when `before` does not fit."""
        files = self.files[edit.volume]
        parent = edit.path.rpartition(b"/")[0]
        assert parent == b"" or files.get(parent, b"") is None, f"no folder for {edit.path!r}"
        if edit.before is None:
            assert edit.path not in files, edit.path
        else:
            content = files[edit.path]
            assert isinstance(content, bytes)
            assert digest(content) == edit.before, edit.path
        if edit.action is Action.WRITE:
            files[edit.path] = edit.after
            self.owners[edit.volume, edit.path] = edit.owner
        elif edit.action is Action.MKDIR:
            files[edit.path] = None
        elif edit.action is Action.RENAME:
            assert edit.after not in files
            files[edit.after] = files.pop(edit.path)
        else:
            raise AssertionError(edit.action)


def volume(
    uuid: str, kind: FileSystem, disk: int = 0, number: int = 1, *, is_esp: bool = False
) -> Volume:
    """Return a volume of 1 GiB at a place that follows from its number."""
    entry = f"1234abcd-{disk}{number}"
    return Volume(VolumeId(uuid), disk, number, number << 30, 1 << 30, kind, "", entry, is_esp)


def kernel_files(
    version: str, boot: str = "/boot", initrd: str = "initrd.img-%s"
) -> dict[str, str]:
    """Return a kernel with initrd in a boot folder, without its modules."""
    return {f"{boot}/vmlinuz-{version}": "MZ kernel", f"{boot}/{initrd % version}": "initrd"}


def modules_files(version: str, top: str = "/usr/lib/modules") -> dict[str, str]:
    """Return the index of a kernel's modules."""
    return {f"{top}/{version}/modules.dep": MODULES}


MODULES = "".join(
    f"kernel/drivers/{name}.ko.xz:\n"
    for name in ("virtio_blk", "virtio-pci", "virtio_net", "virtio_scsi", "vmw_pvscsi", "ahci",
                 "nvme", "vmxnet3", "e1000e", "sd_mod", "mptsas")
)  # fmt: skip

DEBIAN_GRUB = """# don't edit
set timeout=5
function load_video { insmod all_video; }
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
\tload_video
\tinsmod gzio
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tsearch --no-floppy --fs-uuid --set=root %(root)s
\techo\t'Loading Linux 6.1.0-50-amd64 ...'
\tlinux\t%(boot)s/vmlinuz-6.1.0-50-amd64 root=/dev/sda1 ro quiet resume=/dev/sda2
\techo\t'Loading initial ramdisk ...'
\tinitrd\t%(boot)s/initrd.img-6.1.0-50-amd64
}
submenu 'Advanced options for Debian GNU/Linux' {
\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-49-amd64' {
\t\tlinux\t%(boot)s/vmlinuz-6.1.0-49-amd64 root=/dev/sda1 ro single
\t\tinitrd\t%(boot)s/initrd.img-6.1.0-49-amd64
\t}
}
menuentry 'Other system (on /dev/sdb1)' {
\tlinux\t/boot/vmlinuz-5.10 root=/dev/sdb1
\tinitrd\t/boot/initrd-5.10
}
"""


def debian12() -> MemoryGuest:
    """Debian 12: ifupdown, raw names everywhere, swap by raw name, two kernels."""
    files: dict[str, Content | str] = {
        "/lib": Link(b"usr/lib"),
        "/usr/lib/os-release": 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n',
        "/etc/os-release": Link(b"../usr/lib/os-release"),
        "/etc/fstab": (
            "# <file system> <mount point> <type> <options> <dump> <pass>\n"
            "/dev/sda1 /    ext4 errors=remount-ro 0 1\n"
            "/dev/sda2\tnone\tswap\tsw\t0\t0\n"
            "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"
            "tmpfs /tmp tmpfs defaults 0 0\n"
        ),
        "/etc/network/interfaces": (
            "auto lo enp3s0\niface lo inet loopback\niface enp3s0 inet static\n"
            "\taddress 192.0.2.10/24\n"
        ),
        "/etc/default/grub": (
            'GRUB_DISABLE_LINUX_UUID=true\nGRUB_CMDLINE_LINUX_DEFAULT="quiet resume=/dev/sda2"\n'
        ),
        "/etc/initramfs-tools/modules": "# List of modules\nahci",
        "/etc/initramfs-tools/conf.d/resume": "RESUME=/dev/sda2\n",
        "/boot/grub/device.map": "(hd0)\t/dev/disk/by-id/ata-OLD_123\n",
        "/boot/grub/grub.cfg": DEBIAN_GRUB % {"root": ROOT, "boot": "/boot"},
        "/usr/lib/systemd/systemd-udevd": "elf",
        "/etc/systemd/network": None,
        **kernel_files("6.1.0-50-amd64"),
        **kernel_files("6.1.0-49-amd64"),
        **modules_files("6.1.0-50-amd64"),
        **modules_files("6.1.0-49-amd64"),
    }
    volumes = [volume(ROOT, FileSystem.EXT), volume(SWAP, FileSystem.SWAP, number=2)]
    return MemoryGuest(volumes, {ROOT: files})


def separate_boot() -> MemoryGuest:
    """Debian with /boot on a partition of its own, by raw names, on UEFI."""
    guest = debian12()
    boot = volume(BOOT, FileSystem.EXT, number=3)
    esp = volume(ESP, FileSystem.FAT, number=4, is_esp=True)
    moved = {p: c for p, c in guest.files[ROOT].items() if p.startswith(b"/boot/")}
    kept = {p: c for p, c in guest.files[ROOT].items() if p not in moved}
    made = MemoryGuest([*guest.volumes(), boot, esp], {})
    made.files[ROOT] = kept
    made.files[BOOT] = {p[len(b"/boot") :]: c for p, c in moved.items()}
    made.files[BOOT][b"/efi"] = None
    made.put(BOOT, "/grub/grub.cfg", DEBIAN_GRUB % {"root": BOOT, "boot": ""})
    made.put(
        ROOT,
        "/etc/fstab",
        "/dev/sda1 / ext4 errors=remount-ro 0 1\n/dev/sda3 /boot ext4 defaults 0 2\n"
        "/dev/sda4 /boot/efi vfat umask=0077 0 1\n/dev/sda2 none swap sw 0 0\n",
    )
    made.put(ESP, "/EFI/debian/shimx64.efi", "shim")
    made.put(ESP, "/EFI/debian/grubx64.efi", "grub")
    made.put(ESP, "/EFI/debian/mmx64.efi", "mok manager")
    return made


def ubuntu() -> MemoryGuest:
    """Ubuntu 22.04: netplan written by cloud-init and bound to a MAC, UUIDs everywhere."""
    version = "5.15.0-91-generic"
    files: dict[str, Content | str] = {
        "/lib": Link(b"usr/lib"),
        "/boot/vmlinuz": Link(b"vmlinuz-" + version.encode()),
        "/etc/os-release": 'NAME="Ubuntu"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n',
        "/etc/fstab": (
            f"UUID={ROOT} / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n"
            f"/dev/disk/by-id/ata-WDC_WD10-part1 /srv/my\\040data ext4 defaults 0 2\n"
        ),
        "/etc/netplan/50-cloud-init.yaml": (
            "network:\n    ethernets:\n        eno1:\n            dhcp4: false\n"
            "            addresses: [192.0.2.20/24]\n            match:\n"
            "                macaddress: AA:BB:CC:00:11:22\n            set-name: eno1\n"
            "    version: 2\n"
        ),
        "/etc/cloud/cloud.cfg.d/05_logging.cfg": "log: 1\n",
        "/lib_marker": "",
        "/boot/grub/grub.cfg": (
            f"menuentry 'Ubuntu' {{\n linux /boot/vmlinuz-{version} root=UUID={ROOT} ro\n"
            f" initrd /boot/initrd.img-{version}\n}}\n"
        ),
        "/usr/lib/systemd/systemd": "elf",
        "/etc/initramfs-tools/modules": "",
        **kernel_files(version),
        **modules_files(version),
    }
    volumes = [volume(ROOT, FileSystem.EXT, number=2), volume(DATA, FileSystem.EXT, disk=1)]
    return MemoryGuest(volumes, {ROOT: files})


def redhat() -> MemoryGuest:
    """RHEL 8: BLS entries on a separate /boot, kernelopts in grubenv, ifcfg with HWADDR, xfs."""
    version = "4.18.0-513.el8.x86_64"
    environment = "# GRUB Environment Block\nkernelopts=root=/dev/sda2 ro resume=/dev/sda3 \n"
    root: dict[str, Content | str] = {
        "/lib": Link(b"usr/lib"),
        "/etc/os-release": 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nVERSION_ID="8.9"\n',
        "/etc/fstab": (
            f"/dev/sda2 / xfs defaults 0 0\nUUID={BOOT} /boot xfs defaults 0 0\n"
            "/dev/sda3 swap swap defaults 0 0\n"
        ),
        "/etc/sysconfig/network-scripts/ifcfg-eno1": (
            "TYPE=Ethernet\nDEVICE=eno1\nHWADDR=aa:bb:cc:00:11:22\nIPADDR=192.0.2.30\n"
        ),
        "/etc/dracut.conf": "",
        "/etc/lvm/devices/system.devices": "IDTYPE=sys_wwid IDNAME=naa.5000\n",
        "/usr/lib/systemd/systemd": "elf",
        "/boot": None,
        **modules_files(version),
    }
    boot: dict[str, Content | str] = {
        "/grub2/grub.cfg": "insmod blscfg\nblscfg\n",
        "/grub2/grubenv": environment.ljust(1024, "#"),
        f"/loader/entries/abc-{version}.conf": (
            f"title RHEL\nversion {version}\nlinux /vmlinuz-{version}\n"
            f"initrd /initramfs-{version}.img $tuned_initrd\noptions $kernelopts $tuned_params\n"
        ),
        **kernel_files(version, boot="", initrd="initramfs-%s.img"),
    }
    volumes = [
        volume(BOOT, FileSystem.XFS),
        volume(ROOT, FileSystem.XFS, number=2),
        volume(SWAP, FileSystem.SWAP, number=3),
    ]
    return MemoryGuest(volumes, {ROOT: root, BOOT: boot})


def btrfs() -> MemoryGuest:
    """Debian on btrfs with its root in `@rootfs`; GRUB sees the top of the volume."""
    guest = debian12()
    made = MemoryGuest([replace(guest.volumes()[0], kind=FileSystem.BTRFS), guest.volumes()[1]], {})
    made.files[ROOT] = {b"/@rootfs" + p: c for p, c in guest.files[ROOT].items()}
    made.files[ROOT][b"/@rootfs"] = None
    made.put(
        ROOT, "/@rootfs/boot/grub/grub.cfg", DEBIAN_GRUB % {"root": ROOT, "boot": "/@rootfs/boot"}
    )
    made.put(
        ROOT,
        "/@rootfs/etc/fstab",
        "/dev/sda1 / btrfs subvol=@rootfs 0 0\n/dev/sda2 none swap sw 0 0\n",
    )
    return made
