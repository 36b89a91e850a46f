"""A target from its first field to its removal, by keys only, at the console of a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC

import pytest

from tests.contract.disk_chains import xfs
from tests.esxi.conftest import made, sim
from tests.esxi.living import Site, site
from tests.tui.bench import Hand
from tests.tui.test_new_target import agree, fill, go, words
from tests.vcsim.simulator import Sim
from tui.app import Console
from tui.core import Setup
from tui.terminal import Kind

__all__ = ["made", "sim", "site", "xfs"]


@asynccontextmanager
async def console(
    site: Site, size: tuple[int, int], *, read_only: bool = False
) -> AsyncIterator[Hand]:
    """Open a console on the engine of a site, at its targets."""
    kind = Kind("local", unicode=False)
    drafts = site.config.parent / "drafts"
    setup = Setup(site.state / "engine.sock", kind, read_only=read_only, zone=UTC, drafts=drafts)
    opened = Console(setup)
    async with opened.run_test(size=size) as pilot:
        hand = Hand(opened, pilot)
        await hand.sees("NOTHING IS PROTECTED YET")
        await hand.press("4")
        await hand.sees("TARGETS THAT ANSWER")
        yield hand


@pytest.mark.parametrize("size", [(60, 16), (80, 24)])
async def test_a_target_is_added_looked_at_and_removed_by_keys_only(
    site: Site, sim: Sim, size: tuple[int, int]
) -> None:
    """No restart in between; `no` is chosen first, the name is typed, what stays is told."""
    site.start()
    async with console(site, size) as hand:
        await hand.press("n")
        await hand.sees("NEW TARGET")
        await asyncio.sleep(0.35)
        await fill(hand, **words(sim, site.secret))
        await go(hand)
        await hand.sees("no password was sent yet", "(o) No")
        await agree(hand)
        await hand.sees("TARGET esx-01 WAS ADDED", "The engine has taken it up")
        await hand.press("escape")
        await hand.sees("TARGETS THAT ANSWER: 2 of 2", "esx-01")
        await hand.press("end", "x")
        text = await hand.sees("REMOVE TARGET esx-01", "nothing has changed yet", "(o) No")
        assert size[1] < 24 or "datastore bp-esx-01" in text
        await asyncio.sleep(0.35)
        await hand.press("enter")
        await hand.sees("Nothing was changed.", "TARGETS THAT ANSWER: 2 of 2")
        await hand.press("enter")
        await hand.sees("> targets > esx-01")
        await hand.press("x")
        await hand.sees("REMOVE TARGET esx-01", "(o) No")
        await asyncio.sleep(0.35)
        await hand.press("end", "enter")
        await hand.type("esx-02")
        await hand.press("enter")
        await hand.sees("That is not esx-01. Nothing was changed.")
        assert site.file.exists()
        await hand.press("end", "enter")
        await hand.type("esx-01")
        await hand.press("enter")
        await hand.sees("TARGET esx-01 WAS REMOVED", "has let go of it")
        await hand.press("escape")
        await hand.sees("TARGETS THAT ANSWER: 1 of 1")
        assert not site.file.exists()


async def test_one_that_cannot_go_says_why(site: Site) -> None:
    """A target of engine.toml is refused with its lines; a viewer may not even ask."""
    site.start()
    async with console(site, (80, 24)) as hand:
        await hand.press("x")
        await hand.sees("It was not done", "lines 2-3", "no command writes it")
    async with console(site, (80, 24), read_only=True) as hand:
        await hand.press("x")
        await hand.sees("it only looks")
