"""The console's pages about targets that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.machine import Gravity
from engine.ports import Finding
from tests.scripted import target_status
from tests.tui.bench import Bench


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_all_that_was_found_in_a_target_can_be_read(
    bench: Bench, size: tuple[int, int]
) -> None:
    """The list says where it cut; Enter shows the rest, to the last word."""
    said = "It is told in many words, as those of a host are. " * 4
    found = tuple(Finding(Gravity.WARNING, f"esxi.{n}", said, f"Mend-{n}.") for n in range(30))
    service = bench.start()
    service.show(targets=(replace(target_status("local"), findings=found),))
    async with bench.open(size) as hand:
        await hand.sees("CAN START NOW")
        await hand.press("4")
        text = await hand.sees("TARGETS THAT ANSWER", "Enter open")
        assert "Mend-29." not in text
        if size[1] >= 24:
            assert ".." in text.splitlines()[-2]
        await hand.press("enter")
        await hand.sees("local  libvirt", "Disks on")
        await hand.press("end")
        await hand.sees("Mend-29.", "Standbys", "erp")
        await hand.press("enter")
        await hand.sees("TARGETS THAT ANSWER")
