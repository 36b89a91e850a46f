"""A running guest in the console: its screen, saved as PNG, and typing at its serial line."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from engine.hypervisors.png import encode
from engine.model.errors import Failure, Problem
from engine.model.machine import Asked, Power, Signs
from tests.scripted import ScriptedService
from tests.tui.bench import Bench, Hand, until

LIGHT = encode(8, 4, bytes([255]) * 96)


def running(bench: Bench) -> ScriptedService:
    """Let the engine run the VM of dc."""
    service = bench.start()
    service.run("dc", service.snapshot().state.ready("dc")[-1].id)
    service.serials["dc"] = b"dc login: "
    service.picture_png = LIGHT
    return service


async def run_page(hand: Hand) -> None:
    """Go to the run page of dc."""
    await hand.sees("CAN START NOW", "TEST")
    await hand.press("i")
    await hand.sees("RUNS ISOLATED", " dc login:")


@pytest.mark.parametrize("unicode", [True, False])
async def test_the_guests_screen_is_drawn_and_follows_it(bench: Bench, unicode: bool) -> None:
    """`o` draws it, in blocks or ASCII; a change is seen without a key; off is said in words."""
    service = running(bench)
    async with bench.open(unicode=unicode) as hand:
        await run_page(hand)
        await hand.press("o")
        text = await hand.sees("SCREEN of dc   8 x 4", "▀▀▀▀" if unicode else "@@@@")
        assert unicode or text.isascii()
        service.picture_png = encode(16, 4, bytes(192))
        await hand.sees("SCREEN of dc   16 x 4")
        service.fails["screen"] = Failure(Problem("vm.off", "VM dc is off, so it shows nothing."))
        await hand.sees("Happened     VM dc is off")
        await hand.press("escape")
        await hand.sees("RUNS ISOLATED")


async def test_a_wide_window_shows_screen_and_serial_line_together(bench: Bench) -> None:
    """From 120 columns on both stand on the page of the run, the newest picture without a key."""
    service = running(bench)
    async with bench.open((120, 40)) as hand:
        await run_page(hand)
        text = await hand.sees("@@@@")
        (line,) = [line for line in text.splitlines() if " dc login:" in line]
        assert line.index("@@@@") > 50
        service.fails["screen"] = Failure(Problem("vm.off", "VM dc is off, so it shows nothing."))
        service.say("dc", b"root\r\n")
        await hand.sees("dc login: root")  # the serial line goes on without a screen


async def test_the_picture_is_saved_and_nothing_is_overwritten(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`w` writes the PNG itself under the name that is typed; a file that is there stays."""
    running(bench)
    monkeypatch.chdir(tmp_path)
    async with bench.open() as hand:
        await run_page(hand)
        await hand.press("o")
        await hand.sees("SCREEN of dc")
        for said in ("The picture is in", "is there already"):
            await hand.press("w", "ctrl+u")
            await hand.type("dc.png")
            await hand.press("enter")
            await hand.sees(said)
        assert (tmp_path / "dc.png").read_bytes() == LIGHT


async def test_typing_goes_to_the_guest_until_the_escape_key(bench: Bench) -> None:
    """`i` gives all keys to the guest, also those that mean something here; Ctrl-] takes them."""
    service = running(bench)
    async with bench.open() as hand:
        await run_page(hand)
        await hand.press("i")
        await hand.sees("TYPING AT THE GUEST", "every key goes there")
        await hand.type("q2s")
        await hand.press("enter")
        await hand.sees("| dc login: q2s", "TYPING AT THE GUEST")
        await hand.press("ctrl+right_square_bracket")
        await hand.sees("Typing has ended", "RUNS ISOLATED")

        def typed() -> str:
            return "".join(call[2] for call in service.calls if call[0] == "serial_input")

        await until(lambda: typed() == "q2s\r", typed)
        await hand.press("2")
        await hand.sees("> jobs")


async def test_a_guest_that_went_away_ends_typing(bench: Bench) -> None:
    """A refusal gives the keys back and says why."""
    service = running(bench)
    async with bench.open() as hand:
        await run_page(hand)
        await hand.press("i")
        service.fails["serial_input"] = Failure(Problem("vm.off", "VM dc is off."))
        await hand.press("x")
        await hand.sees("VM dc is off.")
        assert not hand.console.core.typing


async def test_a_viewer_looks_and_types_nothing(bench: Bench) -> None:
    """Read-only, the screen is drawn, and `i` is refused."""
    service = running(bench)
    async with bench.open(read_only=True) as hand:
        await run_page(hand)
        await hand.press("i")
        await hand.sees("opened read-only")
        await hand.press("o")
        await hand.sees("SCREEN of dc")
        await asyncio.sleep(0)
        assert service.calls == []


async def test_what_a_vm_asks_is_answered_from_its_page(bench: Bench) -> None:
    """`m` is there while a question stands; a choice needs a yes, and goes with what was read."""
    service = running(bench)
    async with bench.open() as hand:
        await run_page(hand)
        await hand.press("m")
        assert "waits for an answer" not in hand.text
        first = Asked("7", "Moved or copied?", ("Cancel", "I moved it"), ("0", "1"))
        service.show(signs={"dc": Signs(Power.OFF, question=first)})
        await hand.sees("It waits for an answer: m shows", "m answer")
        await hand.press("m")
        await hand.sees("It asks      Moved or copied?", "(o) 1  Cancel", "( ) 2  I moved it")
        hand.console.core.spot.opened -= 60  # it listens now
        await hand.press("down", "enter")
        await hand.type("yes")
        service.show(signs={"dc": Signs(Power.OFF, question=replace(first, text="Sure?"))})
        await hand.press("enter")
        await hand.sees("asks something else by now")
        await hand.press("escape", "m")
        await hand.sees("It asks      Sure?")
        hand.console.core.spot.opened -= 60
        await hand.press("down", "enter")
        await hand.type("yes")
        await hand.press("enter")
        await hand.sees("RUNS ISOLATED", "asked with I moved it")
    assert [call[2] for call in service.calls if call[0] == "answer"] == ["2", "2"]
