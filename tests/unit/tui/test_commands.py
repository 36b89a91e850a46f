"""The line after `:`: every action has an entry, by its name and by the words on its key."""

from __future__ import annotations

import pytest

from tests.unit.tui.sample import fleet, look
from tui import keys
from tui.commands import answers, name_of, named
from tui.keymap import CALM
from tui.preferences import CHOICES


@pytest.mark.parametrize("place", sorted(CALM))
def test_each_action_of_each_screen_has_an_entry(place: str) -> None:
    """The key map is walked: what is bound on a screen can be typed there, and nothing else."""
    picture = fleet()
    seen = look(place, chosen=next(iter(picture.machines)))
    offered = answers(picture, seen, ["age"])
    bound = [key for key in keys.TABLE if place in key.places and key.when(picture, seen)]
    assert len(bound) > 5
    entries = [one for one in offered if one in {name_of(key) for key in keys.TABLE}]
    assert sorted(entries) == sorted(name_of(key) for key in bound)
    assert "order age" in offered
    assert {f"{what} {one}" for what, all_of in CHOICES.items() for one in all_of} <= set(offered)
    works = {name_of(key) for key in bound if not keys.refusal(key, picture, seen)}
    assert set(entries[: len(works)]) == works


def test_an_action_answers_to_its_name_and_to_the_words_on_its_key() -> None:
    """`:hold` and `:pause`, `:quit` and `:leave`, `:build` and `:build-now` are the same."""
    words = named()
    assert all(words[name_of(key)] is key for key in keys.TABLE)
    for name, other in (("hold", "pause"), ("quit", "leave"), ("build", "build-now")):
        assert words[name] is words[other]
    assert words["emergency"].id == "start"
