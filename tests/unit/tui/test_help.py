"""The help of each screen: every key that works there, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.tui.sample import fleet, look
from tui import keys
from tui.places import CONTENT
from tui.screens import help as screen
from tui.tones import Tone


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


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("place", sorted(set(CONTENT) - {"help"}))
def test_help_of_a_viewer_sets_apart_what_is_not_theirs(place: str, *, read_only: bool) -> None:
    """Below their own heading stand, quiet and marked, exactly the keys that need a higher role."""
    content = screen.content(
        fleet(role="viewer"), replace(look("help"), arg=place, read_only=read_only)
    )
    rows = [content.row(name)[0] for name in content.ids]
    lines = ["".join(words for words, _tone in row) for row in rows]
    needing = [key for key in keys.TABLE if place in key.places and key.role]
    marked = [line for line in lines if line.startswith(" - ") and "(bootpoint-" in line]
    assert sorted(line.split()[1] for line in marked) == sorted(key.sign for key in needing)
    assert (" NOT FOR YOU HERE" in lines) is bool(needing)
    quiet = [{tone for _words, tone in row} for row in rows]
    assert all(quiet[lines.index(line)] == {Tone.PLAIN} for line in marked)
    assert not any("(operator)" in line or "(admin)" in line for line in lines)
    if needing:
        why = "read-only" if read_only else "You are viewer"
        assert why in lines[lines.index(" NOT FOR YOU HERE") + 1]
