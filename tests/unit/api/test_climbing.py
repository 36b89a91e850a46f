"""The ladder in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.api import climbing
from engine.api.ladder_views import LadderView, RungView
from engine.model.ladder import Rung

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _ladder(losing: str, lost_s: float | None) -> LadderView:
    rungs = [
        RungView(
            rung=str(rung),
            data_as_of=NOW - timedelta(hours=2),
            reached_at=NOW,
            lost_s=lost_s if str(rung) == losing else None,
        )
        for rung in Rung
    ]
    return LadderView(rungs=rungs, losing=losing)


@pytest.mark.parametrize(
    ("losing", "lost_s", "told"),
    [
        ("", None, "-"),
        ("written", None, "2h no newer image was taken"),
        ("arrived", 7200.0, "2h on the way here"),
        ("verified", None, "before a boot point was begun"),
        ("ready", 120.0, "2m making the boot point"),
    ],
)
def test_where_time_is_lost_is_told_to_people(losing: str, lost_s: float | None, told: str) -> None:
    """Not by the name of a rung, but by what the time went into."""
    assert climbing.in_words(_ladder(losing, lost_s), NOW) == told


def test_every_rung_that_can_lose_has_its_words() -> None:
    """`proven` costs no age."""
    assert set(climbing.WHERE) == {str(rung) for rung in Rung} - {"proven"}
