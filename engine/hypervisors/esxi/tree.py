"""Pure: what the snapshot tree of a standby VM means, and what may be done to it.

    bp1-replica ── bp2-replica ── bp3-replica       a sealed layer is a snapshot of a VM that is off
         └ bp1-boot     └ bp2-boot     └ bp3-boot ── leaf: what the VM's disks are now, unsealed

The description of each snapshot holds a mark: whose it is, which layer, which step made it. What
has no mark, or sits where no step of ours puts it, is somebody else's: then nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.model.layers import ALLOWED_PARENTS, LayerKind, LayerName

MOST_POINTS = 30
"""Boot points of one VM. Each is a snapshot on the longest path, and the newest twig is one more.

A host takes 32 in a chain: one stays free, so that a step begun is a step that can be ended.
Source: VMware's "Best practices for using snapshots": at most 32 in a chain; not tried on a host.
"""
LONGEST = MOST_POINTS + 1
_MARK_BYTES = 512
_KEYS = ("engine", "vm", "layer", "kind", "operation", "point", "taken_at")


@dataclass(frozen=True, slots=True)
class Mark:
    """What the description of a snapshot says.

    Attributes:
        engine, vm: Whose it is.
        layer, kind: What it seals.
        operation: Of the step that made it: a retry finds it by this, never by the name.
        point: Recovery point, empty without one.
        taken_at: Aware UTC, when the snapshot was asked for.
    """

    engine: str
    vm: str
    layer: LayerName
    kind: LayerKind
    operation: str
    point: str
    taken_at: datetime

    def __str__(self) -> str:
        """Return it as a host keeps it. ValueError past 512 bytes: hosts cut longer ones."""
        told = {key: str(getattr(self, key)) for key in _KEYS[:-1]}
        text = json.dumps(told | {"taken_at": self.taken_at.isoformat()}, sort_keys=True)
        if len(text) > _MARK_BYTES:
            raise ValueError(f"the mark of {self.layer} has {len(text)} bytes")
        return text


def read_mark(text: str) -> Mark | None:
    """Return the mark in a description; None when it is not one of ours."""
    if len(text) > _MARK_BYTES:
        return None
    try:
        told = json.loads(text)
        if not isinstance(told, dict) or set(told) != set(_KEYS):
            return None
        if not all(isinstance(one, str) for one in told.values()):
            return None
        kind, at = LayerKind(told["kind"]), datetime.fromisoformat(told["taken_at"])
    except (ValueError, TypeError, RecursionError):
        return None
    if at.tzinfo is None or not (told["layer"] and told["operation"]):
        return None
    layer = LayerName(told["layer"])
    return Mark(told["engine"], told["vm"], layer, kind, told["operation"], told["point"], at)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as read.

    Attributes:
        id: The host's own.
        name, text: Its display name and its description.
        parent: Id of the one that it was made on; None for the first.
        off: The VM was off when it was made, so it holds no memory.
    """

    id: str
    name: str
    text: str
    parent: str | None
    off: bool = True

    @property
    def mark(self) -> Mark | None:
        """Return what the description says; None when somebody else wrote it."""
        return read_mark(self.text)


@dataclass(frozen=True, slots=True)
class Tree:
    """The snapshots of a VM by their ids, and the one that its disks lie on (None: on none)."""

    snapshots: Mapping[str, Snapshot]
    current: str | None = None

    def children(self, of: str | None) -> Sequence[Snapshot]:
        """Return the snapshots that were made on one; None: on the VM's first disks."""
        return [one for one in self.snapshots.values() if one.parent == of]

    def layer(self, name: LayerName) -> Snapshot | None:
        """Return the snapshot that seals a layer; None when there is none."""
        return next((one for one, mark in self._marked() if mark.layer == name), None)

    def made_by(self, operation: str) -> Snapshot | None:
        """Return what a step made; None when it did not, or not yet."""
        return next((one for one, mark in self._marked() if mark.operation == operation), None)

    def trunk(self) -> Sequence[Snapshot]:
        """Return the trunk, the oldest first."""
        found: list[Snapshot] = []
        while True:
            above = self.children(found[-1].id if found else None)
            grown = [one for one in above if _kind(one) is LayerKind.REPLICA]
            if len(grown) != 1:
                return found
            found += grown

    def depth(self) -> int:
        """Return how many snapshots the longest path has."""
        level, depth = self.children(None), 0
        while level:
            level, depth = [child for one in level for child in self.children(one.id)], depth + 1
        return depth

    def room(self) -> int:
        """Return how many boot points may still be added before one must be folded away."""
        return max(0, MOST_POINTS - len(self.trunk()))

    def _marked(self) -> Iterator[tuple[Snapshot, Mark]]:
        for one in self.snapshots.values():
            if (mark := one.mark) is not None:
                yield one, mark


def foreign(tree: Tree, engine: str, vm: str) -> str:
    """Return in what a tree is not as this engine makes them for a standby; empty: in nothing."""
    if tree.current is not None and tree.current not in tree.snapshots:
        return "its disks lie on a snapshot that is not in its tree"
    if tree.snapshots and tree.current is None:
        return "its disks lie on no snapshot, though it has some"
    layers: set[str] = set()
    operations: set[str] = set()
    for one in tree.snapshots.values():
        if why := _odd(tree, one, engine, vm):
            return why
        mark = one.mark
        if mark is None or mark.layer in layers or mark.operation in operations:
            return f"it has two snapshots of one layer or step: {one.name}"
        layers.add(mark.layer)
        operations.add(mark.operation)
    return _shape(tree)


def _shape(tree: Tree) -> str:
    """Return what is odd about a tree of our snapshots as a whole; empty: nothing."""
    for parent in (None, *tree.snapshots):
        if sum(_kind(one) is LayerKind.REPLICA for one in tree.children(parent)) > 1:
            return "its trunk forks"
    reached, waiting = 0, list(tree.children(None))
    while waiting:
        reached += 1
        waiting += tree.children(waiting.pop().id)
    return "" if reached == len(tree.snapshots) else "its tree has snapshots that hang on nothing"


def _odd(tree: Tree, one: Snapshot, engine: str, vm: str) -> str:
    """Return what is odd about one snapshot by itself and its place; empty: nothing."""
    mark = one.mark
    if mark is None or (mark.engine, mark.vm) != (engine, vm):
        return f"it has a snapshot that is not ours: {one.name}"
    if one.name != mark.layer:
        return f"its snapshot {mark.layer} was renamed to {one.name}"
    if not one.off:
        return f"its snapshot {one.name} was made while it ran"
    if one.parent is not None and one.parent not in tree.snapshots:
        return f"its snapshot {one.name} hangs on nothing"
    parent = _kind(tree.snapshots[one.parent]) if one.parent is not None else None
    if parent not in ALLOWED_PARENTS[mark.kind] or mark.kind is LayerKind.SCRATCH:
        return f"its snapshot {one.name} lies where no step of ours puts one"
    return ""


def _kind(one: Snapshot) -> LayerKind | None:
    mark = one.mark
    return mark.kind if mark is not None else None


# --- what may be done -------------------------------------------------------------------------


def hindrance(tree: Tree, kind: LayerKind, parent: LayerName | None) -> str:
    """Return why a layer may not be grown on another; empty: it may.

    A tree that is `foreign` is not asked: nothing may be done to it at all.

    Args:
        kind: REPLICA or CONVERSION.
        parent: None: the VM's first disks, before the first snapshot.
    """
    below = tree.layer(parent) if parent is not None else None
    if parent is not None and below is None:
        return f"layer {parent} has no snapshot"
    if (_kind(below) if below is not None else None) not in ALLOWED_PARENTS[kind]:
        return f"a {kind} layer does not lie on {parent or 'the first disks'}"
    if kind is LayerKind.SCRATCH:
        return "scratch is the leaf and never a snapshot"
    trunk = tree.trunk()
    if kind is not LayerKind.REPLICA:
        return ""
    if (trunk[-1] if trunk else None) != below:
        return f"the trunk goes on from {trunk[-1].name if trunk else 'the first disks'}"
    if len(trunk) >= MOST_POINTS:
        return f"it has {len(trunk)} boot points, and a host takes no more: fold the oldest first"
    return ""


def kept(tree: Tree, gone: Collection[LayerName]) -> str:
    """Return why layers may not all be removed; empty: they may, in `next_removal`'s order.

    Names without a snapshot are passed over: they are gone already.
    """
    trunk = tree.trunk()
    for name in gone:
        one = tree.layer(name)
        if one is None:
            continue
        if one.id == tree.current:
            return f"the VM's disks lie on {name}"
        if trunk and one == trunk[-1]:
            return f"{name} is the newest of the trunk"
        twigs = [child for child in tree.children(one.id) if _is_twig(child)]
        if staying := [child.name for child in twigs if not _goes(child, gone)]:
            return f"twig {staying[0]} lies on {name} and stays"
    return ""


def _goes(one: Snapshot, gone: Collection[LayerName]) -> bool:
    mark = one.mark
    return mark is not None and mark.layer in gone


def next_removal(tree: Tree, gone: Collection[LayerName]) -> Snapshot | None:
    """Return the snapshot to remove next; None when all are gone.

    Twigs come first, the oldest first: a branch that nothing lies on is deleted without a merge.
    Then the trunk, the oldest first: each has one child by then, and merges into it. Ask `kept`
    before, and again after each removal: the tree is the truth, not memory.
    """
    twigs = [one for below in tree.trunk() for one in tree.children(below.id) if _is_twig(one)]
    for one in (*twigs, *tree.trunk()):
        if _goes(one, gone):
            return one
    return None


def _is_twig(one: Snapshot) -> bool:
    return _kind(one) is LayerKind.CONVERSION
