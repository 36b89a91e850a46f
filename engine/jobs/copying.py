"""Image layers onto disks: read, check, write; made durable and read again meanwhile.

reader ──pieces──► loads ──► workers: read + check ──► device.write ──► ReadBack
                                      zero         ──► device.zero
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from blake3 import blake3

from engine.jobs.loads import Buffers, Load, loads, runs
from engine.jobs.readback import AT_ONCE, DIGEST, Advance, ReadBack
from engine.local.parallel import run
from engine.model.errors import LayerError
from engine.model.extents import Kind, Piece
from engine.ports import BlockDevice, Cancel, DiskReader, unseen

READ_BACK = 1 << 20
GRAIN = 1 << 16
"""Bytes that are compared at once, and written where they differ."""


def move_disk(source: BlockDevice, device: BlockDevice, cancel: Cancel) -> None:
    """Make `device` read like `source`, zeros where that is shorter; write only what differs."""
    end = min(source.size, device.size)
    for start in range(0, end, READ_BACK):
        cancel.check()
        view = memoryview(bytearray(min(READ_BACK, end - start)))
        source.read(start, view)
        if not view.tobytes().strip(b"\0"):
            device.zero(start, len(view))
        else:
            _write_differing(device, start, view)
    if end < device.size:
        device.zero(end, device.size - end)


def clear_gaps(reader: DiskReader, device: BlockDevice) -> None:
    """Make zeros what a base says nothing about, so that nothing of another disk shines through."""
    at = 0
    for piece in reader.pieces():
        if at < min(piece.start, device.size):
            device.zero(at, min(piece.start, device.size) - at)
        at = max(at, piece.start + piece.length)
    if at < device.size:
        device.zero(at, device.size - at)


def held(reader: DiskReader, size: int) -> Iterator[Piece]:
    """Yield what a disk's layer holds on a disk of `size` bytes: what lies past the end is cut.

    A DATA piece that is cut, or that the image has no checksum for, has no digest.
    """
    for piece in reader.pieces():
        if piece.start >= size:
            return
        if piece.start + piece.length <= size:
            yield piece
        else:
            yield _part(piece, piece.start, size, whole=False)


class _Own(threading.local):
    """What each worker has for itself."""

    reader: DiskReader | None = None


class _Readers:
    """A reader for each worker; all are closed when the `with` block ends."""

    def __init__(self, first: DiskReader) -> None:
        self._first, self._own = first, _Own()
        self._opened: list[DiskReader] = []

    def own(self) -> DiskReader:
        """Return the calling thread's."""
        if self._own.reader is None:
            self._own.reader = self._first.clone()
            self._opened.append(self._own.reader)
        return self._own.reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._opened:
            one.close()


def copy_disk(
    reader: DiskReader,
    device: BlockDevice,
    cancel: Cancel,
    advance: Advance,
    before: Advance = unseen,
    *,
    compare: bool = False,
    tail: int | None = None,
    checking: Callable[[int], None] = unseen,
) -> None:
    """Write one disk's layer to `device`, every byte checked against the image, and read it back.

    What lies past the device's end is left out (the disk shrank). At the end everything is
    durable, and every piece with a digest was compared on the medium.

    Args:
        reader: The image layer.
        device: Where it goes.
        cancel: Asked for each piece.
        advance: Told of each piece that was written.
        before: Told of each piece before it is read: it may wait.
        compare: What the device holds already is not written again.
        tail: Where zeros begin: bytes that the disk had at that point; None for all of it.
        checking: Told of each piece that was compared after all were written.

    Raises:
        ImageCorrupt: A stored frame does not match its checksum.
        LayerError: The medium returned other bytes than were written.
        OSError, NoSpace: Reading or writing failed; the layer must be dropped.
        Cancelled: `cancel` fired.
    """
    buffers = Buffers()
    write = _write_differing if compare else _write

    def copy(load: Load) -> None:
        cancel.check()
        if load.is_zero:
            start = load.pieces[0].start
            device.zero(start, min(load.length, device.size - start))
            return
        for piece in load.pieces:
            before(piece.length)
        with buffers.lend(load.length) as view:
            # What is read back from the medium is compared with the same digest: once is enough.
            readers.own().read(load.pieces, view, hashed=not load.is_compared)
            for start, part in runs(load, view):
                write(device, start, part[: device.size - start])
        advance(load.length)
        read_back.written(load)
        read_back.check_some()

    with ReadBack(device, cancel, buffers, lambda piece: _read_checked(reader, piece)) as read_back:
        with _Readers(reader) as readers:
            run(loads(reader.pieces(), device.size), copy, cancel=cancel, workers=AT_ONCE)
        if tail is not None and tail < device.size:
            device.zero(tail, device.size - tail)
        read_back.finish(checking)


def _read_checked(reader: DiskReader, piece: Piece) -> None:
    """Read a piece in any thread, only to raise if the image is what is wrong."""
    one = reader.clone()
    try:
        one.read([piece], memoryview(bytearray(piece.length)))
    finally:
        one.close()


def _write(device: BlockDevice, start: int, data: memoryview) -> None:
    device.write(start, data)


def _write_differing(device: BlockDevice, start: int, data: memoryview) -> None:
    """Write those grains that the device does not hold; all of it where it cannot be read."""
    seen = bytearray(len(data))
    try:
        device.read(start, memoryview(seen))
    except (OSError, LayerError):
        device.write(start, data)
        return
    if seen == data:
        return
    for at in range(0, len(data), GRAIN):
        with data[at : at + GRAIN] as part:
            if seen[at : at + GRAIN] != part:
                device.write(start + at, part)


def merged(
    layers: Sequence[Iterable[Piece]], reread: Callable[[int, int], bytes]
) -> Iterator[Piece]:
    """Yield what one layer holds after several image layers were written over one another.

    Args:
        layers: Pieces of each image layer, oldest first, at least one, each sorted and not
            overlapping. A single one is passed through without being held in memory.
        reread: (start, length) -> digest of what the disk now holds there, for the rests of older
            DATA pieces that a newer layer covers in part.
    """
    seen: Iterable[Piece] = layers[0]
    for layer in layers[1:]:
        newer = list(layer)
        seen = sorted([*newer, *_rests(seen, newer)])
    for piece in seen:
        if piece.digest is None:
            piece = piece._replace(digest=reread(piece.start, piece.length))
        yield piece


def _rests(older: Iterable[Piece], newer: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the parts of `older` outside `newer`; cut DATA pieces lose their digest."""
    starts = [piece.start for piece in newer]
    for piece in older:
        at, end = piece.start, piece.start + piece.length
        index = max(0, bisect_right(starts, at) - 1)
        cut = False
        while at < end:
            while index < len(newer) and newer[index].start + newer[index].length <= at:
                index += 1
            if index >= len(newer) or newer[index].start >= end:
                yield _part(piece, at, end, whole=not cut)
                break
            cut = True
            if newer[index].start > at:
                yield _part(piece, at, newer[index].start, whole=False)
            at = newer[index].start + newer[index].length


def _part(piece: Piece, start: int, end: int, *, whole: bool) -> Piece:
    keeps = whole or piece.kind is Kind.ZERO
    return Piece(start, end - start, piece.kind, piece.digest if keeps else None)


def read_digest(device: BlockDevice, start: int, length: int) -> bytes:
    """Return the BLAKE3-128 of a range of the device, read in steps of 1 MiB."""
    hasher, buffer = blake3(), bytearray(min(length, READ_BACK))
    for offset in range(start, start + length, READ_BACK):
        view = memoryview(buffer)[: min(READ_BACK, start + length - offset)]
        device.read(offset, view)
        hasher.update(view)
    return hasher.digest(length=DIGEST)
