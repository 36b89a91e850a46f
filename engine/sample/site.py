"""The sample site: a "server" with a real guest, its images, and where they are replicated to.

source/sample.raw ──image──► images/ ──replicate──► watched/ ──► the engine
(changes for real)           (full, increments)      (file by file, at a visible pace)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.config.standby import write_standby
from engine.images.imaging.create import PointMade, create_point
from engine.images.imaging.plan import ImagingOptions
from engine.local.durable import durable_replace, make_folder, open_folder
from engine.model.errors import NotFound, Problem
from engine.model.machine import Firmware, Hints, Nic
from engine.model.standby import Standby
from engine.model.text import safe
from engine.ports import Cancel, Clock, Report
from engine.sample.guest import build_guest, grow_guest
from engine.sample.replicate import replicate

MACHINE = "sample"
MEMORY = 256 << 20
HINTS = Hints(
    os="linux",
    firmware=Firmware.BIOS,
    cpus=1,
    memory=MEMORY,
    nics=(Nic("eth0", "52:54:00:5a:11:e1"),),
)
_CONFIG = """\
# Configuration of the sample site's engine. sample-config/ explains every key.
site = "sample site"
state_dir = "state"

[watch]
roots = ["watched"]
rescan_s = 5
quiet_s = 2
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the parts of a sample site are."""

    folder: Path

    @property
    def config(self) -> Path:
        """The engine's configuration."""
        return self.folder / "engine.toml"

    @property
    def source(self) -> Path:
        """The disk of the protected "server"."""
        return self.folder / "source" / f"{MACHINE}.raw"

    @property
    def images(self) -> Path:
        """Where the "backup product" writes."""
        return self.folder / "images"

    @property
    def watched(self) -> Path:
        """Where replication brings the images, and the engine looks."""
        return self.folder / "watched"

    @property
    def exists(self) -> bool:
        """True when the site was built to its end."""
        return self.config.exists()


def build(
    folder: Path, clock: Clock, cancel: Cancel, report: Report, say: Callable[[str], None]
) -> Site:
    """Build a sample site: guest, first full image, configuration. Nothing is replicated yet.

    Args:
        folder: Made when it does not exist; what an interrupted build left is made anew.
        report: Progress of the image.
        say: Told each step in words.
    """
    site = Site(folder.absolute())
    for part in (site.source.parent, site.images, site.watched, site.folder / "standbys.d"):
        make_folder(part, 0o755)
    if not site.source.exists():
        build_guest(site.source, site.folder / "cache", say)
    say("imaging the guest's disk")
    if not any(site.images.rglob("*.json")):
        image(site, clock, cancel, report)
    standby = Standby(
        name=MACHINE, images=str(site.watched), rpo_s=3600, memory=MEMORY, cpus=1, keep=8
    )
    write_standby(site.folder / "standbys.d", standby)
    with open_folder(site.folder) as fd:
        durable_replace(fd, site.config.name, _CONFIG.encode())
    return site


def image(site: Site, clock: Clock, cancel: Cancel, report: Report) -> PointMade:
    """Make the next image of the source disk: a full the first time, then increments."""
    options = ImagingOptions(hints=HINTS)
    return create_point(
        MACHINE,
        site.images,
        [site.source],
        clock=clock,
        cancel=cancel,
        report=report,
        options=options,
    )


def existing(folder: Path) -> Site:
    """Return the site in a folder. NotFound when there is none."""
    site = Site(folder.absolute())
    if not site.exists:
        raise NotFound(
            Problem(
                "sample.none",
                f"There is no sample site in {safe(str(site.folder), 200)}.",
                "",
                "Build one: bootpoint sample build",
            )
        )
    return site


def grow(
    site: Site, clock: Clock, cancel: Cancel, report: Report, rate: float | None = None
) -> tuple[int, PointMade]:
    """Let the source's file system change, image the change, replicate it.

    Args:
        rate: Bytes per second of the replication; None: as fast as it goes.

    Returns:
        The guest's new counter, and the image made.
    """
    counter = grow_guest(site.source)
    made = image(site, clock, cancel, report)
    replicate(site.images, site.watched, clock, cancel, report, rate)
    return counter, made
