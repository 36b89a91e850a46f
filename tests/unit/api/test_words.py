"""Ages, sizes and moments in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.api import words
from engine.model.fleet import NEED

NOW = datetime(2026, 11, 22, 13, 42, tzinfo=UTC)
M, H, D = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (-5, "<1m"),
        (59, "<1m"),
        (42 * M + 59, "42m"),
        (4 * H + 27 * M, "4h27m"),
        (4 * H, "4h"),
        (35 * H + 59 * M, "35h59m"),
        (39 * H + 30 * M, "39h"),
        (71 * H + 59 * M, "71h"),
        (72 * H, "3d"),
        (9 * D + H, "9d"),
    ],
)
def test_ages_have_two_units_at_most(seconds: float | None, expected: str) -> None:
    """Ages are cut to the minute, from 36 hours on to the hour, from 72 to the day."""
    assert words.age(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0s"), (12.9, "12s"), (100, "1m40s"), (120, "2m"), (H, "1h"), (4 * H + 27 * M, "4h27m")],
)
def test_durations_have_seconds_below_an_hour(seconds: float, expected: str) -> None:
    """A duration below an hour counts seconds."""
    assert words.duration(seconds) == expected
    assert words.eta(seconds) == expected


@settings(deadline=None)
@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_an_age_never_jumps_back(one: int, other: int) -> None:
    """A greater age is never shown as a smaller one."""
    unit = {"m": M, "h": H, "d": D}

    def seconds(text: str) -> int:
        total, number = 0, ""
        for char in text.replace("<1m", "0m"):
            if char.isdigit():
                number += char
            else:
                total, number = total + int(number) * unit[char], ""
        return total

    lower, higher = sorted((one, other))
    assert seconds(words.age(lower)) <= seconds(words.age(higher))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.9 KiB"),
        (1024, "1.0 KiB"),
        (1 << 30, "1.0 GiB"),
        (5 * (1 << 30) + (1 << 29), "5.5 GiB"),
        (41 << 20, "41 MiB"),
        (120 << 30, "120 GiB"),
        (1 << 60, "1.0 EiB"),
    ],
)
def test_sizes_are_binary_and_say_so(count: int | None, expected: str) -> None:
    """Sizes have binary units by their own name."""
    assert words.size(count) == expected


@settings(deadline=None)
@given(st.integers(0, 1 << 62))
def test_a_size_has_three_figures_at_most(count: int) -> None:
    """No size is longer than three figures and its unit."""
    assert sum(char.isdigit() for char in words.size(count)) <= 3


def test_rates_and_percentages() -> None:
    """A rate is a size a second; a percentage is cut and never over 100."""
    assert words.rate(41 << 20) == "41 MiB/s"
    assert words.rate(None) == "-"
    assert words.percent(999, 1000) == "99%"
    assert words.percent(1001, 1000) == "100%"
    assert words.percent(5, None) == ""


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (timedelta(minutes=2), "13:40"),
        (timedelta(hours=14, minutes=42), "Sat 23:00"),
        (timedelta(days=6), "Mon 13:42"),
        (timedelta(days=7), "15 Nov 13:42"),
        (timedelta(days=400), "18 Oct 2025"),
        (timedelta(minutes=-30), "14:12"),
    ],
)
def test_a_moment_is_as_near_as_it_is(before: timedelta, expected: str) -> None:
    """Today has the time alone, this week the day, older ones the date."""
    assert words.moment(NOW - before, NOW, UTC) == expected


def test_no_moment_is_a_dash() -> None:
    """What never happened is a dash."""
    assert words.moment(None, NOW) == "-"


def test_the_order_of_need_is_the_models() -> None:
    """Front ends sort by the same order as the model, without importing it."""
    assert words.NEED == NEED
