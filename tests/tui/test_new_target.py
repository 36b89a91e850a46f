"""A new ESXi target in the console: fields, first contact, comparison; by keys only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.config.engine import load_engine
from engine.esxi import esxi_adding
from engine.hypervisors.esxi.trust import shown_pin
from tests.contract.disk_chains import xfs
from tests.esxi.conftest import made, sim
from tests.tui.bench import Bench, Hand, until
from tests.vcsim.recorder import recording
from tests.vcsim.simulator import PASSWORD, USER, Sim, certificate

__all__ = ["made", "sim", "xfs"]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return where the password is."""
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    file.chmod(0o600)
    return file


@pytest.fixture
def config(bench: Bench, xfs: Path, tmp_path: Path) -> Path:
    """Return the configuration of an engine that adds targets to it, on a disk for stores."""
    bench.config.write_text(f'state_dir = "{xfs}/{tmp_path.name}"\n')
    service = bench.start()
    service.adding = esxi_adding(bench.config)
    return bench.config


async def begin(hand: Hand) -> None:
    """Open the page with the fields, and wait until it listens."""
    await hand.sees("CAN START NOW")
    await hand.press("4")
    await hand.sees("TARGETS THAT ANSWER")
    await hand.press("n")
    await hand.sees("NEW TARGET", "nothing has changed yet")
    await asyncio.sleep(0.35)


async def fill(hand: Hand, **words: str) -> None:
    """Fill in fields from the top on; each is chosen with the arrows."""
    await hand.press("home")
    ids = [*hand.console.core.content().ids]
    for field, value in words.items():
        await hand.press("home", *["down"] * ids.index(field), "enter")
        await hand.press("ctrl+u")
        await hand.type(value)
        await hand.press("enter")


async def go(hand: Hand) -> None:
    """Ask the host for its certificate."""
    ids = [*hand.console.core.content().ids]
    await hand.press("home", *["down"] * ids.index("go"), "enter")


def words(sim: Sim, secret: Path) -> dict[str, str]:
    """Return what has to be filled in."""
    told = {"name": "esx-01", "url": sim.proxy.url, "user": USER, "password": f"file:{secret}"}
    return told | {"datastore": "LocalDS_0", "server": "127.0.0.1"}


async def agree(hand: Hand) -> None:
    """Choose yes, once the page listens, and type it."""
    await asyncio.sleep(0.35)
    await hand.press("end", "enter")
    await hand.type("yes")
    await hand.press("enter")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_a_target_is_added_by_keys_only(
    bench: Bench, config: Path, sim: Sim, secret: Path, size: tuple[int, int]
) -> None:
    """The certificate is seen before a login, `no` is chosen, yes is typed, it is in the file."""
    async with bench.open(size) as hand:
        await begin(hand)
        await fill(hand, **words(sim, secret))
        await go(hand)
        await hand.sees("no password was sent yet", "SHA-256", "Compare", "(o) No")
        seen = "".join(hand.text.split())
        assert shown_pin(sim.certificate.pin) in seen
        assert sim.proxy.calls == []
        await agree(hand)
        await hand.sees("TARGET esx-01 WAS ADDED", "systemctl restart bootpoint")
        one = load_engine(config).targets["esx-01"]
        assert one.esxi is not None
        assert (one.esxi.pin, one.esxi.user) == (sim.certificate.pin, USER)
        assert PASSWORD not in (config.parent / "targets.d" / "esx-01.toml").read_text()
        await hand.press("escape")
        await hand.sees("TARGETS THAT ANSWER")
        await hand.press("n")
        await hand.sees("name       (needed)")


async def test_no_and_esc_send_nothing_and_keep_what_was_filled_in(
    bench: Bench, config: Path, sim: Sim, secret: Path
) -> None:
    """Another console, such as after the line was lost, goes on with it; x throws it away."""
    async with bench.open() as hand:
        await begin(hand)
        await fill(hand, **words(sim, secret))
        await go(hand)
        await hand.sees("(o) No, back")
        await asyncio.sleep(0.35)
        await hand.press("enter")
        await hand.sees("No target was added. What you filled in is kept.")
        await hand.press("escape")
        await hand.sees("TARGETS THAT ANSWER", "n new target")
    assert sim.proxy.calls == []
    async with bench.open() as hand:
        await begin(hand)
        await hand.sees("name       esx-01", sim.proxy.url, "taken up where it was left")
        await hand.press("end", "enter")
        await hand.type("yes")
        await hand.press("enter")
        await hand.misses("esx-01")
    assert not list(bench.drafts.rglob("*.toml"))
    assert not (config.parent / "targets.d").exists()


async def test_a_password_is_never_taken_nor_kept(bench: Bench, config: Path) -> None:
    """Whoever types it, or an address with one, is told so; neither stays on screen or disk."""
    async with bench.open() as hand:
        await begin(hand)
        await fill(hand, name="esx-01", password="hunter2")
        await hand.sees("A password is never typed here")
        await fill(hand, url="https://root:hunter2@esx-01/")
        text = await hand.sees("holds no user and no password")
        assert "hunter2" not in text
    assert all("hunter2" not in file.read_text() for file in bench.drafts.rglob("*.toml"))


async def test_a_wrong_word_marks_its_field(bench: Bench, config: Path, secret: Path) -> None:
    """The engine says the same as to the command line, and the cursor goes there."""
    async with bench.open() as hand:
        await begin(hand)
        await fill(hand, name="esx-01", url="esx-01", user="u", password=f"file:{secret}")
        await go(hand)
        await hand.sees("X url", "url: found 'esx-01'", "Perhaps: https://esx-01/")
        assert hand.console.core.spot.chosen == "url"
        await fill(hand, url="https://127.0.0.2:1/")
        await hand.misses("X url")
        await go(hand)
        await hand.sees("refuses connections", "No target was added.")
        await hand.press("escape")
        await hand.sees("url        https://127.0.0.2:1/")


async def test_what_stands_in_the_way_is_seen_and_may_be_mended_later(
    bench: Bench, config: Path, sim: Sim, secret: Path
) -> None:
    """An unknown port group: nothing is written, until that is asked for on the page."""
    async with bench.open() as hand:
        await begin(hand)
        await fill(hand, **words(sim, secret), production="gone")
        await go(hand)
        await hand.sees("(o) No, back")
        await agree(hand)
        await hand.sees("NOT ADDED", "There is no port group gone", "(o) No, back")
        assert not (config.parent / "targets.d").exists()
        await agree(hand)
        await hand.sees("TARGET esx-01 WAS ADDED", "There is no port group gone")
    assert "esx-01" in load_engine(config).targets


async def test_a_certificate_that_changed_meanwhile_gets_no_byte(
    bench: Bench, config: Path, sim: Sim, secret: Path, tmp_path: Path
) -> None:
    """Between the comparison and the yes somebody else answers at the address."""
    with recording(certificate(tmp_path, "impostor"), sim.direct) as other:
        async with bench.open() as hand:
            await begin(hand)
            await fill(hand, **words(sim, secret) | {"url": other.url})
            await go(hand)
            await hand.sees("Issued to    impostor")
            new = hand.console.core.spot.subject
            new.contact.sha256 = shown_pin(sim.certificate.pin)  # as if that had been compared
            await agree(hand)
            await hand.sees("shows another certificate", "Nothing was sent to it")
        assert other.seen == b""
    assert not (config.parent / "targets.d").exists()


async def test_it_is_for_admins_only(bench: Bench, config: Path) -> None:
    """A console that only looks says so, and opens nothing."""
    async with bench.open(read_only=True) as hand:
        await hand.sees("CAN START NOW")
        await hand.press("4")
        await hand.sees("TARGETS THAT ANSWER")
        await hand.press("n")
        await until(lambda: "it only looks" in hand.text, lambda: hand.text)
        assert "NEW TARGET" not in hand.text


@pytest.mark.usefixtures("config")
async def test_keys_that_come_at_once_go_where_they_belong(bench: Bench) -> None:
    """A slow line delivers a burst: lines that open and close in it take theirs, the page its."""
    async with bench.open() as hand:
        await begin(hand)
        hand.burst("enter", *"esx-0x", "backspace", "1", "enter", "down", "enter", *"https://q/")
        hand.burst("enter", "down", "enter", *"xops", "home", "delete", "enter", "down")
        await hand.sees("name       esx-01", "url        https://q/", "user       ops")
        assert hand.console.core.spot.chosen == "password"
