"""The table of keys and its rules."""

from __future__ import annotations

import itertools

import pytest

from engine.cli import parser
from tests.unit.tui.sample import fleet, look
from tui import conditions, keys
from tui.places import CONTENT

PAIRS = {
    frozenset({"start", "stop"}),
    frozenset({"start", "serial"}),
    frozenset({"hold", "resume"}),
    frozenset({"pin", "unpin"}),
}


def test_no_two_rows_take_the_same_key_on_one_screen() -> None:
    """Only the pairs that exclude one another (pin/unpin and the like) share a key."""
    for one, other in itertools.combinations(keys.TABLE, 2):
        shared = set(one.keys) & set(other.keys)
        if shared and one.places & other.places:
            assert frozenset({one.id, other.id}) in PAIRS, (one.id, other.id)


def test_pairs_exclude_one_another() -> None:
    """On each machine exactly one of start and stop, of hold and resume, is there."""
    picture = fleet(tuple(f"m{n}" for n in range(9)))
    for name in picture.machines:
        here = {key.id for key in keys.here(picture, look("fleet", chosen=name))}
        assert all(len(here & pair) == 1 for pair in PAIRS if "pin" not in pair)


def test_no_forbidden_key_is_used() -> None:
    """Parts of cut escape sequences, capitals, and keys that screen, tmux and virsh take."""
    for key in keys.TABLE:
        for name in key.keys:
            assert name not in keys.FORBIDDEN
            assert not name.startswith(("f1", "alt", "meta", "shift"))
            assert len(name) > 1 or name == name.lower()


def test_nothing_lies_beside_a_dangerous_key() -> None:
    """A finger that misses a start or a stop, or hits it by mistake, meets a key that is dead."""
    dangerous = [key for key in keys.TABLE if key.danger]
    assert {"start", "stop", "cancel"} <= {key.id for key in dangerous}
    for key in dangerous:
        for other in keys.TABLE:
            if key.places & other.places:
                near = {near for name in key.keys for near in keys.BESIDE[name]}
                assert not near & set(other.keys), (key.id, other.id)


def test_the_keyboard_is_as_it_lies_on_the_desk() -> None:
    """Six keys touch a letter in the middle, fewer at the edge; touching goes both ways."""
    assert keys.BESIDE["f"] == set("rtdgcv")
    assert keys.BESIDE["x"] == set("zcsd")
    assert keys.BESIDE["q"] == {"w", "a", "1", "2"}
    for name, near in keys.BESIDE.items():
        assert all(name in keys.BESIDE[other] for other in near)


def test_the_emergency_is_a_key_away_wherever_a_machine_is_meant() -> None:
    """Lists with a machine under the cursor and pages about one have it, and it means that one."""
    picture = fleet(("m0", "m1", "m2", "m3"))
    start = keys.BY_ID["start"]
    for place in ("fleet", "machine", "point", "jobs", "journal", "alerts", "sets", "set", "run"):
        assert place in start.places
    assert conditions.about(picture, look("jobs", chosen="2")) == "m2"
    assert conditions.about(picture, look("alerts", chosen="rpo:1")) == "m1"
    assert conditions.about(picture, look("journal", chosen="4")) == "m3"
    assert conditions.about(picture, look("sets", chosen="set-m1")) == "m1"
    assert conditions.about(picture, look("point", "m2")) == "m2"
    assert conditions.about(picture, look("jobs", chosen="99")) == ""
    assert "Choose a machine" in keys.refusal(start, picture, look("jobs", chosen="99"))


def test_every_change_needs_a_role_and_asks() -> None:
    """No row that changes something is open to a viewer, and its help says that it asks."""
    for key in keys.TABLE:
        if key.changes:
            assert key.role in ("operator", "admin")
            assert key.says.endswith("(asks)")


def test_every_change_is_a_command_too() -> None:
    """What the console can change the command line can, by the words the table names."""
    for key in keys.TABLE:
        if key.changes:
            program, *words = key.command.split()
            assert program == "bootpoint"
            verbs = [word for word in words if word.isascii() and word.islower() and word.isalpha()]
            with pytest.raises(SystemExit) as ended:
                parser.build().parse_args([*verbs, "--help"])
            assert ended.value.code == 0, key.command


def test_every_row_has_one_id_and_its_words_are_ascii() -> None:
    """Ids are unique; sign, words and help are short ASCII."""
    assert len(keys.BY_ID) == len(keys.TABLE)
    for key in keys.TABLE:
        assert (key.sign + key.words + key.says).isascii()
        assert len(key.words) <= 12
        assert len(key.says) <= 40


def test_every_screen_is_known_and_has_help_and_a_way_back() -> None:
    """Each place has Esc; the places of the table are those that can be drawn."""
    assert {place for key in keys.TABLE for place in key.places} == set(CONTENT)
    for place in CONTENT:
        assert "back" in {key.id for key in keys.TABLE if place in key.places}


def test_a_refusal_says_why() -> None:
    """A viewer is told the group, a read-only console that it only looks, without engine that."""
    start = keys.BY_ID["build"]
    view = look("fleet", chosen="a")
    assert "bootpoint-operators" in keys.refusal(start, fleet(("a",), role="viewer"), view)
    read_only = look("fleet", chosen="a", read_only=True)
    assert "read-only" in keys.refusal(start, fleet(("a",), role="viewer"), read_only)
    assert "does not answer" in keys.refusal(start, fleet(("a",), lost=True), view)
    assert keys.refusal(start, fleet(("a",)), view) == ""


def test_a_point_that_failed_cannot_be_started() -> None:
    """Start on a failed boot point says why not, on a ready one it works."""
    picture = fleet(("m0", "m1", "m2"))
    start = keys.BY_ID["start"]
    name = "m2"
    assert "cannot start" in keys.refusal(start, picture, look("machine", name, chosen="bp000003"))
    assert keys.refusal(start, picture, look("machine", name, chosen="bp000005")) == ""
