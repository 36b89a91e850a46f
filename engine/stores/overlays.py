"""What a store of overlays gets back when layers are folded away.

base   AAAA..
day1   .BB...     when base goes, A at both sides of BB is copied; the other two come back
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.model.extents import Extent, Kind, overlay, subtract
from engine.model.layers import Gain, LayerName
from engine.stores.diskkind import DiskTree
from engine.stores.qcow2file import Qcow2File

SECTOR = 512


def overlays_gain(disk: DiskTree, gone: Sequence[LayerName]) -> Gain:
    """Return what the files take, less what folds copy into those above; tables not counted.

    A fold of the base writes the layer above down into it: as many clusters are doubled, and
    come back, as in a fold that copies up.
    """
    held: dict[LayerName, list[Extent]] = {}
    parents = dict(disk.parents)
    freed = copied = 0

    def content(name: LayerName) -> list[Extent]:
        if name not in held:
            held[name] = _content(disk.files[name]) if name in disk.files else []
        return held[name]

    for name in gone:
        own = content(name)
        freed += disk.files[name].stat().st_blocks * SECTOR if name in disk.files else 0
        for child in [one for one, parent in parents.items() if parent == name]:
            copied += _amount(subtract(own, content(child)))
            held[child] = list(overlay(content(child), own))
            parents[child] = parents[name]
        parents.pop(name, None)
    return Gain(max(freed - copied, 0), copied, exact=not copied)


def _content(file: Path) -> list[Extent]:
    opened = Qcow2File(file, writable=False)
    try:
        return list(opened.extents())
    finally:
        opened.close()


def _amount(extents: Iterable[Extent]) -> int:
    return sum(extent.length for extent in extents if extent.kind is Kind.DATA)
