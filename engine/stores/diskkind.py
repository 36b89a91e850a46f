"""What a local store must know about one kind of disk file; `reflink` and `qcow2` are two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.model.extents import Extent
from engine.ports import BlockDevice, Cancel
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


class DiskKind(Protocol):
    """How one disk of a layer is kept in a file."""

    format: str
    """`raw` or `qcow2`; also the file's suffix."""

    def make(self, path: Path, size: int, below: Stack) -> None:
        """Make the file of a new layer, durably; it reads like the stack below."""

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

    def fold(self, disk: FoldedDisk, cancel: Cancel) -> None:
        """Make the children independent of the file; repeatable after an interruption."""

    folds_files: bool
    """True when `fold` changes files that layers further up read from."""
