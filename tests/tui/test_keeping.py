"""Retention and pins in the console, on a scripted engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.points import BootPointId
from engine.model.retention import Rules, Verdict
from engine.model.upkeep import Upkeep
from tests.scripted import ScriptedService
from tests.tui.bench import Bench

NEWEST = BootPointId("bp000012")


@pytest.fixture
def service(bench: Bench) -> ScriptedService:
    """Return an engine with dc, erp and web."""
    return bench.start()


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_what_stays_is_a_key_away(
    bench: Bench, service: ScriptedService, size: tuple[int, int]
) -> None:
    """`y` shows each boot point with its reason, and Esc leads back; nothing is changed."""
    standby = service.snapshot().standbys["dc"]
    service.put_standby(replace(standby, keep=3))
    service.show(upkeep={"dc": Upkeep(Rules(keep=3))})
    async with bench.open(size) as hand:
        await hand.sees("CAN START NOW")
        await hand.press("home", "enter")
        await hand.sees("bp000012", "STATE")
        await hand.press("y")
        text = await hand.sees("3 stay, 1 go; 1.0 GiB come back.", "keep 3, floor 3")
        assert "+ bp000012" in text
        assert "newest ready" in text
        await hand.press("end")
        await hand.sees("- bp000009", "goes", "3 newer ones")
        await hand.press("escape")
        await hand.sees("DATA AS OF", "bp000012")
        assert service.calls == []


async def test_a_pin_asks_for_a_note_and_goes_over_a_plan(
    bench: Bench, service: ScriptedService
) -> None:
    """`p` pins with a note after a plan page; the same key takes the pin off again."""
    async with bench.open((120, 40)) as hand:
        await hand.sees("CAN START NOW")
        await hand.press("home", "enter")
        await hand.sees("bp000012")
        await hand.press("p")
        await hand.type("before the upgrade")
        await hand.press("enter")
        await hand.sees("pin boot point bp000012: before the upgrade")
        await hand.agree()
        await hand.sees("is pinned", 'pin: "root: before')
        await hand.press("p")
        await hand.sees("take the pin off boot point bp000012")
        await hand.press("escape")
        assert [call[:3] for call in service.calls] == [("pin", "dc", NEWEST)]


async def test_the_list_says_what_goes(bench: Bench, service: ScriptedService) -> None:
    """A boot point that retention takes away soon says so where others say why they stay."""
    verdicts = dict(service.snapshot().verdicts)
    verdicts[BootPointId("bp000009")] = Verdict(False, "3 newer ones are ready")
    service.show(verdicts=verdicts)
    async with bench.open((120, 40)) as hand:
        await hand.sees("CAN START NOW")
        await hand.press("home", "enter")
        await hand.sees("goes: 3 newer ones", "newest ready boot point")
