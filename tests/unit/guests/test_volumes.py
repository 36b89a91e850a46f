"""Partition tables and signatures, against `sfdisk` and `blkid` and against hostile tables."""

import itertools
import json
import os
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guests.signatures import identify
from engine.guests.volumes import MAX_PARTITIONS, find_volumes, partitions
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Volume

MIB = 1 << 20
GPT = """label: gpt
start=2048, size=8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=10240, size=20480
start=40960, size=2048, name="home, sweet"
"""
DOS = """label: dos
label-id: 0x1234abcd
start=2048, size=2048, type=83, bootable
start=4096, size=2048, type=ef
start=8192, size=40960, type=f
start=10240, size=2048, type=83
start=14336, size=4096, type=82
start=20480, size=1024, type=83
"""


def disk(path: Path, script: str, size: int = 32 * MIB) -> Path:
    """Make a sparse disk and write a partition table into it."""
    with path.open("wb") as file:
        file.truncate(size)
    command = ["sfdisk", "-q", "--no-tell-kernel", str(path)]
    subprocess.run(command, input=script.encode(), check=True, capture_output=True)
    return path


def volumes(*paths: Path) -> list[Volume]:
    """Return the volumes that the code under test finds in disk files."""

    def read(number: int, offset: int, length: int) -> bytes:
        with paths[number].open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    return list(find_volumes(read, [path.stat().st_size for path in paths]))


def in_memory(data: bytes) -> list[Volume]:
    """Return the volumes of one disk given as bytes."""
    return list(find_volumes(lambda _, at, length: data[at : at + length], [len(data)]))


def sfdisk(path: Path) -> list[tuple[int, int, str]]:
    """Return start, size and number of each data partition as sfdisk sees them."""
    command = ["sfdisk", "--json", str(path)]
    table = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    rows = table["partitiontable"]["partitions"]
    return [
        (row["start"] * 512, row["size"] * 512, row["node"].removeprefix(str(path)))
        for row in rows
        if row["type"] != "f"
    ]


def blkid(path: Path, offset: int = 0) -> dict[str, str]:
    """Return what blkid says about the file system at an offset."""
    command = ["blkid", "-p", "-o", "export", "-O", str(offset), str(path)]
    output = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    pairs = (line.partition("=")[::2] for line in output.splitlines())
    return {key: value.replace("\\", "") for key, value in pairs}


@pytest.mark.parametrize("script", [GPT, DOS], ids=["gpt", "dos with logical partitions"])
def test_partitions_are_those_of_sfdisk(tmp_path: Path, script: str) -> None:
    """Starts, sizes and numbers are those that sfdisk prints for the same table."""
    path = disk(tmp_path / "d.img", script)

    found = [(volume.start, volume.size, str(volume.number)) for volume in volumes(path)]

    assert found == sfdisk(path)
    assert len(found) >= 3


def test_entries_carry_partuuid_and_esp(tmp_path: Path) -> None:
    """The table entry's id is the PARTUUID that the kernel shows, and the ESP is known by type."""
    gpt, dos = disk(tmp_path / "g.img", GPT), disk(tmp_path / "m.img", DOS)
    command = ["sfdisk", "--part-uuid", str(gpt), "2"]
    wanted = subprocess.run(command, check=True, capture_output=True).stdout.decode().strip()

    found = volumes(gpt, dos)

    assert found[1].entry == wanted.lower()
    assert [volume.entry_name for volume in found[:3]] == ["", "", "home, sweet"]
    assert [volume.entry for volume in found if volume.disk == 1] == [
        f"1234abcd-{number:02x}" for number in (1, 2, 5, 6, 7)
    ]
    assert [(v.disk, v.number) for v in found if v.is_esp] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("damage", [512, 512 + 40, 1024 + 3], ids=["signature", "header", "table"])
def test_a_damaged_primary_gpt_gives_way_to_its_backup(tmp_path: Path, damage: int) -> None:
    """A flipped byte in the primary header or its entries changes nothing that is found."""
    path = disk(tmp_path / "d.img", GPT)
    whole = volumes(path)
    data = bytearray(path.read_bytes())
    data[damage] ^= 0xFF

    assert in_memory(bytes(data)) == whole


def test_a_gpt_without_a_usable_copy_is_a_failure(tmp_path: Path) -> None:
    """With both copies damaged nothing is guessed; the operator is told what to do."""
    data = bytearray(disk(tmp_path / "d.img", GPT).read_bytes())
    data[512] ^= 0xFF
    data[-512] ^= 0xFF

    with pytest.raises(Failure, match=r"both of its copies are damaged.*gdisk") as caught:
        in_memory(bytes(data))

    assert caught.value.problem.key == "guest.gpt.damaged"


def test_a_gpt_of_4_kib_sectors_is_read() -> None:
    """A table written for sectors of 4 KiB gives starts and sizes in bytes all the same."""
    entry = uuid.uuid4().bytes + uuid.UUID(int=7).bytes_le + struct.pack("<QQ", 6, 9)
    table = entry.ljust(128 * 4, b"\0")
    fields = struct.pack("<QQQQ16sQIII", 1, 31, 6, 20, b"", 2, 4, 128, zlib.crc32(table))
    blank = b"EFI PART" + struct.pack("<III", 0x10000, 92, 0) + bytes(4) + fields
    header = blank[:16] + struct.pack("<I", zlib.crc32(blank)) + blank[20:]
    data = bytearray(32 * 4096)
    data[446:462] = bytes(4) + b"\xee" + bytes(3) + struct.pack("<II", 1, 31)
    data[510:512] = b"\x55\xaa"
    data[4096 : 4096 + 92], data[8192 : 8192 + 512] = header, table

    [volume] = in_memory(bytes(data))

    assert (volume.start, volume.size, volume.sector) == (6 * 4096, 4 * 4096, 4096)
    assert volume.entry == str(uuid.UUID(int=7))


MAKERS = {
    "ext2": ["mke2fs", "-q", "-t", "ext2", "-L", "old root"],
    "ext4": ["mke2fs", "-q", "-t", "ext4", "-L", "big root"],
    "swap": ["mkswap", "-q", "-L", "nap"],
    "xfs": ["mkfs.xfs", "-q", "-L", "data"],
    "fat12": ["mformat", "-v", "SMALL", "-T", "4000", "-h", "2", "-s", "4", "-i"],
    "fat16": ["mformat", "-v", "ESP ONE", "-T", "65000", "-h", "16", "-s", "32", "-i"],
    "fat32": ["mformat", "-F", "-v", "EFI", "-T", "600000", "-h", "16", "-s", "32", "-i"],
}
KINDS = {"ext2": FileSystem.EXT, "ext4": FileSystem.EXT, "xfs": FileSystem.XFS}
KINDS |= {"swap": FileSystem.SWAP, "fat12": FileSystem.FAT}
KINDS |= {"fat16": FileSystem.FAT, "fat32": FileSystem.FAT}


@pytest.mark.parametrize("name", MAKERS)
def test_a_disk_without_a_table_holds_what_blkid_says(tmp_path: Path, name: str) -> None:
    """UUID and label of each kind of file system are printed as blkid prints them."""
    path = tmp_path / "d.img"
    with path.open("wb") as file:
        file.truncate(310 * MIB)
    subprocess.run([*MAKERS[name], str(path)], check=True, capture_output=True)
    wanted = blkid(path)

    [volume] = volumes(path)

    assert (volume.id, volume.label) == (wanted["UUID"], wanted.get("LABEL", ""))
    assert (volume.kind, volume.number) == (KINDS[name], 0)


def test_file_systems_in_partitions_are_found(tmp_path: Path) -> None:
    """A file system is recognised at its partition's offset, an empty one is UNKNOWN."""
    path = disk(tmp_path / "d.img", GPT)
    command = ["mke2fs", "-q", "-E", "offset=5242880", str(path), "10240k"]
    subprocess.run(command, check=True, capture_output=True)

    found = volumes(path)

    assert [v.kind for v in found] == [FileSystem.UNKNOWN, FileSystem.EXT, FileSystem.UNKNOWN]
    assert found[1].id == blkid(path, 5242880)["UUID"]
    assert found[0].id == "disk0-part1"


def test_the_second_of_two_equal_uuids_is_named_by_its_place(tmp_path: Path) -> None:
    """Cloned disks do not make an id ambiguous."""
    path = tmp_path / "d.img"
    with path.open("wb") as file:
        file.truncate(2 * MIB)
    subprocess.run(["mke2fs", "-q", path], check=True, capture_output=True)

    first, second = volumes(path, path)

    assert first.id == blkid(path)["UUID"]
    assert second.id == "disk1-part0"


def crafted(*pieces: tuple[int, bytes]) -> bytes:
    """Return a volume of 1 MiB with some bytes set."""
    data = bytearray(MIB)
    for offset, raw in pieces:
        data[offset : offset + len(raw)] = raw
    return bytes(data)


ID = uuid.UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
MD = struct.pack("<II", 0xA92B4EFC, 1) + bytes(8) + ID.bytes + b"host:0".ljust(32, b"\0")
PV = (
    b"LABELONE" + struct.pack("<QII8s", 1, 0, 32, b"LVM2 001") + b"abcdefghijklmnopqrstuvwxyz012345"
)
LUKS = b"LUKS\xba\xbe\0\x02".ljust(24, b"\0") + b"vault".ljust(144, b"\0") + str(ID).encode()
NTFS = b"\xebR\x90NTFS    \x00\x02\x08".ljust(21, b"\0") + b"\xf8"
LAST = (MIB >> 9) - 16 << 9
CRAFTED = {
    "md 1.0": (FileSystem.RAID, str(ID), [(LAST, MD), (LAST + 144, struct.pack("<Q", LAST >> 9))]),
    "md 1.1": (FileSystem.RAID, str(ID), [(0, MD)]),
    "md 1.2": (FileSystem.RAID, str(ID), [(4096, MD), (4096 + 144, b"\x08")]),
    "lvm": (FileSystem.LVM, "abcdef-ghij-klmn-opqr-stuv-wxyz-012345", [(512, PV)]),
    "luks": (FileSystem.LUKS, str(ID), [(0, LUKS)]),
    "btrfs": (FileSystem.BTRFS, str(ID), [(65600, b"_BHRfS_M"), (65568, ID.bytes)]),
    "ntfs": (
        FileSystem.NTFS,
        "0123456789ABCDEF",
        [(0, NTFS), (72, bytes.fromhex("efcdab8967452301"))],
    ),
    "bitlocker": (FileSystem.BITLOCKER, "", [(0, b"\xebX\x90-FVE-FS-")]),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_other_signatures_are_known(name: str) -> None:
    """Containers and file systems without a maker on this machine are told by their magic."""
    kind, wanted, pieces = CRAFTED[name]
    data = crafted(*pieces)

    found = identify(lambda at, length: data[at : at + length], len(data))

    assert (found.kind, found.id) == (kind, wanted)


def test_a_mirror_member_is_not_taken_for_its_file_system(tmp_path: Path) -> None:
    """An ext4 that lies in a mirror with its superblock at the end is a RAID volume."""
    path = tmp_path / "d.img"
    path.write_bytes(bytes(MIB))
    subprocess.run(["mke2fs", "-q", path, "900k"], check=True, capture_output=True)
    data = bytearray(path.read_bytes())
    for offset, raw in CRAFTED["md 1.0"][2]:
        data[offset : offset + len(raw)] = raw

    assert [volume.kind for volume in in_memory(bytes(data))] == [FileSystem.RAID]


def link(at: int, first: int, following: int) -> tuple[int, bytes]:
    """Return one link of a chain of logical partitions that lies at sector `at`."""
    data = bytes(4) + b"\x83" + bytes(3) + struct.pack("<II", first, 8)
    more = bytes(4) + b"\x05" + bytes(3) + struct.pack("<II", following, 9)
    return at * 512 + 446, data + more + bytes(32) + b"\x55\xaa"


def test_a_loop_of_logical_partitions_ends() -> None:
    """A chain that points back at its start gives each partition once."""
    first = bytes(4) + b"\x05" + bytes(3) + struct.pack("<II", 64, 1000)
    data = crafted((446, first), (510, b"\x55\xaa"), link(64, 1, 20), link(84, 1, 0))

    assert [(v.number, v.start) for v in in_memory(data)] == [(5, 65 * 512), (6, 85 * 512)]


def test_an_mbr_that_counts_in_4_kib_is_told_by_what_lies_there() -> None:
    """Only there is data: logical partitions too; where neither place has any, 512 it is."""
    rows = [(0x83, 6, 10), (5, 20, 100)]
    table = b"".join(struct.pack("<IB3xII", 0, *row) for row in rows)
    logical = link(20 * 8, 1, 0)
    pieces = [(446, table), (510, b"\x55\xaa"), logical, (6 * 4096, b"XFSB\0\0\x10\0")]

    found = in_memory(crafted(*pieces))

    assert [(v.number, v.start, v.size, v.sector) for v in found] == [
        (1, 6 * 4096, 10 * 4096, 4096), (5, 21 * 4096, 8 * 4096, 4096)
    ]  # fmt: skip
    assert [v.sector for v in in_memory(crafted(*pieces[:2]))] == [512]


def test_overlapping_and_outlying_entries_are_ignored() -> None:
    """Only the first of two entries over one another counts, and none beyond the disk's end."""
    rows = [(64, 100), (100, 10), (2000, 1000), (0xFFFFFFFF, 0xFFFFFFFF)]
    table = b"".join(bytes(4) + b"\x83" + bytes(3) + struct.pack("<II", *row) for row in rows)
    data = crafted((446, table), (510, b"\x55\xaa"))

    assert [(v.start, v.size) for v in in_memory(data)] == [(64 * 512, 100 * 512)]


SECTORS = st.one_of(st.integers(0, 130), st.integers(0, 0xFFFFFFFF))
ENTRY = st.tuples(st.sampled_from([0, 5, 0xF, 0x83, 0xEF, 0x85]), SECTORS, SECTORS)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.integers(0, 127), st.lists(ENTRY, min_size=4, max_size=4), max_size=12))
def test_no_mbr_makes_the_walk_fall(links: dict[int, list[tuple[int, int, int]]]) -> None:
    """Whatever the links say: partitions inside the disk, not over one another, and few."""
    data = bytearray(64 << 10)
    for sector, rows in {0: [(5, 1, 126), (0x83, 2, 3), (0, 0, 0), (0x83, 3, 9)], **links}.items():
        table = b"".join(struct.pack("<IB3xII", 0, *row) for row in rows)
        data[sector * 512 + 446 : sector * 512 + 512] = table + b"\x55\xaa"

    found = partitions(lambda _, at, length: bytes(data[at : at + length]), 0, len(data)) or []

    assert len(found) <= MAX_PARTITIONS
    assert all(part.start > 0 and part.start + part.size <= len(data) for part in found)
    assert all(a.start + a.size <= b.start for a, b in itertools.pairwise(found))


HEADS = [b"EFI PART", b"XFSB", b"NTFS    ", b"LABELONE", b"LUKS\xba\xbe\0\x02", b"FILE", b"FAT32"]
PLACES = [0, 3, 82, 512, 536, 1024, 1080, 4096, 4086, 65600]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(PLACES), st.integers(0, 70000)),
            st.one_of(st.sampled_from(HEADS), st.binary(max_size=200)),
        ),
        max_size=12,
    ),
    st.integers(0, 72 << 10),
)
def test_no_bytes_make_the_signatures_fall(pieces: list[tuple[int, bytes]], size: int) -> None:
    """A volume of any bytes and any size has a kind, and its id is printable."""
    data = bytearray(72 << 10)
    for offset, raw in pieces:
        data[offset : offset + len(raw)] = raw
    seen = bytes(data[:size])

    found = identify(lambda at, length: seen[at : at + length], size)

    assert found.id.isprintable()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 91), st.binary(min_size=1, max_size=8), st.booleans())
def test_no_gpt_header_makes_the_reader_fall(at: int, raw: bytes, is_signed: bool) -> None:
    """A header changed anywhere, even with a right checksum, gives entries inside or a Failure."""
    table = (uuid.uuid4().bytes * 2 + struct.pack("<QQ", 34, 60)).ljust(128 * 4, b"\0")
    fields = struct.pack("<QQQQ16sQIII", 1, 99, 34, 90, b"", 2, 4, 128, zlib.crc32(table))
    header = bytearray(b"EFI PART" + struct.pack("<III", 0x10000, 92, 0) + bytes(4) + fields)
    header[at : at + len(raw)] = raw
    header = header[:92]
    if is_signed:
        header[16:20] = struct.pack("<I", zlib.crc32(header[:16] + bytes(4) + header[20:]))
    data = bytearray(100 * 512)
    data[446:462] = bytes(4) + b"\xee" + bytes(11)
    data[510:512] = b"\x55\xaa"
    data[512:604], data[1024:1536] = header, table

    try:
        found = in_memory(bytes(data))
    except Failure:
        return

    assert all(v.start >= 512 and v.start + v.size <= len(data) for v in found)


@pytest.mark.parametrize(
    ("pieces", "kind", "label"),
    [
        ({4086: b"SWAPSPACE2"}, FileSystem.SWAP, ""),
        ({4086: b"S1SUSPEND\0"}, FileSystem.HIBERNATED, ""),
        ({4086: b"LINHIB0001"}, FileSystem.HIBERNATED, ""),
        ({4120: bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")}, FileSystem.BCACHE, ""),
        (
            {4120: bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), 4168: b"data"},
            FileSystem.BCACHEFS,
            "data",
        ),
        (
            {
                16384: b"\1\1\0\0" + bytes(20) + b"\0\0\0\4name\0\0\0\t\0\0\0\1\0\0\0\5rpool",
                (128 + 7) << 10: struct.pack("<Q", 0xBAB10C),
            },
            FileSystem.ZFS,
            "rpool",
        ),
        ({16384: b"\1\1\0\0"}, FileSystem.UNKNOWN, ""),
    ],
)
def test_sleeping_swap_bcache_and_zfs_are_told(
    pieces: dict[int, bytes], kind: FileSystem, label: str
) -> None:
    """Each has its name, so that the reason why it is in the way can be told."""
    data = bytearray(256 << 10)
    for at, raw in pieces.items():
        data[at : at + len(raw)] = raw

    found = identify(lambda at, length: bytes(data[at : at + length]), len(data))

    assert (found.kind, found.label) == (kind, label)


@pytest.mark.parametrize(
    ("pieces", "outside"),
    [
        ({1080: b"\x53\xef", 1116: b"\4", 1248: b"\x08"}, ""),
        ({1080: b"\x53\xef", 1116: b"\4"}, "journal"),
        ({1080: b"\x53\xef"}, ""),
        ({0: b"XFSB\0\0\x10\0", 48: bytes(7) + b"\x09"}, ""),
        ({0: b"XFSB\0\0\x10\0"}, "journal"),
        ({0: b"XFSB\0\0\x10\0", 16: b"\1" * 8, 48: b"\1" * 8}, "realtime data"),
    ],
)
def test_what_a_file_system_has_on_another_volume_is_told(
    pieces: dict[int, bytes], outside: str
) -> None:
    """A journal elsewhere would look like damage."""
    data = bytearray(128 << 10)
    for at, raw in pieces.items():
        data[at : at + len(raw)] = raw

    assert identify(lambda at, length: bytes(data[at : at + length]), len(data)).outside == outside


@pytest.mark.parametrize(
    ("place", "started"), [(b"/", 77), (b"/sysroot", 77), (b"/mnt/old", 0), (b"", 0)]
)
def test_when_a_root_was_mounted_last_is_told(place: bytes, started: int) -> None:
    """A mount elsewhere, such as of an old system's volume, says nothing of what ran."""
    data = bytearray(128 << 10)
    data[1080:1082], data[1068:1072] = b"\x53\xef", struct.pack("<I", 77)
    data[1160 : 1160 + len(place)] = place

    assert identify(lambda at, length: bytes(data[at : at + length]), len(data)).started == started
