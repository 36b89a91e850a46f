"""Image files into boot points by the real program, on real stores, killed and disturbed."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.views import FindingView, JournalView, SetView
from tests.site import BOOTPOINT, MIB, Site, make_site, pause, wait_for, xfs

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(params=["reflink", "qcow2"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site whose store is chosen by probing: reflink on XFS, qcow2 elsewhere."""
    if request.param == "qcow2":
        yield noisy(make_site(tmp_path))
        return
    with xfs(tmp_path) as folder:
        yield noisy(make_site(folder))


def noisy(site: Site) -> Site:
    """Give a site a source disk of 48 MiB, half of it random data: no guest."""
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
            pause(0.3)

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
    for seconds in (0.1, 0.5, 0.9, 1.3, 1.7, 2.1):
        process = site.start()
        pause(seconds)
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
        pause(2)
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
