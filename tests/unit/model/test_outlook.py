"""What comes next on a standby, and when: each answer with an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.model import planner
from engine.model.blackout import parse_blackouts
from engine.model.outlook import NextKind, Outlook, outlook
from engine.model.planner import Limits
from engine.model.points import BootPoint, Stage
from engine.model.schedule import Calendar
from engine.model.standby import Standby, parse_trigger
from engine.model.state import State
from engine.model.work import JobKind
from tests.unit.model.test_planner_rules import LIMITS, arrived, known, with_made

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)
"""A Monday, 12:00 in Berlin."""
WORK = Calendar(BERLIN, parse_blackouts(["mon-fri 08:00-18:00"]))
EVENING = datetime(2026, 3, 2, 17, tzinfo=UTC)


def made(trigger: str, arrivals: int, *, ready: int) -> tuple[Standby, State]:
    """Return a standby with arrivals, of which the first boot points are ready."""
    standby = Standby("erp", "/images/erp", trigger=parse_trigger(trigger))
    state = known(*(arrived(n) for n in range(1, arrivals + 1)))
    at = NOON - timedelta(hours=1)
    points = planner.new_boot_points({"erp": standby}, {"erp": "uuid"}, state, at, BERLIN)
    done = [replace(p, stage=Stage.READY, ready_at=at) for p in points[:ready]]
    return standby, with_made(state, *done, *points[ready:])


def coming(
    standby: Standby,
    state: State,
    calendar: Calendar = WORK,
    *,
    now: datetime = NOON,
    waiting: Sequence[str] = (),
    failed: BootPoint | None = None,
) -> Outlook:
    """Return what comes next."""
    images = list(state.recovery_points.values())
    points = list(state.boot_points.values())
    return outlook(standby, None, images, points, failed, waiting, state, now, Limits(), calendar)


def test_what_waits_for_its_turn_waits_for_the_window() -> None:
    """A pending boot point is due; inside a window, when that ends."""
    standby, state = made("immediate", 2, ready=1)
    assert coming(standby, state, Calendar(BERLIN)).kind is NextKind.DUE
    told = coming(standby, state)
    assert (told.kind, told.at) == (NextKind.BLACKOUT, EVENING)


def test_a_pause_stands_before_all_but_work() -> None:
    """Who paused it, why, and until when."""
    standby, state = made("immediate", 2, ready=1)
    until = NOON + timedelta(hours=4)
    standby = replace(standby, held="mo: move", held_until=until)
    assert coming(standby, state) == Outlook(NextKind.HELD, "mo: move", until)
    assert coming(standby, state, now=until).kind is NextKind.BLACKOUT


def test_every_n_says_how_many_it_still_waits_for() -> None:
    """One of three increments has arrived: two more."""
    for arrivals, words in ((1, "3 more increments"), (2, "2 more"), (3, "1 more increment")):
        standby, state = made("every:3", arrivals, ready=1)
        told = coming(standby, state)
        assert told.kind is NextKind.COUNTING
        assert told.text.startswith(words)


def test_every_n_counts_differentials() -> None:
    """Two differentials of the full have arrived; the third one will be made."""
    standby, state = made("every:3", 1, ready=1)
    two = {p.id: p for p in (arrived(2, parent=1), arrived(3, parent=1))}
    state = replace(state, recovery_points={**state.recovery_points, **two})
    assert coming(standby, state).text == "1 more increment"


def test_a_daily_one_says_its_moment() -> None:
    """22:00 in Berlin, in UTC; one that falls into a window comes at its end."""
    standby, state = made("daily@22:00", 1, ready=1)
    told = coming(standby, state)
    assert (told.kind, told.at) == (NextKind.SCHEDULED, datetime(2026, 3, 2, 21, tzinfo=UTC))
    standby = replace(standby, trigger=parse_trigger("cron:30 13 * * *"))
    assert coming(standby, state) == Outlook(NextKind.BLACKOUT, "cron:30 13 * * *", EVENING)


def test_a_moment_that_passed_without_anything_new_comes_with_the_next_arrival() -> None:
    """Nothing had arrived by 22:00: the boot point is made as soon as something does."""
    standby, state = made("daily@22:00", 1, ready=1)
    night = datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert coming(standby, state, now=night) == Outlook(NextKind.NONE)


def test_what_is_missing_is_told() -> None:
    """A gap in the chain stands there with its sentence, window or not."""
    standby, state = made("immediate", 1, ready=1)
    told = coming(standby, state, waiting=("p3 continues p2, which is not there.",))
    assert told == Outlook(NextKind.WAITING, "p3 continues p2, which is not there.")


def test_a_retry_comes_after_the_window() -> None:
    """The next try is named, or the end of the window that it falls into."""
    standby, state = made("immediate", 2, ready=1)
    failed = replace(
        list(state.boot_points.values())[-1], stage=Stage.FAILED, attempts=1, failed_at=NOON
    )
    state = with_made(state, failed)
    again = NOON + timedelta(seconds=30)
    told = coming(standby, state, Calendar(BERLIN), failed=failed)
    assert (told.kind, told.at) == (NextKind.RETRY, again)
    assert coming(standby, state, failed=failed).kind is NextKind.BLACKOUT


# --- the planner inside a window ------------------------------------------------------------


def begun(standby: Standby, state: State, now: datetime = NOON) -> list[tuple[JobKind, str]]:
    """Return the jobs that start."""
    wanted = planner.next_jobs({"erp": standby}, state, now, LIMITS, None, WORK)
    return [(one.kind, one.boot_point or "") for one in wanted]


def test_no_boot_point_is_begun_inside_a_window() -> None:
    """The engine's windows let none begin, nor do a standby's own; an empty own list does."""
    standby, state = made("immediate", 2, ready=1)
    assert begun(standby, state) == []
    assert begun(standby, state, EVENING) == [(JobKind.SYNC, "bp000002")]
    assert begun(replace(standby, blackouts=()), state) == [(JobKind.SYNC, "bp000002")]
    own = replace(standby, blackouts=parse_blackouts(["20:00-21:00"]))
    assert begun(own, state) == [(JobKind.SYNC, "bp000002")]
    assert begun(own, state, datetime(2026, 3, 2, 19, 30, tzinfo=UTC)) == []


def test_what_was_asked_for_by_hand_waits_for_no_window() -> None:
    """What it is made from goes first; what comes after it still waits."""
    standby, state = made("immediate", 3, ready=1)
    asked = planner.build_now(standby, "uuid", state, NOON)
    assert asked is not None
    assert (asked.id, asked.asked) == ("bp000003", True)
    state = with_made(state, asked)
    assert begun(standby, state) == [(JobKind.APPLY, "bp000002")]
    second = replace(state.boot_points[asked.parent or asked.id], has_trunk=True)
    state = with_made(state, second)
    assert begun(standby, state) == [(JobKind.SYNC, "bp000003")]
    assert planner.build_now(standby, "uuid", state, NOON) is None
    assert coming(standby, state).kind is NextKind.DUE
    state = with_made(state, replace(asked, stage=Stage.READY, ready_at=NOON))
    assert begun(standby, state) == [], "the older one's conversion waits for the window's end"


def test_a_pause_ends_by_itself() -> None:
    """The planner goes on at its end, by the clock alone."""
    standby, state = made("immediate", 2, ready=1)
    late = datetime(2026, 3, 2, 20, tzinfo=UTC)
    paused = replace(standby, held="mo: move", held_until=late)
    assert begun(paused, state, late - timedelta(seconds=1)) == []
    assert begun(paused, state, late) == [(JobKind.SYNC, "bp000002")]
    assert begun(replace(paused, held_until=None), state, late) == []


def test_what_was_asked_for_by_hand_is_made_in_a_pause() -> None:
    """It and what it is made from; then the pause holds again, and is what comes next."""
    standby, state = made("immediate", 3, ready=1)
    paused = replace(standby, held="mo: move")
    assert begun(paused, state) == []
    asked = planner.build_now(paused, "uuid", state, NOON)
    assert asked is not None
    state = with_made(state, asked)
    assert begun(paused, state) == [(JobKind.APPLY, "bp000002")]
    assert coming(paused, state).kind is NextKind.DUE
    second = replace(state.boot_points[asked.parent or asked.id], has_trunk=True)
    state = with_made(state, second)
    assert begun(paused, state) == [(JobKind.SYNC, "bp000003")]
    hopeless = replace(asked, stage=Stage.FAILED, obstacle="no kernel", failed_at=NOON)
    stuck = with_made(state, hopeless)
    assert begun(paused, stuck) == []
    assert coming(paused, stuck, failed=hopeless).kind is NextKind.HELD
    state = with_made(state, replace(asked, stage=Stage.READY, ready_at=NOON))
    assert begun(paused, state, EVENING) == [], "the older one's conversion waits for the pause"
    assert coming(paused, state).kind is NextKind.HELD


@pytest.mark.parametrize(("trigger", "skipped"), [("every:3", [0, 2]), ("immediate", [0] * 4)])
def test_what_got_no_boot_point_is_counted(trigger: str, skipped: list[int]) -> None:
    """A boot point knows how many recovery points before it were applied without one."""
    _standby, state = made(trigger, 4, ready=0)
    assert [point.skipped for point in state.boot_points.values()] == skipped
