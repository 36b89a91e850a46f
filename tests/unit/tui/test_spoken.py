"""Every place as lines: numbered rows, words for its keys, nothing that steers a terminal."""

from __future__ import annotations

import io

import pytest

from tests.unit.tui.sample import HOSTILE, fleet, look
from tui import keys, spoken
from tui.glyphs import ASCII, BOX
from tui.keymap import EVERYWHERE
from tui.places import CONTENT
from tui.run_news import RunNews, added, news
from tui.talk import Talk, clean

EVERY, LOST = fleet(), fleet(lost=True)


@pytest.mark.parametrize("place", CONTENT)
def test_every_place_is_told_in_plain_lines(place: str) -> None:
    """Whatever a machine is called, no line holds a control, a line break or an escape."""
    for name in HOSTILE:
        for picture in (EVERY, LOST):
            for glyphs in (ASCII, BOX):
                view = look(place, name, (76, 50))
                told = spoken.page(CONTENT[place](picture, view), picture, view, 0)
                told += spoken.words(picture, view, numbered=True)
                out = io.StringIO()
                Talk(0, out, glyphs).say(*told)
                assert out.getvalue().count("\n") == len(told)
                assert all(line.isprintable() for line in out.getvalue().splitlines() if line)
                assert glyphs is BOX or out.getvalue().isascii()


@pytest.mark.parametrize("place", CONTENT)
def test_rows_are_numbered_from_one(place: str) -> None:
    """The number before a row is the one that opens it, on the second page too."""
    view = look(place, size=(76, 50))
    content = CONTENT[place](EVERY, view)
    if content.pager or not content.ids:
        return
    for first in {0, min(3, len(content.ids) - 1)}:
        told = "\n".join(spoken.page(content, EVERY, view, first))
        assert f"\n{first + 1:>3} " in told
        assert first == 0 or f"\n{first:>3} " not in told


@pytest.mark.parametrize("place", sorted(EVERYWHERE))
def test_every_word_means_its_key(place: str) -> None:
    """Each word that is offered is understood, by itself and by its sign."""
    view = look(place)
    for key in spoken.here(EVERY, view):
        word = spoken.word(key)
        assert key in spoken.meant(word, EVERY, view)
        assert key in spoken.meant(key.sign, EVERY, view)


def test_the_beginning_of_a_word_is_enough() -> None:
    """`jou` is the journal; a single letter only counts where it is a key's sign."""
    view = look("fleet")
    assert [key.id for key in spoken.meant("jou", EVERY, view)] == ["journal"]
    assert [key.id for key in spoken.meant("J", EVERY, view)] == []
    assert [key.id for key in spoken.meant("x", EVERY, view)] == ["stop"]
    assert [key.id for key in spoken.meant("f", EVERY, view)] == ["start"]
    assert [key.id for key in spoken.meant("emergency", EVERY, view)] == ["start"]


def test_every_change_can_be_said_somewhere() -> None:
    """No action of the full screen is missing line by line."""
    for key in keys.TABLE:
        if key.changes:
            assert any(key in spoken.here(EVERY, look(place)) for place in key.places), key.id


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("ｅｒｐ－ｄｂ０１", "erp-db01"),
        ("  jobs \x00\x1b[A", "jobs [A"),
        ("\ufffd\ufffdx", "x"),
        ("y" * 5000, "y" * 1000),
    ],
)
def test_typed_lines_are_made_plain(typed: str, taken: str) -> None:
    """Full-width letters count, noise and excess do not."""
    assert clean(typed) == taken


def test_only_new_serial_lines_are_told() -> None:
    """Also when the oldest were dropped meanwhile; a prompt is told once, when it waits."""
    assert added(("a", "b"), ("a", "b", "c")) == ("c",)
    assert added(("a", "b", "c"), ("c", "d")) == ("d",)
    assert added((), ("a",)) == ("a",)
    old = RunNews("dc", "dc runs.", ("a",), "login:")
    told, now = news(old, RunNews("dc", "dc runs.", ("a", "b"), "login:"))
    assert told == [" | b", " | login:"]
    assert news(now, RunNews("dc", "dc runs.", ("a", "b"), "login:"))[0] == []
    assert news(now, RunNews("dc", "dc does not run.", ("a", "b"), ""))[0] == [" dc does not run."]
    assert news(now, RunNews("web", "web runs.", ("x",)))[0] == []
