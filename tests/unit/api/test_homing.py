"""What bringing a VM home would do, as the door tells it, and what a stop costs then."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from engine.api.actions import Stop
from engine.api.homing import Home
from engine.api.wishes import Wish
from engine.model.errors import Refused
from engine.model.machine import Capabilities, Homing, Power, Signs

ABLE = Capabilities(None, "esxi", screen=True, serial=True)


def _snapshot(homing: Homing, signs: Signs) -> Any:
    """Return a picture of one machine that runs, as far as these actions look at it."""
    run = SimpleNamespace(boot_point="bp000001", started_at=0)
    state = SimpleNamespace(runs={"erp": run}, jobs={}, live_jobs=lambda _name: [])
    target = SimpleNamespace(name="esx-01", capabilities=replace(ABLE, homing=homing))
    standbys = {"erp": SimpleNamespace(target="esx-01")}
    return SimpleNamespace(
        state=state, targets=[target], standbys=standbys, signs={"erp": signs}, now=_Now()
    )


class _Now:
    def __sub__(self, _other: object) -> Any:
        return SimpleNamespace(total_seconds=lambda: 60.0)


@pytest.mark.parametrize(
    ("homing", "says"), [(Homing.LIVE, "runs on meanwhile"), (Homing.OFF, "OFF while")]
)
def test_the_plan_says_whether_the_vm_is_off_meanwhile(homing: Homing, says: str) -> None:
    """Where to, and what the users of the VM will notice."""
    told = Home().describe(_snapshot(homing, Signs(Power.ON)), Wish("home", "erp", to="ds2"))
    assert says in told.checks[0]
    assert any("datastore ds2" in step.text for step in told.steps)


def test_what_cannot_come_home_or_is_there_is_refused() -> None:
    """Each with its reason."""
    with pytest.raises(Refused, match="own store"):
        Home().describe(_snapshot(Homing.NONE, Signs(Power.ON)), Wish("home", "erp"))
    at_home = Signs(Power.ON, home="ds1")
    with pytest.raises(Refused, match="at home already, on datastore ds1"):
        Home().describe(_snapshot(Homing.LIVE, at_home), Wish("home", "erp"))


def test_to_stop_a_vm_at_home_asks_for_its_name() -> None:
    """It holds the only copy of what it wrote; one that runs from the share does not."""
    at_home = _snapshot(Homing.LIVE, Signs(Power.ON, home="ds1"))
    told = Stop().describe(at_home, Wish("stop", "erp"))
    assert told.confirm == "erp"
    assert "DELETE it with its disks on datastore ds1" in told.steps[1].text
    assert not Stop().describe(_snapshot(Homing.LIVE, Signs(Power.ON)), Wish("stop", "erp")).confirm
