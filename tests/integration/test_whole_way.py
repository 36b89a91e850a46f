"""Image files into boot points by the real program, on real stores, killed and disturbed."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.api.client import Client
from engine.api.errors import EngineAway
from engine.api.views import FindingView, JournalView, MachineView, SetView
from engine.daemon.clock import SystemClock
from engine.images.imaging.create import create_point
from engine.ports import NeverCancelled

MIB = 1 << 20
BOOTPOINT = Path(sys.executable).with_name("bootpoint")
pytestmark = [pytest.mark.timeout(600)]


@dataclass
class Site:
    """A folder with an engine's configuration, a source disk, images, and the watched folder."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The source disk."""
        return self.folder / "source.raw"

    @property
    def images(self) -> Path:
        """Where images are made."""
        return self.folder / "images"

    @property
    def watched(self) -> Path:
        """Where the engine looks."""
        return self.folder / "watched"

    @property
    def store(self) -> Path:
        """Where layers live."""
        return self.folder / "state/store/erp"

    def image(self) -> list[Path]:
        """Make the next image; return its files, disks before the manifest."""
        made = create_point(
            "erp",
            self.images,
            [self.disk],
            clock=SystemClock(),
            cancel=NeverCancelled(),
            report=lambda _progress: None,
        )
        shutil.copy(self.disk, self.folder / f"truth-{made.sequence}.raw")
        return [*(file.path for file in made.files), made.manifest]

    def copy(self, *files: Path) -> None:
        """Copy files into the watched folder, straight under their names."""
        for file in files:
            place = self.watched / file.relative_to(self.images)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)

    def change(self, seed: int, amount: int = 4 * MIB) -> None:
        """Write `amount` random bytes at random places of the source disk."""
        rnd = random.Random(seed)
        with self.disk.open("r+b") as disk:
            for _ in range(amount // MIB):
                disk.seek(rnd.randrange(0, self.disk.stat().st_size - MIB, 512))
                disk.write(rnd.randbytes(MIB))

    @contextmanager
    def engine(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the engine until the block ends."""
        process = self.start()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, self.log()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the engine; it answers when this returns."""
        with (self.folder / "engine.log").open("ab") as log:
            process = subprocess.Popen(
                [BOOTPOINT, "engine", "--config", self.folder / "engine.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self.answers, 60, self.log)
        return process

    def client(self) -> Client:
        """Connect to the engine."""
        return Client(self.folder / "state/engine.sock")

    def answers(self) -> bool:
        """Tell whether the engine answers."""
        try:
            self.client().close()
        except EngineAway:
            return False
        return True

    def machine(self) -> MachineView:
        """Return what the engine says about the standby."""
        client = self.client()
        try:
            return client.call("machine", MachineView, machine="erp")
        finally:
            client.close()

    def ask(self, method: str, kind: type, **params: object) -> list:
        """Return a list of views."""
        client = self.client()
        try:
            return client.call(method, list[kind], **params)
        finally:
            client.close()

    def ready(self) -> list[int]:
        """Return the sequences of the ready boot points."""
        return sorted(p.sequence for p in self.machine().points if p.stage == "ready")

    def wait_ready(self, *sequences: int, seconds: float = 90) -> None:
        """Wait until exactly these recovery points are ready boot points."""
        wait_for(
            lambda: self.ready() == list(sequences),
            seconds,
            lambda: f"{self.machine()}{self.log()}",
        )

    def log(self) -> str:
        """Return the end of the engine's log."""
        return (self.folder / "engine.log").read_text(errors="replace")[-4000:]

    def check_trunk(self) -> None:
        """Compare every trunk layer with the source disk of its time, by qemu-img."""
        for point in self.machine().points:
            if point.stage != "ready":
                continue
            layer = self.store / f"{point.id}-replica"
            file = next(layer.glob("disk-0.*[!s]"))
            form = "raw" if file.suffix == ".raw" else "qcow2"
            truth = self.folder / f"truth-{point.sequence}.raw"
            compare = ["qemu-img", "compare", "-f", "raw", "-F", form, truth, file]
            subprocess.run(compare, check=True, capture_output=True)


def wait_for(true: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
    """Wait until something is true; fail with `why` when it takes too long."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, why()
        _pause(0.2)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@contextmanager
def xfs(folder: Path) -> Iterator[Path]:
    """Mount a small XFS with reflinks in `folder`."""
    image, place = folder / "xfs.img", folder / "xfs"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(1024 * MIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture(params=["reflink", "qcow2"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site whose store is chosen by probing: reflink on XFS, qcow2 elsewhere."""
    if request.param == "qcow2":
        yield make_site(tmp_path)
        return
    with xfs(tmp_path) as folder:
        yield make_site(folder)


def make_site(folder: Path) -> Site:
    """Lay out a site; the source disk is 48 MiB, half of it data."""
    site = Site(folder)
    (folder / "standbys.d").mkdir()
    site.watched.mkdir()
    (folder / "engine.toml").write_text(
        'site = "test"\nstate_dir = "state"\n[watch]\nrescan_s = 1\nquiet_s = 0.5\n'
        '[targets.local]\nkind = "simulated"\n'
    )
    told = f'images = "{site.watched}"\nkeep = 4\nconversion = "none"\n'  # random bytes, no guest
    (folder / "standbys.d/erp.toml").write_text(told)
    with site.disk.open("wb") as disk:
        disk.truncate(48 * MIB)
    site.change(1, 24 * MIB)
    return site


def test_images_become_boot_points_bit_for_bit(site: Site) -> None:
    """Files that arrive in the wrong order become boot points whose trunk is the source disk."""
    points = []
    for seed in range(2, 6):
        points.append(site.image())
        site.change(seed)
    with site.engine():
        for files in reversed(points):
            site.copy(*reversed(files))
            _pause(0.3)

        site.wait_ready(1, 2, 3, 4)
        site.check_trunk()
        points.append(site.image())
        site.copy(*points[-1])
        site.wait_ready(2, 3, 4, 5)
        wait_for(lambda: len(list(site.store.glob("bp*"))) == 8, 60, site.log)
        site.check_trunk()


def test_killed_in_the_middle_of_a_seed_it_goes_on(site: Site) -> None:
    """SIGKILL at bad moments, again and again: the end is the same, nothing is left over."""
    points = []
    for seed in range(2, 5):
        points.append(site.image())
        site.change(seed, 16 * MIB)
    site.copy(*points[0], *points[1])
    for pause in (0.1, 0.5, 0.9, 1.3, 1.7, 2.1):
        process = site.start()
        _pause(pause)
        process.kill()
        process.wait()
    site.copy(*points[2])
    with site.engine():
        site.wait_ready(1, 2, 3)
        site.check_trunk()
    assert len(list(site.store.glob("bp*"))) == 6


def test_bad_files_are_told_and_never_applied(site: Site) -> None:
    """Truncated, foreign, damaged, duplicate and half files change nothing and are explained."""
    first = site.image()
    site.change(2)
    second = site.image()
    with site.engine():
        site.copy(*first)
        site.wait_ready(1)
        half = site.watched / second[0].relative_to(site.images)
        half.write_bytes(second[0].read_bytes()[: second[0].stat().st_size // 2])
        (site.watched / "mail-b001-i001.spi").write_bytes(b"\0" * 100_000)
        (site.watched / "noise.bpi").write_bytes(random.Random(1).randbytes(50_000))
        (site.watched / "twice.bpi").write_bytes(first[0].read_bytes())
        shutil.copy(second[1], half.parent)

        def told() -> bool:
            found = [f.subject + f.text for f in site.ask("findings", FindingView)]
            return all(
                any(word in f for f in found) for word in (half.name, "ShadowProtect", "noise.bpi")
            )

        wait_for(told, 60, lambda: str(site.ask("findings", FindingView)))
        _pause(2)
        assert site.ready() == [1]
        flipped = bytearray(second[0].read_bytes())
        flipped[6000] ^= 1
        half.write_bytes(flipped)
        wait_for(
            lambda: any(p.stage == "failed" for p in site.machine().points),
            60,
            lambda: str(site.machine()),
        )
        assert site.ready() == [1]
        journal = site.ask("journal.read", JournalView, after=0, limit=200)
        assert any(line.severity == "error" and line.remedy for line in journal)
        site.copy(second[0])
        site.wait_ready(1, 2)
        site.check_trunk()


def test_a_missing_increment_is_named_and_the_rest_waits(site: Site) -> None:
    """With increment 2 missing, 3 waits with a sentence; when 2 comes, both are made."""
    points = []
    for seed in range(2, 5):
        points.append(site.image())
        site.change(seed)
    with site.engine():
        site.copy(*points[0], *points[2])
        site.wait_ready(1)
        wait_for(lambda: any(s.missing for s in site.ask("sets", SetView)), 30, site.log)
        assert site.machine().waiting
        site.copy(*points[1])
        site.wait_ready(1, 2, 3)
        site.check_trunk()


def test_an_unplugged_folder_loses_nothing(site: Site) -> None:
    """While the watched folder is away boot points stay; when it is back, work goes on."""
    first = site.image()
    site.change(2)
    second = site.image()
    with site.engine():
        site.copy(*first)
        site.wait_ready(1)
        away = site.watched.with_name("away")
        site.watched.rename(away)
        wait_for(
            lambda: any("watched" in f.subject + f.text for f in site.ask("findings", FindingView)),
            30,
            site.log,
        )
        assert site.ready() == [1]
        away.rename(site.watched)
        site.copy(*second)
        site.wait_ready(1, 2)


def test_the_state_is_rebuilt_from_the_store_alone(site: Site) -> None:
    """With state and images gone, the layers' own manifests bring the boot points back."""
    for seed in range(2, 4):
        site.copy(*site.image())
        site.change(seed)
    with site.engine():
        site.wait_ready(1, 2)
    for file in (site.folder / "state").glob("state.db*"):
        file.unlink()
    third = site.image()
    rebuild = [
        BOOTPOINT,
        "engine",
        "--config",
        site.folder / "engine.toml",
        "--rebuild-state",
        "--until-idle",
    ]
    subprocess.run(rebuild, check=True, timeout=120, capture_output=True)
    with site.engine():
        site.copy(*third)
        site.wait_ready(1, 2, 3)
        site.check_trunk()


def test_applied_images_may_vanish_at_the_source(site: Site) -> None:
    """When the full is deleted after it was applied, the next increment is made all the same."""
    first = site.image()
    site.change(2)
    second = site.image()
    with site.engine():
        site.copy(*first)
        site.wait_ready(1)
        for file in first:
            (site.watched / file.relative_to(site.images)).unlink()
        site.copy(*second)
        site.wait_ready(1, 2)
        site.check_trunk()
        assert site.machine().waiting == []
