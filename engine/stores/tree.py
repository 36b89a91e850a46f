"""Rules of the layer tree that every store keeps, and the words for breaking them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from engine.model.errors import LayerError, Problem
from engine.model.layers import (
    ALLOWED_PARENTS,
    Layer,
    LayerKind,
    LayerManifest,
    LayerName,
    children,
)
from engine.model.text import safe

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,95}")
STAMP = re.compile(r"[0-9A-Za-z]{1,32}")
LARGEST = 64 << 40
"""Largest disk in bytes."""
MOST_DISKS = 64


def refused(key: str, happened: str, remedy: str = "") -> LayerError:
    """Return the error for a rule that would be broken; nothing was changed."""
    return LayerError(Problem(f"layer.{key}", happened, "Nothing was changed.", remedy))


def check_name(name: str, pattern: re.Pattern[str] = NAME) -> None:
    """Refuse a name that could mean something to a file system."""
    if not pattern.fullmatch(name):
        raise refused("name", f"{safe(name)!r} is no name of a layer or standby.")


def check_sizes(sizes: Sequence[int]) -> None:
    """Refuse disks that are negative, too large or too many."""
    if len(sizes) > MOST_DISKS or any(not 0 <= size <= LARGEST for size in sizes):
        raise refused("sizes", f"{len(sizes)} disks of up to {max(sizes)} bytes are too much.")


def known(layers: Mapping[LayerName, Layer], name: LayerName) -> Layer:
    """Return an existing layer."""
    check_name(name)
    if name not in layers:
        raise refused("missing", f"There is no layer {name}.")
    return layers[name]


def check_add(
    layers: Mapping[LayerName, Layer], name: LayerName, parent: LayerName | None, kind: LayerKind
) -> None:
    """Refuse a new layer on a parent that is missing, unsealed, or may not have it."""
    check_name(name)
    above = None if parent is None else known(layers, parent)
    if (above.kind if above else None) not in ALLOWED_PARENTS[kind]:
        below = f"a {above.kind} layer" if above else "nothing"
        raise refused("parent", f"{name}: a {kind} layer cannot lie on {below}.")
    if above is not None and not above.sealed:
        raise refused("parent", f"{name} cannot lie on {parent}, which is not sealed.")


def check_same(
    found: Layer, parent: LayerName | None, kind: LayerKind, sizes: Sequence[int]
) -> None:
    """Refuse to add a layer again as something else."""
    if (found.parent, found.kind, list(found.disk_sizes)) != (parent, kind, list(sizes)):
        raise refused(
            "exists",
            f"{found.name} exists already, as a {found.kind} layer on {found.parent}.",
            "Drop it first.",
        )


def check_disk(layer: Layer, disk: int) -> None:
    """Refuse a disk number the layer does not have."""
    if not 0 <= disk < len(layer.disk_sizes):
        raise refused("disk", f"{layer.name} has no disk {disk}.")


def check_range(size: int, offset: int, length: int) -> None:
    """Refuse bytes outside a disk."""
    if offset < 0 or length < 0 or offset + length > size:
        raise refused(
            "range", f"{length} bytes at offset {offset} lie outside a disk of {size} bytes."
        )


def check_unsealed(layer: Layer) -> None:
    """Refuse to change a sealed layer."""
    if layer.sealed:
        raise refused("sealed", f"{layer.name} is sealed; sealed layers never change.")


def check_seal(layer: Layer, manifest: LayerManifest) -> None:
    """Refuse to seal scratch, or with a manifest of another layer."""
    if layer.kind is LayerKind.SCRATCH:
        raise refused("scratch", f"{layer.name} is scratch, which is never sealed.")
    said = manifest.layer, manifest.parent, manifest.kind, [disk.size for disk in manifest.disks]
    if said != (layer.name, layer.parent, layer.kind, list(layer.disk_sizes)):
        raise refused("manifest", f"The manifest does not describe {layer.name}.")


def check_drop(layers: Mapping[LayerName, Layer], name: LayerName) -> None:
    """Refuse to drop a layer that others lie on."""
    if on := [child.name for child in children(layers, name)]:
        raise refused("children", f"{name} cannot be dropped: {', '.join(on)} lies on it.")


def check_fold(layers: Mapping[LayerName, Layer], name: LayerName, *, resumed: bool) -> list[Layer]:
    """Return the children of a trunk layer that may be folded away.

    Args:
        resumed: A fold of it began earlier, so it may have lost its children already.
    """
    layer, above = known(layers, name), list(children(layers, name))
    if layer.kind is not LayerKind.REPLICA or not (layer.sealed or resumed):
        raise refused("fold", f"{name} is not a sealed trunk layer.")
    for child in above:
        if child.kind is not LayerKind.REPLICA:
            raise refused("fold", f"{name} cannot be folded: {child.name} lies on it.")
        if not child.sealed:
            raise refused("fold", f"{name} cannot be folded: {child.name} is being written.")
    if not above and not resumed:
        raise refused("fold", f"{name} has no children to fold into.", "Drop it instead.")
    return above


def check_still(layers: Mapping[LayerName, Layer], name: LayerName) -> None:
    """Refuse to change files that a scratch layer reads from."""
    for layer in descendants(layers, name):
        if layer.kind is LayerKind.SCRATCH or not layer.sealed:
            raise refused(
                "in-use",
                f"{name} cannot be folded: {layer.name} reads from its files.",
                "It is folded after that machine was stopped.",
            )


def descendants(layers: Mapping[LayerName, Layer], name: LayerName) -> Iterator[Layer]:
    """Yield all layers that lie on `name`, directly or not."""
    for child in children(layers, name):
        yield child
        yield from descendants(layers, child.name)


def ancestry(layers: Mapping[LayerName, Layer], name: LayerName | None) -> Iterator[Layer]:
    """Yield a layer and its ancestors, newest first, as far as they are there."""
    while name is not None and name in layers:
        yield layers[name]
        name = layers[name].parent
