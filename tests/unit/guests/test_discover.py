"""What systemd mounts without fstab: kernels and entries there are found and converted."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.model.guest import ConversionPlan, FileSystem, Guest, Kernel, Mount, VolumeId
from tests.unit.guests.test_volumes import disk, volumes
from tests.unit.guests.trees import (
    BOOT,
    ESP,
    ROOT,
    Content,
    Link,
    MemoryGuest,
    modules_files,
    separate_boot,
    volume,
)

VERSION = "6.8.1-arch1-1"
MACHINE = "0123456789abcdef0123456789abcdef"
EFI_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BOOT_TYPE = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
ROOT_TYPE = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
UNIT = "/etc/systemd/system/boot.mount"
Files = Mapping[str, Content | str]


def overlay(_kernel: Kernel) -> bytes:
    """Return an overlay."""
    return b"overlay"


def guest(root: Files, others: Mapping[str, Files], *, is_hidden: bool = False) -> MemoryGuest:
    """Return a system with systemd and no fstab on a GPT: ESP, root, extended boot partition."""
    esp = replace(volume(ESP, FileSystem.FAT, is_esp=True), type="" if is_hidden else EFI_TYPE)
    places = [esp, replace(volume(ROOT, FileSystem.EXT, number=2), type=ROOT_TYPE)]
    if BOOT in others:
        places.append(replace(volume(BOOT, FileSystem.EXT, number=3), type=BOOT_TYPE))
    files: dict[str, Content | str] = {
        "/lib": Link(b"usr/lib"),
        "/usr/lib/os-release": 'ID=arch\nNAME="Arch Linux"\n',
        "/etc/os-release": Link(b"../usr/lib/os-release"),
        "/usr/lib/systemd/systemd": "elf",
        "/sbin/init": "elf",
        f"/usr/lib/modules/{VERSION}/pkgbase": "linux\n",
        **modules_files(VERSION),
        **root,
    }
    return MemoryGuest(places, {ROOT: files, **others})


def converted(made: MemoryGuest) -> tuple[Guest, ConversionPlan, MemoryGuest]:
    """Return the guest, its plan, and the guest as it is then, with which nothing is left."""
    told = inspect(made)
    first = plan(made, told, overlay, ConversionOptions())
    after = made.replay(first.edits)
    assert plan(after, inspect(after), overlay, ConversionOptions()).edits == ()
    return told, first, after


def entry(kernel: str, initrd: str) -> str:
    """Return a loader entry."""
    return f"title Arch\nlinux {kernel}\ninitrd {initrd}\noptions rw\n"


ARCH: Files = {
    "/vmlinuz-linux": "MZ kernel",
    "/initramfs-linux.img": "initrd",
    "/EFI/BOOT/BOOTX64.EFI": "MZ",
    "/loader/entries/arch.conf": entry("/vmlinuz-linux", "/initramfs-linux.img"),
}


def test_an_esp_without_fstab_is_at_an_empty_boot() -> None:
    """Arch with systemd-boot: kernel, initrd and entry are on the EFI system partition alone."""
    told, _, after = converted(guest({"/boot": None}, {ESP: ARCH}))

    assert told.obstacles == ()
    assert told.mounts == (Mount(b"/", VolumeId(ROOT)), Mount(b"/boot", VolumeId(ESP)))
    assert after.files[ESP][b"/bootpoint-6.8.1-arch1-1.img"] == b"overlay"
    new = after.files[ESP][b"/loader/entries/arch.conf"]
    assert isinstance(new, bytes)
    assert b"\ninitrd /bootpoint-6.8.1-arch1-1.img\n" in new


def test_an_extended_boot_partition_is_at_boot_and_the_esp_at_efi() -> None:
    """Then kernels are where kernel-install lays them: by machine and version."""
    folder = f"/{MACHINE}/{VERSION}"
    boot: Files = {
        f"{folder}/linux": "MZ",
        f"{folder}/initrd": "initrd",
        "/loader/entries/a.conf": entry(f"{folder}/linux", f"{folder}/initrd"),
    }
    efi: Files = {"/EFI/systemd/systemd-bootx64.efi": "MZ"}

    told, made, after = converted(guest({"/boot": None, "/efi": None}, {ESP: efi, BOOT: boot}))

    assert [(mount.path, mount.volume) for mount in told.mounts[1:]] == [
        (b"/boot", BOOT),
        (b"/efi", ESP),
    ]
    assert after.files[BOOT][f"{folder}/bootpoint-{VERSION}.img".encode()] == b"overlay"
    assert {edit.volume for edit in made.edits} == {BOOT, ESP}


@pytest.mark.parametrize(
    ("root", "is_hidden"),
    [
        ({"/boot": None}, True),
        ({"/boot/old": "x"}, False),
        ({"/boot": None, "/usr/lib/systemd/systemd": None, "/usr/lib/systemd": "x"}, False),
        ({"/boot": None, "/etc/fstab": "/dev/sdz9 /boot vfat noauto 0 0\n"}, False),
    ],
    ids=["forbidden", "taken", "no systemd", "in fstab"],
)
def test_what_systemd_would_not_mount_is_not_mounted(root: Files, is_hidden: bool) -> None:
    """A wrong guess would write drivers where nobody looks."""
    made = guest({}, {ESP: ARCH}, is_hidden=is_hidden)
    if "/usr/lib/systemd" in root:
        del made.files[ROOT][b"/usr/lib/systemd/systemd"]
    for path, content in root.items():
        if not path.startswith("/usr"):
            made.put(ROOT, path, content)

    assert [mount.path for mount in inspect(made).mounts] == [b"/"]


def with_unit(what: str) -> MemoryGuest:
    """Return a Debian whose /boot is mounted by a unit instead of fstab."""
    made = separate_boot()
    made.put(ROOT, "/etc/fstab", "/dev/sda1 / ext4 errors=remount-ro 0 1\n")
    made.put(ROOT, "/boot", None)
    made.put(
        ROOT,
        UNIT,
        f"[Unit]\nDescription=What=is it\n\n[Mount]\nWhat={what}\nWhere=/boot\nType=ext4\n",
    )
    return made


def test_a_unit_mounts_as_a_line_of_fstab_does() -> None:
    """Kernels behind it are found; its device gets a name that holds, the rest is kept."""
    told, _, after = converted(with_unit("/dev/sda3"))

    assert (b"/boot", BOOT) in [(mount.path, mount.volume) for mount in told.mounts]
    assert (
        after.files[ROOT][UNIT.encode()]
        == (
            "[Unit]\nDescription=What=is it\n\n[Mount]\n"
            f"What=/dev/disk/by-uuid/{BOOT}\nWhere=/boot\nType=ext4\n"
        ).encode()
    )


def test_a_unit_with_a_name_that_holds_stays() -> None:
    """As systemd's own tools write them."""
    _, made, _ = converted(with_unit(f"/dev/disk/by-uuid/{BOOT}"))

    assert UNIT.encode() not in [edit.path for edit in made.edits]


def test_a_unit_for_a_disk_outside_the_backup_is_told() -> None:
    """It keeps its name; the operator learns why the VM waits for it."""
    made = separate_boot()
    text = "[Mount]\nWhat=/dev/sdz9\nWhere=/srv\nType=ext4\n"
    made.put(ROOT, "/etc/systemd/system/srv.mount", text)

    _, first, _ = converted(made)

    (told,) = [warning for warning in first.warnings if "srv.mount" in warning]
    assert "/dev/sdz9 for /srv is in none of the image's disks" in told


@pytest.mark.timeout(20)
def test_a_hostile_unit_is_read_in_linear_time() -> None:
    """Blanks by the hundred thousand, in what is replaced."""
    made = with_unit("/dev/sda3\r\nWhat=" + " " * 900_000 + "x\nWhat=/dev/sda3\r")

    _, _, after = converted(made)

    wanted = f"What=/dev/disk/by-uuid/{BOOT}"
    text = after.files[ROOT][UNIT.encode()]
    assert isinstance(text, bytes)
    assert text.split(b"[Mount]\n")[1].startswith(f"{wanted}\r\n{wanted}\n{wanted}\r\n".encode())


def test_a_hundred_snaps_hide_no_unit() -> None:
    """An Ubuntu has a unit for each revision of each of them."""
    made = with_unit("/dev/sda3")
    content = made.files[ROOT].pop(UNIT.encode())
    made.put(ROOT, "/etc/systemd/system/srv.mount", content)
    for number in range(100):
        text = f"[Mount]\nWhat=/var/lib/snapd/snaps/core_{number}.snap\nWhere=/snap/core/{number}\n"
        made.put(ROOT, f"/etc/systemd/system/snap-core-{number}.mount", text)

    assert b"/boot" in [mount.path for mount in inspect(made).mounts]


def test_a_gpt_tells_the_use_of_its_partitions(tmp_path: Path) -> None:
    """Unless a flag forbids to mount one by it."""
    script = f"label: gpt\nsize=2048, type={EFI_TYPE}\nsize=2048, type={BOOT_TYPE}\n"
    path = disk(tmp_path / "d.img", script)
    command = ["sfdisk", "-q", "--no-tell-kernel", "--part-attrs", str(path), "2", "GUID:63"]

    before = [one.type for one in volumes(path)]
    subprocess.run(command, check=True)

    assert before == [EFI_TYPE, BOOT_TYPE]
    assert [one.type for one in volumes(path)] == [EFI_TYPE, ""]
