"""What a standby VM's snapshot tree means, what is foreign in it, and what may be done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.hypervisors.esxi.tree import (
    LONGEST,
    MOST_POINTS,
    Mark,
    Snapshot,
    Tree,
    foreign,
    hindrance,
    kept,
    next_removal,
    read_mark,
)
from engine.model.layers import LayerKind, LayerName

AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
TRUNK, TWIG = LayerKind.REPLICA, LayerKind.CONVERSION


def mark(name: str, kind: LayerKind = TRUNK) -> Mark:
    """Return our mark of a layer."""
    return Mark("e", "erp", LayerName(name), kind, f"op-{name}", "p1", AT)


def snap(name: str, parent: str | None, kind: LayerKind = TRUNK) -> Snapshot:
    """Return our snapshot of a layer; its id is its name."""
    return Snapshot(name, name, str(mark(name, kind)), parent)


def grown(points: int) -> Tree:
    """Return a VM with so many boot points, its disks on the newest twig."""
    found: dict[str, Snapshot] = {}
    for number in range(1, points + 1):
        below = f"bp{number - 1}-replica" if number > 1 else None
        for one in (
            snap(f"bp{number}-replica", below),
            snap(f"bp{number}-boot", f"bp{number}-replica", TWIG),
        ):
            found[one.id] = one
    return Tree(found, f"bp{points}-boot" if points else None)


def put(tree: Tree, *snapshots: Snapshot) -> Tree:
    """Return a tree with some snapshots added or exchanged."""
    return replace(tree, snapshots=dict(tree.snapshots) | {one.id: one for one in snapshots})


def layers(*names: str) -> Sequence[LayerName]:
    """Return names of layers."""
    return [LayerName(name) for name in names]


def test_a_mark_is_read_back_and_nothing_else_is_taken_for_one() -> None:
    """Anybody may write a description."""
    told = mark("bp1-replica")
    assert read_mark(str(told)) == told
    fewer = str(told).replace('"point": "p1", ', "")
    naive = str(told).replace("+00:00", "")
    keys = '["engine", "vm", "layer", "kind", "operation", "point", "taken_at"]'
    number = str(told).replace('"p1"', "1")
    other = str(told).replace('"replica"', '"trunk"')
    nameless = str(told).replace('"bp1-replica"', '""')
    odd = ("", "{}", "null", "7", keys, "[" * 400, fewer, naive, number, other, nameless)
    assert [read_mark(text) for text in odd] == [None] * len(odd)
    assert read_mark(str(told) + " " * 512) is None
    with pytest.raises(ValueError, match="bytes"):
        str(replace(told, point="x" * 500))


def test_a_tree_of_ours_is_not_foreign() -> None:
    """An empty one, a trunk without its twig yet, and a full one."""
    for tree in (grown(0), Tree({"a": snap("a", None)}, "a"), grown(3), grown(MOST_POINTS)):
        assert foreign(tree, "e", "erp") == ""


HAND = Snapshot("s9", "before update", "by Bob", "bp2-boot")


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (put(grown(2), HAND), "not ours: before update"),
        (replace(put(grown(2), HAND), current="s9"), "not ours"),
        (replace(grown(2), current="gone"), "not in its tree"),
        (replace(grown(2), current=None), "on no snapshot"),
        (put(grown(2), replace(snap("bp1-replica", None), name="old")), "renamed to old"),
        (put(grown(2), replace(snap("bp1-replica", None), off=False)), "while it ran"),
        (put(grown(2), snap("x", "bp2-boot")), "no step of ours"),
        (put(grown(2), snap("x", "bp2-boot", TWIG)), "no step of ours"),
        (put(grown(2), snap("x", None, TWIG)), "no step of ours"),
        (put(grown(2), snap("x", "bp2-boot", LayerKind.SCRATCH)), "no step of ours"),
        (put(grown(2), snap("x", "nothing")), "hangs on nothing"),
        (put(grown(2), snap("x", "y"), snap("y", "x")), "hang on nothing"),
        (put(grown(2), snap("x", "bp1-replica")), "forks"),
        (put(grown(2), snap("x", None)), "forks"),
        (
            put(grown(2), replace(snap("bp2-boot", "bp1-replica", TWIG), id="x")),
            "two snapshots of one layer",
        ),
    ],
)
def test_each_foreign_change_is_named(tree: Tree, says: str) -> None:
    """Every single difference stops the engine, and the reason says which it is."""
    assert says in foreign(tree, "e", "erp")


def test_the_snapshots_of_another_engine_or_standby_are_foreign() -> None:
    """A VM that was cloned has another's marks."""
    assert foreign(grown(1), "f", "erp")
    assert foreign(grown(1), "e", "web")


def test_a_step_is_found_by_its_operation_and_not_by_a_name() -> None:
    """A retry after a lost reply finds what was made; a stranger's namesake is not it."""
    tree = put(grown(1), Snapshot("s9", "op-bp2-replica", "bp2-replica", "bp1-boot"))
    found = tree.made_by("op-bp1-boot")
    assert found is not None
    assert found.id == "bp1-boot"
    assert tree.made_by("op-bp2-replica") is None
    assert tree.layer(LayerName("bp2-replica")) is None


def test_layers_grow_where_they_belong_only() -> None:
    """The trunk from its tip, a twig from the trunk; never on scratch, never a fork."""
    empty, tree = grown(0), grown(2)
    tip, old = LayerName("bp2-replica"), LayerName("bp1-replica")
    assert hindrance(empty, TRUNK, None) == ""
    assert hindrance(tree, TRUNK, tip) == ""
    assert hindrance(tree, TWIG, old) == ""
    assert "goes on from bp2-replica" in hindrance(tree, TRUNK, old)
    assert "goes on from bp2-replica" in hindrance(tree, TRUNK, None)
    assert "does not lie on" in hindrance(tree, TRUNK, LayerName("bp2-boot"))
    assert "does not lie on" in hindrance(empty, TWIG, None)
    assert "no snapshot" in hindrance(tree, TWIG, LayerName("bp9-replica"))
    assert "never a snapshot" in hindrance(tree, LayerKind.SCRATCH, tip)


def test_the_thirty_first_boot_point_waits_for_a_fold() -> None:
    """A host takes 32 in a chain; with 30 boot points the longest has 31."""
    full = grown(MOST_POINTS)
    assert (full.depth(), full.room()) == (LONGEST, 0)
    assert LONGEST == 31
    tip = full.trunk()[-1].name
    assert "fold the oldest first" in hindrance(full, TRUNK, LayerName(tip))
    assert hindrance(full, TWIG, LayerName(tip)) == ""
    almost = grown(MOST_POINTS - 1)
    assert almost.room() == 1
    assert hindrance(almost, TRUNK, LayerName(almost.trunk()[-1].name)) == ""


def test_what_something_stands_on_is_kept() -> None:
    """The VM's disks, the newest of the trunk, and the twig of a boot point that stays."""
    tree = grown(3)
    assert kept(tree, layers("bp1-boot", "bp1-replica", "bp0-replica")) == ""
    assert kept(tree, layers("bp2-boot")) == ""
    assert "twig bp1-boot" in kept(tree, layers("bp1-replica"))
    assert "disks lie on" in kept(tree, layers("bp3-boot"))
    assert "newest" in kept(replace(tree, current="bp1-boot"), layers("bp3-boot", "bp3-replica"))


def test_twigs_go_before_the_trunk_and_the_oldest_first() -> None:
    """A trunk snapshot has one child when it goes, so the host merges into one disk."""
    tree, gone = grown(4), layers("bp2-replica", "bp1-replica", "bp2-boot", "bp1-boot")
    order = []
    while (one := next_removal(tree, gone)) is not None:
        order.append(one.name)
        left = {
            key: replace(other, parent=one.parent) if other.parent == one.id else other
            for key, other in tree.snapshots.items()
            if key != one.id
        }
        tree = replace(tree, snapshots=left)
    assert order == ["bp1-boot", "bp2-boot", "bp1-replica", "bp2-replica"]
    assert foreign(tree, "e", "erp") == ""
