"""The help of each screen: every key that works there, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.tui.sample import fleet, look
from tui import keys
from tui.places import CONTENT
from tui.screens import help as screen


@pytest.mark.parametrize("place", sorted(set(CONTENT) - {"help"}))
def test_help_names_every_key_of_its_screen_and_no_other(place: str) -> None:
    """A key bound here has its line, with the sign it is pressed by; what is folded has one too."""
    content = screen.content(fleet(), replace(look("help"), arg=place))
    lines = ["".join(words for words, _tone in content.row(name)[0]) for name in content.ids]
    rows = {"".join(words for words, _tone in screen._key(key)): key for key in keys.TABLE}
    shown = {rows[line].id for line in lines if line in rows}
    assert shown == {
        key.id for key in keys.TABLE if place in key.places and key.id not in screen.FOLDED
    }
    folded = {key.sign.split()[0] for key in keys.TABLE if key.id in screen.FOLDED}
    moves = " ".join(sign + says for sign, says in screen.MOVES)
    assert all(sign in moves or sign in "1234567" or sign in ("Up", "Down") for sign in folded)


def test_every_screen_is_explained() -> None:
    """Each screen an operator stands on has its sentence."""
    silent = {"help", "menu", "refused", "picture", "retention"}
    assert set(CONTENT) - silent <= set(screen.PLACES)
