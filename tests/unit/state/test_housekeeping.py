"""Chores: done when due, failures told once."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.daemon.clock import ManualClock
from engine.daemon.housekeeping import Housekeeping
from engine.model.errors import Failure, Problem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_failure_is_told_once_and_keeps_nothing_from_the_others() -> None:
    """It is told anew only after the chore had worked, or for another reason."""
    told: list[str] = []
    done: list[datetime] = []
    keys = iter(["full", "full", "", "full", "damaged"])

    def failing(_now: datetime) -> None:
        if key := next(keys):
            raise Failure(Problem(key, "It did not work."))

    clock = ManualClock(NOW)
    chores = {"failing": failing, "working": done.append}
    housekeeping = Housekeeping(clock, lambda problem: told.append(problem.key), chores)
    for _ in range(5):
        housekeeping.round()
    assert told == ["full", "full", "damaged"]
    assert done == [NOW] * 5


def test_a_bug_in_a_chore_keeps_nothing_from_the_others() -> None:
    """An exception that nobody foresaw goes to the log."""
    done: list[datetime] = []

    def broken(_now: datetime) -> None:
        raise ZeroDivisionError

    Housekeeping(ManualClock(NOW), lambda _problem: None, {"a": broken, "b": done.append}).round()
    assert done == [NOW]
