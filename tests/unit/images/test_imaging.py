"""Facts about the imaging tool's edges: what it refuses, and what it leaves alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.daemon.clock import ManualClock
from engine.images.imaging.create import PointMade, create_point
from engine.images.imaging.hashmap import MapDraft, map_name, open_map
from engine.images.imaging.plan import ImagingOptions
from engine.images.imaging.source import SourceDisk, SourceFailed, Span
from engine.local.durable import LockHeld, file_lock
from engine.model.errors import NoSpace, NotFound, Refused, WrongUse
from engine.model.machine import Firmware, Hints, Nic
from engine.model.progress import Progress
from engine.ports import NeverCancelled
from tests.formats.bpifiles import GRAIN, NOW, uuid


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a disk of 40 granules, half of them noise."""
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(20 * GRAIN) + bytes(20 * GRAIN))
    return path


Image = Callable[..., PointMade]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Return a function that images disks of the machine erp."""
    clock = ManualClock(NOW)

    def make(*disks: Path, machine: str = "erp", **options: Any) -> PointMade:
        clock.advance(60)
        return create_point(
            machine, tmp_path / "images", disks, clock=clock, cancel=NeverCancelled(),
            report=lambda _: None, options=ImagingOptions(**options),
        )  # fmt: skip

    return make


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()} - {".imaging.lock"}


def test_names_are_those_of_the_format(image: Image, disk: Path, tmp_path: Path) -> None:
    """Folder, disk file and manifest are named as FORMATS.md 2.1 says."""
    made = image(disk, machine="ERP Server (1)")
    folder = tmp_path / "images" / "erp-server-1" / str(made.set_id)[:8]
    assert made.manifest == folder / "p000001-20260101T030100Z.json"
    assert made.files[0].path == folder / "p000001-20260101T030100Z-d00.bpi"


@pytest.mark.parametrize("magic", [b"QFI\xfb", b"KDMV", b"vhdxfile", b"conectix"])
def test_other_image_formats_are_not_taken_for_disks(
    image: Image, tmp_path: Path, magic: bytes
) -> None:
    """A qcow2 file imaged byte for byte would restore to a disk that cannot boot."""
    path = tmp_path / "x.img"
    path.write_bytes(magic + bytes(4096))
    with pytest.raises(WrongUse, match="image"):
        image(path)
    assert not (tmp_path / "images").exists()


def test_what_is_no_disk_is_refused(image: Image, disk: Path, tmp_path: Path) -> None:
    """Missing, empty, folder, twice, none, unprintable name: told, and nothing is written."""
    (tmp_path / "empty").touch()
    with pytest.raises(NotFound):
        image(tmp_path / "nothing")
    with pytest.raises(WrongUse, match="empty"):
        image(tmp_path / "empty")
    with pytest.raises(WrongUse, match="no file"):
        image(tmp_path)
    with pytest.raises(WrongUse, match="twice"):
        image(disk, tmp_path / "." / "disk.raw")
    with pytest.raises(WrongUse):
        image()
    for name in ("", "a\x1b[2J", "x" * 129):
        with pytest.raises(WrongUse, match="name"):
            image(disk, machine=name)
    assert not (tmp_path / "images").exists()


def test_another_machine_of_the_same_folder_name_is_refused(image: Image, disk: Path) -> None:
    """Two names that make the same folder name must not mix their images."""
    image(disk, machine="ERP")
    with pytest.raises(Refused, match="ERP"):
        image(disk, machine="erp")


def test_two_runs_on_one_machine_refuse_each_other(
    image: Image, disk: Path, tmp_path: Path
) -> None:
    """The second run ends at once and touches nothing, not even the first one's drafts."""
    made = image(disk)
    draft = made.manifest.parent / "p000002-20260101T040000Z-d00.bpi.part"
    draft.write_bytes(b"being written")
    with (
        file_lock(tmp_path / "images" / "erp" / ".imaging.lock"),
        pytest.raises(LockHeld),
    ):
        image(disk)
    assert draft.exists()


def test_a_disk_that_cannot_be_read_makes_no_point(
    image: Image, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error ends the attempt; the folder is as it was, and the offset is told."""
    image(disk)
    before = _files(tmp_path / "images")
    plain = os.preadv

    def failing(fd: int, buffers: Any, offset: int) -> int:
        if offset >= 16 * GRAIN:
            raise OSError(errno.EIO, "Input/output error")
        return plain(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(SourceFailed, match=str(16 * GRAIN)):
        image(disk)
    assert _files(tmp_path / "images") == before


def test_a_disk_that_shrinks_while_it_is_read_makes_no_point(disk: Path) -> None:
    """Bytes that are not there any more are not invented."""
    source = SourceDisk(disk)
    os.truncate(disk, GRAIN)
    with pytest.raises(SourceFailed, match="shorter"):
        source.read(0, memoryview(bytearray(2 * GRAIN)))
    source.close()


def test_a_full_destination_is_told(
    image: Image, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room: the attempt is cleared away and the operator told what to do."""

    def failing(_fd: int, _parts: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", failing)
    with pytest.raises(NoSpace, match="room"):
        image(disk)
    assert _files(tmp_path / "images") == set()


def test_hints_stay_until_others_are_given(image: Image, disk: Path) -> None:
    """What the first point said of the machine, the next ones say too."""
    hints = Hints(
        firmware=Firmware.UEFI, cpus=2, memory=1 << 30, nics=(Nic("eth0", "52:54:00:00:00:01"),)
    )
    image(disk, hints=hints)
    assert '"uefi"' in image(disk).manifest.read_text()
    assert '"bios"' in image(disk, hints=Hints(firmware=Firmware.BIOS)).manifest.read_text()


def test_many_network_cards_do_not_overflow_the_header(image: Image, disk: Path) -> None:
    """A header has 2784 bytes for hints; the manifest keeps what does not fit."""
    nics = tuple(Nic(f"eth{n}", f"52:54:00:00:00:{n:02x}", ("192.0.2.1/24",)) for n in range(60))
    assert image(disk, hints=Hints(nics=nics)).manifest.read_text().count("52:54") == 60


def test_holes_are_found_and_cut_at_granules(tmp_path: Path) -> None:
    """Data is rounded out to granules, holes are rounded in, and nothing is left out."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(100 * GRAIN + 5)
        file.seek(10 * GRAIN + 4096)
        file.write(b"x" * 4096)
    source = SourceDisk(path)
    assert list(source.spans(GRAIN)) == [
        Span(0, 10 * GRAIN, hole=True),
        Span(10 * GRAIN, GRAIN, hole=False),
        Span(11 * GRAIN, 89 * GRAIN + 5, hole=True),
    ]
    source.close()


def test_progress_ends_at_what_was_read(tmp_path: Path, disk: Path) -> None:
    """The last report says that all bytes are done; holes do not count."""
    told: list[Progress] = []
    os.truncate(disk, 1 << 30)
    made = create_point(
        "erp", tmp_path / "images", [disk], clock=ManualClock(NOW), cancel=NeverCancelled(),
        report=told.append,
    )  # fmt: skip
    assert (told[-1].step, told[-1].done) == ("image", told[-1].total)
    assert made.bytes_read == told[-1].done <= 41 * GRAIN


def test_a_hash_map_gives_back_what_was_written(tmp_path: Path) -> None:
    """Digests come back by disk offset; what was never written is a granule of zeros."""
    path = tmp_path / map_name(uuid(1), uuid(2))
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    draft = MapDraft(fd, 100 * GRAIN - 3)
    draft.write(40 * GRAIN, b"a" * 16 + b"b" * 16)
    draft.finish(uuid(3), uuid(2), b"r" * 32)
    os.close(fd)
    assert path.stat().st_size == 4096 + 16 * 100 + 32
    found = open_map(str(path), uuid(2), b"r" * 32)
    assert found is not None
    assert found.digests(39 * GRAIN, 3) == bytes(16) + b"a" * 16 + b"b" * 16
    assert found.what.disk_size == 100 * GRAIN - 3
    found.close()
    assert open_map(str(path), uuid(9), b"r" * 32) is None
    assert open_map(str(path), uuid(2), b"s" * 32) is None


def test_a_spoiled_hash_map_is_no_map(tmp_path: Path) -> None:
    """Cut or changed anywhere, a map is not believed."""
    path = tmp_path / "x.bph"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    draft = MapDraft(fd, 3 * GRAIN)
    draft.finish(uuid(3), uuid(2), b"r" * 32)
    os.close(fd)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert open_map(str(path), uuid(2), b"r" * 32) is None
    for length in (0, 100, 4096, len(data) - 1):
        path.write_bytes(data[:length])
        assert open_map(str(path), uuid(2), b"r" * 32) is None
    assert open_map(str(tmp_path / "nothing"), uuid(2), b"r" * 32) is None
