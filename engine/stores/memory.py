"""A simulated store: simple and obvious, for the demo mode, crash tests and as an oracle.

A disk is a dictionary of pages that hold something else than zeros. A child starts with a copy
of its parent's dictionary, so a fold has nothing to do but to mend the tree.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.model.errors import LayerError, NoSpace, Problem
from engine.model.extents import Extent, Kind, join
from engine.model.layers import Gain, Layer, LayerKind, LayerManifest, LayerName
from engine.ports import NEVER, BlockDevice, Cancel, Copied, DiskFile, unseen
from engine.stores import tree
from engine.stores.manifests import strip

PAGE = 4096
AMPLE = 1 << 40

Pages = dict[int, bytes]


@dataclass(slots=True)
class _Entry:
    """A layer with its pages; changed under the store's lock only."""

    layer: Layer
    disks: list[Pages] = field(default_factory=list)
    below: list[Pages] = field(default_factory=list)
    note: str = ""
    manifest: LayerManifest | None = None
    writing: set[int] = field(default_factory=set)
    broken: bool = False
    shown: Layer | None = None
    """As told last, once sealed; None when something about it changed since."""


class MemoryStore:
    """Layers in memory."""

    kind = "memory"

    def __init__(self, name: str = "simulated", capacity: int = AMPLE) -> None:
        """Make an empty store that takes `capacity` bytes of pages."""
        self.name, self.path, self.capacity = name, Path("/simulated") / name, capacity
        self.lock = threading.RLock()
        self._chains: dict[str, MemoryChain] = {}
        self.quarantine: dict[str, MemoryChain] = {}

    def check(self) -> None:
        """Do nothing: memory does not go away."""

    def touch(self) -> None:
        """Do nothing: memory is quick."""

    def chain(self, standby: str) -> MemoryChain:
        """Return the chain of one standby."""
        tree.check_name(standby)
        with self.lock:
            return self._chains.setdefault(standby, MemoryChain(self, standby))

    def standbys(self) -> Sequence[str]:
        """Return the names of standbys that have layers here."""
        return sorted(name for name, chain in self._chains.items() if chain.layers())

    def set_aside(self, standby: str, stamp: str) -> None:
        """Move a standby's layers out of the way; repeatable."""
        tree.check_name(standby)
        tree.check_name(stamp, tree.STAMP)
        with self.lock:
            if standby not in self.standbys():
                return
            if f"{standby}-{stamp}" in self.quarantine:
                raise tree.refused("quarantine", f"{standby}-{stamp} exists already.")
            self.quarantine[f"{standby}-{stamp}"] = self._chains.pop(standby)

    def free(self) -> int:
        """Return the bytes that pages can still take; about, where there is ample room."""
        if self.capacity >= AMPLE:
            return self.capacity - sum(chain.used() for chain in list(self._chains.values()))
        pages = {id(page) for chain in self._chains.values() for page in chain.pages()}
        return self.capacity - PAGE * len(pages)

    def close(self) -> None:
        """Do nothing."""


class MemoryChain:
    """The layers of one standby."""

    folds_files = False
    deepest: int | None = None

    def __init__(self, store: MemoryStore, standby: str) -> None:
        """Make an empty chain."""
        self._store, self._standby = store, standby
        self._entries: dict[LayerName, _Entry] = {}

    def pages(self) -> Iterator[bytes]:
        """Yield every page of every layer, shared ones more than once."""
        return (
            page
            for entry in self._entries.values()
            for disk in entry.disks
            for page in disk.values()
        )

    def used(self) -> int:
        """Return the bytes that all layers hold by themselves."""
        with self._store.lock:
            return sum(self._shown(entry).used for entry in self._entries.values())

    def layers(self) -> Mapping[LayerName, Layer]:
        """Return all layers."""
        with self._store.lock:
            return {name: self._shown(entry) for name, entry in self._entries.items()}

    def _shown(self, entry: _Entry) -> Layer:
        if entry.shown is not None:
            return entry.shown
        told = self._look(entry)
        if told.sealed:
            entry.shown = told
        return told

    def _look(self, entry: _Entry) -> Layer:
        made = entry.manifest and replace(strip(entry.manifest), parent=entry.layer.parent)
        used = sum(
            PAGE
            for disk, below in zip(entry.disks, entry.below, strict=True)
            for number, page in disk.items()
            if below.get(number) is not page
        )
        return replace(entry.layer, sealed=made is not None, used=used, manifest=made)

    def add(
        self, name: LayerName, parent: LayerName | None, kind: LayerKind, sizes: Sequence[int]
    ) -> Layer:
        """Make an unsealed layer that reads like its parent."""
        with self._store.lock:
            layers = self.layers()
            tree.check_name(name)
            tree.check_sizes(sizes)
            if name in layers:
                tree.check_same(layers[name], parent, kind, sizes)
                return layers[name]
            tree.check_add(layers, name, parent, kind)
            below = list(self._entries[parent].disks) if parent else []
            below += [{} for _ in sizes[len(below) :]]
            disks = [_cut(pages, size) for pages, size in zip(below, sizes, strict=False)]
            layer = Layer(name, parent, kind, sealed=False, disk_sizes=list(sizes))
            self._entries[name] = _Entry(layer, disks, below[: len(sizes)])
            return self.layers()[name]

    @contextlib.contextmanager
    def open(
        self,
        layer: LayerName,
        disk: int,
        cancel: Cancel = NEVER,  # noqa: ARG002 - nobody takes turns here
    ) -> Iterator[BlockDevice]:
        """Open one disk; writable only while the layer is not sealed."""
        with self._store.lock:
            found = tree.known(self.layers(), layer)
            tree.check_disk(found, disk)
            entry = self._entries[layer]
            if not found.sealed:
                if disk in entry.writing:
                    raise tree.refused("in-use", f"Disk {disk} of {layer} is being written.")
                entry.writing.add(disk)
        try:
            yield _MemoryDevice(self._store, entry, found, disk)
        finally:
            entry.writing.discard(disk)

    def changed(self, layer: LayerName, disk: int) -> Iterator[Extent]:
        """Yield pages that differ from the parent's."""
        found = tree.known(self.layers(), layer)
        tree.check_disk(found, disk)
        entry, size = self._entries[layer], found.disk_sizes[disk]
        own, below = entry.disks[disk], entry.below[disk]
        numbers = sorted(n for n in own.keys() | below.keys() if n * PAGE < size)
        return join(
            Extent(n * PAGE, min(PAGE, size - n * PAGE), Kind.DATA if n in own else Kind.ZERO)
            for n in numbers
            if own.get(n) is not below.get(n)
        )

    def note(self, layer: LayerName, text: str) -> None:
        """Keep a text beside an unsealed layer."""
        tree.check_unsealed(tree.known(self.layers(), layer))
        if len(text.encode()) > 64 << 10:
            raise tree.refused("note", f"A note of {len(text)} characters is too long.")
        self._entries[layer].note = text

    def noted(self, layer: LayerName) -> str:
        """Return the text kept by `note`."""
        tree.check_name(layer)
        return self._entries[layer].note if layer in self._entries else ""

    def seal(self, layer: LayerName, manifest: LayerManifest) -> None:
        """Make the layer read-only."""
        with self._store.lock:
            found = tree.known(self.layers(), layer)
            if found.sealed:
                return
            tree.check_seal(found, manifest)
            entry = self._entries[layer]
            if entry.writing:
                raise tree.refused("in-use", f"A disk of {layer} is open.")
            if entry.broken:
                raise tree.refused("broken", f"An earlier write to {layer} failed.", "Drop it.")
            entry.manifest, entry.note = manifest, ""

    def manifest(self, layer: LayerName) -> LayerManifest:
        """Return a sealed layer's manifest with hashes."""
        found = tree.known(self.layers(), layer)
        made = self._entries[layer].manifest
        if made is None or found.manifest is None:
            raise LayerError(Problem("layer.manifest", f"{layer} has no manifest."))
        disks = [
            replace(shown, hashes=kept.hashes)
            for shown, kept in zip(found.manifest.disks, made.disks, strict=True)
        ]
        return replace(found.manifest, disks=disks, conversion=made.conversion)

    def fold(self, layer: LayerName, cancel: Cancel, copied: Copied = unseen) -> None:  # noqa: ARG002 - nothing is copied here
        """Take a trunk layer away; its children go on reading the same bytes."""
        tree.check_name(layer)
        cancel.check()
        with self._store.lock:
            if layer not in self._entries:
                return
            gone = self._entries[layer]
            for child in tree.check_fold(self.layers(), layer, resumed=False):
                entry = self._entries[child.name]
                entry.shown = None
                entry.layer = replace(entry.layer, parent=gone.layer.parent)
                entry.below = [
                    gone.below[n] if n < len(gone.below) else {} for n in range(len(entry.below))
                ]
            del self._entries[layer]

    def gain(self, gone: Sequence[LayerName]) -> Gain:
        """Return the pages that only these layers hold."""
        with self._store.lock:
            kept = {
                id(page)
                for name, e in self._entries.items()
                if name not in gone
                for disk in e.disks
                for page in disk.values()
            }
            freed = {
                id(page)
                for name in gone
                if name in self._entries
                for disk in self._entries[name].disks
                for page in disk.values()
            }
            return Gain(PAGE * len(freed - kept))

    def drop(self, layer: LayerName) -> None:
        """Delete a layer without children."""
        tree.check_name(layer)
        with self._store.lock:
            tree.check_drop(self.layers(), layer)
            if layer in self._entries and self._entries[layer].writing:
                raise tree.refused("in-use", f"A disk of {layer} is open.")
            self._entries.pop(layer, None)

    def disk_files(self, layer: LayerName) -> Sequence[DiskFile]:
        """Return names that a simulated hypervisor may show; there are no such files."""
        found = tree.known(self.layers(), layer)
        where = self._store.path / self._standby / layer
        return [DiskFile(where / f"disk-{n}.raw", "raw") for n in range(len(found.disk_sizes))]

    def free(self) -> int:
        """Return the bytes the store can still take."""
        return self._store.free()


class _MemoryDevice:
    """A dictionary of pages as a block device."""

    block_size = PAGE

    def __init__(self, store: MemoryStore, entry: _Entry, layer: Layer, disk: int) -> None:
        self._store, self._entry, self._layer = store, entry, layer
        self._pages = entry.disks[disk]
        self.size = layer.disk_sizes[disk]

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""
        tree.check_range(self.size, offset, len(into))
        at = 0
        while at < len(into):
            number, inside = divmod(offset + at, PAGE)
            step = min(PAGE - inside, len(into) - at)
            into[at : at + step] = self._pages.get(number, bytes(PAGE))[inside : inside + step]
            at += step

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        self._check(offset, len(data))
        with self._store.lock:
            if self._store.capacity < AMPLE and len(data) > self._store.free():
                self._entry.broken = True
                raise NoSpace(Problem("store.full", f"{self._store.name} is full."))
            for at in range(offset - offset % PAGE, offset + len(data), PAGE):
                start, end = max(at, offset), min(at + PAGE, offset + len(data))
                self._patch(at, start - at, bytes(data[start - offset : end - offset]))

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""
        self._check(offset, length)
        with self._store.lock:
            for number in [n for n in self._pages if offset <= n * PAGE <= offset + length - PAGE]:
                del self._pages[number]
            for edge in {offset // PAGE, (offset + length) // PAGE} & self._pages.keys():
                start, end = max(edge * PAGE, offset), min((edge + 1) * PAGE, offset + length)
                if end > start:
                    self._patch(edge * PAGE, start - edge * PAGE, bytes(end - start))

    def _patch(self, at: int, inside: int, data: bytes) -> None:
        old = self._pages.get(at // PAGE, bytes(PAGE))
        self._pages[at // PAGE] = old[:inside] + data + old[inside + len(data) :]

    def _check(self, offset: int, length: int) -> None:
        tree.check_unsealed(self._layer)
        tree.check_range(self.size, offset, length)

    def flush(self) -> None:
        """Do nothing: memory is as durable as it gets."""

    def evict(self) -> None:
        """Do nothing: there is no medium behind the pages."""


def _cut(pages: Pages, size: int) -> Pages:
    """Return a copy of a disk's pages without what lies past its end."""
    kept = {number: page for number, page in pages.items() if number * PAGE < size}
    last, inside = divmod(size, PAGE)
    if inside and last in kept:
        kept[last] = kept[last][:inside] + bytes(PAGE - inside)
    return kept
