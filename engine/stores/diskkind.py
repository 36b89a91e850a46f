"""What a local store must know about one kind of disk file; `reflink` and `qcow2` are two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.model.extents import Extent
from engine.model.layers import Gain, LayerName
from engine.ports import BlockDevice, Cancel, Copied
from engine.stores.layerfolders import Stack


class StoredDevice(BlockDevice, Protocol):
    """A device whose writes can fail for good."""

    broken: bool


@dataclass(frozen=True, slots=True)
class FoldedDisk:
    """One disk of a layer that is being folded away.

    Attributes:
        file: The layer's own file; it may be gone already when an earlier try got that far.
        below: The files below it; empty at the base.
        above: The children's files.
    """

    file: Path
    below: Stack
    above: Sequence[Path]


@dataclass(frozen=True, slots=True)
class DiskTree:
    """One disk in all layers of a standby.

    Attributes:
        files: Layer -> its own file of this disk, as far as they are there.
        parents: Layer -> the layer it lies on; None at a seed.
    """

    files: Mapping[LayerName, Path]
    parents: Mapping[LayerName, LayerName | None]


class DiskKind(Protocol):
    """How one disk of a layer is kept in a file."""

    format: str
    """`raw` or `qcow2`; also the file's suffix."""

    def make(self, path: Path, size: int, below: Stack) -> None:
        """Make the file of a new layer, which reads like the stack below; not durable yet."""

    def open(
        self, stack: Stack, size: int, *, writable: bool
    ) -> AbstractContextManager[StoredDevice]:
        """Open the disk of the layer at the top of the stack."""

    def changed(self, stack: Stack, size: int) -> Iterator[Extent]:
        """Yield what the top of the stack holds itself."""

    def used(self, stack: Stack, size: int) -> int:
        """Return the bytes that the top of the stack occupies by itself."""

    def check(self, stack: Stack, *, loose: bool) -> None:
        """Raise LayerError unless the files refer to one another as the stack says.

        Args:
            loose: A layer below is being folded, so a file may be independent of it already.
        """

    def fold(self, disk: FoldedDisk, cancel: Cancel, copied: Copied) -> None:
        """Make the children independent of the file; repeatable after an interruption."""

    def gain(self, disk: DiskTree, gone: Sequence[LayerName]) -> Gain:
        """Return what comes back of this disk when layers are folded or dropped, in this order."""

    folds_files: bool
    """True when `fold` changes files that layers further up read from."""

    deepest: int | None
    """Layers that may lie on one another; None without limit."""
