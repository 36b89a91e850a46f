"""What all lists have in common: filter, count, order, and the place of the cursor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tui.sample import fleet, look
from tui import keys
from tui.lists import Kind, Order, arrange, fits, following, found, natural
from tui.places import CONTENT
from tui.rows import BLANK, text
from tui.screens import frame


@dataclass(frozen=True)
class Thing:
    """A row."""

    name: str
    state: str = ""
    weight: int | None = None


KIND: Kind[Thing] = Kind(
    "thing",
    "things",
    text=lambda one: one.name,
    orders=(
        Order("usual", "as given", "backwards"),
        Order("name", "name", "name, from the end", lambda one: natural(one.name)),
        Order("weight", "heaviest first", "lightest first", lambda one: one.weight, True),
    ),
    facets={"state": lambda one: one.state},
)
THINGS = [
    Thing("m10", "LATE", 3),
    Thing("m2", "READY", None),
    Thing("m1", "not bootable", 7),
]


def names(**more: object) -> list[str]:
    """Return the names that stand there."""
    return [one.name for one in arrange(KIND, THINGS, look("fleet", **more)).rows]


def test_rows_stand_as_given_until_told_otherwise() -> None:
    """The first order keeps the list's own; turned round it runs backwards."""
    assert names() == ["m10", "m2", "m1"]
    assert names(turned=True) == ["m1", "m2", "m10"]
    assert names(order="no such order") == ["m10", "m2", "m1"]


def test_names_count_as_people_do() -> None:
    """`m2` stands before `m10`."""
    assert names(order="name") == ["m1", "m2", "m10"]


def test_rows_without_the_value_come_last_either_way() -> None:
    """What has no weight is never in the way of what has."""
    assert names(order="weight") == ["m1", "m10", "m2"]
    assert names(order="weight", turned=True) == ["m10", "m1", "m2"]


@pytest.mark.parametrize(
    ("word", "fit"),
    [
        ("m1", ["m10", "m1"]),
        ("state:late", ["m10"]),
        ("state:boot", ["m1"]),
        ("state:late,ready", ["m10", "m2"]),
        ("state:", []),
        ("on:kvm", []),
        ("m state:l", ["m10"]),
    ],
)
def test_a_filter_finds_words_and_states(word: str, fit: list[str]) -> None:
    """Words are looked for anywhere, states by the beginning of a word; all must fit."""
    assert names(query=word) == fit


def test_what_is_not_as_usual_is_said_in_words() -> None:
    """Count, filter and order stand in the head, and nothing while all is as usual."""
    assert arrange(KIND, THINGS, look("fleet")).head() == []
    listed = arrange(KIND, THINGS, look("fleet", query="m1", order="weight", turned=True))
    (line,) = listed.head()
    assert line[0][0] == " Filter: m1   2 of 3 things   Order: lightest first   Esc shows all"


def test_an_empty_list_says_why_and_what_next() -> None:
    """A filter that hides all is told apart from a list that has nothing."""
    view = look("fleet", query="zzz")
    hidden = arrange(KIND, THINGS, view).empty(view, "Nothing.", "Press n.")
    bare = arrange(KIND, [], view).empty(view, "Nothing.", "Press n.")
    assert "None of the 3 things fits this filter. Esc" in str(hidden)
    assert "Press n." in str(bare)


def test_orders_go_round() -> None:
    """After the last order comes the first; one that is not known counts as the first."""
    assert [following(("a", "b", "c"), now) for now in ("a", "c", "")] == ["b", "a", "b"]
    assert following((), "a") == ""


def test_a_text_shows_the_lines_that_fit() -> None:
    """Reports are read through the same filter; the count is of lines."""
    lines = [text("grub: /dev/sda"), text("fstab: /dev/sda"), text("initrd")]
    kept, said = found(lines, look("ledger", query="sda fstab"))
    assert kept == lines[1:2]
    assert "1 of 3 lines" in said[0][0][0]
    assert found(lines, look("ledger")) == (lines, [])


@pytest.mark.parametrize(("blanks", "is_cut"), [(0, True), (40, False)])
def test_what_does_not_fit_above_a_list_is_told(blanks: int, is_cut: bool) -> None:
    """Words that are left out leave two dots; empty lines leave none."""
    above = [text(f"line {number}") for number in range(10 if blanks else 40)]
    above += [BLANK] * blanks
    content = frame.Content(title="t", head=above, ids=["a"], row=lambda _: (text("a"),))
    lines = [
        "".join(part for part, _ in line)
        for line in frame.draw(content, fleet(), look("fleet")).lines
    ]
    assert (
        any(line.startswith("line ") and line.rstrip().endswith(" ..") for line in lines) == is_cut
    )


@given(st.lists(st.text(max_size=6)), st.text(max_size=8))
def test_any_names_can_be_put_in_order_and_filtered(given_names: list[str], word: str) -> None:
    """No name breaks an order or a filter, and no row is lost or made up."""
    rows = [Thing(name) for name in given_names]
    listed = arrange(KIND, rows, look("fleet", order="name"))
    assert sorted(one.name for one in listed.rows) == sorted(given_names)
    assert all(fits(KIND, one, word) == (word in one.name.lower()) for one in rows) or ":" in word


@pytest.mark.parametrize("place", sorted(keys.LISTS))
def test_every_list_has_orders_and_each_can_be_drawn(place: str) -> None:
    """Each order of each list, both ways, shows the same rows; the head says which it is."""
    picture = fleet()
    content = CONTENT[place](picture, look(place))
    assert content.orders, place
    assert len(set(content.orders)) == len(content.orders)
    for order in content.orders:
        for turned in (False, True):
            view = look(place, order=order, turned=turned)
            again = CONTENT[place](picture, view)
            assert sorted(again.ids) == sorted(content.ids)
            told = "".join(words for line in again.head for words, _ in line)
            assert ("Order: " in told) == (turned or order != content.orders[0])


@pytest.mark.parametrize("place", sorted(keys.LISTS))
def test_every_list_filters_with_a_count(place: str) -> None:
    """A filter without a match leaves an empty list that says how many rows it hides."""
    content = CONTENT[place](fleet(), look(place, query="no row has this"))
    assert not content.ids
    told = "".join(words for line in (*content.head, *content.empty) for words, _ in line)
    assert "0 of " in told
    assert "Esc shows all" in told


def test_the_cursor_stays_on_its_row_and_else_where_it_was() -> None:
    """Rows move, the cursor goes with its row; when the row has gone, the next one takes it."""
    content = frame.Content(ids=["a", "b", "c", "d"])
    view = look("fleet", chosen="c", at=2)
    assert frame.chosen_of(content, view) == "c"
    assert frame.chosen_of(replace(content, ids=["c", "a", "b", "d"]), view) == "c"
    assert frame.chosen_of(replace(content, ids=["a", "b", "d"]), view) == "d"
    assert frame.chosen_of(replace(content, ids=["a"]), view) == "a"
    assert frame.chosen_of(replace(content, first="b"), look("fleet", chosen="")) == "b"
    assert frame.chosen_of(replace(content, ids=[]), view) == ""
