"""The list of alerts, and their number on every screen."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tui import sample
from tui.look import Look
from tui.rows import Line
from tui.screens import alerts, fleet
from tui.state import Fleet

PICTURE = sample.fleet(("erp", "web", "dc"))
LOOK = Look(width=100, height=30, now=sample.NOW, place="alerts")


def words(lines: list[Line]) -> list[str]:
    """Return lines as text."""
    return ["".join(part for part, _tone in line) for line in lines]


def test_each_alert_is_listed_with_who_looks_after_it() -> None:
    """What is over stands below, and says so; the chosen one is told in full."""
    told = words(alerts.lines(PICTURE, LOOK))
    assert any("ALERTS RAISED: 2" in line for line in told)
    assert any("over: web" in line for line in told)
    assert any("bootpoint alert ack rpo:0" in line for line in told)
    assert any("mail: raised" in line for line in told)


def test_the_number_of_alerts_stands_on_every_screen() -> None:
    """The first line counts those that are not over; without any it says nothing of them."""
    look = replace(LOOK, place="fleet")
    assert "2 alerts" in words(fleet.lines(PICTURE, look))[0]
    assert "alert" not in words(fleet.lines(replace(PICTURE, alerts={}), look))[0]
    assert any("Nothing is wrong" in line for line in words(alerts.lines(Fleet(), LOOK)))
