"""Descriptors of flat disks, read by QEMU, which did not write them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from engine.hypervisors.esxi.vmdk import UNIT, descriptor, whole_units


def _info(file: Path) -> subprocess.CompletedProcess[str]:
    command = ["qemu-img", "info", "--output=json", "-f", "vmdk", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a descriptor beside a flat disk of 5 MiB whose bytes are not all alike."""
    flat = tmp_path / "disk0-flat.vmdk"
    flat.write_bytes(bytes(range(256)) * (5 * UNIT // 256))
    file = tmp_path / "disk0.vmdk"
    file.write_bytes(descriptor(flat.name, 5 * UNIT, uuid4()))
    return file


def test_another_program_reads_the_same_disk(disk: Path) -> None:
    """QEMU sees the size, the kind, and every byte of the flat file."""
    told = json.loads(_info(disk).stdout)
    assert told["virtual-size"] == 5 * UNIT
    assert told["format-specific"]["data"]["create-type"] == "vmfs"
    same = ["qemu-img", "compare", "-f", "vmdk", "-F", "raw", str(disk)]
    flat = disk.with_name("disk0-flat.vmdk")
    subprocess.run([*same, str(flat)], check=True, capture_output=True)
    with flat.open("r+b") as file:
        file.seek(3 * UNIT)
        file.write(b"changed")
    other = disk.with_name("other.raw")
    other.write_bytes(bytes(range(256)) * (5 * UNIT // 256))
    assert subprocess.run([*same, str(other)], check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"disk0-flat", b"disk9-flat"),
        (b'createType="vmfs"', b'createType="vmfsX"'),
        (b"RW 10240 VMFS", b"RW VMFS"),
    ],
)
def test_a_damaged_descriptor_is_refused(disk: Path, old: bytes, new: bytes) -> None:
    """The reader is no rubber stamp: a wrong name, kind or size is an error to it."""
    assert old in disk.read_bytes()
    disk.write_bytes(disk.read_bytes().replace(old, new))
    assert _info(disk).returncode != 0


def test_ids_are_spelt_as_hosts_spell_them() -> None:
    """The disk's id begins as VMware's do, and the content id is neither reserved value."""
    for identity in (UUID(int=0), UUID(int=2**128 - 1), uuid4()):
        told = dict(
            line.split("=", 1)
            for line in descriptor("a-flat.vmdk", UNIT, identity).decode().splitlines()
            if "=" in line
        )
        told = {key.strip(): value.strip().strip('"') for key, value in told.items()}
        assert told["ddb.uuid"].startswith("60 00 C2 9")
        assert len(told["ddb.uuid"]) == 47
        assert told["CID"] not in ("ffffffff", "fffffffe")
        assert told["ddb.longContentID"].endswith(told["CID"])
        assert len(told["ddb.longContentID"]) == 32


@pytest.mark.parametrize("size", [0, -UNIT, 512, UNIT + 512])
def test_only_whole_units_become_a_disk(size: int) -> None:
    """Hosts count in KiB and some readers mis-read odd tails."""
    with pytest.raises(ValueError, match="MiB"):
        descriptor("a", size, uuid4())
    assert whole_units(max(size, 1)) % UNIT == 0


@pytest.mark.parametrize("name", ['a"b', "a\nb", "../a", "ä"])
def test_a_name_cannot_add_lines(name: str) -> None:
    """The text file has one field a line."""
    with pytest.raises(ValueError, match="plain"):
        descriptor(name, UNIT, uuid4())
