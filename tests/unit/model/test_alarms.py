"""Alerts: raising, clearing, telling, reminding; and quiet hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.model.alarms import (
    MOST,
    OVERFLOW,
    Alert,
    Condition,
    Rules,
    What,
    acknowledged,
    bounded,
    heard,
    message,
    over,
    update,
)
from engine.model.quiet import is_endless, is_quiet, parse_quiet
from engine.model.work import Severity

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WARNING, ERROR = Severity.WARNING, Severity.ERROR
LATE = Condition("rpo:erp", WARNING, "erp", "erp: late", "The data is 5 h old.", "Look.")
GONE = Condition("folder:x", ERROR, "", "Folder gone", "It is gone.")
RULES = Rules()
NIGHT = Rules(quiet=[parse_quiet("22:00-07:00")])


def raised(*conditions: Condition, at: datetime = NOW) -> dict[str, Alert]:
    """Return fresh alerts."""
    return {one.key: one for one in update({}, conditions, RULES, at)}


def whats(alerts: dict[str, Alert], now: datetime, rules: Rules = RULES) -> dict[str, What]:
    """Return what the way "mail" is to be told."""
    told = message(alerts.values(), "mail", WARNING, rules, "site", now)
    return {item.alert.key: item.what for item in told.items} if told else {}


def tell(alerts: dict[str, Alert], now: datetime, rules: Rules = RULES) -> None:
    """Let the way "mail" hear what it is to be told."""
    told = message(alerts.values(), "mail", WARNING, rules, "site", now)
    for item in told.items if told else ():
        alerts[item.alert.key] = heard(alerts[item.alert.key], item, "mail", now)


def turn(alerts: dict[str, Alert], *conditions: Condition, now: datetime) -> None:
    """See the conditions at a moment."""
    alerts |= {one.key: one for one in update(alerts, conditions, RULES, now)}


def test_the_same_trouble_is_told_once() -> None:
    """However often it is seen, a way hears of it once; then nothing changes that is stored."""
    alerts = raised(LATE, LATE)
    assert whats(alerts, NOW) == {"rpo:erp": What.RAISED}
    tell(alerts, NOW)
    assert whats(alerts, NOW + MINUTE) == {}
    assert update(alerts, [LATE], RULES, NOW + MINUTE) == []


def test_figures_of_a_raised_alert_follow_slowly() -> None:
    """New words are taken every ten minutes, a graver state at once."""
    alerts = raised(LATE)
    older = replace(LATE, text="The data is 6 h old.")
    assert update(alerts, [older], RULES, NOW + 9 * MINUTE) == []
    assert update(alerts, [older], RULES, NOW + 10 * MINUTE)[0].condition.text == older.text
    worse = replace(older, severity=ERROR)
    assert update(alerts, [worse], RULES, NOW + MINUTE)[0].condition == worse


def test_worse_is_told_and_better_is_not() -> None:
    """An alert that becomes urgent is told again, once."""
    alerts = raised(LATE)
    tell(alerts, NOW)
    turn(alerts, replace(LATE, severity=ERROR), now=NOW + MINUTE)
    assert whats(alerts, NOW + MINUTE) == {"rpo:erp": What.WORSE}
    tell(alerts, NOW + MINUTE)
    turn(alerts, LATE, now=NOW + 2 * MINUTE)
    turn(alerts, replace(LATE, severity=ERROR), now=NOW + 3 * MINUTE)
    assert whats(alerts, NOW + 3 * MINUTE) == {}


def test_what_flaps_is_not_told_again() -> None:
    """A condition that is gone for less than two minutes was never gone."""
    alerts = raised(LATE)
    tell(alerts, NOW)
    turn(alerts, now=NOW + MINUTE)
    turn(alerts, LATE, now=NOW + 2 * MINUTE)
    turn(alerts, now=NOW + 3 * MINUTE)
    assert whats(alerts, NOW + 3 * MINUTE) == {}
    turn(alerts, now=NOW + 5 * MINUTE)
    assert whats(alerts, NOW + 5 * MINUTE) == {"rpo:erp": What.CLEARED}
    tell(alerts, NOW + 5 * MINUTE)
    assert over(alerts.values(), {"mail": WARNING}, RULES, NOW) == ["rpo:erp"]


def test_the_night_waits_for_the_morning_and_the_urgent_does_not() -> None:
    """In quiet hours only the folder is told; in the morning one message has all the rest."""
    night = datetime(2026, 3, 2, 23, tzinfo=UTC)
    passed = Condition("image:y", WARNING, "", "An image is broken", "It is.")
    alerts = raised(LATE, GONE, passed, at=night)
    assert whats(alerts, night, NIGHT) == {"folder:x": What.RAISED}
    tell(alerts, night, NIGHT)
    turn(alerts, LATE, now=night + MINUTE)
    turn(alerts, LATE, now=night + 10 * MINUTE)
    assert whats(alerts, night + 10 * MINUTE, NIGHT) == {"folder:x": What.CLEARED}
    tell(alerts, night + 10 * MINUTE, NIGHT)
    assert over(alerts.values(), {"mail": WARNING}, NIGHT, NOW) == ["folder:x"]
    morning = datetime(2026, 3, 3, 7, tzinfo=UTC)
    assert whats(alerts, morning, NIGHT) == {"rpo:erp": What.RAISED, "image:y": What.PASSED}


def test_what_ends_just_before_the_morning_is_not_told_as_standing() -> None:
    """Gone for less than it takes to be over, it waits: for its end, or until it is here again."""
    night, morning = datetime(2026, 3, 2, 23, tzinfo=UTC), datetime(2026, 3, 3, 7, tzinfo=UTC)
    for back in (False, True):
        alerts = raised(LATE, at=night)
        turn(alerts, now=morning - MINUTE)
        assert whats(alerts, morning, NIGHT) == {}
        turn(alerts, *([LATE] if back else []), now=morning + MINUTE)
        assert whats(alerts, morning + MINUTE, NIGHT) == {
            "rpo:erp": What.RAISED if back else What.PASSED
        }


def test_what_was_worse_for_a_moment_is_told_as_over() -> None:
    """A way that was deaf while it became worse, and hears when it is gone, is told no alarm."""
    alerts = raised(LATE)
    tell(alerts, NOW)
    turn(alerts, replace(LATE, severity=Severity.ERROR), now=NOW + MINUTE)
    assert whats(alerts, NOW + MINUTE) == {"rpo:erp": What.WORSE}
    turn(alerts, now=NOW + 2 * MINUTE)
    assert whats(alerts, NOW + 2 * MINUTE) == {}
    turn(alerts, now=NOW + 5 * MINUTE)
    assert whats(alerts, NOW + 5 * MINUTE) == {"rpo:erp": What.CLEARED}


def test_a_reminder_comes_after_a_day_unless_somebody_looks_after_it() -> None:
    """An acknowledged alert reminds nobody; when it is raised anew it is told again."""
    alerts = raised(LATE)
    tell(alerts, NOW)
    tomorrow = NOW + timedelta(days=1)
    assert whats(alerts, tomorrow) == {"rpo:erp": What.REMINDER}
    alerts["rpo:erp"] = acknowledged(alerts["rpo:erp"], "ops", "on it", NOW + MINUTE)
    assert whats(alerts, tomorrow) == {}
    turn(alerts, now=tomorrow)
    turn(alerts, now=tomorrow + 3 * MINUTE)
    tell(alerts, tomorrow + 3 * MINUTE)
    turn(alerts, LATE, now=tomorrow + 4 * MINUTE)
    assert whats(alerts, tomorrow + 4 * MINUTE) == {"rpo:erp": What.RAISED}
    assert alerts["rpo:erp"].acked_at is None


def test_a_way_hears_only_what_is_grave_enough_for_it() -> None:
    """A pager for errors hears nothing of warnings, not even that they are over."""
    alerts = raised(LATE)
    told = message(alerts.values(), "pager", ERROR, RULES, "site", NOW)
    assert told is None
    turn(alerts, now=NOW + MINUTE)
    turn(alerts, now=NOW + 9 * MINUTE)
    assert message(alerts.values(), "pager", ERROR, RULES, "site", NOW + 9 * MINUTE) is None
    assert over(alerts.values(), {"pager": ERROR}, RULES, NOW) == ["rpo:erp"]


def test_a_message_has_the_same_id_at_each_try_and_another_later() -> None:
    """A receiver can tell a repetition from a reminder."""
    alerts = raised(LATE, GONE)
    first = message(alerts.values(), "mail", WARNING, RULES, "site", NOW)
    again = message(alerts.values(), "mail", WARNING, RULES, "site", NOW + MINUTE)
    assert first
    assert again
    assert first.id == again.id
    assert (first.severity, first.items[0].alert.key) == (ERROR, "folder:x")
    tell(alerts, NOW)
    reminder = message(alerts.values(), "mail", WARNING, RULES, "site", NOW + timedelta(days=2))
    assert reminder
    assert reminder.id != first.id


def test_a_flood_of_conditions_is_bounded() -> None:
    """The gravest have alerts; one alert says how many others there are."""
    many = [replace(LATE, key=f"image:{number}") for number in range(3 * MOST)]
    found = bounded([*many, GONE])
    assert len(found) == MOST
    assert "folder:x" in found
    assert found[OVERFLOW].text.startswith(f"{2 * MOST + 2} more things")


@pytest.mark.parametrize(
    "text",
    ["", "22:00", "25:00-07:00", "22:60-07:00", "07:00-07:00", "x-sun", "sat sun", "24:00-07:00"],
)
def test_quiet_hours_that_mean_nothing_are_refused(text: str) -> None:
    """The error says what is expected."""
    with pytest.raises(ValueError, match="22:00-07:00"):
        parse_quiet(text)


def test_quiet_hours_keep_their_times_on_the_clock() -> None:
    """Until seven o'clock local time, on the morning after the clocks changed as well."""
    night, zone = [parse_quiet("22:00-07:00")], ZoneInfo("Europe/Berlin")
    for day, utc in (("2026-03-29", 5), ("2026-10-25", 6), ("2026-10-24", 5)):
        seven = datetime.fromisoformat(day).replace(hour=utc, tzinfo=UTC)
        assert is_quiet(night, seven - MINUTE, zone)
        assert not is_quiet(night, seven, zone)


def test_a_whole_week_of_quiet_is_seen() -> None:
    """Two windows that fill the week leave no minute to send in."""
    assert is_endless([parse_quiet("mon-fri"), parse_quiet("sat-sun")])
    assert not is_endless([parse_quiet("mon-fri"), parse_quiet("sat-sun 00:00-23:59")])
    assert not is_endless([])


def test_a_way_that_is_deaf_for_good_keeps_nothing_for_ever() -> None:
    """What is over for a week is forgotten, though nobody could be told."""
    alerts = raised(LATE)
    turn(alerts, now=NOW + MINUTE)
    turn(alerts, now=NOW + 9 * MINUTE)
    week = NOW + timedelta(days=7)
    assert over(alerts.values(), {"mail": WARNING}, RULES, week) == []
    assert over(alerts.values(), {"mail": WARNING}, RULES, week + 9 * MINUTE) == ["rpo:erp"]
