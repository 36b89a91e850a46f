"""A real guest, five increments, a conversion at each: what the engine makes, killed and not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.guests.record import import_record
from engine.sample.guest import build_guest, check_guest, counter_of, grow_guest
from tests.site import Site, make_site, pause, xfs

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
POINTS = 6
pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sample guest's disk."""
    disk = tmp_path_factory.mktemp("guest") / "disk.raw"
    build_guest(disk, CACHE, print)
    return disk


@pytest.fixture(params=["reflink", "qcow2"])
def site(request: pytest.FixtureRequest, tmp_path: Path, guest: Path) -> Iterator[Site]:
    """Yield a site with a guest, on a store of each kind, whose boot points are converted."""
    if request.param == "qcow2":
        yield with_guest(make_site(tmp_path, "libvirt", "auto"), guest)
        return
    with xfs(tmp_path) as folder:
        yield with_guest(make_site(folder, "libvirt", "auto"), guest)


def with_guest(site: Site, guest: Path) -> Site:
    """Put the guest into a site; keep as many boot points as the test makes."""
    shutil.copyfile(guest, site.disk)
    definition = site.folder / "standbys.d/erp.toml"
    definition.write_text(definition.read_text().replace("keep = 4", f"keep = {POINTS}"))
    return site


def images(site: Site) -> None:
    """Make a full and five increments, between which the guest's file system really changes."""
    for number in range(POINTS):
        if number:
            grow_guest(site.disk)
        site.copy(*site.image())


def disk_of(site: Site, layer: str) -> tuple[Path, str]:
    """Return a layer's disk and its format."""
    file = next((site.store / layer).glob("disk-0.*[!s]"))
    return file, file.suffix[1:]


def check_points(site: Site, work: Path) -> None:
    """Check each boot point: trunk as the image, twig converted, clean, with its own counter."""
    site.check_trunk()
    points = [point for point in site.machine().points if point.stage == "ready"]
    assert len(points) == POINTS
    for point in points:
        [twig] = site.store.glob(f"{point.id}*-conversion")
        file, form = disk_of(site, twig.name)
        flat = work / "flat.raw"
        command = ["qemu-img", "convert", "-f", form, "-O", "raw", file, flat]
        subprocess.run(command, check=True)
        check_guest(flat)
        assert counter_of(flat) == point.sequence
        trunk, trunk_form = disk_of(site, f"{point.id}-replica")
        compare = ["qemu-img", "compare", "-f", trunk_form, "-F", "raw", trunk, flat]
        assert subprocess.run(compare, check=False, capture_output=True).returncode == 1
        text = (twig / "conversion.json").read_bytes().partition(b"\n")[2].decode()
        record = import_record(text)
        assert record.ledger.check == "full"
        assert any(entry.path.endswith("grub.cfg") for entry in record.ledger.entries)


def test_five_increments_are_converted_each_and_the_trunk_stays_the_image(
    site: Site, tmp_path: Path
) -> None:
    """Trunk layers are bit for bit the images; twigs are clean, converted, and differ from them."""
    images(site)
    with site.engine():
        site.wait_ready(*range(1, POINTS + 1), seconds=300)
        check_points(site, tmp_path)


def test_an_engine_that_is_killed_while_it_converts_ends_with_the_same(
    site: Site, tmp_path: Path
) -> None:
    """SIGKILL again and again: the next start clears what was left and goes on."""
    images(site)
    for seconds in (0.6, 1.1, 1.6, 2.1, 2.6, 3.1):
        process = site.start()
        pause(seconds)
        process.kill()
        process.wait()
    with site.engine():
        site.wait_ready(*range(1, POINTS + 1), seconds=300)
        check_points(site, tmp_path)
    left = list((site.folder / "state/conversion/work").glob("flat-*"))
    assert left == []
    mounts = Path("/proc/self/mounts").read_text()
    assert str(site.folder / "state") not in mounts
