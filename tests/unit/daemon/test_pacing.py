"""Read limits in the running engine: shared, by the hour, seen, and never in the way of an end."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from engine.daemon.clock import ManualClock, SystemClock
from engine.daemon.pacing import Bucket, Pacing
from engine.jobs.sync import sync
from engine.jobs.tools import Tools
from engine.model.blackout import parse_blackouts
from engine.model.errors import Cancelled
from engine.model.points import Stage
from engine.model.progress import Progress
from engine.model.readrate import ReadLimit, limit_of, parse_rate
from engine.ports import CancelFlag, NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.world import MemoryDisk, MemoryImages, World, data

MIB = 1 << 20
MONDAY = datetime(2026, 3, 2, 17, 59, 58, tzinfo=UTC)
HOURS = parse_blackouts(["mon-fri 08:00-18:00"])


def test_a_limit_ends_with_its_hours_while_somebody_waits() -> None:
    """Who waits for tokens at two to six goes on at six, not when they would have come."""
    clock = ManualClock(MONDAY)
    bucket = Bucket(ReadLimit("/r", MIB, HOURS), UTC, clock)
    bucket.take(60 * MIB, NeverCancelled())
    began = clock.monotonic()
    bucket.take(4 * MIB, NeverCancelled())
    assert clock.monotonic() <= 2.3
    assert clock.monotonic() > began
    bucket.take(400 * MIB, NeverCancelled())
    assert clock.monotonic() <= 2.3


def test_the_nearest_limit_counts_and_is_shared() -> None:
    """Directories below a limited one share its bucket, but for those with a limit of their own."""
    limits = (ReadLimit("/srv/replica", 40 * MIB), ReadLimit("/srv/replica/web", 10 * MIB))
    assert limit_of("/srv/replica/erp/a.bpi", limits) == limits[0]
    assert limit_of("/srv/replica/web/a.bpi", limits) == limits[1]
    assert limit_of("/srv/replica/website/a.bpi", limits) == limits[0]
    assert limit_of("/srv/replicas/a.bpi", limits) is None
    clock = ManualClock(MONDAY)
    pacing = Pacing(limits, UTC, clock)
    for name in ("erp", "dc", "erp", "dc"):
        pacing.take(f"/srv/replica/{name}/a.bpi", 40 * MIB, NeverCancelled())
    assert 2.9 < clock.monotonic() < 3.5
    assert pacing.pace("/srv/replica/web/a.bpi").rate == 10 * MIB
    assert pacing.pace("/elsewhere/a.bpi").rate is None


def test_a_cancel_bites_while_it_waits() -> None:
    """A job that waits a minute for its tokens ends soon after it was asked to."""
    bucket = Bucket(ReadLimit("/r", 64 << 10), UTC, SystemClock())
    flag, ended = CancelFlag(), threading.Event()

    def read() -> None:
        bucket.take(4 * MIB, flag)
        with pytest.raises(Cancelled):
            bucket.take(4 * MIB, flag)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    threading.Event().wait(0.05)
    flag.set()
    assert ended.wait(10)


def test_a_job_waits_for_its_images_and_says_so() -> None:
    """A boot point is made at the rate of its directory; each report tells it and its end."""
    world = World(MemoryStore(), MemoryState(), MemoryImages())
    world.clock = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    content = bytes(range(256)) * 256
    disk = MemoryDisk(1 << 20, [data(n * len(content), content) for n in range(8)])
    world.arrive(world.images.add([disk], None, 1))
    world._plan()
    point = world.state.read().points_of("erp")[0]
    told: list[Progress] = []
    limit = ReadLimit("/images", 64 << 10, HOURS)
    t = Tools(
        standby=world.standby,
        state=world.state,
        clock=world.clock,
        source=world.images,
        chain=world.store.chain("erp"),
        converter=world.converter,
        hypervisor=lambda: pytest.fail("no hypervisor is needed"),
        cancel=NeverCancelled(),
        report=told.append,
        reading=Pacing([limit], UTC, world.clock),
    )
    path = list(world.state.read().recovery_points.values())

    sync(point, None, path, t)

    made = world.state.read().boot_points[point.id]
    assert made.stage is Stage.READY
    applying = [one for one in told if one.step == "apply"]
    assert {one.pace.rate for one in applying} == {64 << 10}
    assert applying[0].pace.until == datetime(2026, 3, 2, 18, tzinfo=UTC)
    assert all(one.pace.rate is None for one in told if one.step == "check")
    seconds = made.bytes / (64 << 10)
    assert seconds - 2 <= world.clock.monotonic() <= seconds + 1


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("40MiB/s", 40 * MIB),
        ("40 MB/s", 40_000_000),
        ("1.5GiB/s", 3 * 512 * MIB),
        ("100Mbit/s", 12_500_000),
        ("500kB/s", 500_000),
        (" 128KiB/s ", 128 << 10),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, rate: int) -> None:
    """Binary, decimal, and bits."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "40", "40MiB", "-1MiB/s", "0MiB/s", "1kB/s", "fast", "1e9B/s"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """A rate without unit, or so small that a piece would take minutes, is no rate."""
    with pytest.raises(ValueError, match="expected"):
        parse_rate(text)
