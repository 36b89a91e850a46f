"""Standbys defined and changed in the console: steps, drafts, text, review."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.local.drafts import Draft, Drafts
from tests.scripted import ScriptedService, site
from tests.tui.bench import Bench, Hand, until


@pytest.fixture
def service(bench: Bench) -> ScriptedService:
    """Return an engine that found two machines and protects none."""
    found = site(2)
    bare = replace(found, standbys={}, sources={}, state=replace(found.state, boot_points={}))
    return bench.start(ScriptedService(bare))


async def begin(hand: Hand) -> None:
    """Choose the first image set, and wait until the page listens and the engine has judged."""
    await hand.sees("NOTHING IS PROTECTED YET", "2 image sets found", "press n")
    await hand.press("n")
    await hand.sees("Which machine shall be protected?", "erp")
    await hand.press("enter")
    await hand.sees("NEW STANDBY erp", "[images]", "1 full and")
    await asyncio.sleep(0.35)


async def step(hand: Hand, title: str, *, first: bool = False) -> None:
    """Go to the next step by keys only."""
    await hand.press("end", "up", *(() if first else ("up",)), "enter")
    await hand.sees(f"[{title}]")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_a_new_standby_step_by_step(
    bench: Bench, service: ScriptedService, size: tuple[int, int]
) -> None:
    """Every step is seen, answers are judged, the review tells room and time, yes adds it."""
    async with bench.open(size) as hand:
        await begin(hand)
        await step(hand, "target", first=True)
        await hand.sees("about 1.2 GiB for the first boot point")
        await step(hand, "when")
        await hand.press("home", "enter", "ctrl+u")
        await hand.type("every:4")
        await hand.press("enter")
        await hand.sees("every:4", "one boot point of so many increments")
        await step(hand, "keep")
        await step(hand, "machine")
        await step(hand, "checks")
        assert service.calls == []
        await step(hand, "review")
        await hand.sees("No, leave", "unknown until the first seed")
        assert hand.console.core.spot.chosen == "no"
        await hand.press("down", "enter")
        await hand.type("ｙｅｓ")
        await hand.press("enter")
        await hand.sees("> erp", "Standby erp was added")
        added = service.snapshot().standbys["erp"]
        assert (str(added.trigger), added.images, added.keep) == ("every:4", "/mnt/replica/erp", 24)
        assert Drafts(bench.drafts).all() == []


async def test_what_is_wrong_holds_the_step_and_changes_nothing(
    bench: Bench, service: ScriptedService
) -> None:
    """A value that cannot be read is not taken; one that the engine refuses is marked and stays."""
    async with bench.open() as hand:
        await begin(hand)
        await step(hand, "target", first=True)
        await step(hand, "when")
        await hand.press("home", "enter", "ctrl+u")
        await hand.type("soon")
        await hand.press("enter")
        await hand.sees("X Trigger", "trigger: found 'soon'", "expected immediate, daily@HH:MM")
        await hand.press("end", "up", "up", "enter")
        await hand.sees("[when]")
        await step_to_keep(hand)
        await hand.press("home", "enter", "ctrl+u")
        await hand.type("none")
        await hand.press("enter")
        await hand.sees("keep: found none, expected a number of at least 1")
        assert service.calls == []


async def step_to_keep(hand: Hand) -> None:
    """Mend the trigger by its own rule, then go on."""
    await hand.press("home", "enter", "ctrl+u")
    await hand.type("immediate")
    await hand.press("enter")
    await hand.misses("X Trigger")
    await step(hand, "keep")


async def test_a_step_can_be_left_and_taken_up(bench: Bench, service: ScriptedService) -> None:
    """Esc keeps a draft; another console shows it, goes on at that step, or throws it away."""
    async with bench.open() as hand:
        await begin(hand)
        await step(hand, "target", first=True)
        await step(hand, "when")
        await hand.press("escape", "escape")
        await hand.sees("NOTHING IS PROTECTED YET", "1 draft")
    async with bench.open() as hand:
        await hand.sees("NOTHING IS PROTECTED YET", "1 draft")
        await hand.press("n")
        await hand.sees("! erp", "draft, left at: when")
        await hand.press("enter")
        await hand.sees("NEW STANDBY erp", "[when]")
        await asyncio.sleep(0.35)
        await hand.press("escape")
        await hand.sees("draft, left at: when", "x drop draft")
        await hand.press("x")
        await hand.type("yes")
        await hand.press("enter")
        await hand.misses("draft, left at")
        assert Drafts(bench.drafts).all() == []
        assert service.calls == []


async def test_all_of_it_can_be_edited_as_text(bench: Bench, service: ScriptedService) -> None:
    """Ctrl+O judges the text: refused text stays with the reason, good text goes to the review."""
    async with bench.open() as hand:
        await begin(hand)
        await hand.press("e")
        pane = await opened(hand)
        pane._editor.text = 'images = "/mnt/replica/erp"\nkeep = "many"\n'
        await hand.press("ctrl+o")
        await until(lambda: pane.is_open and pane._said.display, lambda: hand.text)
        assert "keep: found 'many', expected" in str(pane._said.content)
        (kept,) = Drafts(bench.drafts).all()
        assert "many" in kept.text
        pane._editor.text = '# mine\nimages = "/mnt/replica/erp"\nmachine = "erp"\nkeep = 3\n'
        await hand.press("ctrl+o")
        await hand.sees("[review]", "the newest 3")
        await hand.press("down", "enter")
        await hand.type("yes")
        await hand.press("enter")
        await hand.sees("Standby erp was added")
        assert service.standby_text("erp").startswith("# mine\n")


async def opened(hand: Hand) -> object:
    """Return the editor once it takes keys."""
    await until(lambda: hand.console.pane is not None and hand.console.pane.is_open, lambda: "")
    await hand.pilot.pause()
    return hand.console.pane


async def test_esc_leaves_the_text_as_a_draft(bench: Bench, service: ScriptedService) -> None:
    """What was typed is kept, the keys are the board's again, nothing is asked of the engine."""
    async with bench.open() as hand:
        await begin(hand)
        await hand.press("e")
        pane = await opened(hand)
        await hand.press("x")
        await hand.press("escape")
        await hand.sees("The text is kept as a draft")
        assert hand.console.focused is hand.console.board
        (kept,) = Drafts(bench.drafts).all()
        assert kept.text.startswith("x")
        assert not pane.is_open
        assert service.calls == []


async def test_a_standby_that_is_there_is_changed_by_the_same_steps(bench: Bench) -> None:
    """`e`: the review names each change; fewer boot points ask for the machine's name."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("e")
        await hand.sees("EDIT dc", "[images]")
        await asyncio.sleep(0.35)
        await hand.press("e")
        pane = await opened(hand)
        pane._editor.text = pane._editor.text.replace("keep = 24", "keep = 1").replace(
            "rpo_s = 3600", "rpo_s = 7200\n[retention]\nfloor = 1"
        )
        # created_at stands below rpo_s and must stay at the top
        created = next(x for x in pane._editor.text.splitlines() if x.startswith("created_at"))
        pane._editor.text = f"{created}\n" + pane._editor.text.replace(f"{created}\n", "")
        await hand.press("ctrl+o")
        await hand.sees(
            "[review]", "keep: 24 -> 1", "rpo_s: 1h -> 2h", "boot points that stay now go by this"
        )
        await hand.press("down", "enter")
        await hand.type("yes")
        await hand.press("enter")
        await hand.sees("That is not dc")
        assert service.calls == []
        await hand.press("enter")
        await hand.type("dc")
        await hand.press("enter")
        await hand.sees("Standby dc was changed")
        assert service.snapshot().standbys["dc"].keep == 1


async def test_a_viewer_is_not_offered_to_change(bench: Bench) -> None:
    """Read-only: neither `n` nor `e` leads anywhere, and both say why."""
    service = bench.start()
    async with bench.open(read_only=True) as hand:
        text = await hand.sees("CAN START NOW")
        assert "new standby" not in text
        await hand.press("e")
        await hand.sees("read-only")
        assert service.calls == []


async def test_a_refused_draft_says_why_when_it_is_taken_up(
    bench: Bench, service: ScriptedService
) -> None:
    """A draft that the engine refused shows the reason among the drafts."""
    Drafts(bench.drafts).keep(Draft("erp", 'images = "/x"\n', step="keep", why="/x is no folder."))
    async with bench.open() as hand:
        await hand.sees("1 draft")
        await hand.press("n")
        await hand.sees("draft, left at: keep", "Not taken", "/x is no folder.")
