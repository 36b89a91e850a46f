"""fstab: what becomes of names that depend on the hardware."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests.linux import fstab
from engine.guests.linux.devices import Devices, Raw, take_apart
from engine.guests.linux.fstab import Converted
from engine.model.guest import FileSystem, Volume
from tests.unit.guests.trees import BOOT, DATA, ROOT, SWAP, volume

ONE_DISK = (
    volume(ROOT, FileSystem.EXT),
    volume(SWAP, FileSystem.SWAP, number=5),
    volume(DATA, FileSystem.XFS, number=6),
)


def convert(text: str | bytes, volumes: Sequence[Volume] = ONE_DISK) -> Converted:
    """Convert an fstab whose root is the volume ROOT."""
    content = text.encode() if isinstance(text, str) else text
    root = next(each for each in volumes if each.id == ROOT)
    uses = [line.use for line in fstab.parse(content) if line.is_local]
    fits = lambda each, path: (path == b"/") == (each.id == ROOT)  # noqa: E731 -- one rule, used once
    return fstab.convert(content, Devices(volumes, uses, fits), root)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        (b"/dev/sda1", Raw(b"sda", 0, 1)),
        (b"/dev/hdb12", Raw(b"hdb", 1, 12)),
        (b"/dev/xvda", Raw(b"xvda", 0, 0)),
        (b"/dev/sdaa3", Raw(b"sdaa", 26, 3)),
        (b"/dev/nvme1n1p2", Raw(b"nvme1n1", 1, 2)),
        (b"/dev/mmcblk0p1", Raw(b"mmcblk0", 0, 1)),
        (b"/dev/cciss/c0d0p3", Raw(b"cciss/c0d0", 0, 3)),
        (b"/dev/disk/by-id/wwn-0x5000-part2", Raw(b"wwn-0x5000", None, 2)),
        (b"/dev/disk/by-path/pci-0000:00:1f.2-ata-1", Raw(b"pci-0000:00:1f.2-ata-1", None, 0)),
        (b"/dev/mapper/vg-root", None),
        (b"/dev/vg/root", None),
        (b"/dev/disk/by-id/dm-name-vg-root", None),
        (b"/dev/disk/by-uuid/1234", None),
        (b"/dev/sr0", None),
        (b"/dev/md0", None),
        (b"/dev/sda1/../x", None),
    ],
)
def test_names_of_hardware_are_told_from_others(name: bytes, raw: Raw | None) -> None:
    """Only names that follow the order or the identity of disks depend on the hardware."""
    assert take_apart(name) == raw


def test_raw_names_become_uuids_and_the_rest_stays_byte_for_byte() -> None:
    """Blanks, comments, options and line ends are kept."""
    text = "# /dev/sda1\n\n/dev/sda1\t /  ext4 ro,x  0 1 # end\r\n  /dev/sda5 none swap sw 0 0\n"

    assert convert(text).content.decode() == (
        f"# /dev/sda1\n\nUUID={ROOT}\t /  ext4 ro,x  0 1 # end\r\n  UUID={SWAP} none swap sw 0 0\n"
    )


def test_names_that_hold_are_left_alone() -> None:
    """UUIDs, labels, LVM, network and pseudo file systems stay."""
    text = (
        f"UUID={ROOT} / ext4 defaults 0 1\n/dev/mapper/vg-home /home ext4 defaults 0 2\n"
        "/dev/vg/var /var ext4 defaults 0 2\nproc /proc proc defaults 0 0\n"
        "server:/x /mnt/nfs nfs _netdev 0 0\n/swapfile none swap sw 0 0\n"
        "/srv/a /srv/b none bind 0 0\n"
    )
    assert convert(text).content.decode() == text


def test_data_volumes_get_nofail_once() -> None:
    """A volume that the system does not need must not hold up the boot."""
    first = convert("/dev/sda6 /srv/data xfs defaults 0 2\n/dev/sda6 /data xfs\n").content

    assert first.decode() == (
        f"UUID={DATA} /srv/data xfs defaults,nofail 0 2\nUUID={DATA} /data xfs nofail\n"
    )
    assert convert(first).content == first


@pytest.mark.parametrize("path", ["/var", "/home", "/usr/local", "/boot/efi"])
def test_volumes_of_the_system_get_no_nofail(path: str) -> None:
    """Without its own volumes a system must not come up as if nothing was missing."""
    assert b"nofail" not in convert(f"/dev/sda6 {path} xfs defaults 0 1\n").content


def test_swap_without_a_signature_is_commented_out() -> None:
    """A swap device that is not there costs 90 s at every boot."""
    got = convert("/dev/sda7 none swap sw 0 0\n")

    assert got.content == b"# bootpoint: no swap found here: /dev/sda7 none swap sw 0 0\n"
    assert len(got.warnings) == 1


def test_a_swap_line_that_points_at_data_is_not_swap() -> None:
    """Contents decide: a volume without a swap signature never becomes swap."""
    assert convert("/dev/sda6 none swap sw 0 0\n").content.startswith(b"# bootpoint")


def test_a_data_volume_that_is_in_no_disk_keeps_its_name_and_is_optional() -> None:
    """The line stays for the day the disk is there, and does not stop the boot."""
    got = convert("/dev/sdc1 /srv/x ext4 defaults 0 2\n")

    assert got.content == fstab.MARK + b"\n/dev/sdc1 /srv/x ext4 defaults,nofail 0 2\n"
    assert "in none of the image's disks" in got.warnings[0]


def test_the_root_settles_which_disk_a_letter_was() -> None:
    """When the root was /dev/sdb1 but is on the first disk, /dev/sdb2 is on it, too."""
    volumes = (
        volume(ROOT, FileSystem.EXT),
        volume(SWAP, FileSystem.SWAP, number=2),
        volume(BOOT, FileSystem.EXT, disk=1),
        volume(DATA, FileSystem.SWAP, disk=1, number=2),
    )
    got = convert("/dev/sdb1 / ext4 x 0 1\n/dev/sdb2 none swap sw 0 0\n", volumes)

    assert got.content == f"UUID={ROOT} / ext4 x 0 1\nUUID={SWAP} none swap sw 0 0\n".encode()


def test_disks_that_only_order_tells_apart_are_in_doubt() -> None:
    """Two data disks that both fit are taken in order, with a warning."""
    volumes = (
        volume(ROOT, FileSystem.EXT),
        volume(DATA, FileSystem.XFS, disk=1),
        volume(BOOT, FileSystem.XFS, disk=2),
    )
    text = "/dev/sda1 / ext4 x 0 1\n/dev/sdb1 /srv/a xfs x 0 2\n/dev/sdc1 /srv/b xfs x 0 2\n"
    got = convert(text, volumes)

    assert f"UUID={DATA} /srv/a".encode() in got.content
    assert f"UUID={BOOT} /srv/b".encode() in got.content
    assert any("sdb" in warning and "order" in warning for warning in got.warnings)


def test_a_volume_without_uuid_is_named_by_its_partition() -> None:
    """Where a file system has no UUID of its own, the table's entry names it."""
    volumes = (volume(ROOT, FileSystem.EXT), volume("disk0-part2", FileSystem.FAT, number=2))

    assert convert("/dev/sda2 /boot/x vfat x 0 0\n", volumes).content.startswith(
        b"PARTUUID=1234abcd-02 "
    )


def test_hostile_names_stay_bytes_and_are_shown_safely() -> None:
    """Escapes in mount paths neither break the line nor reach a terminal."""
    got = convert(b"/dev/sdq1 /srv/\xff\x1b[2J\\040x ext4 defaults 0 2\n")

    assert (
        got.content == fstab.MARK + b"\n/dev/sdq1 /srv/\xff\x1b[2J\\040x ext4 defaults,nofail 0 2\n"
    )
    assert all("\x1b" not in warning for warning in got.warnings)


def test_a_hundred_thousand_lines_are_converted() -> None:
    """A hostile fstab within the cap costs seconds at most."""
    text = "/dev/sda6 /srv/x xfs x\n" * 40_000

    assert convert(text).content.count(b"nofail") == 40_000


LINE = st.tuples(
    st.sampled_from(["/dev/sda1", "/dev/sda5", "/dev/sdb1", "UUID=" + ROOT, "LABEL=x", "tmpfs",
                     "/dev/mapper/a-b", "#", "", "/dev/disk/by-id/x-part6"]),
    st.sampled_from(["/", "none", "/srv/a", "/boot", "/srv/a\\040b", "swap"]),
    st.sampled_from(["ext4", "swap", "xfs", "auto", "tmpfs", "nfs"]),
    st.sampled_from(["defaults", "sw", "noauto", "nofail,ro", "bind", ""]),
    st.sampled_from(["0 0", "", "0 1 # x", "\t"]),
).map(" ".join)  # fmt: skip


@given(st.lists(LINE, max_size=8))
def test_converting_twice_changes_nothing_more(lines: list[str]) -> None:
    """What is converted is left alone."""
    once = convert("\n".join(lines)).content

    assert convert(once).content == once
    assert convert("\n".join(lines)) == convert("\n".join(lines))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_fstab(content: bytes) -> None:
    """Nothing in fstab makes conversion fail."""
    convert(content)
