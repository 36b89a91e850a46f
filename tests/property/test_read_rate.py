"""Read limits: which rate holds at any moment, also where clocks change; the bucket keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from engine.daemon.clock import ManualClock
from engine.daemon.pacing import BURST_S, Bucket
from engine.model.blackout import parse_blackout
from engine.model.readrate import ReadLimit, pace
from engine.ports import NeverCancelled

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIB = 1 << 20
zones = st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), UTC])
times = st.integers(0, 47).map(lambda half: f"{half // 2:02d}:{half % 2 * 30:02d}")
windows = st.tuples(st.sets(st.sampled_from(DAYS), min_size=1), times, times).filter(
    lambda told: told[1] != told[2]
)
minutes = st.integers(0, 366 * 1440).map(
    lambda many: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=many)
)
SPRING = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)


def said(told: tuple[set[str], str, str]) -> str:
    """Return a window as it is written."""
    return f"{','.join(sorted(told[0]))} {told[1]}-{told[2]}"


def is_within(told: tuple[set[str], str, str], now: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the wall clock stands within a window; slow and obvious."""
    days, first, last = told
    local = now.astimezone(zone)
    clock, today = f"{local:%H:%M}", DAYS[local.weekday()]
    yesterday = DAYS[(local.weekday() - 1) % 7]
    if first < last:
        return today in days and first <= clock < last
    return (today in days and clock >= first) or (yesterday in days and clock < last)


@given(windows, minutes, zones)
@example(({"sun"}, "08:00", "18:00"), SPRING, ZoneInfo("Europe/Berlin"))
def test_the_rate_goes_by_the_clock_on_the_wall(
    told: tuple[set[str], str, str], now: datetime, zone: ZoneInfo
) -> None:
    """Inside the hours the one rate holds, outside the other, but in an hour that comes twice."""
    local = now.astimezone(zone)
    if {
        local.utcoffset(),
        (local - timedelta(hours=2)).astimezone(UTC).astimezone(zone).utcoffset(),
        (now + timedelta(hours=2)).astimezone(zone).utcoffset(),
        (now - timedelta(hours=2)).astimezone(zone).utcoffset(),
    } != {local.utcoffset()}:
        return  # edges within such hours have examples of their own
    limit = ReadLimit("/r", 40 * MIB, (parse_blackout(said(told)),), 200 * MIB)
    expected = 40 * MIB if is_within(told, now, zone) else 200 * MIB
    assert pace(limit, now, zone).rate == expected


@given(st.lists(windows, min_size=1, max_size=3), minutes, zones)
@example([(set(DAYS), "00:00", "00:30"), (set(DAYS), "00:30", "00:00")], SPRING, ZoneInfo("UTC"))
@example([({"sun"}, "01:00", "02:30")], SPRING, ZoneInfo("Europe/Berlin"))
def test_a_rate_holds_until_it_says(
    told: list[tuple[set[str], str, str]], now: datetime, zone: ZoneInfo
) -> None:
    """Nothing changes before `until`, and at that minute it does, over every change of clocks."""
    hours = tuple(parse_blackout(said(one)) for one in told)
    limit = ReadLimit("/r", 40 * MIB, hours)
    found = pace(limit, now, zone)
    if found.until is None:
        return  # its hours have no end
    assert found.until > now
    inside = min((found.until - now) / 2, timedelta(hours=3))
    for moment in (now + inside, found.until - timedelta(minutes=1)):
        if moment >= now:
            assert pace(limit, moment, zone) == found
    if found.until - now < timedelta(days=7):
        assert pace(limit, found.until, zone).rate != found.rate


@given(st.lists(st.integers(1, 4 * MIB), min_size=20, max_size=60), st.integers(64 << 10, 64 * MIB))
def test_the_mean_rate_is_the_limit(pieces: list[int], rate: int) -> None:
    """However large the pieces, what was read stays below the rate, and comes near it."""
    clock = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    bucket = Bucket(ReadLimit("/r", rate), UTC, clock)
    done = 0
    for piece in pieces:
        bucket.take(piece, NeverCancelled())
        assert done <= rate * clock.monotonic() + rate * BURST_S, "it read ahead of its tokens"
        done += piece
    assert done >= rate * clock.monotonic() * 0.99 - rate * 0.01, "it waited for nothing"
