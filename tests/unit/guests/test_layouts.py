"""Systems of other layouts: each is told by its name; none is converted wrongly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.model.guest import FileSystem, Guest
from tests.unit.guests.test_inspect import WithDefault
from tests.unit.guests.trees import BOOT, ROOT, Content, Link, MemoryGuest, debian12, volume

OS_RELEASE = 'NAME="NixOS"\nID=nixos\nVERSION_ID="24.05"\n'


def refused(disk: MemoryGuest) -> Guest:
    """Return a guest that is not to be converted; its plan has no change."""
    guest = inspect(disk)
    made = plan(disk, guest, lambda _: b"overlay", ConversionOptions())
    assert not made.edits
    assert made.obstacles == guest.obstacles
    return guest


def reason(disk: MemoryGuest) -> str:
    """Return the key of the only obstacle."""
    (obstacle,) = refused(disk).obstacles
    return obstacle.key


@pytest.mark.parametrize(
    ("kind", "top"),
    [(FileSystem.XFS, ""), (FileSystem.EXT, ""), (FileSystem.BTRFS, "/root")],
)
def test_an_ostree_deployment_is_told(kind: FileSystem, top: str) -> None:
    """Its root has no /etc: the files are in a deployment below, under a hash."""
    deployment = f"{top}/ostree/deploy/fedora/deploy/{'ab' * 32}.0"
    root: dict[str, Content | str] = {
        f"{top}/ostree/repo/config": "[core]\nmode=bare\n",
        f"{deployment}/etc/fstab": f"UUID={ROOT} / auto subvol=root 0 0\n",
        f"{deployment}/usr/lib/os-release": "ID=fedora\n",
        f"{top}/boot": None,
    }
    boot: dict[str, Content | str] = {
        "/loader": Link(b"loader.1"),
        "/loader.1/entries/ostree-1-fedora.conf": (
            "title Fedora\nlinux /ostree/fedora-ab/vmlinuz-6.8\n"
            "initrd /ostree/fedora-ab/initramfs-6.8.img\n"
            "options ostree=/ostree/boot.1/fedora/ab/0\n"
        ),
        "/grub2/grub.cfg": "blscfg\n",
    }
    volumes = [volume(BOOT, FileSystem.EXT), volume(ROOT, kind, number=2)]

    assert reason(MemoryGuest(volumes, {ROOT: root, BOOT: boot})) == "guest.ostree"


@pytest.mark.parametrize("has_store", [True, False])
def test_nixos_is_told(*, has_store: bool) -> None:
    """Its store may be on a volume of its own: then all that /etc has leads nowhere."""
    files: dict[str, Content | str] = {
        "/etc/NIXOS": "",
        "/etc/os-release": Link(b"/etc/static/os-release"),
        "/etc/fstab": Link(b"/etc/static/fstab"),
        "/etc/static": Link(b"/nix/store/abc-etc/etc"),
        "/boot/grub/grub.cfg": "menuentry NixOS {\n linux /boot/kernels/abc-linux-bzImage\n}\n",
        "/boot/kernels/abc-linux-bzImage": "MZ",
        "/nix": None,
    }
    if has_store:
        files["/nix/store/abc-etc/etc/os-release"] = OS_RELEASE
        files["/nix/store/abc-etc/etc/fstab"] = f"UUID={ROOT} / ext4 defaults 0 1\n"

    assert reason(MemoryGuest([volume(ROOT, FileSystem.EXT)], {ROOT: files})) == "guest.nixos"


def test_a_folder_laid_over_etc_is_told() -> None:
    """MicroOS reads its settings from /var; what would be written below them is not seen."""
    made = debian12()
    disk = WithDefault([replace(made.volumes()[0], kind=FileSystem.BTRFS)], {})
    disk.default = b"@/.snapshots/3/snapshot"
    snapshot = "/@/.snapshots/3/snapshot"
    for path, content in made.files[ROOT].items():
        disk.put(ROOT, snapshot + path.decode(), content)
    disk.put(
        ROOT,
        f"{snapshot}/etc/fstab",
        f"UUID={ROOT} / btrfs ro 0 0\nUUID={ROOT} /var btrfs subvol=/@/var 0 0\n"
        "overlay /etc overlay defaults,lowerdir=/sysroot/var/lib/overlay/2/etc:/sysroot/etc,"
        "upperdir=/sysroot/var/lib/overlay/3/etc,workdir=/sysroot/var/lib/overlay/work-etc 0 0\n",
    )
    disk.put(ROOT, "/@/var/lib/overlay/3/etc/hostname", "micro\n")

    assert reason(disk) == "guest.etc_overlay"


def program(machine: int, order: str = "little") -> bytes:
    """Return the head of a program for some processor."""
    order_byte = b"\2" if order == "big" else b"\1"
    number = machine.to_bytes(2, "big" if order == "big" else "little")
    return b"\x7fELF\2" + order_byte + b"\1" + bytes(9) + b"\3\0" + number + bytes(44)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (program(183), "aarch64"),
        (program(40), "ARM, 32 bit"),
        (program(21, "big"), "PowerPC 64"),
        (program(243), "RISC-V"),
    ],
)
def test_a_system_for_another_processor_is_told(content: bytes, name: str) -> None:
    """Its drivers could be added like any other's; it would not start."""
    disk = debian12()
    disk.put(ROOT, "/usr/lib/systemd/systemd", content)
    disk.put(ROOT, "/sbin/init", Link(b"/lib/systemd/systemd"))

    (obstacle,) = refused(disk).obstacles

    assert obstacle.key == "guest.architecture"
    assert name in obstacle.text


@pytest.mark.parametrize("content", [program(62), program(3), b"#!/bin/sh\n", b"", b"\x7fELF"])
def test_a_system_of_32_bit_and_one_that_starts_by_a_script_are_converted(content: bytes) -> None:
    """x86 processors start both; what does not tell is no obstacle."""
    disk = debian12()
    disk.put(ROOT, "/sbin/init", content)

    assert inspect(disk).obstacles == ()


def test_a_root_encrypted_in_a_logical_volume_is_told_as_encrypted() -> None:
    """The volume group is opened, and so it is not what is in the way."""
    lvm = volume("pv", FileSystem.LVM, number=2)
    luks = replace(volume("luks", FileSystem.LUKS, number=3), names=(b"/dev/mapper/vg-root",))
    boot = volume(BOOT, FileSystem.EXT)
    disk = MemoryGuest([boot, lvm, luks], {BOOT: {"/grub/grub.cfg": "", "/vmlinuz-6.1": "MZ"}})

    assert reason(disk) == "guest.luks"
