"""The settings: chosen by key or by word, worn at once, kept; and consoles that only look."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from engine.api import server
from engine.api.roles import Role
from engine.api.views import Plan
from tests.tui.bench import Bench
from tui import preferences, words
from tui.feed import Refusal
from tui.terminal import Kind

CHANGING = ("b", "f", "n", "p", "e")


@pytest.fixture(autouse=True)
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the choices of each test in a file of its own; speak English again afterwards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(words, "use", words.use)
    return preferences.path()


def write(file: Path, text: str) -> None:
    """Write a file as somebody with an editor would."""
    file.write_text(text)


def kept(file: Path) -> dict[str, object]:
    """Return what the operator's own file holds."""
    return tomllib.loads(file.read_text())


async def test_choices_are_made_by_key_worn_at_once_and_kept(bench: Bench, own_file: Path) -> None:
    """Enter takes the next choice; signs change on the screen, and the file has all of them."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        assert "─" not in hand.text
        await hand.press("6")
        await hand.sees("Times", "Colours", "sixteen colours", "Confirm", "role admin")
        await hand.press("down", "down", "enter", "enter")
        await hand.sees("no colours: bold and reverse")
        assert not hand.console.core.kind.colours
        await hand.press("down", "enter", "enter")
        await hand.sees("utf-8", "ASCII and lines")
        await hand.press("down", "enter")
        await hand.sees("the machine's name for every change")
        await hand.press("home", "enter")
        await hand.type("Asia/Tokyo")
        await hand.press("enter")
        await hand.sees("JST")
    assert kept(own_file) == {
        "colours": "none",
        "signs": "utf-8",
        "confirm": "name",
        "zone": "Asia/Tokyo",
    }


async def test_choices_are_made_by_word_too(bench: Bench, own_file: Path) -> None:
    """`:zone`, `:signs` and so on work on every page; what cannot be chosen is said, not kept."""
    bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        for typed, seen in (
            ("zone Mars/Base", "knows no zone Mars/Base"),
            ("zone ../../etc/passwd", "knows no zone"),
            ("signs runes", "signs can be: auto, ascii, utf-8"),
            ("signs utf-8", "Kept; it holds now"),
            ("signs auto", "As this computer and terminal say"),
        ):
            await hand.press("colon")
            await hand.type(typed)
            await hand.press("enter")
            await hand.sees(seen)
    assert kept(own_file) == {}


async def test_the_name_can_be_wanted_for_every_change(bench: Bench) -> None:
    """With `confirm name` a mere yes changes nothing where it was enough before."""
    preferences.choose("confirm", "name")
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("b")
        await hand.agree("yes")
        await hand.sees("Nothing was changed")
        assert [call for call in service.calls if call[0] == "build"] == []


async def test_a_viewer_by_role_is_told_so_and_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door gives the role: the page says read-only, keys say why, and the door refuses too."""
    monkeypatch.setattr(server, "role_of", lambda *_about: Role.VIEWER)
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW", "(viewer, read-only)")
        for key in CHANGING[:3]:
            await hand.press(key)
            text = await hand.sees(
                "You are viewer; this is for members of the group bootpoint-operators."
            )
            assert "nothing has changed yet" not in text
        await hand.press("6")
        await hand.sees("Read-only", "Changes are for members of the group")
        await hand.press("end", "enter")
        await hand.sees("CONNECTED NOW", "viewer     console", "(this console)")
        await hand.press("escape")
        with pytest.raises(Refusal) as refusal:
            await hand.console.core.feed.call("plan", {"action": "build", "machine": "erp"}, Plan)
        assert "operator" in str(refusal.value)
    assert service.calls == []


async def test_engine_toml_can_be_read_without_its_passwords(bench: Bench, tmp_path: Path) -> None:
    """The last row opens the file: what is hostile in it is spelled, a password is left out."""
    bench.start()
    bench.config = tmp_path / "engine.toml"
    write(bench.config, 'site = "x\x1b[2J"\n[mail]\npassword = "open sesame"\nsecret = "file:/p"\n')
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("6", "end", "up", "enter")
        text = await hand.sees("ENGINE.TOML", "[mail]", "file:/p", "holds from the engine's next")
        assert "sesame" not in text
        assert "\\u{1b}[2J" in text
        await hand.press("escape")
        bench.config.unlink()
        await hand.press("enter")
        await hand.sees("There is no", "its default", "What now")


def test_choices_dress_a_terminal() -> None:
    """ASCII takes kanji with it; colours can be had where the terminal has none, never on lines."""
    bare, lines = Kind("ssh", colours=False, unicode=True, kanji=True), Kind("plain", colours=False)
    assert preferences.dressed(bare) == bare
    preferences.choose("colours", "16")
    preferences.choose("signs", "ascii")
    assert preferences.dressed(bare) == Kind("ssh")
    assert not preferences.dressed(lines).colours
    with pytest.raises(ValueError, match="pink"):
        preferences.choose("colours", "pink")


def test_a_file_written_by_hand_cannot_do_harm() -> None:
    """What is unknown in it counts as nothing chosen."""
    preferences.path().parent.mkdir(parents=True)
    preferences.path().write_text('zone = "../x"\nsigns = 3\ncolours = "\\u001b[31m"\n')
    assert {preferences.chosen(name, os.environ) for name in preferences.CHOICES} == {"auto"}
    assert preferences.times() is None
