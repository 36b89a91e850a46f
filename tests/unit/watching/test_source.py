"""Opening the files of a recovery point for a job."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.images.watching.source import FolderSource
from engine.model.errors import FormatError, SourceChanged, SourceMissing
from engine.model.images import RecoveryPoint
from engine.ports import ImageSource
from tests.arrivals import SIZE, JsonFormat, encode, shot, write
from tests.unit.watching.conftest import Folder, points

SHOT = shot(1, disks=2)


@pytest.fixture
def source() -> ImageSource:
    """Return the source."""
    return FolderSource([JsonFormat()])


@pytest.fixture
def point(folder: Folder) -> RecoveryPoint:
    """Return a complete point with two disks."""
    SHOT.write(folder.path)
    (found,) = points(folder.settle())
    return found


def test_a_point_is_read_disk_by_disk(source: ImageSource, point: RecoveryPoint) -> None:
    """All disks open in order, read their own bytes, and leave no descriptor behind."""
    before = open_files()
    with source.open(point) as opened:
        for disk, part in zip(opened.disks, SHOT.disks, strict=True):
            (piece,) = disk.pieces()
            into = bytearray(SIZE)
            disk.read([piece], memoryview(into))
            assert bytes(into) == encode(part)
        opened.unchanged()
    assert open_files() == before


def test_what_vanished_is_missing(source: ImageSource, point: RecoveryPoint) -> None:
    """A file or folder that is gone is told with its name; nothing stays open."""
    before = open_files()
    path = Path(point.root, point.disks[1].path)
    path.rename(path.with_name("x"))
    with pytest.raises(SourceMissing, match=r"p000001-d01\.img cannot be opened"):
        source.open(point).__enter__()
    with pytest.raises(SourceMissing, match="/nowhere"):
        source.open(replace(point, root="/nowhere")).__enter__()
    assert open_files() == before


@pytest.mark.parametrize("how", ["rewritten", "replaced", "link", "fifo"])
def test_what_is_another_file_is_refused(
    source: ImageSource, point: RecoveryPoint, how: str
) -> None:
    """Anything but the very file the scan saw is a change, even with the right content."""
    path = Path(point.root, point.disks[0].path)
    if how == "rewritten":
        os.utime(path, (0, 0))
    elif how == "replaced":
        write(SHOT.disks[0], path.parent, "new")
        path.with_name("new").rename(path)
        found = point.disks[0].mark
        assert found is not None
        os.utime(path, ns=(0, found.mtime_ns))
    else:
        path.rename(path.with_name("x"))
        path.symlink_to("x") if how == "link" else os.mkfifo(path)
    with pytest.raises(SourceChanged, match="is not the file that the last scan saw"):
        source.open(point).__enter__()


def test_new_rights_are_no_change(source: ImageSource, point: RecoveryPoint) -> None:
    """A file that got another mode or a second name is still the same."""
    path = Path(point.root, point.disks[0].path)
    path.chmod(0o640)
    path.with_name("second").hardlink_to(path)
    with source.open(point) as opened:
        path.chmod(0o600)
        opened.unchanged()


def test_other_content_behind_the_same_mark_is_refused(
    source: ImageSource, point: RecoveryPoint
) -> None:
    """The file itself must say what the scan understood: point, disk, content, parent."""
    disk = point.disks[0]
    for wrong in (
        replace(point, id=shot(2).id),
        replace(point, disks=(replace(disk, part=replace(disk.part, root="f" * 64)),)),
        replace(point, disks=(replace(disk, part=replace(disk.part, parent_root="f" * 64)),)),
        replace(point, disks=(replace(disk, part=replace(disk.part, uuid="other")),)),
        replace(point, disks=(replace(disk, path=point.disks[1].path, mark=None),)),
    ):
        with pytest.raises(SourceChanged):
            source.open(wrong).__enter__()


def test_a_file_written_to_while_it_is_read_is_noticed(
    source: ImageSource, point: RecoveryPoint
) -> None:
    """A change under the reader's eyes ends the job before anything is sealed."""
    with source.open(point) as opened:
        with Path(point.root, point.disks[1].path).open("ab") as file:
            file.write(b"x")
        with pytest.raises(SourceChanged, match="written to while it was read"):
            opened.unchanged()


def test_a_file_replaced_while_it_is_read_is_read_to_its_end(
    source: ImageSource, point: RecoveryPoint
) -> None:
    """The descriptor keeps the old file, which is whole; the new one is the next scan's matter."""
    with source.open(point) as opened:
        path = Path(point.root, point.disks[1].path)
        path.with_name("new").write_bytes(b"x")
        path.with_name("new").rename(path)
        opened.unchanged()


def test_a_broken_or_unknown_format_is_told(source: ImageSource, point: RecoveryPoint) -> None:
    """A file that does not parse any more, and a format nobody reads, are format errors."""
    path = Path(point.root, point.disks[0].path)
    mark = path.stat()
    path.write_bytes(b"x" * SIZE)
    os.utime(path, ns=(0, mark.st_mtime_ns))
    with pytest.raises(FormatError):
        source.open(point).__enter__()
    with pytest.raises(FormatError, match="which this version does not read"):
        source.open(replace(point, format="tape")).__enter__()


def open_files() -> int:
    """Return how many descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
