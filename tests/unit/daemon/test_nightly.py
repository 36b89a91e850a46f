"""The nightly look at targets: when, what is told, and what a restart knows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.daemon.nightly import NightlyLook
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.model import nightly
from engine.model.errors import HypervisorError, Problem
from engine.model.machine import Gravity
from engine.ports import Finding
from engine.stores.memory import MemoryStore

DAY = date(2026, 3, 29)
FULL = Finding(Gravity.WARNING, "esxi.full", "It is full.", "Free space.")
NOTE = Finding(Gravity.NOTE, "esxi.version", "This is ESXi.")
GONE = Finding(Gravity.ERROR, "esxi.gone", "It is gone.")


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")])
def test_each_target_has_a_moment_of_its_own_in_the_night(zone: Any) -> None:
    """From one to four by the site's clock, spread, and the same whenever it is asked."""
    found = {nightly.moment("a", f"t{number}", DAY, zone) for number in range(200)}
    assert len({moment.replace(second=0) for moment in found}) > 100
    assert all(1 <= moment.astimezone(zone).hour <= 4 for moment in found)
    assert found == {nightly.moment("a", f"t{number}", DAY, zone) for number in range(200)}


def test_a_target_is_due_once_a_night_and_a_missed_night_is_made_up_for() -> None:
    """Before its moment it is not, after it until somebody looked."""
    at = nightly.moment("s", "t", DAY, UTC)
    yesterday, told = at - timedelta(days=1), {"away": False}

    def due(last: datetime | None, now: datetime, *, away: bool = False) -> bool:
        return nightly.is_due("s", "t", last, now, UTC, away=away)

    assert due(None, at)
    assert not due(yesterday + timedelta(hours=4), at - timedelta(seconds=1), **told)
    assert due(yesterday, at)
    assert not due(at, at + timedelta(hours=5))
    assert due(at - timedelta(days=9), at + timedelta(hours=9))
    assert due(at + timedelta(days=400), at)
    assert due(at, at + timedelta(minutes=10), away=True)
    assert not due(at, at + timedelta(minutes=9), away=True)


class Host(SimulatedHypervisor):
    """A host that finds what it is told to."""

    found: tuple[Finding, ...] = ()
    is_away = False

    def preflight(self) -> tuple[Finding, ...]:
        """Find it."""
        if self.is_away:
            raise HypervisorError(Problem("target.away", "It does not answer."))
        return self.found


class Site:
    """An engine as far as this chore sees it."""

    def __init__(self, folder: Path) -> None:
        store = MemoryStore()
        self.host = Host("esx", store.chain)
        self.told: list[str] = []
        self.settings = SimpleNamespace(site="here", zone=UTC)
        self.picture = SimpleNamespace(touch=lambda: None)
        self.target = Target("esx", "esxi", store, lambda: self.host, SimulatedConverter(), folder)
        self.targets = {"esx": self.target}

    def tell(self, _severity: object, _standby: str, problem: Problem) -> None:
        """Remember what was told."""
        self.told.append(problem.key)

    def look(self, now: datetime) -> None:
        """Do the chore."""
        NightlyLook(self)(now)  # type: ignore[arg-type]  # as far as it is used


def test_what_is_new_is_told_once_also_over_a_restart(tmp_path: Path) -> None:
    """Notes are not told; what was known before a restart is known after it."""
    site, now = Site(tmp_path), datetime(2026, 3, 29, 12, tzinfo=UTC)
    site.host.found = (FULL, NOTE)
    site.look(now)
    site.look(now + timedelta(days=1))
    assert site.told == ["finding.esxi.full"]
    again = Site(tmp_path)
    assert again.target.status().findings == [FULL, NOTE]
    assert again.target.status().looked_at == now + timedelta(days=1)
    again.host.found = (GONE, FULL)
    again.look(now + timedelta(days=2))
    assert again.told == ["finding.esxi.gone"]


def test_a_target_that_does_not_answer_is_asked_again_and_recovers(tmp_path: Path) -> None:
    """Its problem is shown from the night on, and goes when it answers."""
    site, now = Site(tmp_path), datetime(2026, 3, 29, 12, tzinfo=UTC)
    site.look(now)
    site.host.is_away = True
    site.look(now + timedelta(days=1))
    assert "does not answer" in site.target.status().problem
    site.host.is_away = False
    site.look(now + timedelta(days=1, minutes=5))
    assert site.target.status().problem
    site.look(now + timedelta(days=1, minutes=11))
    assert site.target.status().problem == ""


def test_damaged_findings_are_as_none(tmp_path: Path) -> None:
    """A file that cannot be read costs one more look."""
    (tmp_path / "findings.json").write_text('{"at": "x", "findings": 7}')
    assert Site(tmp_path).target.looked_at is None
