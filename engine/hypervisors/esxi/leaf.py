"""Pure: whose the leaf of a standby VM is, what may grow instead, and the words for the rest.

The leaf is what the VM's disks hold above the snapshot they lie on. It has no name of its own on
the host: the mark of the last step, in the VM's settings, says which layer it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.hypervisors.esxi import faults, tree
from engine.hypervisors.esxi.branches import Backing, Standing
from engine.hypervisors.esxi.layers import BUSY, TEMPLATE
from engine.hypervisors.esxi.reverts import Reverts
from engine.hypervisors.esxi.tree import MOST_POINTS, foreign
from engine.model.errors import LayerError, Problem
from engine.model.layers import Layer, LayerKind, LayerName, children
from engine.model.machine import Power
from engine.ports import BlockDevice, DiskChain


def refused(key: str, happened: str, remedy: str = "") -> LayerError:
    """Return the error for a rule that would be broken; nothing was changed."""
    return LayerError(Problem(f"layer.{key}", happened, "Nothing was changed.", remedy))


def holds(there: Standing, layer: Layer) -> bool:
    """Tell whether the VM's disks hold an unsealed layer now, and lie on the one below it.

    A revert that was cut short leaves the mark of a layer whose bytes are gone.
    """
    state = there.seen.state
    if state is None or state.layer != layer.name or there.tree.layer(layer.name) is not None:
        return False
    if layer.parent is None:
        return there.tree.current is None
    below = there.tree.layer(layer.parent)
    return below is not None and there.tree.current == below.id


def is_grown(there: Standing, layer: Layer) -> bool:
    """Tell whether the host has a layer, as its leaf or as a snapshot."""
    return holds(there, layer) or there.tree.layer(layer.name) is not None


def check_holds(there: Standing, layer: Layer, files: Sequence[str] = ()) -> None:
    """Refuse to go on with a leaf that is not there any more.

    Args:
        files: That its bytes were written to; a host that reverts gives the VM new ones.
    """
    if not holds(there, layer) or (files and list(files) != paths(there.disks)):
        raise lost(layer.name)


def paths(disks: Sequence[Backing]) -> list[str]:
    """Return the files of disks, in their order."""
    return [one.path for one in disks]


def on_files(text: str, files: Sequence[str]) -> str:
    """Return a note that counts only as long as the leaf is these files; none: as it is."""
    if not files:
        return text
    return json.dumps({"files": list(files), "text": text})


def told(note: str, there: Standing | None, layer: Layer | None) -> str:
    """Return the text of a note; empty when the leaf that it was kept for is gone."""
    if there is None or layer is None or not holds(there, layer):
        return ""
    try:
        found = json.loads(note)
        files, text = found["files"], str(found["text"])
    except (ValueError, TypeError, KeyError):
        return note
    return text if files == paths(there.disks) else ""


def as_found(layer: Layer, there: Standing | None) -> Layer:
    """Return a layer as the host has it: sealed in the papers without a snapshot, it is not."""
    if not layer.sealed or (there is not None and there.tree.layer(layer.name) is not None):
        return layer
    return replace(layer, sealed=False, manifest=None)


def drift(
    there: Standing, known: Mapping[LayerName, Layer], engine: str, vm: str, reverts: Reverts
) -> str:
    """Return in what a VM differs from how the last step left it, off; empty: in nothing.

    Args:
        reverts: Of that VM: one that was cut short is no change of somebody else's.
    """
    seen, state = there.seen, there.seen.state
    wrong = (
        (not seen.connected, "the host has lost it (disconnected, orphaned or inaccessible)"),
        (seen.template, TEMPLATE),
        (bool(seen.asks), seen.asks),
        (seen.power is not Power.OFF, "it runs"),
        (seen.busy, BUSY),
        (state is None, "its mark was changed"),
        (bool(seen.outside()), "it has a disk outside of its own folder"),
    )
    for is_so, why in wrong:
        if is_so:
            return why
    if why := foreign(there.tree, engine, vm):
        return why
    return "" if reverts.explains(there) else _elsewhere(there, known)


def _elsewhere(there: Standing, known: Mapping[LayerName, Layer]) -> str:
    """Return in what the place of a VM's disks is not what its mark says; empty: in nothing."""
    state = there.seen.state
    found = known.get(LayerName(state.layer)) if state is not None and state.layer else None
    if found is None:
        return ""
    own = there.tree.layer(found.name)
    below = there.tree.layer(found.parent) if found.parent is not None else None
    wanted = own or below
    if wanted is None and found.parent is not None:
        return f"its snapshot {found.parent} is gone"
    if there.tree.current != (wanted.id if wanted is not None else None):
        return "somebody reverted it to another snapshot"
    return ""


def check_grow(
    there: Standing, made: Layer, before: Mapping[LayerName, Layer], papers: DiskChain
) -> None:
    """Refuse a leaf that the tree does not allow, or for which another one would be lost.

    Args:
        before: The layers without the new one.
    """
    if made.kind is not LayerKind.SCRATCH and (
        why := tree.hindrance(there.tree, made.kind, made.parent)
    ):
        raise refused("snapshots", f"{made.name} cannot be made: {why}.", _FOLD)
    state = there.seen.state
    on_leaf = before.get(LayerName(state.layer)) if state is not None else None
    if state is None or on_leaf is None or on_leaf.name == made.name:
        return
    if not holds(there, on_leaf):
        return
    if on_leaf.kind is not LayerKind.SCRATCH:
        if made.kind is not LayerKind.SCRATCH:  # a start goes before what is being made
            raise refused("one-leaf", f"{on_leaf.name} is being made, on the only leaf.", _DROP)
    elif not state.armed:
        raise refused("one-leaf", f"{on_leaf.name} holds what a VM wrote, on the only leaf.", _DROP)
    elif grew(there, papers.noted(on_leaf.name)):
        raise faults.drifted(there.seen.vm, "it was started by somebody else")


def check_sizes(made: Layer, above: Layer) -> None:
    """Refuse a layer whose disks are not those of the layer below it."""
    if list(made.disk_sizes) != list(above.disk_sizes):
        raise other_sizes(made.name)


def check_fold(known: Mapping[LayerName, Layer], layer: LayerName) -> None:
    """Refuse to remove a snapshot whose layer may not be folded, before the host is asked to."""
    found, above = known[layer], list(children(known, layer))
    if found.kind is not LayerKind.REPLICA or not found.sealed:
        return  # the papers refuse it, and the host is not asked: it has no such snapshot
    for child in above:
        if child.kind is not LayerKind.REPLICA or not child.sealed:
            raise refused("fold", f"{layer} cannot be folded: {child.name} lies on it.")
    if not above:
        raise refused("fold", f"{layer} has no children to fold into.", "Drop it instead.")


# --- was it started ---------------------------------------------------------------------------


def armed_note(there: Standing) -> str:
    """Return what is kept beside armed scratch, to know later whether somebody started it."""
    return json.dumps({"used": there.used})


def grew(there: Standing, note: str) -> bool:
    """Tell whether a VM's files are larger than when it was armed: a host wrote to them."""
    try:
        return bool(there.used > int(json.loads(note)["used"]))
    except (ValueError, TypeError, KeyError):
        return False


def ran(there: Standing, layer: Layer, note: str) -> bool:
    """Tell whether a VM may have written to a leaf of kind scratch, of which no papers tell."""
    if layer.kind is not LayerKind.SCRATCH or not holds(there, layer):
        return False
    return there.seen.power is not Power.OFF or grew(there, note)


# --- the papers -------------------------------------------------------------------------------


def broken(paper: BlockDevice) -> None:
    """Let the papers know that a write failed."""
    paper.broken = True  # type: ignore[attr-defined]  # every device of a store has it


def written_anywhere(paper: BlockDevice) -> None:
    """Let the papers know that another program may write anywhere."""
    paper.whole()  # type: ignore[attr-defined]  # a device of the papers has it


# --- words ------------------------------------------------------------------------------------

_DROP = "Drop that layer first; a retry of the same work does it."
_FOLD = (
    f"A host takes 32 snapshots in a chain, so a standby keeps {MOST_POINTS} boot points here: "
    "keep fewer, or retire the oldest."
)


def lost(layer: str) -> LayerError:
    """Return the error for a layer whose bytes the host has not any more."""
    return refused(
        "lost",
        f"The host has no snapshot and no leaf of {layer} any more.",
        "It is made again from its image files.",
    )


def resized(layer: str) -> LayerError:
    """Return the error for disks that are not as large as the layer says."""
    return refused(
        "resized",
        f"The VM's disks have not the sizes that {layer} says: somebody changed them.",
        "Undo the change on the host, or give the standby another name.",
    )


def other_sizes(layer: str) -> LayerError:
    """Return the refusal to change disks below snapshots."""
    return refused(
        "sizes",
        f"{layer} has other disks than the layer below it, and a host changes no disk that has "
        "snapshots.",
        "Begin it anew: bootpoint standby remove NAME --anew, then a full backup. Its old VM is "
        "set aside and can still be started by hand. Or use transport nfs for it.",
    )


def second_trunk(layer: str, vm: str) -> LayerError:
    """Return the refusal to begin a second chain in one VM."""
    return refused(
        "second-trunk",
        f"{layer} begins a new chain, and the VM {vm} has snapshots already: a VM has one trunk.",
        "Begin it anew: bootpoint standby remove NAME --anew, then a full backup. Its old VM is "
        "set aside and can still be started by hand. Or use transport nfs for it.",
    )
