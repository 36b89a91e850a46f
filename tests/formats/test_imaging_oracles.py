"""What the imaging tool writes, read back with tools that are not ours."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.daemon.clock import ManualClock
from engine.images.bpi.verify import verify_path
from engine.images.export import export
from engine.images.imaging.create import PointMade, create_point
from engine.images.imaging.plan import ImagingOptions
from engine.model.errors import Cancelled
from engine.ports import CancelFlag, NeverCancelled
from tests.formats.bpifiles import GRAIN, NOW, print_nothing

MIB = 1 << 20


class Site:
    """A machine with disks, imaged point after point; every point restored by foreign means."""

    def __init__(self, folder: Path, disks: int = 1) -> None:
        self.folder, self.images = folder, folder / "images"
        self.clock = ManualClock(NOW)
        self.disks = [folder / f"disk{number}.raw" for number in range(disks)]
        self.restored: dict[Path, Path] = {}

    def image(self, disks: Sequence[Path] = (), **options: object) -> PointMade:
        """Make a point, apply it as FORMATS.md says, compare with the disks."""
        self.clock.advance(60)
        made = create_point(
            "ERP 1", self.images, disks or self.disks,
            clock=self.clock, cancel=NeverCancelled(), report=print_nothing,
            options=ImagingOptions(**options),  # type: ignore[arg-type]  # fields of the options
        )  # fmt: skip
        for one in made.files:
            copy = self.restored.setdefault(one.source, one.source.with_suffix(".restored"))
            subprocess.run(["zstd", "-tq", one.path], check=True)
            if one.kind == "full":
                with copy.open("wb") as out:
                    subprocess.run(["zstd", "-dcq", one.path], check=True, stdout=out)
            else:
                with one.path.open("rb") as bpi, copy.open("r+b") as disk:
                    apply(bpi, disk)
                os.truncate(copy, one.disk_size)
            assert _same(copy, one.source)
        return made


def apply(bpi: BinaryIO, disk: BinaryIO) -> None:
    """Apply an increment without any index or code of ours (FORMATS.md 2.8)."""
    bpi.seek(4096)
    while bpi.read(8) == b"\x51\x2a\x4d\x18\x1c\0\0\0":
        start, raw, kind, stored, _ = struct.unpack("<QIB3xI8s", bpi.read(28))
        frame = bpi.read(stored)
        disk.seek(start)
        disk.write(bytes(raw) if kind == 2 else zstandard.decompress(frame, raw))


def _same(one: Path, other: Path) -> bool:
    return subprocess.run(["cmp", "-s", one, other], check=False).returncode == 0


def _make(path: Path, size: int, blocks: int, seed: int) -> None:
    rnd = random.Random(seed)
    with path.open("wb") as disk:
        disk.truncate(size)
        for _ in range(blocks):
            length = min(rnd.randint(1, 3 * GRAIN), size)
            disk.seek(rnd.randint(0, size - length))
            disk.write(rnd.randbytes(length))


def _poke(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as disk:
        disk.seek(at)
        disk.write(data)


# --- what is written is the disk ------------------------------------------------------------


@st.composite
def _steps(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Draw changes around granule and frame borders: write, zero, punch, resize."""
    near = st.sampled_from([0, 1, GRAIN - 1, GRAIN, 16 * GRAIN, 17 * GRAIN + 5, 24 * GRAIN])
    place = st.builds(lambda at, off: max(0, at + off), near, st.integers(-3, 3))
    lengths = st.sampled_from([1, 512, GRAIN, GRAIN + 1, 3 * GRAIN, 17 * GRAIN])
    kinds = st.sampled_from(["write", "zero", "punch", "resize", "image", "image"])
    return draw(
        st.lists(st.tuples(kinds, place, lengths, st.integers(0, 255)), min_size=3, max_size=12)
    )


@settings(max_examples=25, deadline=None)
@given(steps=_steps(), size=st.integers(1, 25 * GRAIN))
def test_any_history_of_a_disk_is_restored_by_zstd_and_ten_lines(
    steps: list[tuple[str, int, int, int]], size: int
) -> None:
    """Whatever is written, zeroed, grown or cut between points, the chain gives the disk."""
    folder = Path(tempfile.mkdtemp())
    try:
        site = Site(folder)
        disk = site.disks[0]
        _make(disk, size, 2, seed=size)
        site.image()
        for kind, at, length, byte in steps:
            if kind == "image":
                site.image()
            elif kind == "resize":
                os.truncate(disk, max(1, at))
            elif kind == "punch":
                argv = ["fallocate", "-p", "-o", str(at), "-l", str(length), disk]
                subprocess.run(argv, check=True)
            else:
                end = max(at, min(at + length, disk.stat().st_size))
                fill = b"\0" if kind == "zero" else bytes([byte])
                _poke(disk, at, fill * (end - at) if at < end else b"")
        site.image()
        told = verify_path(
            site.images, clock=site.clock, cancel=NeverCancelled(), report=print_nothing
        )
        assert told.good
        assert not told.notes
    finally:
        shutil.rmtree(folder)


def test_the_whole_file_has_the_sha256_the_manifest_tells(tmp_path: Path) -> None:
    """`sha256sum` of a file is what its manifest says."""
    site = Site(tmp_path)
    _make(site.disks[0], 5 * MIB, 9, seed=1)
    made = site.image()
    told = json.loads(made.manifest.read_text())
    assert [hashlib.sha256(made.files[0].path.read_bytes()).hexdigest()] == [
        line["sha256"] for line in told["disks"]
    ]


def test_an_unchanged_disk_costs_8192_bytes(tmp_path: Path) -> None:
    """A disk with no change still has a file, of header and footer only."""
    site = Site(tmp_path)
    _make(site.disks[0], 5 * MIB, 9, seed=2)
    site.image()
    made = site.image()
    assert [one.size for one in made.files] == [8192]


def test_only_changed_granules_are_written(tmp_path: Path) -> None:
    """One changed byte costs one granule; granules that became zeros cost no data."""
    site = Site(tmp_path)
    site.disks[0].write_bytes(random.Random(3).randbytes(4 * MIB))
    site.image()
    _poke(site.disks[0], 20 * GRAIN + 7, b"!")
    _poke(site.disks[0], 30 * GRAIN, bytes(2 * GRAIN))
    made = site.image()
    assert (made.files[0].data_bytes, made.files[0].zero_bytes) == (GRAIN, 2 * GRAIN)


def test_a_hole_where_data_was_is_written_as_zeros(tmp_path: Path) -> None:
    """A file system that trims leaves holes; a gap in the increment would bring old data back."""
    site = Site(tmp_path)
    site.disks[0].write_bytes(random.Random(4).randbytes(4 * MIB))
    site.image()
    argv = ["fallocate", "-p", "-o", str(9 * GRAIN), "-l", str(20 * GRAIN), site.disks[0]]
    subprocess.run(argv, check=True)
    made = site.image()
    assert (made.files[0].data_bytes, made.files[0].zero_bytes) == (0, 20 * GRAIN)


def test_all_of_a_grown_part_is_written(tmp_path: Path) -> None:
    """Also the zeros behind a short last granule: growth has no gaps to show through."""
    site = Site(tmp_path)
    _make(site.disks[0], GRAIN + 10, 0, seed=0)
    site.image()
    os.truncate(site.disks[0], 3 * GRAIN)
    assert site.image().files[0].zero_bytes == 2 * GRAIN


# --- several disks --------------------------------------------------------------------------


def test_all_disks_of_a_machine_make_one_point(tmp_path: Path) -> None:
    """A disk added later comes as a full inside an incremental point; one that left is gone."""
    site = Site(tmp_path, disks=3)
    for number, disk in enumerate(site.disks):
        _make(disk, 2 * MIB + number, 5, seed=number)
    first = site.image(site.disks[:2])
    _poke(site.disks[1], 5, b"changed")
    second = site.image()
    assert [one.kind for one in second.files] == ["increment", "increment", "full"]
    assert second.parent == first.point
    third = site.image([site.disks[0], site.disks[2]])
    assert [one.kind for one in third.files] == ["increment", "increment"]
    told = verify_path(site.images, clock=site.clock, cancel=NeverCancelled(), report=print_nothing)
    assert told.good
    assert told.points == 3
    assert told.files == 7


def test_disks_keep_their_identity_when_their_paths_change(tmp_path: Path) -> None:
    """A disk under a new name is compared with the one in its place, not written whole."""
    site = Site(tmp_path)
    _make(site.disks[0], 2 * MIB, 5, seed=5)
    site.image()
    moved = site.disks[0].rename(tmp_path / "snapshot-17.raw")
    site.restored[moved] = site.restored[site.disks[0]]
    assert site.image([moved]).files[0].size == 8192


# --- new sets, lost state -------------------------------------------------------------------


def test_a_full_on_demand_starts_a_new_set_of_the_same_machine(tmp_path: Path) -> None:
    """The machine's UUID joins the sets; sequence starts again at one in a folder of its own."""
    site = Site(tmp_path)
    _make(site.disks[0], 2 * MIB, 5, seed=6)
    one, other = site.image(), site.image(full=True)
    machines = {json.loads(p.manifest.read_text())["machine"]["uuid"] for p in (one, other)}
    assert len(machines) == 1
    assert one.set_id != other.set_id
    assert one.manifest.parent != other.manifest.parent
    assert other.full
    assert other.sequence == 1
    assert other.why_full
    assert site.image().parent == other.point


def test_a_lost_hash_map_is_made_again_from_the_images(tmp_path: Path) -> None:
    """Without its state the tool still writes an increment of what changed, and no more."""
    site = Site(tmp_path)
    _make(site.disks[0], 30 * GRAIN + 17, 9, seed=7)
    site.image()
    _poke(site.disks[0], 3, b"a" * GRAIN)
    os.truncate(site.disks[0], 41 * GRAIN + 3)
    before = site.image()
    shutil.rmtree(site.images / "erp-1" / ".state")
    _poke(site.disks[0], 40 * GRAIN, b"b")
    made = site.image()
    assert (made.parent, made.files[0].data_bytes) == (before.point, GRAIN)


def test_a_damaged_hash_map_is_not_believed(tmp_path: Path) -> None:
    """A map with one wrong bit would hide a change; it is made again."""
    site = Site(tmp_path)
    site.disks[0].write_bytes(random.Random(8).randbytes(10 * GRAIN))
    site.image()
    (found,) = (site.images / "erp-1" / ".state").glob("*.bph")
    data = bytearray(found.read_bytes())
    data[4096 + 16 * 4] ^= 1
    found.write_bytes(data)
    assert site.image().files[0].size == 8192


def test_a_chain_whose_newest_file_is_gone_is_not_continued(tmp_path: Path) -> None:
    """An increment nobody can apply is worth nothing: a new set begins, and says why."""
    site = Site(tmp_path)
    _make(site.disks[0], 2 * MIB, 5, seed=9)
    site.image()
    site.image().files[0].path.unlink()
    made = site.image()
    assert made.full
    assert "not in the folder" in made.why_full


# --- cut off, out of the way ----------------------------------------------------------------


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("p*") if path.is_file()}


def test_a_killed_run_leaves_drafts_only_and_the_next_clears_them(tmp_path: Path) -> None:
    """SIGKILL in the middle leaves `.part` files, which the next run removes."""
    site = Site(tmp_path)
    site.disks[0].write_bytes(random.Random(10).randbytes(8 * MIB))
    site.image()
    before = _names(site.images)
    site.disks[0].write_bytes(random.Random(11).randbytes(8 * MIB))
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from engine.daemon.clock import SystemClock\n"
        "from engine.images.bpi.writer import BpiWriter\n"
        "from engine.images.imaging.create import create_point\n"
        "from engine.ports import NeverCancelled\n"
        "plain = BpiWriter.data\n"
        "def data(self, start, *rest):\n"
        "    plain(self, start, *rest)\n"
        "    if start >= 4 << 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "BpiWriter.data = data\n"
        "create_point('ERP 1', Path(sys.argv[1]), [Path(sys.argv[2])], clock=SystemClock(),\n"
        "             cancel=NeverCancelled(), report=lambda progress: None)\n"
    )
    argv = [sys.executable, "-c", script, str(site.images), str(site.disks[0])]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    left = _names(site.images) - before
    assert left
    assert all(name.endswith(".part") for name in left)
    site.image()
    assert not [name for name in _names(site.images) if name.endswith(".part")]


def test_a_file_published_without_its_manifest_is_cleared(tmp_path: Path) -> None:
    """Cut off between the last disk and the manifest, the orphan does not stay in the folder."""
    site = Site(tmp_path)
    _make(site.disks[0], MIB, 3, seed=12)
    site.image()
    made = site.image()
    made.manifest.unlink()
    assert site.image().sequence == 2
    assert not made.files[0].path.exists()


def test_a_damaged_manifest_costs_no_image(tmp_path: Path) -> None:
    """A point whose manifest is damaged is left as it is, and not taken for an orphan."""
    site = Site(tmp_path)
    _make(site.disks[0], MIB, 3, seed=13)
    site.image()
    made = site.image()
    made.manifest.write_bytes(b"{}")
    again = site.image()
    assert made.files[0].path.exists()
    assert again.full
    assert "damaged" in again.why_full


def test_a_cancelled_run_leaves_nothing(tmp_path: Path) -> None:
    """Cancelled in the middle, the folder is as it was before."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(random.Random(14).randbytes(12 * MIB))
    cancel = CancelFlag()

    class Impatient(ManualClock):
        def monotonic(self) -> float:
            self.advance(1)
            if self._elapsed > 6:
                cancel.set()
            return super().monotonic()

    with pytest.raises(Cancelled):
        create_point(
            "erp", tmp_path / "images", [disk], clock=Impatient(NOW), cancel=cancel,
            report=print_nothing,
        )  # fmt: skip
    assert _names(tmp_path / "images") == set()


def test_imaging_a_large_disk_takes_little_memory(tmp_path: Path) -> None:
    """Half a terabyte, mostly holes, needs less than 150 MiB and no time for its holes."""
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(512 << 30)
        for at in range(0, 512 << 30, 16 << 30):
            file.seek(at)
            file.write(random.Random(at).randbytes(2 * MIB))
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from engine.daemon.clock import SystemClock\n"
        "from engine.images.imaging.create import create_point\n"
        "from engine.ports import NeverCancelled\n"
        "for _ in range(2):\n"
        "    create_point('erp', Path(sys.argv[1]), [Path(sys.argv[2])], clock=SystemClock(),\n"
        "                 cancel=NeverCancelled(), report=lambda progress: None)\n"
        # Not ru_maxrss: a child inherits the peak of the process that started it.
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.partition('VmHWM:')[2].split()[0])\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "images"), str(disk)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert int(told.stdout) < 150 << 10


# --- export ---------------------------------------------------------------------------------


def test_a_chain_is_exported_for_other_tools(tmp_path: Path) -> None:
    """qemu-img finds in the exported qcow2 the disk of the last point, files named in any order."""
    site = Site(tmp_path)
    size = 40 * GRAIN + 512
    _make(site.disks[0], size, 9, seed=15)
    points = [site.image()]
    os.truncate(site.disks[0], 30 * GRAIN)
    points.append(site.image())
    export(
        [point.files[0].path for point in points], tmp_path / "short.raw", format="raw",
        clock=site.clock, cancel=NeverCancelled(), report=print_nothing,
    )  # fmt: skip
    assert _same(tmp_path / "short.raw", site.disks[0])
    os.truncate(site.disks[0], size)
    _poke(site.disks[0], 0, bytes(9 * GRAIN))
    points.append(site.image())
    files = [point.files[0].path for point in (points[2], points[0], points[1])]
    told = export(
        files, tmp_path / "out.qcow2",
        clock=site.clock, cancel=NeverCancelled(), report=print_nothing,
    )  # fmt: skip
    assert told.files == [point.files[0].path for point in points]
    argv = ["qemu-img", "compare", "-f", "qcow2", "-F", "raw", str(told.path), str(site.disks[0])]
    assert subprocess.run(argv, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"out.qcow2"}
    assert not list(tmp_path.glob(".out*"))


def test_taken_at_is_kept_to_the_microsecond(tmp_path: Path) -> None:
    """The time of the source snapshot is the operator's, not the time of writing."""
    site = Site(tmp_path)
    _make(site.disks[0], MIB, 3, seed=16)
    moment = NOW - timedelta(hours=3, microseconds=7)
    made = site.image(taken_at=moment)
    assert made.taken_at == moment
    assert json.loads(made.manifest.read_text())["taken_at"] == "2025-12-31T23:59:59.999993000Z"
