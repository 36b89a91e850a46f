"""Boot points at moments: one for each moment that passes, in whatever zone the engine is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import planner
from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.machine import Hints
from engine.model.points import Stage
from engine.model.standby import Standby, parse_trigger
from engine.model.state import State

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
)
STARTS = (
    datetime(2011, 12, 28, tzinfo=UTC),  # Samoa moves over the date line
    datetime(2026, 3, 27, tzinfo=UTC),  # Europe puts clocks forward
    datetime(2026, 10, 23, tzinfo=UTC),  # and back
    datetime(2026, 10, 2, tzinfo=UTC),  # Lord Howe forward
    datetime(2026, 2, 13, tzinfo=UTC),  # Casablanca, for Ramadan
)


def increment(number: int, at: datetime) -> RecoveryPoint:
    """Return recovery point `number` of one chain, just arrived."""
    return RecoveryPoint(
        id=PointId(f"r{number}"),
        parent=PointId(f"r{number - 1}") if number > 1 else None,
        set_id="set",
        format="bpi",
        root="/images/erp",
        machine_uuid="uuid",
        machine_name="erp",
        sequence=number,
        taken_at=at,
        arrival=Arrival.COMPLETE,
        reason="",
        disks=(),
        hints=Hints(),
        size=1,
        arrived_at=at,
    )


@given(
    st.sampled_from(["daily@22:00", "daily@02:15", "cron:30 2 * * *", "cron:0 */3 * * mon-sat"]),
    st.sampled_from(STARTS),
    st.lists(st.tuples(st.integers(10, 2200), st.sampled_from(ZONES)), min_size=1, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_each_moment_has_one_boot_point(
    trigger: str, start: datetime, moves: list[tuple[int, str]]
) -> None:
    """Through changes of clocks and of the zone: none twice, none lost, no increment twice."""
    standby = Standby("erp", "/images/erp", trigger=parse_trigger(trigger))
    cron = standby.trigger.moments
    assert cron is not None
    state, now, number = State(), start, 0
    for minutes, name in moves:
        zone, end = ZoneInfo(name), now + timedelta(minutes=minutes)
        while now < end:
            before, now, number = now, now + timedelta(minutes=5), number + 1
            here = dict(state.recovery_points) | {PointId(f"r{number}"): increment(number, now)}
            state = replace(state, recovery_points=here)
            points = planner.new_boot_points({"erp": standby}, {"erp": "uuid"}, state, now, zone)

            last = max((p.created_at for p in state.boot_points.values()), default=None)
            moment = cron.next(last, zone) if last else None
            is_due = last is None or (moment is not None and moment <= now)
            assert len(points) == is_due, "none at a moment, or one without"
            if is_due and last is not None and moment is not None and moment > before:
                assert now - moment < timedelta(minutes=5), "later than the next turn"
            made = dict(state.boot_points)
            made |= {p.id: replace(p, stage=Stage.READY, ready_at=now) for p in points}
            state = replace(state, boot_points=made, next_boot_point=len(made) + 1)
    held = [point.recovery_point for point in state.boot_points.values()]
    assert len(held) == len(set(held))
