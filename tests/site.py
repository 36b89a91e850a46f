"""A site to try the real program on: a source disk, images of it, a watched folder, an engine."""

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

from engine.api.client import Client
from engine.api.errors import EngineAway
from engine.api.views import MachineView
from engine.daemon.clock import SystemClock
from engine.images.imaging.create import create_point
from engine.ports import NeverCancelled

MIB = 1 << 20
BOOTPOINT = Path(sys.executable).with_name("bootpoint")


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
        pause(0.2)


def pause(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


@contextmanager
def xfs(folder: Path) -> Iterator[Path]:
    """Mount a small XFS with reflinks in `folder`."""
    image, place = folder / "xfs.img", folder / "xfs"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(4096 * MIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def make_site(folder: Path, kind: str = "simulated", conversion: str = "none") -> Site:
    """Lay out a site without a source disk."""
    site = Site(folder)
    (folder / "standbys.d").mkdir()
    site.watched.mkdir()
    (folder / "engine.toml").write_text(
        'site = "test"\nstate_dir = "state"\n[watch]\nrescan_s = 1\nquiet_s = 0.5\n'
        f'[targets.local]\nkind = "{kind}"\n'
    )
    told = f'images = "{site.watched}"\nkeep = 4\nconversion = "{conversion}"\n'
    (folder / "standbys.d/erp.toml").write_text(told)
    return site
