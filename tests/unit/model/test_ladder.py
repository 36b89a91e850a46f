"""How far data has climbed, which rung loses the time, and when a machine is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.images import Arrival, RecoveryPoint
from engine.model.ladder import Ladder, Rung, climb, known_pause, silence, span, usual_gap
from engine.model.points import BootPoint, Stage
from tests.scripted import boot_point, recovery_point

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""A Monday."""
HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


def image(taken: datetime, number: int = 1, **more: object) -> RecoveryPoint:
    """Return an image that arrived four minutes after it was taken."""
    return replace(recovery_point("erp", number, taken), **more)  # type: ignore[arg-type]


def images(*taken: datetime) -> list[RecoveryPoint]:
    """Return one image for each moment."""
    return [image(at, number) for number, at in enumerate(taken, 1)]


def hourly(hours: int, end: datetime = NOW) -> list[datetime]:
    """Return moments an hour apart, the last one at `end`."""
    return [end - HOUR * back for back in reversed(range(hours))]


def ladder(
    here: list[RecoveryPoint],
    *made: BootPoint,
    silence_s: int | None = None,
    now: datetime = NOW,
    written: datetime | None = None,
) -> Ladder:
    """Return the ladder of these."""
    return climb(here, made, silence_s, now, written)


def data(one: Ladder) -> dict[str, datetime | None]:
    """Return the moment of the data on each rung."""
    return {step.rung.value: step.data_as_of for step in one.steps}


# --- rungs ----------------------------------------------------------------------------------


def test_each_rung_has_the_newest_data_that_came_so_far() -> None:
    """Written, arrived, copied and ready data each have their own moment, and what they lose."""
    three = images(NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR)
    ready = boot_point(1, three[0])
    trunk = boot_point(2, three[1], stage=Stage.FAILED, has_trunk=True)
    found = ladder(three, ready, trunk, written=NOW)
    assert data(found) == {
        "written": NOW,
        "arrived": NOW - HOUR,
        "verified": NOW - 2 * HOUR,
        "ready": NOW - 3 * HOUR,
        "proven": None,
    }
    assert [step.lost_s for step in found.steps] == [None, 3600, 3600, 3600, None]
    assert found.step(Rung.ARRIVED).reached_at == three[2].arrived_at
    assert found.step(Rung.READY).reached_at == ready.ready_at


def test_the_rung_with_the_largest_gap_loses_the_time() -> None:
    """Data that arrived but is not copied for long is lost between these two."""
    many = images(*hourly(8))
    found = ladder(many, boot_point(1, many[0]), written=NOW + timedelta(minutes=20))
    assert found.losing is Rung.VERIFIED
    assert found.step(Rung.VERIFIED).lost_s == 7 * 3600


def test_nothing_is_lost_when_all_is_made() -> None:
    """A machine whose newest image is ready loses nothing, and proof costs no age."""
    many = images(*hourly(5))
    assert ladder(many, boot_point(1, many[-1])).losing is None


def test_time_is_lost_at_the_source_when_images_stay_away() -> None:
    """Older than two usual gaps: it is not us, no image was written, or none is on its way."""
    many = images(*hourly(9, NOW - 5 * HOUR))
    made = boot_point(1, many[-1])
    assert ladder(many, made).losing is Rung.WRITTEN
    assert ladder(many, made, now=NOW - 4 * HOUR).losing is None


def test_a_rung_that_nothing_reached_is_the_one_that_loses() -> None:
    """Without any boot point the first empty rung is named, never the proof."""
    assert ladder([]).losing is Rung.WRITTEN
    assert ladder(images(NOW)).losing is Rung.VERIFIED
    damaged = image(NOW, arrival=Arrival.DAMAGED)
    assert ladder([damaged]).losing is Rung.ARRIVED


def test_data_whose_image_is_gone_still_counts_below() -> None:
    """A ready boot point was written and had arrived, though the folder was cleared since."""
    found = ladder([], boot_point(1, image(NOW - HOUR)))
    assert set(data(found).values()) == {NOW - HOUR, None}
    assert found.losing is None


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(Stage), st.booleans(), st.booleans()),
        max_size=12,
    )
)
def test_no_rung_is_ahead_of_the_one_below(parts: list[tuple[int, Stage, bool, bool]]) -> None:
    """Whatever is there, data only gets older from rung to rung, and losses add up to the age."""
    here, made = [], []
    for number, (ago, stage, trunk, kept) in enumerate(parts, 1):
        one = image(NOW - timedelta(hours=ago), number)
        here += [one] if kept else []
        made.append(boot_point(number, one, stage=stage, has_trunk=trunk))
    steps = ladder(here, *made).steps
    reached = [step.data_as_of for step in steps if step.data_as_of is not None]
    assert reached == sorted(reached, reverse=True)
    assert [step.data_as_of is None for step in steps] == sorted(
        step.data_as_of is None for step in steps
    )
    if len(reached) >= 4:
        lost = sum(step.lost_s or 0 for step in steps[:4])
        assert lost == (reached[0] - reached[3]).total_seconds()


# --- rhythm ---------------------------------------------------------------------------------


def test_one_outage_does_not_change_what_is_usual() -> None:
    """The median gap of an hourly machine is an hour, with a three days' hole in it."""
    moments = [*hourly(20, NOW - timedelta(days=4)), *hourly(20)]
    assert usual_gap(moments) == 3600
    assert usual_gap(moments[:2]) is None


def working_week(weeks: int, zone: ZoneInfo = BERLIN) -> list[datetime]:
    """Return hourly moments from 8 to 18 o'clock local time, Monday to Friday, to Friday's last."""
    friday = datetime(2026, 4, 17, tzinfo=zone)
    days = [friday - timedelta(days=back) for back in range(weeks * 7 - 2)]
    return sorted(
        day.replace(hour=hour).astimezone(UTC)
        for day in days
        if day.weekday() < 5
        for hour in range(8, 19)
    )


def test_a_known_weekend_is_no_silence() -> None:
    """After Friday's last image the machine is silent on Monday two hours late, not at night."""
    moments = working_week(3)
    here = images(*moments)
    monday = datetime(2026, 4, 20, 8, tzinfo=BERLIN)
    found = climb(here, [], None, monday + timedelta(minutes=30))
    assert found.usual_s == 3600
    assert not found.silent
    assert found.silent_from is not None
    assert monday + HOUR < found.silent_from < monday + 3 * HOUR


def test_a_known_night_is_no_silence_but_a_gap_at_noon_is() -> None:
    """Thursday's evening waits for Friday; nothing since eleven on a Friday is told at two."""
    evening = [at for at in working_week(3) if at <= datetime(2026, 4, 16, 18, tzinfo=BERLIN)]
    assert known_pause(evening, evening[-1], 3600) == 13 * 3600
    noon = [at for at in working_week(3) if at <= datetime(2026, 4, 17, 11, tzinfo=BERLIN)]
    assert known_pause(noon, noon[-1], 3600) == 0
    found = climb(images(*noon), [], None, noon[-1] + timedelta(hours=3, minutes=5))
    assert found.silent


@pytest.mark.parametrize("changed", ["2026-03-29", "2026-10-25"])
def test_a_clock_that_is_put_forward_or_back_makes_no_silence(changed: str) -> None:
    """Backups at fixed local times: no false alarm around either change of the clocks."""
    sunday = datetime.fromisoformat(changed).replace(tzinfo=BERLIN)
    days = [sunday + timedelta(days=back) for back in range(-20, 9)]
    moments = sorted(
        day.replace(hour=hour).astimezone(UTC)
        for day in days
        if day.weekday() < 5
        for hour in range(8, 19)
    )
    after = [at for at in moments if at > sunday.astimezone(UTC) - timedelta(days=4)]
    for at, following in pairwise(after):
        known = images(*[one for one in moments if one <= at])
        assert not climb(known, [], None, following + timedelta(minutes=4)).silent, at


def test_a_daily_machine_is_silent_half_a_day_late() -> None:
    """Three usual gaps would be three days: the room beyond one gap is twelve hours at most."""
    days = [NOW - timedelta(days=back) for back in reversed(range(12))]
    found = ladder(images(*days))
    assert found.silence_s == 36 * 3600


def test_a_machine_that_is_new_has_a_day_and_two_hours() -> None:
    """Its nights and weekends are not known before a week has passed."""
    assert ladder(images(*hourly(5))).silence_s == 26 * 3600
    assert ladder(images(NOW)).silence_s == 26 * 3600


def test_an_operators_goal_is_taken_as_it_is() -> None:
    """`silence_s` counts from the newest arrival; 0 is never; nothing arrived is no silence."""
    here = images(*hourly(5))
    found = ladder(here, silence_s=600, now=NOW + timedelta(minutes=14, seconds=1))
    assert (found.silence_s, found.silent) == (600, True)
    assert not ladder(here, silence_s=600, now=NOW + timedelta(minutes=14)).silent
    never = ladder(here, silence_s=0, now=NOW + timedelta(days=900))
    assert (never.silence_s, never.silent_from, never.silent) == (None, None, False)
    assert not ladder([], silence_s=600).silent


def test_silence_is_counted_from_the_arrival_not_from_the_sources_clock() -> None:
    """A source whose clock is years wrong is silent when nothing arrives, and not before."""
    wrong = [image(at - timedelta(days=900), n) for n, at in enumerate(hourly(300), 1)]
    here = [replace(one, arrived_at=one.taken_at + timedelta(days=900)) for one in wrong]
    assert not ladder(here).silent
    assert ladder(here, now=NOW + 4 * HOUR).silent


def test_a_folder_that_was_emptied_does_not_end_the_silence() -> None:
    """Whoever wipes the replica takes the images away, not the alarm that none come."""
    here = images(*hourly(300))
    made = [
        replace(boot_point(n, one), created_at=one.taken_at + timedelta(minutes=5))
        for n, one in enumerate(here, 1)
    ]
    assert ladder([], *made, now=NOW + HOUR).silent is False
    later = ladder([], *made, now=NOW + 26 * HOUR)
    assert later.silent
    assert silence(later, NOW + 26 * HOUR).startswith("No new image for 26 h; usually")


def test_a_machine_of_which_nothing_ever_came_is_silent_after_a_day() -> None:
    """A replication that was never set up is told, though there is no goal that it misses."""
    told = {
        hours: climb([], [], None, NOW + hours * HOUR, since=NOW).silent for hours in (25, 26, 27)
    }
    assert told == {25: False, 26: False, 27: True}
    assert climb([], [], 600, NOW + HOUR, since=NOW).silent
    assert not climb([], [], 0, NOW + 900 * HOUR, since=NOW).silent
    assert not climb([], [], None, NOW + 900 * HOUR).silent
    found = climb([], [], None, NOW + 27 * HOUR, since=NOW)
    assert silence(found, NOW) == "No image has arrived since it was added."


def test_silence_is_told_with_its_figures() -> None:
    """The sentence has how long, and how often images usually come."""
    found = ladder(images(*hourly(300)), now=NOW + timedelta(hours=26, minutes=4))
    assert silence(found, NOW + timedelta(hours=26, minutes=4)) == (
        "No new image for 26 h; usually every 60 min."
    )
    assert silence(found) == "No new image since 2026-03-02 12:04:00 UTC; usually every 60 min."
    assert silence(ladder(images(NOW)), NOW + 30 * HOUR) == "No new image for 30 h."
    assert (span(20), span(5400), span(5 * 86400)) == ("1 min", "2 h", "5 days")
