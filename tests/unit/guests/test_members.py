"""What is read of volume groups and arrays from a part of them, also from a hostile one."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests.members import further, lacking, member, partial
from engine.guests.obstacles import without_root
from engine.model.guest import FileSystem, Member, Volume, VolumeId

ID = VolumeId("disk1-part1")
AREA, LENGTH = 4096, 65536
OWN = "abcdefGhijKlmnOpqrStuvWxyzABCDEF"
OTHER = "zbcdefGhijKlmnOpqrStuvWxyzABCDEF"
TEXT = """rack {
id = "n2Kp4i-0000-0000-0000-0000-0000-000001"
physical_volumes {
pv0 {
id = "abcdef-Ghij-Klmn-Opqr-Stuv-Wxyz-ABCDEF"
device = "/dev/sda2"	# Hint only
}
pv1 {
id = "zbcdef-Ghij-Klmn-Opqr-Stuv-Wxyz-ABCDEF"
device = "/dev/sdb1"
}
}
logical_volumes {
root {
segment1 {
type = "%s"
}
}
}
}
"""


def volume_of(text: str, offset: int = 512) -> bytes:
    """Return a physical volume whose metadata begins somewhere in its area."""
    raw = bytearray(AREA + LENGTH)
    raw[512:544] = b"LABELONE" + struct.pack("<QII", 1, 0, 32) + b"LVM2 001"
    pairs = [(1 << 20, 0), (0, 0), (AREA, LENGTH), (0, 0)]
    body = OWN.encode() + struct.pack("<Q", 1 << 30)
    body += b"".join(struct.pack("<QQ", *pair) for pair in pairs)
    raw[544 : 544 + len(body)] = body
    head = b"\0\0\0\0 LVM2 x[5A%r0N*>" + struct.pack("<IQQQQ", 1, AREA, LENGTH, offset, len(text))
    raw[AREA : AREA + len(head)] = head
    for number, byte in enumerate(text.encode()):
        at = offset + number
        raw[AREA + (at if at < LENGTH else at - LENGTH + 512)] = byte
    return bytes(raw)


def told(raw: bytes, kind: FileSystem = FileSystem.LVM) -> Member | None:
    """Return what is read of a volume with these bytes."""
    return member(kind, lambda offset, length: raw[max(0, offset) :][:length], len(raw))


def volume(found: Member | None, kind: FileSystem = FileSystem.LVM) -> Volume:
    """Return a volume that is such a part."""
    return Volume(VolumeId("x"), 0, 1, 1 << 20, 1 << 30, kind, member=found)


@pytest.mark.parametrize("offset", [512, LENGTH - 100])
def test_a_physical_volume_tells_of_its_group(offset: int) -> None:
    """Also where its text runs over the end of the area and on at its beginning."""
    found = told(volume_of(TEXT % "striped", offset))

    assert found is not None
    assert (found.name, found.own, found.kinds) == ("rack", OWN, ("striped",))
    assert found.parts == ((OWN, "/dev/sda2"), (OTHER, "/dev/sdb1"))
    assert lacking(found.whole, [volume(found)]) == ((OTHER, "/dev/sdb1"),)
    assert lacking(found.whole, [volume(found), volume(replace(found, own=OTHER))]) == ()


def test_a_group_that_is_whole_but_of_another_kind_is_told_by_it() -> None:
    """The missing disk comes first; with all disks, the kind of the volume is the reason."""
    one = told(volume_of(TEXT % "thin"))
    assert one is not None
    both = [volume(one), volume(replace(one, own=OTHER))]

    assert [o.key for o in without_root(both[:1])] == ["guest.lvm_incomplete"]
    assert [o.key for o in without_root(both)] == ["guest.lvm_kind"]
    assert (
        "zbcdef-Ghij-Klmn-Opqr-Stuv-Wxyz-ABCDEF (it was /dev/sdb1)"
        in next(without_root(both[:1])).text
    )


def test_an_encrypted_logical_volume_is_told_as_that() -> None:
    """LVM was opened, so it is not what hides the root."""
    one = told(volume_of((TEXT % "striped").replace("zbcdef", "abcdef")))
    inside = replace(volume(None, FileSystem.LUKS), names=("/dev/mapper/rack-root",))

    assert [o.key for o in without_root([volume(one), inside])] == ["guest.luks"]


def test_arrays_tell_their_level_and_their_members() -> None:
    """Superblock 1.2: level, number of members, and which of them this one is."""
    raw = bytearray(64 << 10)
    raw[4096:4104] = struct.pack("<II", 0xA92B4EFC, 1)
    raw[4096 + 16 : 4096 + 32] = bytes(range(16))
    raw[4096 + 32 : 4096 + 40] = b"old:root"
    struct.pack_into("<i", raw, 4096 + 72, 5)
    struct.pack_into("<I", raw, 4096 + 92, 3)
    struct.pack_into("<I", raw, 4096 + 160, 1)
    struct.pack_into("<HHH", raw, 4096 + 256, 0, 2, 1)

    found = told(bytes(raw), FileSystem.RAID)

    assert found is not None
    assert (found.name, found.own, found.kinds, len(found.parts)) == (
        "old:root",
        "2",
        ("raid5",),
        3,
    )
    [obstacle] = without_root([volume(found, FileSystem.RAID)])
    assert obstacle.key == "guest.raid_level"


def test_a_btrfs_over_two_devices_tells_of_both() -> None:
    """One alone is no part of a whole; of two, a missing one is told."""
    raw = bytearray(72 << 10)
    raw[65536 + 32 : 65536 + 48] = bytes(range(16))
    struct.pack_into("<Q", raw, 65536 + 0x88, 1)
    assert told(bytes(raw), FileSystem.BTRFS) is None
    struct.pack_into("<Q", raw, 65536 + 0x88, 2)
    struct.pack_into("<Q", raw, 65536 + 0xC9, 2)
    raw[65536 + 0x12B : 65536 + 0x12B + 4] = b"pool"

    found = told(bytes(raw), FileSystem.BTRFS)

    assert found is not None
    assert (found.whole, found.own, found.name) == (bytes(range(16)).hex(), "2", "pool")
    [obstacle] = without_root([volume(found, FileSystem.BTRFS)])
    assert obstacle.key == "guest.btrfs_incomplete"
    assert "pool (btrfs) is on 2 devices, of which 1" in obstacle.text
    both = [volume(found, FileSystem.BTRFS), replace(volume(found, FileSystem.BTRFS), id=ID)]
    assert list(without_root(both)) == []
    assert further(both) == {ID}
    assert partial(both) == frozenset()
    assert partial(both[1:]) == {ID}


@given(st.binary(max_size=600), st.integers(0, 4096 + 600))
def test_nonsense_is_no_error(noise: bytes, at: int) -> None:
    """Whatever is written over a physical volume or superblock: something is told, or nothing."""
    raw = bytearray(volume_of(TEXT % "striped"))
    raw[at : at + len(noise)] = noise

    for kind in FileSystem:
        told(bytes(raw), kind)
