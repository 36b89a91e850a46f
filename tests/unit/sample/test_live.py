"""The sample site's life, on a disk with nothing but a counter."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.daemon.clock import ManualClock
from engine.local.durable import LockHeld, file_lock
from engine.model.errors import Cancelled
from engine.model.progress import Progress
from engine.ports import CancelFlag, NeverCancelled
from engine.sample.guest import counter_of
from engine.sample.live import Tempo, live
from engine.sample.site import Site, image

BLOCKS = 6144
START = datetime(2026, 1, 1, 3, tzinfo=UTC)
FAST = Tempo(increments=2, pause_s=60, rate=None)


def quiet(_progress: Progress) -> None:
    """Show nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose machine has counter 1 and one full image, not replicated yet."""
    made = Site(tmp_path / "site")
    data = tmp_path / "root/var/lib/sample/data"
    for folder in (data, made.source.parent, made.images, made.watched):
        folder.mkdir(parents=True)
    (data.parent / "counter").write_text("1\n")
    with made.source.open("xb") as disk:
        disk.truncate((BLOCKS << 12) + (1 << 20))
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "offset=1048576",
         "-d", tmp_path / "root", made.source, str(BLOCKS)],
        check=True,
    )  # fmt: skip
    image(made, ManualClock(START), NeverCancelled(), quiet)
    return made


def sequences(folder: Path) -> list[int]:
    """Return the numbers of the recovery points whose manifests are in a folder."""
    return sorted(json.loads(path.read_bytes())["sequence"] for path in folder.rglob("p0*.json"))


def test_the_site_grows_as_far_as_it_was_told(site: Site) -> None:
    """Each increment has the counter's next value and is replicated before the next is made."""
    told: list[str] = []
    clock = ManualClock(START)
    live(site, clock, NeverCancelled(), told.append, FAST)
    assert counter_of(site.source) == 3
    assert sequences(site.watched) == [1, 2, 3]
    assert clock.monotonic() >= 2 * FAST.pause_s
    assert told[0] == "replicating"


def test_a_site_that_is_done_rests(site: Site) -> None:
    """Run again, it changes nothing: `make run` can start it every time."""
    live(site, ManualClock(START), NeverCancelled(), str, FAST)
    before = site.source.stat().st_mtime_ns
    live(site, ManualClock(START), NeverCancelled(), str, FAST)
    assert site.source.stat().st_mtime_ns == before
    assert sequences(site.images) == [1, 2, 3]


def test_what_was_not_replicated_is_replicated_first(site: Site) -> None:
    """Ended between imaging and replicating, the next run catches up."""
    live(site, ManualClock(START), NeverCancelled(), str, FAST)
    for path in site.watched.rglob("p0*.json"):
        path.unlink()
    live(site, ManualClock(START), NeverCancelled(), str, FAST)
    assert sequences(site.watched) == [1, 2, 3]


def test_a_site_lives_only_once(site: Site) -> None:
    """Two at a time would make two increments of the same number."""
    with file_lock(site.folder / "live.lock"), pytest.raises(LockHeld):
        live(site, ManualClock(START), NeverCancelled(), str, FAST)
    assert sequences(site.watched) == []


def test_the_end_can_be_asked_for(site: Site) -> None:
    """It ends in the pause, with everything made so far in place, and lets go of the lock."""
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        live(site, ManualClock(START), flag, str, FAST)
    with file_lock(site.folder / "live.lock"):
        assert counter_of(site.source) == 1
