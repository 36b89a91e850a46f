"""The console on a scripted engine through a real socket: each screen, each action, each role."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.model.errors import Problem, Refused
from engine.model.points import Stage
from engine.model.progress import Progress
from engine.model.work import JobKind, JobStatus, Severity
from tests.scripted import (
    NOW,
    ScriptedService,
    boot_point,
    empty,
    recovery_point,
)
from tests.tui.bench import Bench
from tui.places import CONTENT
from tui.screens import frame, targets


async def test_the_first_screen_answers_without_a_key(bench: Bench) -> None:
    """A moment after start stand: how many can start, each machine, its data and its age."""
    bench.start()
    async with bench.open() as hand:
        text = await hand.sees("CAN START NOW: 3 of 3")
        assert "osaka-dr" in text
        assert "+ erp" in text
        assert "12m" in text


async def test_changes_arrive_by_themselves(bench: Bench) -> None:
    """A job that begins, advances and ends is seen without a key; its bar grows."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        point = boot_point(99, recovery_point("web", 5, NOW), stage=Stage.APPLYING)
        service.put(recovery_point("web", 5, NOW), point)
        job = service.begin_job(JobKind.SYNC, "web", point.id)
        service.report(job.id, Progress("apply", 1 << 30, 4 << 30, 41 * 2**20, 75.0))
        await hand.sees("BUILD", "25%", "[#######", "41 MiB/s", "1m15s left")
        service.report(job.id, Progress("apply", 3 << 30, 4 << 30, 41 * 2**20, 25.0))
        await hand.sees("75%", "25s left")
        service.end_job(job.id)
        service.put(replace(point, stage=Stage.READY, ready_at=NOW))
        await hand.misses("75%")


SCREENS = {
    "2": "> jobs",
    "3": "> journal",
    "4": "TARGETS THAT ANSWER: 1 of 1",
    "5": "3 image sets, 0 not protected",
    "6": "role admin",
    "question_mark": "KEYS HERE",
    "a": "What can be done here",
    "enter": "osaka-dr > dc",
    "n": "Every image set that was found is protected already",
}


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_each_screen_is_a_key_away_and_leads_back(
    bench: Bench, size: tuple[int, int]
) -> None:
    """From the fleet every screen opens with one key, and Esc leads back."""
    bench.start()
    async with bench.open(size) as hand:
        await hand.sees("CAN START NOW", "dc")
        for key, shown in SCREENS.items():
            await hand.press(key)
            await hand.sees(*shown.split("  "))
            await hand.press("escape")
            await hand.sees("CAN START NOW: 3 of 3", "MACHINE")


async def test_a_page_without_actions_says_so(bench: Bench) -> None:
    """An empty list would look like a fault; Esc leads back."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("6")
        await hand.sees("role admin")
        await hand.press("a")
        await hand.sees("What can be done here", "Nothing can be done with what is shown here")
        await hand.press("escape")
        await hand.sees("role admin")


async def test_a_start_goes_over_a_page_to_the_serial_line(bench: Bench) -> None:
    """Start: the plan with the loss, yes, then the run page with the guest's last words; stop."""
    service = bench.start()
    service.serials["dc"] = b"booting\r\ncounter 41\r\n\x1b]52;c;aGk=\x07dc login: "
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        text = await hand.emergency()
        assert "isolated network" in text
        assert "Data as of   Sun 22 Nov 04:30:07, 12m old" in text
        assert service.calls == []
        await hand.agree("dc")
        await hand.sees("RUNS ISOLATED", "counter 41", "| dc login:", "shows its login prompt")
        assert service.calls[0][:2] == ("start", "dc")
        service.say("dc", b"root\r\nwelcome\r\n# ")
        await hand.sees("| dc login: root", "| welcome", "| #")
        await hand.press("x")
        await hand.sees("STOP   dc")
        await hand.agree("dc")
        await hand.sees("POWER OFF", "does not run")
        assert service.calls[-1][:2] == ("stop", "dc")
        service.serials["dc"] = b"second boot\r\n"
        service.advance(seconds=9)
        service.run("dc", service.snapshot().state.ready("dc")[-1].id)
        await hand.sees("RUNS ISOLATED", "| second boot")
        assert "counter 41" not in hand.text


async def test_the_chosen_point_is_the_one_that_starts(bench: Bench) -> None:
    """On a machine's page `f` proposes the boot point under the cursor, not the newest."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("enter")
        await hand.sees("bp000012", "newest ready boot")
        await hand.press("down", "down")
        assert "Boot point   bp000010" in await hand.emergency()
        await hand.agree("dc")
        await hand.sees("RUNS ISOLATED", "bp000010")
        assert service.calls[0][:3] == ("start", "dc", "bp000010")


async def test_enter_twice_changes_nothing(bench: Bench) -> None:
    """The default of a page that decides is no, so a doubled Enter leads back."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        await asyncio.sleep(0.35)
        await hand.press("enter")
        await hand.sees("> emergency", "Nothing was changed")
        assert service.calls == []


async def test_anything_but_yes_changes_nothing(bench: Bench) -> None:
    """The choice must be spelled: another word leaves all as it is."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        await asyncio.sleep(0.35)
        await hand.press("end", "enter")
        await hand.type("y")
        await hand.press("enter")
        await hand.sees("Nothing was changed")
        assert service.calls == []


async def test_keys_typed_ahead_decide_nothing(bench: Bench) -> None:
    """A page that decides is deaf for 300 ms: such keys were meant for the page before."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        hand.console.core.spot.opened += 60  # this machine may be slower than the 300 ms
        await hand.press("end", "enter", "end", "enter")
        await hand.sees("(o) No")
        assert not hand.console.prompt.is_open
        assert service.calls == []


@pytest.mark.parametrize(
    ("key", "title", "call"),
    [("b", "MAKE A BOOT POINT NOW", "build"), ("h", "RESUME", "resume")],
)
async def test_other_actions_ask_first(bench: Bench, key: str, title: str, call: str) -> None:
    """Build and resume show what will happen, then do it."""
    service = bench.start()
    rp = recovery_point("dc", 5, NOW)
    service.put(rp)
    held = "ops2: moved" if call == "resume" else ""
    service.put_standby(replace(service.snapshot().standbys["dc"], held=held))
    async with bench.open() as hand:
        await hand.sees("CAN START NOW", "HELD" if held else "dc")
        await hand.press("home", key)
        await hand.sees(title)
        assert service.calls == []
        await hand.agree()
        await hand.misses(title)
        assert service.calls[0][:2] == (call, "dc")


async def test_a_hold_takes_a_reason(bench: Bench) -> None:
    """Hold asks why, shows the plan, and the reason reaches the engine."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("h")
        await hand.type("disk swap")
        await hand.press("enter")
        await hand.sees("PAUSE   dc")
        await hand.agree()
        await hand.sees("HELD", "by ")
        assert service.calls[0][:3] == ("hold", "dc", "disk swap")


async def test_a_job_is_cancelled_from_the_jobs_page(bench: Bench) -> None:
    """`x` on a running job asks, then ends it."""
    service = bench.start()
    job = service.begin_job(JobKind.SYNC, "web", None, JobStatus.RUNNING)
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("2")
        await hand.sees("1 job in work")
        await hand.press("x")
        await hand.sees("CANCEL A JOB")
        await hand.agree()
        await hand.sees("cancelled")
        assert service.calls[0][:2] == ("cancel", str(job.id))


async def test_a_refusal_is_told_in_three_parts(bench: Bench) -> None:
    """What the engine refuses is shown with what was not changed and what to do."""
    service = bench.start()
    service.fails["start"] = Refused(
        Problem("x", "The target is full.", "Nothing was started.", "Free 3 GiB on ds-02.")
    )
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        await hand.agree("dc")
        await hand.sees(
            "It was not done",
            "Happened     The target is full.",
            "Not changed  Nothing was started.",
            "What now     Free 3 GiB on ds-02.",
        )
        await hand.press("enter")
        await hand.sees("CAN START NOW")


async def test_a_plan_that_no_longer_fits_is_refused(bench: Bench) -> None:
    """Between plan and yes the machine changed: the engine refuses, and says so."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        newest = service.snapshot().state.ready("dc")[-1]
        service.put(replace(newest, stage=Stage.RETIRED))
        await hand.agree("dc")
        await hand.sees("It was not done", "Nothing was changed")
        assert service.calls == []


async def test_an_empty_engine_says_what_to_do(bench: Bench) -> None:
    """With no images at all the first screen says where to put them."""
    bench.start(ScriptedService(empty()))
    async with bench.open() as hand:
        await hand.sees("NOTHING IS PROTECTED YET", "No image files were found yet", "standby add")


async def test_the_filter_leaves_what_fits(bench: Bench) -> None:
    """`/` filters while it is typed; Esc takes the filter away, and gives the keys back."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("slash")
        await hand.type("we")
        text = await hand.sees("Filter: we", "1 of 3 machines")
        assert "+ web" in text.replace("=", " ")
        assert " erp " not in text
        await hand.press("enter", "escape")
        await hand.sees("erp")
        assert hand.console.focused is hand.console.board


async def test_rows_are_put_in_order_by_key_and_by_name(bench: Bench) -> None:
    """`o` takes the next order and says it, `-` turns it; `:order` takes one by name; both stay."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("down", "o")
        text = await hand.sees("Order: name")
        assert text.index(" dc ") < text.index(" erp ") < text.index(" web ")
        await hand.press("minus")
        text = await hand.sees("Order: name, from the end")
        assert text.index(" web ") < text.index(" erp ") < text.index(" dc ")
        assert hand.console.core.spot.chosen == "erp"  # the cursor went with its row
        await hand.press("2", "1", "colon")
        await hand.sees("Order: name, from the end")
        await hand.type("order points")
        await hand.press("enter")
        await hand.sees("Order: most boot points")
        await hand.press("colon")
        await hand.type("filter we")
        await hand.press("enter")
        await hand.sees("Filter: we", "1 of 3 machines")


async def test_commands_by_name(bench: Bench) -> None:
    """`:` takes a machine, an action with a machine, and says what it does not know."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("colon")
        await hand.type("start web")
        await hand.press("enter")
        await hand.sees("EMERGENCY   start web")
        await asyncio.sleep(0.35)
        await hand.press("escape", "escape", "colon")
        await hand.type("erp")
        await hand.press("enter")
        await hand.sees("> erp")
        await hand.press("colon")
        await hand.type("fly")
        await hand.press("enter")
        await hand.sees("There is no command fly")


async def test_what_is_typed_ahead_of_the_line_is_not_lost(bench: Bench) -> None:
    """A whole command that arrives in one burst, as over a slow line, is taken as typed."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        for sign in (":", "e", "r", "p"):
            hand.console.simulate_key("colon" if sign == ":" else sign)
        hand.console.simulate_key("enter")
        await hand.sees("osaka-dr > erp", "goal 1h")


async def test_a_read_only_console_only_looks(bench: Bench) -> None:
    """Opened read-only, no action is offered, and a pressed one says why; no call is made."""
    service = bench.start()
    async with bench.open(read_only=True) as hand:
        text = await hand.sees("CAN START NOW", "(viewer, read-only)")
        assert "build now" not in text
        await hand.press("f", "b", "n")
        await hand.press("f")
        await hand.sees("read-only")
        assert service.calls == []


async def test_a_lost_engine_is_said_and_found_again(bench: Bench) -> None:
    """The engine goes: banner, `?` on each row, no action. It comes back: all is live again."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        bench.stop()
        text = await hand.sees("ENGINE NOT ANSWERING", "LAST KNOWN STATE", "? erp")
        assert "CAN START NOW" not in text
        assert "build now" not in text
        await hand.press("f")
        await hand.sees("nothing can be asked of it")
        bench.start()
        await hand.press("ctrl+r")
        await hand.sees("CAN START NOW: 3 of 3", "+ erp")
        await hand.misses("NOT ANSWERING")


@pytest.mark.parametrize("key", ["enter", "2", "5", "f"])
async def test_each_screen_survives_a_loss(bench: Bench, key: str) -> None:
    """On whatever screen the engine is lost, the banner comes, and goes when it is back."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press(key)
        await hand.misses("MACHINE           STATE")
        bench.stop()
        await hand.sees("ENGINE NOT ANSWERING")
        bench.start()
        await hand.press("ctrl+r")
        await hand.misses("ENGINE NOT ANSWERING")


async def test_an_engine_lost_between_plan_and_yes_starts_nothing(bench: Bench) -> None:
    """The page stays, yes is answered by a refusal, and nothing was called."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        bench.stop()
        await hand.sees("ENGINE NOT ANSWERING")
        await hand.agree("dc")
        await hand.sees("It was not done", "does not answer")
        assert service.calls == []


async def test_a_console_without_an_engine_says_how_to_start_one(bench: Bench) -> None:
    """It opens all the same, says why and what to do, and goes on when the engine is there."""
    async with bench.open() as hand:
        await hand.sees("NO ENGINE YET", "systemctl start bootpoint", "bootpoint engine")
        bench.start()
        await hand.press("ctrl+r")
        await hand.sees("CAN START NOW: 3 of 3")


async def test_the_journal_shows_the_chosen_entry_in_full(bench: Bench) -> None:
    """The newest stands on top; the chosen one is told with its remedy; a filter leaves some."""
    service = bench.start()
    service.write_line("Point 1 is ready.", standby="erp")
    service.write_line(
        "ds-02 is full.", severity=Severity.ERROR, standby="web", remedy="Free 3 GiB."
    )
    async with bench.open() as hand:
        await hand.sees("ds-02 is full.", "Point 1 is ready.")
        await hand.press("3")
        await hand.sees("What now     Free 3 GiB.", "X 1")
        service.write_line("Point 2 is ready.", standby="erp")
        await hand.sees("Point 2 is ready.")
        await hand.press("slash")
        await hand.type("state:fail")
        await hand.press("enter")
        await hand.sees("1 of 3 entries")


async def test_a_machine_that_vanishes_says_so(bench: Bench) -> None:
    """Its open page does not close by itself: it says that the standby was removed."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("enter")
        await hand.sees("> dc", "bp000012")
        service.show(standbys={})
        await hand.sees("dc is no longer protected")


async def test_noise_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve hundred random keys: no call is made, and the console lives."""
    import random

    service = bench.start()
    chosen = random.Random(7)
    names = [*"abdeghijklmnoprstuvwxyzABCF0123456789[]~;:/?"]
    names += ["escape", "enter", "up", "down", "end", "tab", "space", "backspace"]
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        core, left = hand.console.core, []
        # Some words of the `:` line and rows of the menu leave, which is safe but ends the test;
        # whether noise meets one depends on when the engine answers, so it is held out, as q is.
        monkeypatch.setattr(core.face, "leave", left.append)
        for number in range(1200):
            hand.console.simulate_key(chosen.choice(names))
            if number % 20 == 0:
                await hand.pilot.pause()
        # All keys are heard, and all that they asked the engine is answered, before it is judged.
        await hand.pilot.pause()
        await core.settle()
        assert service.calls == []
        assert core.broken is None
        assert hand.console.is_running


async def test_a_page_that_cannot_be_drawn_takes_no_other_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so in three parts, with what to report; Esc leaves it and the fleet is there."""
    bench.start()

    def fails(*_about: object) -> frame.Content:
        raise KeyError("x\x1b[2J")

    monkeypatch.setattr(targets, "content", fails)
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("4")
        await hand.sees("cannot be drawn", "Nothing was changed", "KeyError,", "test_console.py:")
        await hand.press("escape")
        await hand.sees("CAN START NOW")


async def test_q_leaves_with_zero(bench: Bench) -> None:
    """Leaving is one key, and its exit code is 0."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("q")
    assert hand.console.return_value == 0


async def test_the_first_picture_waits_for_no_pace(bench: Bench) -> None:
    """A line of one frame a second shows the fleet as it comes, then keeps its pace."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        console, loop = hand.console, asyncio.get_running_loop()
        waits: list[float] = []
        for shown in (False, True):
            if console._due is not None:
                console._due.cancel()
                console._due = None
            console._painted, console._has_shown = loop.time() + 60, shown
            console.paint_soon()
            assert console._due is not None
            waits.append(console._due.when() - loop.time())
        assert waits[0] <= 0 < 60 < waits[1]


async def test_only_changed_lines_are_painted(bench: Bench) -> None:
    """A second without news repaints nothing at all."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        drawn: list[int] = []
        board = hand.console.board
        before = board.render_line
        board.render_line = lambda y: (drawn.append(y), before(y))[1]  # type: ignore[method-assign]
        quiet = False
        while not quiet:  # what the start still owes
            drawn.clear()
            await asyncio.sleep(0.5)
            quiet = not drawn
        hand.console.paint()
        await hand.pilot.pause()
        assert drawn == []
        await hand.press("down")
        assert 0 < len(set(drawn)) <= 4


async def test_every_place_can_be_drawn_while_nothing_is_known(bench: Bench) -> None:
    """No screen needs the engine to have answered."""
    async with bench.open() as hand:
        for place in CONTENT:
            hand.console.core.go(place, "erp")
            assert hand.text
