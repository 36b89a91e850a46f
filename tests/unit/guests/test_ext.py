"""ext4 that contradicts itself, or knows more than e2fsprogs: told as such, not as a tool's end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.guests.backends.ext import ExtVolume
from engine.guests.backends.verify import told_by
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Volume, VolumeId

MIB = 1 << 20


def make(folder: Path) -> Path:
    """Make an ext4 with a link and a long file."""
    tree = folder / "tree"
    tree.mkdir()
    (tree / "long").write_bytes(bytes(range(256)) * 4096)
    (tree / "link").symlink_to("long")
    disk = folder / "disk.raw"
    disk.write_bytes(bytes(8 * MIB))
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(disk)],
        check=True,
        capture_output=True,
    )
    return disk


def opened(disk: Path) -> ExtVolume:
    """Return the volume that is the whole disk."""
    return ExtVolume(disk, Volume(VolumeId("v"), 0, 1, 0, 8 * MIB, FileSystem.EXT))


def change(disk: Path, *requests: str) -> None:
    """Write into inodes what no kernel would."""
    argv = ["debugfs", "-w", "-f", "-", str(disk)]
    subprocess.run(argv, input="\n".join(requests), text=True, check=True, capture_output=True)


def test_a_link_with_more_in_it_than_a_path_is_damage(tmp_path: Path) -> None:
    """A file of a megabyte under a link's mode is no target."""
    disk = make(tmp_path)
    change(disk, "sif long mode 0120777")
    volume = opened(disk)

    with pytest.raises(Failure) as refused:
        volume.link(b"/long")
    volume.close()

    assert refused.value.problem.key == "guest.volume.damaged"


@pytest.mark.parametrize(("at", "bit"), [(1024 + 96, 1 << 30), (1024 + 100, 0x800)])
def test_a_feature_that_e2fsprogs_does_not_know_needs_another_backend(
    tmp_path: Path, at: int, bit: int
) -> None:
    """It would be opened for reading, and refused at the first change."""
    disk = make(tmp_path)
    assert opened(disk).unable() == ""
    raw = bytearray(disk.read_bytes())
    bits = int.from_bytes(raw[at : at + 4], "little") | bit
    raw[at : at + 4] = bits.to_bytes(4, "little")
    disk.write_bytes(raw)

    assert opened(disk).unable() == f"feature {bit:#x}"


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("write: Ext2 file already exists", "guest.volume.damaged"),
        ("Fat problem while decoding 2 0", "guest.volume.damaged"),
        ("Disk full", "guest.volume.full"),
    ],
)
def test_what_a_tool_says_of_the_guest_is_told_of_the_guest(said: str, key: str) -> None:
    """The next try would hear the same, so there is none by the clock."""
    failure = told_by(VolumeId("v"), said)

    assert failure is not None
    assert failure.problem.key == key
    assert told_by(VolumeId("v"), "cannot execute debugfs") is None
