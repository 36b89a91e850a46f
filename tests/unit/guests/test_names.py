"""Names of devices wherever a Linux writes them: all that hold become ones that hold."""

from __future__ import annotations

import pytest

from engine.guests.inspect import inspect
from engine.guests.linux import crypttab
from engine.guests.linux.devices import Devices
from engine.guests.plan import plan
from engine.model.guest import FileSystem, VolumeId
from tests.unit.guests.test_plan import NICS, overlay
from tests.unit.guests.trees import DATA, ROOT, SWAP, MemoryGuest, debian12, volume

LUKS = "0f3b2c1d-0000-4000-8000-0000000000cc"
V = "6.1.0-50-amd64"


def guest(command_line: str, fstab: str = f"UUID={ROOT} / ext4 defaults 0 1\n") -> MemoryGuest:
    """Return a Debian with one menu entry, with a disk of data and an encrypted volume beside."""
    linux = debian12()
    more = [
        volume(DATA, FileSystem.EXT, disk=1),
        volume("disk0-part3", FileSystem.UNKNOWN, number=3),
        volume(LUKS, FileSystem.LUKS, number=4),
    ]
    disk = MemoryGuest([*linux.volumes(), *more], {})
    disk.files[ROOT] = linux.files[ROOT]
    disk.put(ROOT, "/etc/fstab", fstab)
    entry = f"linux /boot/vmlinuz-{V} {command_line} ro\n initrd /boot/initrd.img-{V}\n"
    disk.put(ROOT, "/boot/grub/grub.cfg", "menuentry 'D' {\n " + entry + "}\n")
    return disk


def becomes(disk: MemoryGuest, path: str) -> str:
    """Return what a file of the guest is after its conversion."""
    found = plan(disk, inspect(disk), overlay, NICS)
    assert found.obstacles == ()
    content = disk.replay(found.edits).files[ROOT][path.encode()]
    assert isinstance(content, bytes)
    return content.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("root=/dev/sda1", f"root=UUID={ROOT}"),
        ("root=0801", f"root=UUID={ROOT}"),
        ("root=8:1", f"root=UUID={ROOT}"),
        ("root=/dev/mapper/mpatha1", f"root=UUID={ROOT}"),
        ("root=/dev/mapper/mpatha-part1", f"root=UUID={ROOT}"),
        ("root=/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part1", f"root=UUID={ROOT}"),
        ("root=/dev/disk/by-id/ata-WDC_1-part1", f"root=UUID={ROOT}"),
        ("root=/dev/ram0 real_root=/dev/sda1", f"root=/dev/ram0 real_root=UUID={ROOT}"),
        ("resume=/dev/sda2", f"resume=UUID={SWAP}"),
        ("resume=/dev/sda1 resume_offset=34816", f"resume=UUID={ROOT} resume_offset=34816"),
    ],
)
def test_the_kernel_is_told_names_that_hold(before: str, after: str) -> None:
    """By path, identity, numbers, multipath, or as a file to swap to."""
    assert f" {after} ro\n" in becomes(guest(before), "/boot/grub/grub.cfg")


@pytest.mark.parametrize(
    "kept",
    [f"root=UUID={ROOT}", "root=LABEL=x", "root=PARTUUID=1234abcd-02/PARTNROFF=-1", "root=ZFS=a/b",
     "root=/dev/mapper/vg-root", "nfsroot=0801", "xroot=8:1", "root=live:CDLABEL=x"],
)  # fmt: skip
def test_names_that_hold_are_kept(kept: str) -> None:
    """What does not depend on the hardware stays as it is written."""
    assert f" {kept} ro\n" in becomes(guest(kept), "/boot/grub/grub.cfg")


def test_arguments_for_kernels_to_come_are_mended_too() -> None:
    """Kernel-install, update-grub and Alpine's tool write the next entry from these."""
    disk = guest("root=/dev/sda1")
    disk.put(ROOT, "/etc/kernel/cmdline", "root=/dev/sda1 quiet\n")
    disk.put(ROOT, "/etc/update-extlinux.conf", "overwrite=1\nroot=/dev/sda1\n")
    disk.put(ROOT, "/etc/default/grub.d/50-x.cfg", 'GRUB_CMDLINE_LINUX="resume=/dev/sda2"\n')

    assert becomes(disk, "/etc/kernel/cmdline") == f"root=UUID={ROOT} quiet\n"
    assert becomes(disk, "/etc/update-extlinux.conf") == f"overwrite=1\nroot=UUID={ROOT}\n"
    assert f"resume=UUID={SWAP}" in becomes(disk, "/etc/default/grub.d/50-x.cfg")


CRYPTTAB = """# name device key options
swap1 /dev/sda3 /dev/urandom swap,cipher=aes-xts-plain64
data /dev/sda4 /root/key luks
wrong /dev/sda1 /dev/urandom swap
usb /dev/sdz1 none luks
gone UUID=99999999-0000-4000-8000-00000000000f
here UUID=0f3b2c1d-0000-4000-8000-0000000000cc none luks
"""


def test_encrypted_volumes_are_named_by_what_stays() -> None:
    """A swap made anew at each start must never fall upon another volume: data would be lost."""
    disk = guest("root=/dev/sda1")
    disk.put(ROOT, "/etc/crypttab", CRYPTTAB)

    assert becomes(disk, "/etc/crypttab").splitlines()[1:] == [
        "swap1 PARTUUID=1234abcd-03 /dev/urandom swap,cipher=aes-xts-plain64",
        f"data UUID={LUKS} /root/key luks",
        "# bootpoint: its device is in none of the disks: wrong /dev/sda1 /dev/urandom swap",
        "# bootpoint: its device is in none of the disks: usb /dev/sdz1 none luks",
        "gone UUID=99999999-0000-4000-8000-00000000000f none nofail",
        "here UUID=0f3b2c1d-0000-4000-8000-0000000000cc none luks",
    ]


def test_nobody_waits_for_a_mapped_device_that_will_not_come() -> None:
    """Its line in fstab becomes optional; one that is there stays as it is."""
    lines = f"UUID={ROOT} / ext4 defaults 0 1\n/dev/mapper/wrong none swap sw 0 0\n"
    disk = guest("root=/dev/sda1", lines + "/dev/mapper/swap1 none swap sw 0 0\n")
    disk.put(ROOT, "/etc/crypttab", CRYPTTAB)

    text = becomes(disk, "/etc/fstab")

    assert "/dev/mapper/wrong none swap sw,nofail 0 0\n" in text
    assert "/dev/mapper/swap1 none swap sw 0 0\n" in text
    converted = disk.replay(plan(disk, inspect(disk), overlay, NICS).edits)
    assert plan(converted, inspect(converted), overlay, NICS).edits == ()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a\n", b"a b" * 100_000, b"x /dev/sda9\n" * 3]
)
def test_any_bytes_are_a_crypttab(content: bytes) -> None:
    """What is no line of it is left as it is."""
    devices = Devices([volume(VolumeId(ROOT), FileSystem.EXT)], [], lambda *_: True)

    once = crypttab.convert(content, devices)

    assert crypttab.convert(once.content, devices).content == once.content


def test_a_pattern_takes_the_name_that_is_told_elsewhere() -> None:
    """A connection for eno* bound to the old address is the card that another one calls eno1."""
    disk = guest("root=/dev/sda1")
    del disk.files[ROOT][b"/etc/network/interfaces"]
    folder = "/etc/NetworkManager/system-connections"
    bound = "[ethernet]\nmac-address=AA:BB:CC:00:11:22\n[match]\ninterface-name=eno*\n"
    disk.put(ROOT, f"{folder}/a.nmconnection", bound)
    disk.put(ROOT, f"{folder}/b.nmconnection", "[connection]\ninterface-name=eno1\n")

    assert "Name=eno1\n" in becomes(disk, "/etc/systemd/network/00-bootpoint-eno1.link")


ALPINE = {
    "/etc/os-release": "ID=alpine\nVERSION_ID=3.19\n",
    "/etc/fstab": f"UUID={ROOT} / ext4 rw 0 1\n",
    "/boot/vmlinuz-lts": "x",
    "/boot/initramfs-lts": "initrd",
    "/boot/extlinux.conf": (
        "DEFAULT menu.c32\nLABEL lts\n  MENU DEFAULT\n  LINUX vmlinuz-lts\n"
        f"  INITRD initramfs-lts\n  APPEND root=UUID={ROOT} modules=sd-mod,ext4\n"
    ),
    "/lib/modules/6.6.7-0-lts/modules.dep": (
        "kernel/drivers/block/virtio_blk.ko.gz:\nkernel/drivers/net/vmxnet3/vmxnet3.ko.gz:\n"
        "kernel/fs/xfs/xfs.ko.gz:\n"
    ),
    "/etc/mkinitfs/mkinitfs.conf": 'features="ata base ext4"\n',
    "/etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n",
}


def test_alpine_s_later_initrds_get_the_drivers_and_its_only_card_needs_no_rule() -> None:
    """A feature of our own lists them; without udev the kernel's own name for it is kept."""
    disk = MemoryGuest([volume(ROOT, FileSystem.EXT)], {ROOT: ALPINE})

    found = plan(disk, inspect(disk), overlay, NICS)

    assert (found.obstacles, found.warnings) == ((), ())
    assert becomes(disk, "/etc/mkinitfs/mkinitfs.conf") == 'features="ata base ext4 bootpoint"\n'
    assert becomes(disk, "/etc/mkinitfs/features.d/bootpoint.modules").splitlines() == [
        "kernel/drivers/block/virtio_blk.ko*",
        "kernel/drivers/net/vmxnet3/vmxnet3.ko*",
    ]
    again = disk.replay(found.edits)
    assert plan(again, inspect(again), overlay, NICS).edits == ()
