"""A snapshot tree keeps its promises over any life, on a host that keeps bytes like a host."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.hypervisors.esxi.tree import (
    LONGEST,
    Mark,
    Snapshot,
    Tree,
    foreign,
    hindrance,
    kept,
    next_removal,
)
from engine.model.layers import LayerKind, LayerName

AT = datetime(2026, 3, 1, tzinfo=UTC)
Blocks = dict[int, str]


@dataclass
class Host:
    """A VM whose one disk is a chain of blocks.

    Attributes:
        frozen: What each snapshot holds itself, by id.
        promised: What each layer read like when it was sealed, by name.
    """

    tree: Tree = field(default_factory=lambda: Tree({}))
    frozen: dict[str, Blocks] = field(default_factory=dict)
    promised: dict[str, Blocks] = field(default_factory=dict)
    made: int = 0

    def seen(self, at: str | None) -> Blocks:
        """Return what a reader of a snapshot's disk sees."""
        if at is None:
            return {}
        return self.seen(self.tree.snapshots[at].parent) | self.frozen[at]

    def grow(self, name: str, kind: LayerKind, parent: str | None, data: Blocks) -> None:
        """Revert, write, take a snapshot."""
        below = self.tree.layer(LayerName(parent)) if parent else None
        self.made += 1
        mark = Mark("e", "erp", LayerName(name), kind, f"op{self.made}", "p", AT)
        one = Snapshot(f"s{self.made}", name, str(mark), below.id if below else None)
        self.frozen[one.id] = data
        self.tree = Tree(dict(self.tree.snapshots) | {one.id: one}, one.id)
        self.promised[name] = self.seen(one.id)

    def remove(self, one: Snapshot) -> None:
        """Merge a snapshot into what was made on it, as hosts do: into one child at most."""
        above = self.tree.children(one.id)
        assert one.id != self.tree.current
        assert len(above) <= 1
        held = self.frozen.pop(one.id)
        for child in above:
            self.frozen[child.id] = held | self.frozen[child.id]
        left = {
            key: replace(other, parent=one.parent) if other.parent == one.id else other
            for key, other in self.tree.snapshots.items()
            if key != one.id
        }
        self.tree = replace(self.tree, snapshots=left)
        del self.promised[one.name]

    def check(self) -> None:
        """Every layer reads as when it was sealed; the tree is ours and not too deep."""
        assert foreign(self.tree, "e", "erp") == ""
        assert self.tree.depth() <= LONGEST
        found = {one.name: self.seen(one.id) for one in self.tree.snapshots.values()}
        assert found == self.promised


BLOCKS = st.dictionaries(st.integers(0, 3), st.text("abc", min_size=1, max_size=2), max_size=3)


@given(st.lists(st.tuples(BLOCKS, BLOCKS), min_size=1, max_size=45), st.data())
def test_any_life_of_boot_points_keeps_every_layer_that_stays(
    points: list[tuple[Blocks, Blocks]], data: st.DataObject
) -> None:
    """Whatever is folded, in whatever number, what stays reads the same, and it always fits."""
    host, tip = Host(), None
    for number, (increment, conversion) in enumerate(points):
        if hindrance(host.tree, LayerKind.REPLICA, tip) or data.draw(st.integers(0, 5)) == 0:
            _fold(host, data)
        name = f"bp{number}"
        assert hindrance(host.tree, LayerKind.REPLICA, tip) == ""
        host.grow(f"{name}-replica", LayerKind.REPLICA, tip, increment)
        tip = LayerName(f"{name}-replica")
        assert hindrance(host.tree, LayerKind.CONVERSION, tip) == ""
        host.grow(f"{name}-boot", LayerKind.CONVERSION, tip, conversion)
        host.check()


def _fold(host: Host, data: st.DataObject) -> None:
    """Fold some boot points; the newest two at least stay."""
    trunk = host.tree.trunk()
    full = len(trunk) >= LONGEST - 1
    chosen = data.draw(
        st.lists(st.sampled_from(trunk[:-2]), min_size=int(full), max_size=4, unique=True)
        if len(trunk) > 2
        else st.just([])
    )
    twigs = [one for below in chosen for one in host.tree.children(below.id)]
    gone = {one.name for one in chosen} | {one.name for one in twigs if one.name.endswith("-boot")}
    names = [LayerName(name) for name in sorted(gone)]
    assert kept(host.tree, names) == ""
    while (one := next_removal(host.tree, names)) is not None:
        assert kept(host.tree, names) == ""
        host.remove(one)
        host.check()
    assert not gone & set(host.promised)
