"""The planner on whole guests: golden plans, idempotence, determinism, hostile trees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guests.inspect import inspect
from engine.guests.linux.network.naming import NicChange
from engine.guests.linux.rebuild import BEGIN, END
from engine.guests.plan import ConversionOptions, plan
from engine.model.errors import Failure, Problem
from engine.model.guest import Action, ConversionPlan, FileEdit, FileSystem, Kernel, Owner
from tests.unit.guests.trees import (
    BOOT,
    DATA,
    DEBIAN_GRUB,
    ESP,
    ROOT,
    SWAP,
    Link,
    MemoryGuest,
    btrfs,
    debian12,
    kernel_files,
    modules_files,
    redhat,
    separate_boot,
    ubuntu,
    volume,
)

NICS = ConversionOptions((NicChange(new="00:50:56:00:00:01", old="aa:bb:cc:00:11:22"),))
MAKERS = [debian12, separate_boot, ubuntu, redhat, btrfs]


def overlay(kernel: Kernel) -> bytes:
    """Return a stand-in for a kernel's archive."""
    return b"overlay of " + kernel.version.encode()


def planned(disk: MemoryGuest, options: ConversionOptions = NICS) -> ConversionPlan:
    """Inspect a guest and plan its conversion."""
    return plan(disk, inspect(disk), overlay, options)


def shape(edits: Sequence[FileEdit]) -> list[tuple[str, str, str]]:
    """Return volume, action and path of each edit."""
    names = {ROOT: "root", BOOT: "boot", ESP: "esp"}
    return [(names[edit.volume], edit.action.value, edit.path.decode()) for edit in edits]


def after(found: ConversionPlan, path: str) -> str:
    """Return the content that one file gets."""
    return next(edit.after.decode() for edit in found.edits if edit.path == path.encode())


def test_golden_plan_of_debian() -> None:
    """A physical Debian with raw names: every change that P2V.md lists, and no other."""
    found = planned(debian12())

    assert shape(found.edits) == [
        ("root", "write", "/boot/bootpoint-6.1.0-49-amd64.img"),
        ("root", "write", "/boot/bootpoint-6.1.0-50-amd64.img"),
        ("root", "rename", "/boot/grub/device.map"),
        ("root", "write", "/boot/grub/grub.cfg"),
        ("root", "write", "/etc/default/grub"),
        ("root", "write", "/etc/fstab"),
        ("root", "write", "/etc/initramfs-tools/conf.d/resume"),
        ("root", "write", "/etc/initramfs-tools/modules"),
        ("root", "write", "/etc/systemd/network/00-bootpoint-enp3s0.link"),
    ]
    assert found.warnings == ()
    assert found.obstacles == ()
    assert after(found, "/etc/fstab") == (
        "# <file system> <mount point> <type> <options> <dump> <pass>\n"
        f"UUID={ROOT} /    ext4 errors=remount-ro 0 1\n"
        f"UUID={SWAP}\tnone\tswap\tsw\t0\t0\n"
        "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"
        "tmpfs /tmp tmpfs defaults 0 0\n"
    )
    assert after(found, "/boot/grub/grub.cfg") == (
        (DEBIAN_GRUB % {"root": ROOT, "boot": "/boot"})
        .replace("root=/dev/sda1", f"root=UUID={ROOT}")
        .replace("resume=/dev/sda2", f"resume=UUID={SWAP}")
        .replace(
            "initrd.img-6.1.0-50-amd64",
            "initrd.img-6.1.0-50-amd64 /boot/bootpoint-6.1.0-50-amd64.img",
        )
        .replace(
            "initrd.img-6.1.0-49-amd64",
            "initrd.img-6.1.0-49-amd64 /boot/bootpoint-6.1.0-49-amd64.img",
        )
    )
    assert after(found, "/etc/default/grub") == (
        "# bootpoint: GRUB_DISABLE_LINUX_UUID=true\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT="quiet resume=UUID={SWAP}"\n'
    )
    assert after(found, "/etc/initramfs-tools/conf.d/resume") == f"RESUME=UUID={SWAP}\n"
    assert after(found, "/boot/grub/device.map") == "/boot/grub/device.map.bootpoint-old"


def test_drivers_that_no_kernel_has_are_not_asked_for() -> None:
    """Later rebuilds name the wanted drivers that exist; the guest's own list stays above."""
    text = after(planned(debian12()), "/etc/initramfs-tools/modules")

    assert text.startswith("# List of modules\nahci\n" + BEGIN.decode())
    assert text.endswith(END.decode())
    assert "\nvirtio_pci\n" in text
    assert "mptspi" not in text


@pytest.mark.parametrize(
    ("file", "is_told"),
    [("dracut-install", False), ("modules.d/99base/module-setup.sh", True)],
)
def test_dracut_is_told_where_it_is_more_than_a_tool_of_others(file: str, *, is_told: bool) -> None:
    """The initramfs-tools of Ubuntu 24.04 and Debian 13 bring one program of dracut's."""
    disk = debian12()
    disk.put(ROOT, f"/usr/lib/dracut/{file}", "")

    paths = [edit.path for edit in planned(disk).edits]

    assert (b"/etc/dracut.conf.d/90-bootpoint.conf" in paths) == is_told


def test_golden_plan_of_a_separate_boot_on_uefi() -> None:
    """Overlays lie on /boot's own volume; the ESP gets shim with the files that it loads."""
    found = planned(separate_boot())

    assert shape(found.edits) == [
        ("root", "write", "/etc/default/grub"),
        ("root", "write", "/etc/fstab"),
        ("root", "write", "/etc/initramfs-tools/conf.d/resume"),
        ("root", "write", "/etc/initramfs-tools/modules"),
        ("root", "write", "/etc/systemd/network/00-bootpoint-enp3s0.link"),
        ("boot", "write", "/bootpoint-6.1.0-49-amd64.img"),
        ("boot", "write", "/bootpoint-6.1.0-50-amd64.img"),
        ("boot", "rename", "/grub/device.map"),
        ("boot", "write", "/grub/grub.cfg"),
        ("esp", "mkdir", "/EFI/BOOT"),
        ("esp", "write", "/EFI/BOOT/BOOTX64.EFI"),
        ("esp", "write", "/EFI/BOOT/grubx64.efi"),
        ("esp", "write", "/EFI/BOOT/mmx64.efi"),
    ]
    assert after(found, "/EFI/BOOT/BOOTX64.EFI") == "shim"
    assert "initrd.img-6.1.0-50-amd64 /bootpoint-6.1.0-50-amd64.img" in after(
        found, "/grub/grub.cfg"
    )
    assert after(found, "/etc/fstab") == (
        f"UUID={ROOT} / ext4 errors=remount-ro 0 1\nUUID={BOOT} /boot ext4 defaults 0 2\n"
        f"UUID={ESP} /boot/efi vfat umask=0077 0 1\nUUID={SWAP} none swap sw 0 0\n"
    )


def test_golden_plan_of_ubuntu() -> None:
    """UUIDs stay; netplan follows the new card; cloud-init leaves it; data is optional."""
    found = planned(ubuntu())

    assert shape(found.edits) == [
        ("root", "write", "/boot/bootpoint-5.15.0-91-generic.img"),
        ("root", "write", "/boot/grub/grub.cfg"),
        ("root", "write", "/etc/cloud/cloud.cfg.d/99-bootpoint-network.cfg"),
        ("root", "write", "/etc/fstab"),
        ("root", "write", "/etc/initramfs-tools/modules"),
        ("root", "write", "/etc/netplan/50-cloud-init.yaml"),
        ("root", "mkdir", "/etc/systemd"),
        ("root", "mkdir", "/etc/systemd/network"),
        ("root", "write", "/etc/systemd/network/00-bootpoint-eno1.link"),
    ]
    assert f"UUID={DATA} /srv/my\\040data ext4 defaults,nofail 0 2\n" in after(found, "/etc/fstab")
    assert "macaddress: 00:50:56:00:00:01\n" in after(found, "/etc/netplan/50-cloud-init.yaml")


def test_golden_plan_of_red_hat() -> None:
    """BLS entries, saved kernel options, ifcfg and dracut are converted."""
    found = planned(redhat())

    assert shape(found.edits) == [
        ("root", "mkdir", "/etc/dracut.conf.d"),
        ("root", "write", "/etc/dracut.conf.d/90-bootpoint.conf"),
        ("root", "write", "/etc/fstab"),
        ("root", "rename", "/etc/lvm/devices/system.devices"),
        ("root", "write", "/etc/sysconfig/network-scripts/ifcfg-eno1"),
        ("root", "mkdir", "/etc/systemd"),
        ("root", "mkdir", "/etc/systemd/network"),
        ("root", "write", "/etc/systemd/network/00-bootpoint-eno1.link"),
        ("boot", "write", "/bootpoint-4.18.0-513.el8.x86_64.img"),
        ("boot", "write", "/grub2/grubenv"),
        ("boot", "write", "/loader/entries/abc-4.18.0-513.el8.x86_64.conf"),
    ]
    assert len(after(found, "/grub2/grubenv")) == 1024
    assert f"kernelopts=root=UUID={ROOT} ro resume=UUID={SWAP} \n" in after(found, "/grub2/grubenv")


def test_golden_plan_of_btrfs() -> None:
    """All paths are seen from the top of the volume, where no subvolume is mounted."""
    found = planned(btrfs())

    assert all(edit.path.startswith(b"/@rootfs/") for edit in found.edits)
    menu = after(found, "/@rootfs/boot/grub/grub.cfg")
    assert " /@rootfs/boot/bootpoint-6.1.0-50-amd64.img\n" in menu


@pytest.mark.parametrize("make", MAKERS)
def test_planning_again_on_the_converted_guest_gives_an_empty_plan(
    make: Callable[[], MemoryGuest],
) -> None:
    """A plan fits its guest, and leaves nothing to be done."""
    disk = make()

    converted = disk.replay(planned(disk).edits)

    assert planned(converted) == ConversionPlan(())


def test_another_system_is_named_and_left_as_it_is() -> None:
    """Nobody shall find out in an emergency that the menu's other entry was not converted."""
    disk = debian12()
    alone = plan(disk, inspect(disk), overlay, NICS)
    guest = replace(inspect(disk), others=(SWAP,))
    found = plan(disk, guest, overlay, NICS)
    assert found.edits == alone.edits
    (told,) = set(found.warnings) - set(alone.warnings)
    assert f"is on volume {SWAP} of disk 1" in told


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_guest_gives_the_same_plan(make: Callable[[], MemoryGuest]) -> None:
    """Nothing but the guest decides; edits are sorted by volume and path."""
    found = planned(make())

    assert found == planned(make())
    assert list(found.edits) == sorted(found.edits, key=lambda edit: (edit.volume, edit.path))
    assert len({(edit.volume, edit.path) for edit in found.edits}) == len(found.edits)


def test_every_edit_names_what_must_be_there_before() -> None:
    """A replay on another guest is refused by the digests."""
    disk = debian12()
    for edit in planned(disk).edits:
        content = disk.files[edit.volume].get(edit.path)
        expected = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else None
        assert edit.before == expected


def test_owners_are_kept() -> None:
    """A file that is rewritten keeps mode, user and group; a new one belongs to root."""
    disk = ubuntu()
    path = b"/etc/netplan/50-cloud-init.yaml"
    disk.owners[ROOT, path] = Owner(0o600, 7, 8)

    owners = {edit.path: edit.owner for edit in planned(disk).edits}

    assert owners[path] == Owner(0o600, 7, 8)
    assert owners[b"/boot/bootpoint-5.15.0-91-generic.img"] == Owner()
    assert owners[b"/etc/systemd"] == Owner(0o755)


def test_links_are_followed_to_the_file_that_is_changed() -> None:
    """An fstab that is a link is changed where it leads; the link stays."""
    disk = debian12()
    disk.put(ROOT, "/srv/etc/fstab", disk.read(disk.volumes()[0].id, b"/etc/fstab"))
    disk.put(ROOT, "/etc/fstab", Link(b"../srv/etc/fstab"))

    paths = [edit.path for edit in planned(disk).edits]

    assert b"/srv/etc/fstab" in paths
    assert b"/etc/fstab" not in paths


def test_an_overlay_lies_beside_the_kernel_that_a_link_leads_to() -> None:
    """GRUB's line and the overlay agree where /boot holds only a link."""
    disk = debian12()
    disk.put(ROOT, "/srv/kernels/k", "MZ")
    disk.put(ROOT, "/boot/vmlinuz-6.1.0-50-amd64", Link(b"../srv/kernels/k"))

    found = planned(disk)

    assert after(found, "/srv/kernels/bootpoint-6.1.0-50-amd64.img")
    assert " /srv/kernels/bootpoint-6.1.0-50-amd64.img\n" in after(found, "/boot/grub/grub.cfg")


def test_resume_without_swap_becomes_noresume() -> None:
    """A resume device that is not there would be waited for."""
    disk = debian12()
    alone = MemoryGuest(disk.volumes()[:1], {})
    alone.files = {ROOT: disk.files[ROOT]}

    found = planned(alone)

    assert " ro quiet noresume\n" in after(found, "/boot/grub/grub.cfg")
    assert "# bootpoint: no swap found here: /dev/sda2" in after(found, "/etc/fstab")
    assert after(found, "/etc/initramfs-tools/conf.d/resume") == "RESUME=none\n"


def test_obstacles_leave_no_edits() -> None:
    """A guest that cannot be made bootable is not changed at all."""
    disk = MemoryGuest([volume("disk0-part1", FileSystem.LUKS)], {})
    guest = inspect(disk)

    assert plan(disk, guest, overlay, NICS) == ConversionPlan((), (), guest.obstacles)


def test_a_kernel_without_drivers_is_told_and_the_others_are_converted() -> None:
    """One kernel's overlay that cannot be built is a warning."""

    def picky(kernel: Kernel) -> bytes:
        if kernel.version.startswith("6.1.0-49"):
            raise Failure(Problem("guest.no_drivers", "It has no driver for any disk."))
        return b"overlay"

    disk = debian12()
    found = plan(disk, inspect(disk), picky, NICS)

    assert "It has no driver for any disk." in found.warnings[0]
    assert "bootpoint-6.1.0-49" not in after(found, "/boot/grub/grub.cfg")
    assert "bootpoint-6.1.0-50" in after(found, "/boot/grub/grub.cfg")


def test_no_kernel_with_drivers_is_an_obstacle() -> None:
    """When no overlay can be built, the guest is not changed."""

    def none(_kernel: Kernel) -> bytes:
        raise Failure(Problem("guest.no_drivers", "Nothing.", remedy="Do it."))

    disk = debian12()
    found = plan(disk, inspect(disk), none, NICS)

    assert found.edits == ()
    assert [(o.key, o.remedy) for o in found.obstacles] == [("guest.no_drivers", "Do it.")]


def test_kernels_that_need_no_overlay_are_fine() -> None:
    """With every driver built in, names are still mended."""
    disk = debian12()
    found = plan(disk, inspect(disk), lambda _kernel: b"", NICS)

    assert found.obstacles == ()
    assert not any(b"bootpoint-6" in edit.path for edit in found.edits)
    assert f"root=UUID={ROOT}" in after(found, "/boot/grub/grub.cfg")


def test_a_menu_without_the_installed_kernels_is_an_obstacle() -> None:
    """An overlay that nothing loads would not help."""
    disk = debian12()
    disk.put(ROOT, "/boot/grub/grub.cfg", "menuentry 'x' { chainloader +1 }\n")

    found = planned(disk)

    assert [obstacle.key for obstacle in found.obstacles] == ["guest.no_entry"]
    assert found.edits == ()


def test_a_new_kernel_s_overlay_replaces_one_of_other_bytes() -> None:
    """An overlay from an older recipe is written anew, and named once."""
    disk = debian12()
    converted = disk.replay(planned(disk).edits)

    found = plan(converted, inspect(converted), lambda k: b"new " + overlay(k), NICS)

    assert [edit.path for edit in found.edits] == [
        b"/boot/bootpoint-6.1.0-49-amd64.img",
        b"/boot/bootpoint-6.1.0-50-amd64.img",
    ]
    assert all(edit.before is not None for edit in found.edits)


def test_a_fallback_loader_that_is_there_is_kept() -> None:
    """A loader in BOOT is the guest's own; names on FAT have no case."""
    disk = separate_boot()
    disk.put(ESP, "/EFI/boot/bootx64.efi", "own")

    assert not any(edit.volume == ESP for edit in planned(disk).edits)


def test_an_esp_that_fstab_does_not_mount_gets_its_loader() -> None:
    """Firmware does not read fstab."""
    disk = separate_boot()
    text = disk.read(disk.volumes()[0].id, b"/etc/fstab").replace(b"/dev/sda4", b"#/dev/sda4")
    disk.put(ROOT, "/etc/fstab", text)

    assert "/EFI/BOOT/BOOTX64.EFI" in [path for _, _, path in shape(planned(disk).edits)]


@pytest.mark.parametrize("path", ["/etc/initramfs-tools/modules", "/etc/default/grub"])
def test_files_that_are_too_long_are_left_with_a_word(path: str) -> None:
    """A hostile length is a warning, neither a failure nor an empty file."""
    disk = debian12()
    disk.put(ROOT, path, "#" * ((1 << 20) + 1))

    found = planned(disk)

    assert path.encode() not in [edit.path for edit in found.edits]
    assert any(path in warning for warning in found.warnings)


@pytest.mark.parametrize("target", [b"/proc/self/x", b"fstab", b"/etc", b"/dev/null"])
def test_links_to_nowhere_are_not_written_through(target: bytes) -> None:
    """A link to a loop, a folder or into /proc is never a place to write to."""
    disk = debian12()
    disk.put(ROOT, "/etc/fstab", f"UUID={ROOT} / ext4 x 0 1\n")
    disk.put(ROOT, "/etc/initramfs-tools/modules", Link(target))
    disk.put(ROOT, "/dev/null", "")

    found = planned(disk)

    assert all(edit.action is not Action.WRITE or b"proc" not in edit.path for edit in found.edits)
    assert b"/etc/initramfs-tools/modules" not in [edit.path for edit in found.edits]


PIECES = {
    "/etc/fstab": [
        "/dev/sda1 / ext4 x 0 1\n",
        "/dev/sdb1 /srv/d xfs x 0 2\n",
        "/dev/sda2 none swap sw\n",
        f"UUID={ROOT} / ext4 x 0 1\n",
        "/dev/disk/by-id/x-part1 /srv/e auto x\n",
        "x\n",
    ],
    "/etc/default/grub": [
        "GRUB_DISABLE_LINUX_UUID=true\n",
        'GRUB_CMDLINE_LINUX="root=/dev/sda1"\n',
    ],
    "/etc/network/interfaces": [
        "iface eth0 inet dhcp\n",
        "iface eth1 inet dhcp\n",
        "iface br0 inet x\n",
    ],
    "/etc/systemd/network/10-a.link": [
        "[Match]\nMACAddress=aa:bb:cc:00:11:22\n[Link]\nName=lan0\n"
    ],
    "/etc/netplan/a.yaml": [
        "network:\n  ethernets:\n    e1:\n      macaddress: AA-BB-CC-00-11-22\n"
    ],
    "/etc/initramfs-tools/modules": ["x\n", BEGIN.decode(), END.decode()],
    "/etc/dracut.conf.d/90-bootpoint.conf": ["own\n"],
    "/boot/grub/device.map": ["(hd0) /dev/sda\n"],
    "/boot/grub/device.map.bootpoint-old": ["older\n"],
}
FILES = st.fixed_dictionaries(
    {}, optional={path: st.lists(st.sampled_from(p)).map("".join) for path, p in PIECES.items()}
)
CARDS = st.lists(
    st.sampled_from(
        [
            NicChange("00:50:56:00:00:01", "aa:bb:cc:00:11:22"),
            NicChange("00:50:56:00:00:02", "AA:BB:CC:00:11:33"),
            NicChange("00:50:56:00:00:03"),
            NicChange("00:50:56:00:00:04", "", "wan0"),
        ]
    ),
    unique=True,
).map(tuple)


@settings(max_examples=60, deadline=None)
@given(FILES, CARDS, st.integers(1, 2))
def test_any_mixture_is_converted_once_and_for_all(
    files: dict[str, str], cards: tuple[NicChange, ...], disks: int
) -> None:
    """Whatever is combined: the plan replays, and the second one is empty."""
    disk = debian12()
    if disks == 2:
        more = MemoryGuest([*disk.volumes(), volume(DATA, FileSystem.XFS, disk=1)], {})
        more.files |= disk.files
        disk = more
    for path, content in files.items():
        disk.put(ROOT, path, content)
    options = ConversionOptions(cards)

    first = planned(disk, options)
    assert first == planned(disk, options)

    assert planned(disk.replay(first.edits), options).edits == ()


def test_many_kernels_are_bounded() -> None:
    """Of a thousand kernels the newest are converted."""
    disk = debian12()
    for number in range(300):
        version = f"7.0.{number}"
        for path, content in {**kernel_files(version), **modules_files(version)}.items():
            disk.put(ROOT, path, content)

    versions = [kernel.version for kernel in inspect(disk).kernels]

    assert len(versions) == 64
    assert versions[-1] == "7.0.299"


@pytest.mark.parametrize("there", [None, Link(b"/home/x"), Link(b"/../../../tmp/evil")])
def test_a_kernel_whose_overlay_s_place_is_taken_gets_none(there: Link | None) -> None:
    """A folder or a link where the overlay belongs: the menu must not name it."""
    disk = debian12()
    disk.files[ROOT][b"/boot/bootpoint-6.1.0-49-amd64.img"] = there

    found = planned(disk)

    assert found.obstacles == ()
    assert any("bootpoint-6.1.0-49-amd64.img, cannot be written" in w for w in found.warnings)
    assert "bootpoint-6.1.0-49" not in after(found, "/boot/grub/grub.cfg")
    assert all(b"evil" not in edit.path and b"/home" not in edit.path for edit in found.edits)


def test_the_default_kernel_s_overlay_whose_place_is_taken_is_an_obstacle() -> None:
    """What the VM would start cannot be left without its drivers."""
    disk = debian12()
    disk.files[ROOT][b"/boot/bootpoint-6.1.0-50-amd64.img"] = None

    (obstacle,) = planned(disk).obstacles

    assert obstacle.key == "guest.default_kernel"
    assert "something else is in its place" in obstacle.text


@pytest.mark.parametrize("name", ["<1>.network", "-x.network", 'a"b.network', "a'b.network"])
def test_files_with_names_that_tools_misread_are_left_alone(name: str) -> None:
    """One tool takes `<1>` for an inode: such a file is told, and the guest is converted."""
    disk = debian12()
    disk.put(ROOT, f"/etc/systemd/network/{name}", "[Match]\nMACAddress=aa:bb:cc:00:11:22\n")

    found = planned(disk)

    assert found.obstacles == ()
    assert any("not safe to write to" in sentence for sentence in found.warnings)
    assert all(not edit.path.endswith(b".network") for edit in found.edits)


class Full(MemoryGuest):
    """A guest whose volumes have so many bytes free."""

    free = 0

    def room(self, _volume: str) -> int:
        """Return the free bytes."""
        return self.free


def with_room(disk: MemoryGuest, free: int) -> Full:
    """Return the same guest with so many bytes free on each volume."""
    made = Full(disk.volumes(), {})
    made.files, made.free = disk.files, free
    return made


def large(kernel: Kernel) -> bytes:
    """Return an overlay of a megabyte."""
    return kernel.version.encode().ljust(1 << 20, b"x")


@pytest.mark.parametrize(
    ("free", "converted", "keys"),
    [
        (3 << 20, 2, []),
        (3 << 19, 1, []),
        (1 << 19, 0, ["guest.no_drivers"]),
    ],
)
def test_where_room_is_short_the_newest_kernel_gets_its_drivers(
    free: int, converted: int, keys: list[str]
) -> None:
    """A full /boot is usual: old kernels go without, and the newest one's lack is told."""
    disk = with_room(separate_boot(), free)

    found = plan(disk, inspect(disk), large, NICS)

    made = [edit.path for edit in found.edits if edit.path.startswith(b"/bootpoint-")]
    assert len(made) == converted
    assert made[-1:] == [b"/bootpoint-6.1.0-50-amd64.img"][:converted]
    assert [obstacle.key for obstacle in found.obstacles] == keys
    if converted < 2:
        told = " ".join((*found.warnings, *(obstacle.text for obstacle in found.obstacles)))
        assert "has 1024 KiB, and /boot has" in told


def test_a_full_root_is_an_obstacle_before_anything_is_written() -> None:
    """Not even a line of fstab fits: the reason is told, not a tool's failure."""
    disk = with_room(debian12(), 8 << 10)

    found = plan(disk, inspect(disk), lambda _kernel: b"", NICS)

    (obstacle,) = found.obstacles
    assert obstacle.key == "guest.no_room"
    assert f"The volume at / ({ROOT}) has 8 KiB free" in obstacle.text
    assert found.edits == ()


def test_a_driver_that_somebody_forbids_is_told() -> None:
    """It is there, and would not be loaded: the operator learns it before the disaster."""
    disk = debian12()
    disk.put(
        ROOT,
        "/etc/modprobe.d/hard.conf",
        "# blacklist ahci\nblacklist vmw-pvscsi\nblacklist pcspkr\ninstall nvme /bin/true\n"
        "install virtio_blk /sbin/modprobe --ignore-install virtio_blk\n",
    )
    disk.put(ROOT, "/etc/modprobe.d/off.conf.bak", "blacklist mptsas\n")

    told = [warning for warning in planned(disk).warnings if "keeps the driver" in warning]

    assert [warning.split(" ")[:4] for warning in told] == [
        ["/etc/modprobe.d/hard.conf", "keeps", "the", "driver"]
    ] * 2
    assert [warning.split(" ")[4] for warning in told] == ["nvme", "vmw_pvscsi"]
