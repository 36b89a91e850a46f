"""Layers: a disk as seen from one, the tree of one standby, the place where trees live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.model.extents import Extent
from engine.model.layers import Gain, Layer, LayerKind, LayerManifest, LayerName
from engine.ports.work import NEVER, Cancel, Copied, unseen


class BlockDevice(Protocol):
    """A disk as seen from one layer; several threads may use it at the same time."""

    size: int
    block_size: int
    """Writes are cheapest when aligned to this; any alignment is allowed."""

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`. LayerError on a sealed layer."""

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros, without writing them where the store can."""

    def flush(self) -> None:
        """Make durable what was written before. A failure is final: drop the layer, never retry."""

    def evict(self) -> None:
        """Forget cached pages, so that the next read comes from the medium. After `flush`."""


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A disk of a layer as a hypervisor on this host opens it.

    Attributes:
        path: Absolute.
        format: `raw` or `qcow2`.
    """

    path: Path
    format: str


class DiskChain(Protocol):
    """The layer tree of one standby VM, where it lives.

    Thread-safe for different layers; one layer is changed by one thread (its device by several).
    """

    folds_files: bool
    """A fold changes files that the layers above read from."""

    deepest: int | None
    """Layers that may lie on one another, twig and scratch included; None without limit."""

    def layers(self) -> Mapping[LayerName, Layer]:
        """Return all layers that exist now, unsealed ones included, by name."""

    def add(
        self, name: LayerName, parent: LayerName | None, kind: LayerKind, sizes: Sequence[int]
    ) -> Layer:
        """Make an unsealed layer that reads like its parent (zeros without one).

        Args:
            sizes: Bytes of each disk. A disk longer than the parent's reads zeros at its end, a
                shorter one is cut, a further one reads zeros.

        Raises:
            LayerError: The parent does not exist, is not sealed, or may not have such a child.
            NoSpace: The store is full; nothing is left behind that `drop` would not clear.
        """

    def open(
        self, layer: LayerName, disk: int, cancel: Cancel = NEVER
    ) -> AbstractContextManager[BlockDevice]:
        """Open one disk; writable only while the layer is not sealed.

        Args:
            layer: The layer.
            disk: Its number in it.
            cancel: Ends the waiting for a turn within a second, where there are turns.
        """

    def changed(self, layer: LayerName, disk: int) -> Iterator[Extent]:
        """Yield what the layer holds itself (DATA or ZERO), sorted; may say more than differs."""

    def note(self, layer: LayerName, text: str) -> None:
        """Keep a short text (at most 64 KiB) durably beside an unsealed layer, for a later try."""

    def noted(self, layer: LayerName) -> str:
        """Return the text kept by `note`, empty without one."""

    def seal(self, layer: LayerName, manifest: LayerManifest) -> None:
        """Make the layer durable and read-only, its manifest beside it.

        Data first, then manifest.
        """

    def manifest(self, layer: LayerName) -> LayerManifest:
        """Return a sealed layer's manifest with the disks' `hashes`, and the `conversion`.

        LayerError if damaged.
        """

    def fold(self, layer: LayerName, cancel: Cancel, copied: Copied = unseen) -> None:
        """Take a sealed REPLICA layer away; its children go on reading the same bytes.

        Interrupted anywhere, calling it again finishes. LayerError when scratch lives on a layer
        whose files would change, or when a CONVERSION layer hangs on it.

        Args:
            layer: The layer.
            cancel: Bites within a second; every layer stays readable.
            copied: Told of each step; all of them together are about `gain(...).copied`.
        """

    def gain(self, gone: Sequence[LayerName]) -> Gain:
        """Return what comes back when layers go, in this order; nothing is changed.

        Those with children are folded into them, the others are dropped; twigs come before
        what they lie on. Names of layers that are not there are passed over.
        """

    def drop(self, layer: LayerName) -> None:
        """Delete a layer without children. LayerError when it has any; repeatable."""

    def disk_files(self, layer: LayerName) -> Sequence[DiskFile]:
        """Return the files a hypervisor opens for this layer, in disk order."""

    def free(self) -> int:
        """Return the bytes the store can still take."""


class Store(Protocol):
    """A place that holds the chains of many standby VMs."""

    name: str
    path: Path

    @property
    def kind(self) -> str:
        """Return what a layer is here, such as `reflink`; empty while that is not known."""

    def check(self) -> None:
        """Make sure that the place is there, as it was opened.

        Raises:
            StoreAway: It is not, or it cannot be used now; nothing was written in its place.
        """

    def touch(self) -> None:
        """Write a few bytes durably, so that somebody can see how long that takes."""

    def chain(self, standby: str) -> DiskChain:
        """Return the chain of one standby; it may be empty.

        What looks for layers or changes them raises `StoreAway` while the place is not there.
        """

    def standbys(self) -> Sequence[str]:
        """Return the names of standbys that have layers here."""

    def set_aside(self, standby: str, stamp: str) -> None:
        """Move a standby's layers to the store's quarantine folder, for an operator to delete.

        Args:
            stamp: Makes the place unique, such as `20260101T030000Z`.
        """
