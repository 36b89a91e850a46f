"""FAT is read in few large pieces, in pieces of a file as well."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from engine.guests.backends.fat import FatVolume
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, FileSystem, Owner, Volume, VolumeId

KIB, MIB = 1 << 10, 1 << 20
START = 1 * MIB


def make(folder: Path, bits: int, size: int) -> FatVolume:
    """Make a FAT of clusters of 512 bytes with a file that lies in two pieces around another."""
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(START + size)
    mkfs = ["mkfs.vfat", f"-F{bits}", "-s1", f"--offset={START // 512}", str(disk)]
    subprocess.run([*mkfs, str(size // KIB)], check=True, capture_output=True)
    image = f"{disk}@@{START}"
    (folder / "small").write_bytes(b"s" * 100 * KIB)
    (folder / "large").write_bytes(large(size))
    for name, there in (("small", "first"), ("small", "second")):
        subprocess.run(["mcopy", "-i", image, folder / name, f"::{there}"], check=True)
    subprocess.run(["mdel", "-i", image, "::first"], check=True)
    subprocess.run(["mcopy", "-i", image, folder / "large", "::large"], check=True)
    return FatVolume(disk, Volume(VolumeId("v"), 0, 1, START, size, FileSystem.FAT))


def large(size: int) -> bytes:
    """Return what fills half of a volume."""
    return bytes(range(256)) * (size // 512)


@pytest.mark.parametrize(("bits", "size"), [(12, 2 * MIB), (16, 8 * MIB), (32, 40 * MIB)])
def test_a_file_in_two_pieces_costs_few_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, size: int
) -> None:
    """Its bytes are right, and reads do not grow with its clusters."""
    volume = make(tmp_path, bits, size)
    reads = []
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        reads.append(length)
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert volume.read(b"/large", size) == large(size)
    assert len(reads) <= 20


def new_folder(path: bytes) -> FileEdit:
    """Return the making of a folder."""
    return FileEdit(VolumeId("v"), path, Action.MKDIR, None, b"", Owner(), "why")


def test_a_folder_whose_clusters_are_free_is_told_as_damage(tmp_path: Path) -> None:
    """Mtools stops at it: that is the guest's file system, not a program to be installed."""
    volume = make(tmp_path, 16, 8 * MIB)
    image = f"{tmp_path / 'disk.raw'}@@{START}"
    subprocess.run(["mmd", "-i", image, "::EFI"], check=True)
    with (tmp_path / "disk.raw").open("r+b") as disk:
        head = os.pread(disk.fileno(), 512, START)
        sectors, reserved, tables, length = struct.unpack("<H1xHB5xH", head[11:24])
        for copy in range(tables):
            os.pwrite(
                disk.fileno(),
                bytes(length * sectors - 4),
                START + 4 + (reserved + copy * length) * sectors,
            )

    with pytest.raises(Failure) as refused:
        volume.write([new_folder(b"/EFI/BOOT")])

    assert refused.value.problem.key == "guest.volume.damaged"


def test_a_full_volume_is_told_as_full(tmp_path: Path) -> None:
    """What does not fit is no damage, and will not fit the next time either."""
    volume = make(tmp_path, 12, 2 * MIB)
    edit = FileEdit(VolumeId("v"), b"/more", Action.WRITE, None, large(4 * MIB), Owner(), "why")

    with pytest.raises(Failure) as refused:
        volume.write([edit])

    assert refused.value.problem.key == "guest.volume.full"
