"""Guests, ledgers and converting again in the console, on a scripted engine."""

from __future__ import annotations

import pytest

from engine.model.errors import NotBootable, Problem
from engine.model.points import BootPointId, Stage
from tests.records import ROOT, dry_run, entries, entry, record
from tests.scripted import NOW, ScriptedService, boot_point, recovery_point
from tests.tui.bench import Bench, Hand

NEWEST, OLDER = BootPointId("bp000012"), BootPointId("bp000011")
REASON = "The root is encrypted (LUKS). Decrypt it on the source machine."


@pytest.fixture
def service(bench: Bench) -> ScriptedService:
    """Return an engine where two boot points of dc are converted."""
    made = bench.start()
    made.records = {NEWEST: record(), OLDER: record(*entries()[:2])}
    made.dry_runs = {NEWEST: dry_run()}
    return made


async def at_machine(hand: Hand) -> None:
    """Go to the page of dc, on its newest boot point."""
    await hand.sees("CAN START NOW")
    await hand.press("enter")
    await hand.sees("bp000012", "STATE", "bp000011")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_guest_and_ledger_are_a_key_away(
    bench: Bench, service: ScriptedService, size: tuple[int, int]
) -> None:
    """From a machine's page `u` shows its guest, `l` its ledger, and Esc leads back."""
    async with bench.open(size) as hand:
        await at_machine(hand)
        await hand.press("u")
        await hand.sees("GUEST", "data as of Sun 22 Nov 04:30:07", "Debian GNU/Linux 12")
        await hand.press("l")
        await hand.sees("LEDGER", "3 changes, 0.4 s", "bootpoint-6.1.0-50-amd64.img")
        await hand.press("end")
        text = await hand.sees("-/dev/sda1 / ext4")
        assert f"+UUID={ROOT} /" in text
        await hand.press("escape")
        await hand.sees("DATA AS OF", "KEPT BECAUSE" if size[0] > 60 else "STATE")
        assert service.calls == []


async def test_going_to_and_fro_stays_shallow(bench: Bench, service: ScriptedService) -> None:
    """However often guest and ledger follow one another, one Esc leads back."""
    async with bench.open() as hand:
        await at_machine(hand)
        for _ in range(5):
            await hand.press("u")
            await hand.sees("GUEST", "Debian")
            await hand.press("l")
            await hand.sees("LEDGER", "3 changes")
        await hand.press("escape")
        await hand.sees("KEPT BECAUSE")


async def test_a_long_ledger_moves(bench: Bench, service: ScriptedService) -> None:
    """A ledger longer than the screen is scrolled, and lines longer than it go on below."""
    text = "".join(f"line {n} {'word ' * 30}end{n}\n" for n in range(90))
    service.records[NEWEST] = record(entry("/etc/long", "", text))
    async with bench.open() as hand:
        await at_machine(hand)
        await hand.press("l")
        await hand.sees("more below, PgDn", "+line 0 ", "end0")
        await hand.press("end")
        await hand.sees("end89", "more above, PgUp")
        await hand.press("home", "pagedown")
        await hand.misses("+line 0 ")


async def test_a_ledger_is_compared_with_another(bench: Bench, service: ScriptedService) -> None:
    """`o` offers the boot point before; what differs is shown with its line of the diff."""
    async with bench.open() as hand:
        await at_machine(hand)
        await hand.press("l")
        await hand.sees("3 changes")
        await hand.press("o")
        assert hand.console.prompt.is_open
        await hand.press("enter")
        await hand.sees("LEDGERS bp000011 -> bp000012", "1 file differs.", "only in bp000012")
        await hand.press("o")
        await hand.press(*["backspace"] * 8)
        await hand.type("9")
        await hand.press("enter")
        await hand.sees("Happened", "bp000009 of dc was made without a conversion")


async def test_what_is_not_bootable_says_why_and_what_now(
    bench: Bench, service: ScriptedService
) -> None:
    """It is marked in the list; its page has reason and remedy, and offers to convert again."""
    image = recovery_point("dc", 5, NOW)
    more = {"obstacle": "guest.luks", "has_trunk": True, "reason": REASON}
    service.put(image, boot_point(50, image, stage=Stage.FAILED, **more))
    problem = Problem("guest.luks", "The root is encrypted (LUKS).", "", "Decrypt it.")
    service.fails["plan_conversion"] = NotBootable(problem)
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("home", "enter")
        await hand.sees("X bp000050", "not bootable", "bp000012")
        await hand.press("home", "f")
        await hand.sees("bp000050 is not bootable. Enter says why.")
        await hand.press("l")
        await hand.sees("nothing was changed in it")
        await hand.press("enter")
        text = await hand.sees("X NOT BOOTABLE", "Decrypt it on the source machine")
        assert "What now     After a fix on this host, convert it again" in text
        assert "b convert" in text
        assert "w dry run" in text
        await hand.press("w")
        await hand.sees("DRY RUN", "Happened     The root is encrypted", "What now     Decrypt it.")
        await hand.press("escape")
        await hand.sees("X NOT BOOTABLE")
        await hand.press("b")
        await hand.sees("CONVERT A BOOT POINT AGAIN", "(o) No", "stays as it is: it is the image")
        assert "bootpoint convert dc --point bp000050 --again" in hand.text
        assert service.calls == []
        await hand.agree()
        await hand.sees("is converted as soon as a slot is free")
        assert service.calls[0][:3] == ("convert", "dc", "bp000050")


async def test_a_dry_run_changes_nothing(bench: Bench, service: ScriptedService) -> None:
    """On a boot point `w` shows what would change, without asking the engine to change it."""
    async with bench.open(read_only=True) as hand:
        await at_machine(hand)
        await hand.press("enter")
        await hand.sees("READY")
        assert "b convert" not in hand.text
        await hand.press("w")
        await hand.sees("DRY RUN", "3 changes would be made", "Debian GNU/Linux")
        await hand.press("end")
        await hand.sees("-/dev/sda1 / ext4")
        await hand.press("b")
        await hand.sees("opened read-only")
        assert service.calls == []


async def test_hostile_ledgers_cannot_steer(bench: Bench, service: ScriptedService) -> None:
    """Markup, escapes and endless lines of a guest are only text."""
    evil = "web01[/nope]\x1b]52;c;evil\x07\u202e" + "x" * 5000
    service.records[NEWEST] = record(
        entry("/etc/" + evil, evil + "\n", evil * 2 + "\n", reason=evil)
    )
    async with bench.open() as hand:
        await at_machine(hand)
        await hand.press("l")
        text = await hand.sees("LEDGER", "web01[/nope]")
        assert all(sign.isprintable() or sign == "\n" for sign in text)


async def test_without_the_engine_it_says_so(bench: Bench, service: ScriptedService) -> None:
    """When the line is lost the page says that, instead of waiting for ever."""
    async with bench.open() as hand:
        await at_machine(hand)
        bench.stop()
        await hand.sees("ENGINE NOT ANSWERING")
        await hand.press("l")
        await hand.sees("Happened     The engine does not answer.")
