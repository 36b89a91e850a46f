"""The native format in watched folders that are real: mounted, unplugged, full of files."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from engine.daemon.clock import SystemClock
from engine.images.bpi import BpiFormat
from engine.images.imaging.create import create_point
from engine.images.imaging.plan import ImagingOptions
from engine.images.watching.inbox import Inbox
from engine.images.watching.scan import Scanner
from engine.images.watching.source import FolderSource
from engine.local.safedir import SafeDir
from engine.model.images import RootView
from engine.ports import NeverCancelled
from tests.arrivals import START, said
from tests.contract.disk_chains import mounted
from tests.unit.watching.conftest import Folder, points, told

CLOCK = SystemClock()
MIB = 1 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a full and three increments of a machine with two disks."""
    folder = tmp_path_factory.mktemp("site")
    disks = [folder / "one.raw", folder / "two.raw"]
    rng = random.Random(1)
    for number in range(4):
        for disk in disks:
            with disk.open("r+b" if disk.exists() else "w+b") as file:
                file.truncate(4 * MIB)
                file.seek(rng.randrange(48) * 65536)
                file.write(rng.randbytes(65536))
        create_point(
            "erp",
            folder / "replica",
            disks,
            clock=CLOCK,
            cancel=NeverCancelled(),
            report=lambda _progress: None,
            options=ImagingOptions(taken_at=START + timedelta(hours=number)),
        )
    return folder


def files_of(site: Path) -> list[Path]:
    """Return the image files of the site, oldest point first, the manifest of each last."""
    found = [p for p in (site / "replica").rglob("p*") if p.is_file()]
    return sorted(found, key=lambda p: (p.name[:23], p.suffix == ".json", p.name))


def make_scanner(root: Path, time_: list[float]) -> Scanner:
    """Return a scanner of the native format whose clock moves when told."""
    return Scanner(str(root), [BpiFormat()], quiet_s=2, monotonic=lambda: time_[0])


def settled_view(root: Path) -> RootView:
    """Return what two scans a while apart say."""
    at = [0.0]
    scanner = make_scanner(root, at)
    scanner.scan(START)
    at[0] = 60.0
    return scanner.scan(START)


def test_native_points_are_found_and_opened(site: Path) -> None:
    """What the imaging tool wrote is one set of four complete points, each of which opens."""
    view = settled_view(site / "replica")
    assert told(view) == []
    (found,) = view.sets
    assert [(p.sequence, p.arrival, len(p.disks)) for p in found.points] == [
        (1, "complete", 2),
        (2, "complete", 2),
        (3, "complete", 2),
        (4, "complete", 2),
    ]
    assert found.machine_name == "erp"
    assert not found.missing
    source = FolderSource([BpiFormat()])
    for point in found.points:
        with source.open(point) as opened:
            for disk in opened.disks:
                for piece in disk.pieces():
                    disk.read([piece], memoryview(bytearray(piece.length)))
            opened.unchanged()


@pytest.mark.parametrize("seed", range(4))
def test_native_files_in_any_order_and_in_pieces(site: Path, tmp_path: Path, seed: int) -> None:
    """Half copies, wrong order and duplicates on the way; the same four points in the end."""
    rng = random.Random(seed)
    root, at = tmp_path / "replica", [0.0]
    root.mkdir()
    scanner = make_scanner(root, at)
    wanted = said(points(settled_view(site / "replica")))
    files = files_of(site)
    for path in rng.sample(files, len(files)):
        data = path.read_bytes()
        target = root / path.name
        for end in sorted(rng.sample(range(len(data)), 2)):
            target.write_bytes(data[:end])
            at[0] += rng.choice([0, 1, 3])
            view = scanner.scan(START)
            assert all(p.arrival != "damaged" for p in points(view))
            assert path.name not in used(view)
        target.write_bytes(data)
        if rng.random() < 0.3:
            shutil.copy(target, root / f"copy-of-{path.name}")
        at[0] += 1
        scanner.scan(START)
    for _ in range(2):
        at[0] += 3
        view = scanner.scan(START)
    assert said(points(view)) == wanted
    assert {bad.key for bad in view.bad} <= {"image.duplicate"}


def used(view: RootView) -> set[str]:
    """Return the files of complete points."""
    return {d.path for p in points(view) if p.arrival == "complete" for d in p.disks}


def test_a_missing_native_middle_is_named(site: Path, tmp_path: Path) -> None:
    """Without the third point the fourth waits, and the sentence names the third by its id."""
    wanted = points(settled_view(site / "replica"))
    root = tmp_path / "replica"
    root.mkdir()
    for path in files_of(site):
        if not path.name.startswith("p000003"):
            shutil.copy(path, root)
    view = settled_view(root)
    assert [p.sequence for p in points(view)] == [1, 2, 4]
    ((missing, text),) = view.sets[0].missing.items()
    assert missing == wanted[2].id
    assert text.startswith("p000004 (2026-01-01 06:00:00 UTC) of erp continues point")
    assert f"{missing}, sequence 3, which is not in" in text


def test_two_native_points_with_the_same_parent_fork(site: Path, tmp_path: Path) -> None:
    """A folder copied back and imaged again gives a fork; both ends are there."""
    old = tmp_path / "old"
    shutil.copytree(site, old)
    for path in files_of(old):
        if path.name.startswith("p000004"):
            path.unlink()
    shutil.rmtree(old / "replica/erp/.state", ignore_errors=True)
    create_point(
        "erp",
        old / "replica",
        [old / "one.raw", old / "two.raw"],
        clock=CLOCK,
        cancel=NeverCancelled(),
        report=lambda _progress: None,
        options=ImagingOptions(taken_at=START + timedelta(hours=9)),
    )
    for path in files_of(site):
        shutil.copy(path, old / "replica")
    found = points(settled_view(old / "replica"))
    third = [p for p in found if p.sequence == 3]
    assert [p.parent for p in found if p.sequence == 4] == [third[0].id] * 2
    assert all(p.arrival == "complete" for p in found)


def wait(until: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something; fail when it does not come."""
    end = CLOCK.monotonic() + seconds
    while not until():
        assert CLOCK.monotonic() < end, "it did not happen"
        threading.Event().wait(0.02)


def test_an_unmounted_share_comes_back(site: Path, tmp_path: Path) -> None:
    """Mount gone: offline, all points kept. What arrived meanwhile is found on return."""
    files = files_of(site)
    real, root = tmp_path / "real", tmp_path / "mnt"
    real.mkdir()
    for path in files[:3]:
        shutil.copy(path, real)
    views: list[RootView] = []
    inbox = Inbox(
        [BpiFormat()],
        on_view=views.append,
        now=CLOCK.now,
        monotonic=CLOCK.monotonic,
        rescan_s=0.3,
        quiet_s=0.2,
    )
    with mounted(["--bind", str(real)], root):
        inbox.add_root(str(root))
        wait(lambda: bool(views) and [p.arrival for p in points(views[-1])] == ["complete"])
    wait(lambda: not views[-1].online)
    assert [p.arrival for p in points(views[-1])] == ["complete"]
    for path in files[3:6]:
        shutil.copy(path, real)
    root.rmdir()
    with mounted(["--bind", str(real)], root):
        wait(lambda: views[-1].online)
        wait(lambda: [p.arrival for p in points(views[-1])] == ["complete"] * 2)
        inbox.stop()
    assert len({v.reason for v in views if not v.online}) in (1, 2)


def test_a_share_mounted_on_another_device_is_the_same(site: Path, tmp_path: Path) -> None:
    """A file system that returns with another device number is taken for what it holds."""
    root, at = tmp_path / "mnt", [0.0]
    tmpfs = ["-t", "tmpfs", "-o", "size=64M", "none"]
    scanner = make_scanner(root, at)
    devices, found = [], []

    def fill_and_scan() -> None:
        for path in files_of(site):
            shutil.copy(path, root)
        scanner.scan(START)
        at[0] += 60
        view = scanner.scan(START)
        assert view.online
        found.append(said(points(view)))
        devices.append(root.stat().st_dev)

    with mounted(tmpfs, root):
        fill_and_scan()
    gone = scanner.scan(START)
    assert (gone.online, said(points(gone))) == (False, found[0])
    root.rmdir()
    with mounted(tmpfs, tmp_path / "takes-the-number"), mounted(tmpfs, root):
        fill_and_scan()
    assert devices[0] != devices[1]
    assert found[0] == found[1]


def test_a_disk_plugged_in_again_is_taken_up_at_once(site: Path, tmp_path: Path) -> None:
    """The same file system under another device number needs no quiet time and no second look."""
    image, other, root, at = tmp_path / "disk", tmp_path / "other", tmp_path / "mnt", [0.0]
    for path in (image, other):
        with path.open("wb") as file:
            file.truncate(32 * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    scanner = make_scanner(root, at)
    with mounted(["-o", "loop", str(image)], root):
        for path in files_of(site):
            shutil.copy(path, root)
        scanner.scan(START)
        at[0] += 60
        before, device = scanner.scan(START), root.stat().st_dev
    at[0] += 60
    assert not scanner.scan(START).online
    root.rmdir()
    loop = ["-o", "loop"]
    with mounted([*loop, str(other)], tmp_path / "first"), mounted([*loop, str(image)], root):
        at[0] += 60
        view = scanner.scan(START)
        assert root.stat().st_dev != device
    assert view.online
    assert said(points(view)) == said(points(before))
    assert {p.arrival for p in points(view)} == {"complete"}


def test_a_device_is_never_opened(tmp_path: Path) -> None:
    """A device node under an image's name is listed as no image."""
    os.mknod(tmp_path / "tape.bpi", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    view = settled_view(tmp_path)
    assert told(view) == [("", "image.unknown", False)]
    with SafeDir(str(tmp_path)) as folder, pytest.raises(OSError, match="not a regular file"):
        folder.open("tape.bpi")


def test_rsync_like_copies_are_seen_when_named(site: Path, tmp_path: Path) -> None:
    """Files that a copier writes under a temporary name and renames appear whole, or not at all."""
    root, at = tmp_path / "replica", [0.0]
    root.mkdir()
    scanner = make_scanner(root, at)
    for number, path in enumerate(files_of(site)[:3]):
        draft = root / f".{path.name}.a1B2c3"
        draft.write_bytes(path.read_bytes()[:1000])
        at[0] += 60
        view = scanner.scan(START)
        assert (view.files, told(view)) == (number, [])
        draft.write_bytes(path.read_bytes())
        draft.rename(root / path.name)
    scanner.scan(START)
    at[0] += 60
    assert [p.arrival for p in points(scanner.scan(START))] == ["complete"]


def test_a_hundred_thousand_files_scan_within_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cost is no excuse: a large unchanged tree is scanned in full, again and again (48, G12)."""
    root, took = tmp_path / "replica", []
    with mounted(["-t", "tmpfs", "none"], root):
        for number in range(500):
            (root / f"{number:03d}").mkdir()
            at = os.open(root / f"{number:03d}", os.O_RDONLY)
            for name in range(200):
                os.close(os.open(f"{name:03d}-\udcff{'x' * 200}", os.O_CREAT, dir_fd=at))
            os.close(at)
        folder = Folder(root)
        for _ in range(3):
            started = CLOCK.monotonic()
            view = folder.scan(60)
            took.append(CLOCK.monotonic() - started)
    with capsys.disabled():
        new, settling, unchanged = took
        print(
            f"\n100,000 files: {new:.1f} s new, {settling:.1f} s settling, {unchanged:.1f} s after"
        )
    assert view.files == 100_000
    assert unchanged < 10, "1 s on an idle machine"
