"""How much a new generation, or a disk in another place, would write: measured, nothing written.

image's checksum of a piece ── the trunk layer there hashes the same ──► nothing
                            └─ it does not: both are read ─────────────► the grains that differ

Counted whole it may seem not to fit a store that it fits easily.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from threading import Lock

from engine.jobs.copying import GRAIN, READ_BACK, read_digest
from engine.jobs.disklayers import DiskLayer, disk_layers, place_of
from engine.jobs.loads import Buffers
from engine.jobs.tools import Tools
from engine.local.parallel import run
from engine.model.extents import Kind, Piece
from engine.model.images import RecoveryPoint
from engine.model.layers import Layer, LayerName
from engine.model.progress import Meter
from engine.ports import BlockDevice


def measure(parent: LayerName, path: Sequence[RecoveryPoint], t: Tools) -> int:
    """Return the bytes that a trunk layer of `path` on `parent` would write.

    What lies only in increments counts whole, as their files say it. Reads the parent's disks once
    and of the images what differs, a few pieces at a time.

    Args:
        parent: Trunk layer, sealed.
        path: Recovery points, oldest first, at least one.
        t: The world; `t.cancel` is asked for each piece.

    Raises:
        Failure: The images or the layer cannot be read; in their own words.
        Cancelled: `cancel` fired.
    """
    below = t.chain.layers()[parent]
    with ExitStack() as stack:
        readers = [stack.enter_context(t.source.open(one)) for one in path]
        disks = [
            disk_layers(path, readers, disk.part.uuid, number)
            for number, disk in enumerate(path[-1].disks)
        ]
        return _Measuring(below, t, disks).all_disks()


class _Measuring:
    """Compares all disks, with one progress for all."""

    def __init__(self, below: Layer, t: Tools, disks: Sequence[Sequence[DiskLayer]]) -> None:
        self._below, self._t, self._disks = below, t, disks
        manifest = below.manifest
        self._known = [disk.uuid for disk in manifest.disks] if manifest is not None else []
        total = sum(self._length(number, layers[0]) for number, layers in enumerate(disks))
        self._meter = Meter(total, t.clock.monotonic())
        self._lock, self._seen, self._found = Lock(), 0, 0
        self._buffers = Buffers()

    def all_disks(self) -> int:
        """Return the bytes that would be written to all of them."""
        for number, layers in enumerate(self._disks):
            rest = layers
            if layers[0].disk.part.base:
                self._generation(number, layers[0])
                rest = layers[1:]
            elif (place := self._elsewhere(number, layers[0])) is not None:
                self._moved(number, place)
            for layer in rest:
                pieces = layer.pieces(layer.size)
                self._found += sum(one.length for one in pieces if one.kind is Kind.DATA)
        return self._found

    def _length(self, number: int, first: DiskLayer) -> int:
        if first.disk.part.base or self._elsewhere(number, first) is not None:
            return first.size
        return 0

    def _elsewhere(self, number: int, first: DiskLayer) -> int | None:
        """Return the other place that a disk has in the layer below; None: the same, or none."""
        place = place_of(first.disk.part.uuid, first.disk.part.number, self._known)
        return None if place == number else place

    def _generation(self, number: int, layer: DiskLayer) -> None:
        """Count what a full's disk holds that the layer below does not, at the same place."""
        if number >= len(self._below.disk_sizes):
            pieces = layer.pieces(layer.size)
            self._found += sum(one.length for one in pieces if one.kind is Kind.DATA)
            return
        file = f"{layer.point.root}/{layer.disk.path}"
        reading = Lock()
        with self._t.chain.open(self._below.name, number, self._t.cancel) as device:

            def work(piece: Piece) -> None:
                self._t.cancel.check()
                if piece.kind is Kind.DATA and not _same(piece, device):
                    self._t.reading.take(file, piece.length, self._t.cancel)
                    with self._buffers.lend(piece.length) as view:
                        with reading:
                            layer.reader.read([piece], view)
                        self._count(_differing(view, device, piece.start))
                self._advance(piece.length)

            run(layer.reader.pieces(), work, cancel=self._t.cancel)

    def _moved(self, number: int, place: int) -> None:
        """Count what a disk of the layer below holds that the one now in its place does not."""
        if number >= len(self._below.disk_sizes):
            self._found += self._below.disk_sizes[place]
            return
        chain, cancel, name = self._t.chain, self._t.cancel, self._below.name
        with chain.open(name, place, cancel) as source, chain.open(name, number, cancel) as device:
            for start in range(0, source.size, READ_BACK):
                cancel.check()
                with self._buffers.lend(min(READ_BACK, source.size - start)) as view:
                    source.read(start, view)
                    if view.tobytes().strip(b"\0"):
                        self._count(_differing(view, device, start))
                    self._advance(len(view))

    def _count(self, length: int) -> None:
        with self._lock:
            self._found += length

    def _advance(self, length: int) -> None:
        with self._lock:
            self._seen += length
            seen = self._seen
        self._t.report(self._meter.at("measure", seen, self._t.clock.monotonic()))


def _same(piece: Piece, device: BlockDevice) -> bool:
    """Tell whether the device holds a piece already, as its checksum says; reads no image."""
    if piece.digest is None or piece.start + piece.length > device.size:
        return False
    return read_digest(device, piece.start, piece.length) == piece.digest


def _differing(data: memoryview, device: BlockDevice, start: int) -> int:
    """Return the bytes of the grains that a device does not hold; past its end all of them."""
    there = max(min(len(data), device.size - start), 0)
    seen = bytearray(there)
    if there:
        device.read(start, memoryview(seen))
    return sum(
        min(GRAIN, len(data) - at)
        for at in range(0, len(data), GRAIN)
        if data[at : at + GRAIN] != seen[at : at + GRAIN]
    )
