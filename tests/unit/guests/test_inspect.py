"""What inspection sees in the disks of one layer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.guests.backend import Stat
from engine.guests.inspect import inspect
from engine.guests.tree import Tree
from engine.model.errors import Failure, Problem
from engine.model.guest import Family, FileSystem, Guest, Mount, VolumeId
from engine.model.machine import Firmware
from tests.unit.guests.trees import (
    BOOT,
    DATA,
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


def keys(guest: Guest) -> list[str]:
    """Return the keys of a guest's obstacles."""
    return [obstacle.key for obstacle in guest.obstacles]


def test_a_debian_guest_is_told_in_full() -> None:
    """Family, version, kernels in order of age, boot loader, firmware and network are found."""
    guest = inspect(debian12())

    assert (guest.family, guest.name, guest.version) == (Family.DEBIAN, "Debian GNU/Linux", "12")
    assert guest.firmware is Firmware.BIOS
    assert guest.boot_loader == "grub"
    assert guest.networks == ("ifupdown",)
    assert [kernel.version for kernel in guest.kernels] == ["6.1.0-49-amd64", "6.1.0-50-amd64"]
    assert guest.kernels[1].initrd == b"/boot/initrd.img-6.1.0-50-amd64"
    assert guest.kernels[1].modules == b"/lib/modules/6.1.0-50-amd64"
    assert guest.obstacles == ()


def test_kernels_are_sorted_as_numbers_not_as_text() -> None:
    """6.1.0-9 is older than 6.1.0-10."""
    disk = debian12()
    for version in ("6.1.0-9-amd64", "6.1.0-100-amd64"):
        for path, content in {**kernel_files(version), **modules_files(version)}.items():
            disk.put(ROOT, path, content)

    versions = [kernel.version for kernel in inspect(disk).kernels]

    assert versions == ["6.1.0-9-amd64", "6.1.0-49-amd64", "6.1.0-50-amd64", "6.1.0-100-amd64"]


def test_a_separate_boot_and_an_esp_are_found_by_raw_names() -> None:
    """Mounts follow fstab even where it names devices of the old hardware."""
    guest = inspect(separate_boot())

    assert [(mount.path, mount.volume) for mount in guest.mounts] == [
        (b"/", ROOT),
        (b"/boot", BOOT),
        (b"/boot/efi", ESP),
    ]
    assert guest.firmware is Firmware.UEFI


def test_the_root_of_btrfs_is_found_in_its_subvolume() -> None:
    """A root in `@rootfs` is a mount with that subvolume."""
    guest = inspect(btrfs())

    assert guest.mounts == (Mount(b"/", VolumeId(ROOT), b"@rootfs"),)
    assert len(guest.kernels) == 2


class WithDefault(MemoryGuest):
    """A guest whose btrfs mounts a subvolume where none is named."""

    default = b""

    def default_subvolume(self, _volume: VolumeId) -> bytes:
        """Return it."""
        return self.default


def subvolumes(*names: str, fstab: str) -> WithDefault:
    """Return a guest with the same system in several subvolumes."""
    made = debian12()
    guest = WithDefault([replace(v, kind=FileSystem.BTRFS) for v in made.volumes()[:1]], {})
    for name in names:
        for path, content in made.files[ROOT].items():
            guest.put(ROOT, f"/{name}{path.decode()}", content)
        guest.put(ROOT, f"/{name}/etc/fstab", fstab)
    return guest


@pytest.mark.parametrize("number", [1, 2, 17])
def test_the_snapshot_that_is_mounted_without_a_name_is_the_root(number: int) -> None:
    """After a roll-back of openSUSE the system is in another snapshot than the installer's."""
    names = [f"@/.snapshots/{each}/snapshot" for each in (1, 2, 17)]
    guest = subvolumes(*names, fstab=f"UUID={ROOT} / btrfs defaults 0 0\n")
    guest.default = names[(1, 2, 17).index(number)].encode()

    assert inspect(guest).mounts == (Mount(b"/", VolumeId(ROOT), guest.default),)


def test_a_copy_of_the_root_in_another_subvolume_is_not_the_root() -> None:
    """Subvolumes of any name: fstab says which one is `/`; a copy says the same of the other."""
    guest = subvolumes("copy", "system", fstab=f"UUID={ROOT} / btrfs subvol=/system 0 0\n")

    assert inspect(guest).mounts == (Mount(b"/", VolumeId(ROOT), b"system"),)


def test_a_red_hat_guest_with_loader_entries_is_told() -> None:
    """Loader entries beside GRUB are GRUB with BLS."""
    guest = inspect(redhat())

    assert guest.family is Family.REDHAT
    assert guest.boot_loader == "grub-bls"
    assert guest.networks == ("ifcfg",)


def test_ubuntu_counts_as_debian_family_and_uses_netplan() -> None:
    """The family decides tools, so Ubuntu is Debian; the name is its own."""
    guest = inspect(ubuntu())

    assert (guest.family, guest.name) == (Family.DEBIAN, "Ubuntu")
    assert guest.networks == ("netplan",)


def test_an_alpine_kernel_goes_with_the_modules_of_its_flavour() -> None:
    """Alpine's images name a flavour, its modules a version that ends with it."""
    disk = MemoryGuest(
        [volume(ROOT, FileSystem.EXT)],
        {
            ROOT: {
                "/etc/os-release": 'ID=alpine\nNAME="Alpine Linux"\nVERSION_ID=3.20.1\n',
                "/etc/fstab": f"UUID={ROOT} / ext4 rw 0 1\n",
                "/boot/vmlinuz-lts": "MZ",
                "/boot/initramfs-lts": "initrd",
                "/boot/extlinux.conf": "LABEL lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n",
                **modules_files("6.6.32-0-lts", "/lib/modules"),
            }
        },
    )
    guest = inspect(disk)

    assert guest.family is Family.ALPINE
    assert guest.boot_loader == "extlinux"
    assert [(k.version, k.initrd) for k in guest.kernels] == [
        ("6.6.32-0-lts", b"/boot/initramfs-lts")
    ]


def test_an_arch_kernel_goes_with_the_modules_that_name_it() -> None:
    """Arch writes an image's flavour into `pkgbase` beside the modules."""
    disk = debian12()
    disk.put(ROOT, "/boot/vmlinuz-linux", "MZ")
    disk.put(ROOT, "/boot/initramfs-linux.img", "initrd")
    disk.put(ROOT, "/usr/lib/modules/6.9.1-arch1-1/pkgbase", "linux\n")

    found = {kernel.version: kernel for kernel in inspect(disk).kernels}

    assert found["6.9.1-arch1-1"].image == b"/boot/vmlinuz-linux"
    assert found["6.9.1-arch1-1"].initrd == b"/boot/initramfs-linux.img"


def test_a_kernel_of_any_name_goes_with_the_modules_of_the_version_that_it_states() -> None:
    """Manjaro names an image by half of its version, people by what they like."""
    disk = debian12()
    text = b"6.6.8-2-MANJARO (builder@host) #1 SMP"
    head = bytearray(0x400)
    head[0x202:0x206], head[0x20E:0x210] = b"HdrS", (0x1C0).to_bytes(2, "little")
    disk.put(ROOT, "/boot/vmlinuz-6.6-x86_64", bytes(head[:0x3C0]) + text + b"\0" + bytes(64))
    disk.put(ROOT, "/boot/initramfs-6.6-x86_64.img", "initrd")
    disk.put(ROOT, "/boot/vmlinuz-short", "MZ")
    disk.put(ROOT, "/boot/vmlinuz-foreign", bytes(head) + bytes(64))
    disk.put(ROOT, "/usr/lib/modules/6.6.8-2-MANJARO/pkgbase", "linux66\n")

    found = {kernel.version: kernel for kernel in inspect(disk).kernels}

    assert found["6.6.8-2-MANJARO"].image == b"/boot/vmlinuz-6.6-x86_64"
    assert found["6.6.8-2-MANJARO"].initrd == b"/boot/initramfs-6.6-x86_64.img"
    assert not any(b"short" in one.image or b"foreign" in one.image for one in found.values())


def test_a_copy_of_the_system_on_a_second_disk_is_not_the_system() -> None:
    """The root is the volume that its own fstab calls `/`."""
    disk = debian12()
    disk.put(ROOT, "/etc/fstab", f"UUID={ROOT} / ext4 defaults 0 1\n")
    copied = dict(disk.files[ROOT])
    twin = MemoryGuest([volume(DATA, FileSystem.EXT), replace(disk.volumes()[0], disk=1)], {})
    twin.files = {DATA: copied, ROOT: dict(copied)}

    assert inspect(twin).mounts[0].volume == ROOT
    assert inspect(twin).others == ()
    twin.put(DATA, "/etc/fstab", f"UUID={DATA} / ext4 defaults 0 1\n")
    assert (inspect(twin).mounts[0].volume, inspect(twin).others) in (
        (ROOT, (DATA,)),
        (DATA, (ROOT,)),
    )


def test_two_volumes_with_one_uuid_are_an_obstacle() -> None:
    """Of a disk and its clone it cannot be told which one boots."""
    disk = debian12()
    clone = MemoryGuest([*disk.volumes(), replace(disk.volumes()[0], disk=1)], {})
    clone.files = disk.files

    assert keys(inspect(clone)) == ["guest.twins"]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (FileSystem.LUKS, "guest.luks"),
        (FileSystem.ZFS, "guest.zfs"),
        (FileSystem.BCACHE, "guest.bcache"),
        (FileSystem.BCACHEFS, "guest.bcachefs"),
        (FileSystem.BITLOCKER, "guest.bitlocker"),
        (FileSystem.LVM, "guest.lvm"),
        (FileSystem.RAID, "guest.raid"),
        (FileSystem.UNKNOWN, "guest.no_system"),
    ],
)
def test_a_root_that_cannot_be_read_is_explained(kind: FileSystem, key: str) -> None:
    """A disk without a visible root says what hides it, with a remedy."""
    guest = inspect(MemoryGuest([volume("disk0-part1", kind)], {}))

    assert keys(guest) == [key]
    assert all(obstacle.text and obstacle.remedy for obstacle in guest.obstacles)
    assert guest.family is Family.UNKNOWN


def test_logical_volumes_beside_the_root_are_no_obstacle() -> None:
    """Data on LVM is left alone."""
    disk = debian12()
    more = MemoryGuest([*disk.volumes(), volume("disk1-part1", FileSystem.LVM, disk=1)], {})
    more.files |= disk.files

    assert inspect(more).obstacles == ()


def test_boot_on_a_logical_volume_is_an_obstacle() -> None:
    """A part of the system on LVM cannot be reached."""
    disk = debian12()
    disk.put(
        ROOT, "/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n/dev/mapper/vg-usr /usr ext4 x 0 0\n"
    )
    more = MemoryGuest([*disk.volumes(), volume("disk1-part1", FileSystem.LVM, disk=1)], {})
    more.files |= disk.files

    assert keys(inspect(more)) == ["guest.lvm"]


def test_boot_on_a_disk_that_is_not_in_the_backup_is_an_obstacle() -> None:
    """A needed volume that is in no disk is told by its name."""
    disk = debian12()
    disk.put(ROOT, "/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\nUUID=1-2-3 /boot ext4 x 0 0\n")

    guest = inspect(disk)

    assert keys(guest) == ["guest.incomplete"]
    assert "UUID=1-2-3" in guest.obstacles[0].text


@pytest.mark.parametrize(
    "spec", [r"PARTLABEL=disk\040main", r"/dev/disk/by-partlabel/disk\134x20main"]
)
def test_a_volume_is_found_by_the_name_of_its_entry(spec: str) -> None:
    """Tools that lay out disks from a description name partitions, and fstab uses the names."""
    made = separate_boot()
    volumes = [replace(v, entry_name="disk main") if v.id == BOOT else v for v in made.volumes()]
    guest = MemoryGuest(volumes, {})
    guest.files = made.files
    fstab = f"UUID={ROOT} / ext4 defaults 0 1\n{spec} /boot ext4 defaults 0 2\n"
    guest.put(ROOT, "/etc/fstab", fstab)

    assert inspect(guest).obstacles == ()
    assert [mount.path for mount in inspect(guest).mounts] == [b"/", b"/boot"]


def test_a_system_on_big_sectors_is_an_obstacle() -> None:
    """No firmware of a VM finds a table that counts in 4 KiB; a data disk of that kind is none."""
    made = debian12()
    volumes = [replace(volume, sector=4096) for volume in made.volumes()]
    guest = MemoryGuest(volumes, {})
    guest.files = made.files
    assert keys(inspect(guest)) == ["guest.sector_size"]

    data = replace(volume(DATA, FileSystem.EXT, disk=1), sector=4096)
    guest = MemoryGuest([*made.volumes(), data], {})
    guest.files = {**made.files, DATA: {}}
    assert keys(inspect(guest)) == []


def test_windows_is_recognised_in_any_spelling() -> None:
    """NTFS with the registry of Windows is Windows; what is not there beside it is told."""
    disk = MemoryGuest(
        [volume("01D0", FileSystem.NTFS)], {"01D0": {"/WINDOWS/system32/config/SYSTEM": "regf"}}
    )
    guest = inspect(disk)

    assert guest.family is Family.WINDOWS
    assert keys(guest) == [
        "guest.damaged_hive",
        "guest.no_kernel",
        "guest.damaged_hive",
        "guest.no_boot_loader",
    ]


def test_ntfs_data_is_no_windows() -> None:
    """A data disk with NTFS holds no system."""
    guest = inspect(MemoryGuest([volume("01D0", FileSystem.NTFS)], {"01D0": {"/a": "b"}}))

    assert keys(guest) == ["guest.no_system"]


def test_a_unified_kernel_image_is_an_obstacle() -> None:
    """Nothing can be added to a kernel that carries its initrd."""
    disk = separate_boot()
    for path in [path for path in disk.files[BOOT] if b"grub" in path]:
        del disk.files[BOOT][path]
    disk.put(ESP, "/EFI/Linux/arch.efi", "MZ .linux .initrd")

    assert keys(inspect(disk)) == ["guest.unified_kernel"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/etc/lilo.conf", "guest.boot_loader"),
        ("/etc/nothing", "guest.no_boot_loader"),
    ],
)
def test_a_boot_loader_without_a_second_initrd_is_an_obstacle(path: str, key: str) -> None:
    """LILO has its files by their blocks; none at all is told as well."""
    disk = debian12()
    del disk.files[ROOT][b"/boot/grub/grub.cfg"]
    disk.put(ROOT, path, "")

    assert keys(inspect(disk)) == [key]


def test_an_fstab_that_is_too_long_is_an_obstacle() -> None:
    """An fstab of a megabyte and more is not read."""
    disk = debian12()
    disk.put(ROOT, "/etc/fstab", "#" * ((1 << 20) + 1))

    assert keys(inspect(disk)) == ["guest.fstab"]


class Damaged(MemoryGuest):
    """A guest of which one volume cannot be read."""

    bad = ROOT

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Fail as a tool does."""
        if volume == self.bad and path.startswith(b"/boot"):
            raise Failure(Problem("tool.failed", "debugfs ended with code 1."))
        return super().stat(volume, path)


def test_damage_is_an_obstacle_with_the_words_of_the_tool() -> None:
    """A volume that a tool cannot read ends in an obstacle, not in an exception."""
    disk = debian12()
    bad = Damaged(disk.volumes(), {})
    bad.files = disk.files

    guest = inspect(bad)

    assert keys(guest) == ["guest.unreadable"]
    assert "debugfs ended with code 1." in guest.obstacles[0].text


def test_names_from_the_guest_cannot_steer_a_terminal() -> None:
    """Escapes in os-release are shown, not sent."""
    disk = debian12()
    disk.put(ROOT, "/usr/lib/os-release", 'ID=debian\nNAME="De\x1b[2Jbian"\n')

    assert inspect(disk).name == "De\\u{1b}[2Jbian"


def test_versions_that_are_no_file_names_are_no_kernels() -> None:
    """A kernel whose version could break a configuration is left out."""
    disk = debian12()
    for path, content in {**kernel_files("6.1' x"), **modules_files("6.1' x")}.items():
        disk.put(ROOT, path, content)

    assert all("'" not in kernel.version for kernel in inspect(disk).kernels)


# --- the tree ---------------------------------------------------------------------------------


def tree(files: dict[str, str | Link]) -> Tree:
    """Return a tree of one volume, with /boot on a second one."""
    disk = MemoryGuest(
        [volume(ROOT, FileSystem.EXT), volume(BOOT, FileSystem.EXT, number=2)],
        {ROOT: {"/boot": None, **files}, BOOT: {"/vmlinuz": "MZ"}},
    )
    return Tree(disk, (Mount(b"/", VolumeId(ROOT)), Mount(b"/boot", VolumeId(BOOT))))


def test_links_stay_inside_the_tree() -> None:
    """`..` above the root ends at the root; an absolute link starts at the guest's root."""
    guest = tree({"/etc/passwd": "guest", "/a/up": Link(b"../../../../etc/passwd"),
                  "/a/abs": Link(b"/etc/passwd")})  # fmt: skip

    assert guest.read(b"/a/up") == b"guest"
    assert guest.read(b"/a/abs") == b"guest"
    assert guest.read(b"/../../etc/passwd") == b"guest"


def test_a_link_crosses_into_another_volume() -> None:
    """A link to /boot leads to the volume that is mounted there."""
    place = tree({"/vmlinuz": Link(b"boot/vmlinuz")}).locate(b"/vmlinuz")

    assert place is not None
    assert (place.volume, place.path, place.guest) == (BOOT, b"/vmlinuz", b"/boot/vmlinuz")


def test_parent_of_a_linked_folder_is_the_target_s_parent() -> None:
    """`/lib/../x` goes up from where the link leads."""
    guest = tree({"/lib": Link(b"usr/lib"), "/usr/lib/a": "", "/usr/x": "here"})

    assert guest.read(b"/lib/../x") == b"here"


@pytest.mark.parametrize("target", [b"loop", b"/loop/loop", b"./loop", b"a/" * 5000, b"loop2"])
def test_a_link_loop_leads_nowhere(target: bytes) -> None:
    """Loops and endless targets end without an answer, quickly."""
    guest = tree({"/loop": Link(target), "/loop2": Link(b"loop/" * 100)})

    place = guest.locate(b"/loop/file")

    assert place is None or place.stat is None


def test_a_place_that_does_not_exist_is_told_with_its_volume() -> None:
    """A new file's place follows links above it."""
    place = tree({"/etc/net": Link(b"/boot")}).locate(b"/etc/net/new.link")

    assert place is not None
    assert (place.volume, place.path, place.stat) == (BOOT, b"/new.link", None)


def test_swap_is_never_mounted() -> None:
    """A swap line is no mount."""
    assert all(mount.volume != SWAP for mount in inspect(debian12()).mounts)


@pytest.mark.parametrize("path", ["/boot/grub/grub.cfg", "/boot/extlinux/extlinux.conf"])
def test_a_boot_menu_of_ten_megabytes_is_refused_before_it_is_read(path: str) -> None:
    """10^5 entries are no menu that a tool has written; the words name its size."""
    disk = debian12()
    del disk.files[ROOT][b"/boot/grub/grub.cfg"]
    disk.put(ROOT, path, "menuentry 'x' { linux /boot/vmlinuz }\n" * 100_000)

    (obstacle,) = inspect(disk).obstacles

    assert obstacle.key == "guest.menu_too_long"
    assert f"{path} has 3800000 bytes" in obstacle.text


def test_thousands_of_kernels_are_looked_at_in_bounds_and_the_newest_are_found() -> None:
    """Folders without an image, and images without a folder, do not push out what fits."""
    disk = debian12()
    for number in range(600):
        disk.put(ROOT, f"/boot/vmlinuz-5.{number}.0", "x")
        disk.put(ROOT, f"/usr/lib/modules/7.{number}.0/modules.dep", "")

    found = inspect(disk)

    assert [kernel.version for kernel in found.kernels] == ["6.1.0-49-amd64", "6.1.0-50-amd64"]


def test_a_hibernated_machine_is_an_obstacle() -> None:
    """Its kernel would go on with the memory of the old hardware."""
    linux = debian12()
    asleep = replace(linux.volumes()[1], kind=FileSystem.HIBERNATED)
    disk = MemoryGuest([linux.volumes()[0], asleep], {})
    disk.files[ROOT] = linux.files[ROOT]

    (obstacle,) = inspect(disk).obstacles

    assert obstacle.key == "guest.hibernated"
    assert SWAP in obstacle.text


def test_a_root_with_its_journal_elsewhere_is_not_called_damaged() -> None:
    """The reason is told, and what can be done about it."""
    root = replace(volume(ROOT, FileSystem.EXT), outside="journal")

    (obstacle,) = inspect(MemoryGuest([root], {})).obstacles

    assert obstacle.key == "guest.outside"
    assert "has its journal on another volume" in obstacle.text
