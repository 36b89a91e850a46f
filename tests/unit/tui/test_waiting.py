"""Who waits, and how fast images may be read, on the console's pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engine.api.views import Next
from engine.api.waiting import WaitView
from tests.unit.tui.sample import NOW, fleet, job, look, machine
from tui.screens import fleet as fleet_screen
from tui.screens import jobs as jobs_screen

SLOT = WaitView(bound="target", text="All 2 slots of target local are taken.")
WINDOW = WaitView(
    bound="blackout", text="No boot point is begun now.", until=NOW + timedelta(hours=1)
)


def page(*, height: int = 40) -> str:
    """Return the jobs page of a fleet of which three machines wait."""
    held = {
        name: machine(name, wait=wait)
        for name, wait in (("erp", SLOT), ("web", WINDOW), ("dc", SLOT), ("hr", None))
    }
    slow = job(1, "hr", limit=40 << 20, limit_until=NOW + timedelta(hours=1))
    picture = replace(fleet(("hr",)), machines=held, jobs={"1": slow})
    drawn = jobs_screen.lines(picture, look("jobs", "1", (100, height)))
    return "\n".join("".join(words for words, _ in line).rstrip() for line in drawn)


def test_the_jobs_page_tells_who_waits_and_for_what() -> None:
    """Each machine with its reason, the end of a window with its time; the count on top."""
    told = page()
    assert "3 waiting" in told
    assert "WAITING 3" in told
    assert "All 2 slots of target local are taken." in told
    assert "No boot point is begun now. It ends" in told
    assert "limited to 40 MiB/s until" in told


def test_a_low_screen_tells_one_and_the_number_of_others() -> None:
    """Where there is no room, the first is told and the rest is counted."""
    assert "2 more machines waiting" in page(height=24)


def test_the_fleet_says_in_few_words_what_a_machine_waits_for() -> None:
    """NEXT names what is missing instead of `its turn`."""
    one = machine("erp", wait=SLOT, next=Next(kind="due", text="a boot point waits for its turn"))
    assert fleet_screen.next_words(one, look("fleet", "erp")) == "waits for a slot of its target"
