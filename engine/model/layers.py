"""Trunk and twigs: the layer tree of one standby VM.

    seed ─ day1 ─ day2 ─ day3        REPLICA     the trunk: bytes exactly as in the images, sealed
             │      │      │
           boot1  boot2  boot3       CONVERSION  a twig: drivers, boot loader, network
                    │
                   run               SCRATCH     what a running VM writes; dropped, or kept

An increment meets only the trunk, conversion meets only a twig, a running VM writes only to
scratch. Names are made from ids, so a retry finds what an interrupted try left behind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from engine.model.extents import Kind, Piece

LayerName = NewType("LayerName", str)


class LayerKind(StrEnum):
    """What may write to a layer."""

    REPLICA = "replica"
    CONVERSION = "conversion"
    SCRATCH = "scratch"


_PIECE = struct.Struct("<QQB16s")
_KINDS = (Kind.DATA, Kind.ZERO)

ALLOWED_PARENTS: Mapping[LayerKind, frozenset[LayerKind | None]] = {
    LayerKind.REPLICA: frozenset({None, LayerKind.REPLICA}),
    LayerKind.CONVERSION: frozenset({LayerKind.REPLICA}),
    LayerKind.SCRATCH: frozenset({LayerKind.REPLICA, LayerKind.CONVERSION}),
}


@dataclass(frozen=True, slots=True)
class DiskManifest:
    """One disk of a sealed layer.

    Attributes:
        size: Bytes of the disk as seen from this layer.
        uuid: Disk UUID of the image, empty where unknown.
        image: Name of the image file the bytes came from, empty for twigs.
        image_root: Hex content hash that the image file itself carries, empty if none.
        digest: Hex BLAKE3-256 over `hashes`.
        hashes: One entry per piece written, packed by `pack_pieces`, sorted by start. Kept in a
            file beside the manifest, not inside it.
    """

    size: int
    uuid: str = ""
    image: str = ""
    image_root: str = ""
    digest: str = ""
    hashes: bytes = b""


@dataclass(frozen=True, slots=True)
class LayerManifest:
    """What a sealed layer is, enough to rebuild the state from the store alone.

    Attributes:
        layer, parent, kind: Place in the tree.
        standby: Name of the standby.
        boot_point: Id of the boot point the layer belongs to.
        recovery_point: Id of the recovery point (`PointId`), empty for scratch.
        set_id, machine, machine_uuid, sequence, taken_at: Copied from the recovery point.
        sealed_at: Aware UTC.
        disks: In disk order.
        facts: JSON text with what is known of the machine (hints).
        conversion: JSON text with the record of the conversion, empty on other layers. Kept in a
            file beside the manifest, not inside it.
    """

    layer: LayerName
    parent: LayerName | None
    kind: LayerKind
    standby: str
    boot_point: str
    recovery_point: str
    set_id: str
    machine: str
    machine_uuid: str
    sequence: int
    taken_at: datetime
    sealed_at: datetime
    disks: Sequence[DiskManifest]
    facts: str = "{}"
    conversion: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as found on the target.

    Attributes:
        name, parent, kind: Place in the tree.
        sealed: Durable and read-only; False while being written (and for all scratch).
        disk_sizes: Bytes, in disk order.
        used: Bytes the layer occupies by itself, best effort.
        manifest: What was sealed; None while not sealed. Its disks' `hashes` and its
            `conversion` are empty here.
    """

    name: LayerName
    parent: LayerName | None
    kind: LayerKind
    sealed: bool
    disk_sizes: Sequence[int]
    used: int = 0
    manifest: LayerManifest | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """What a store gets back when layers go.

    Attributes:
        bytes: Room that comes back, after what folding them takes.
        copied: Bytes that folding them copies.
        exact: False when `bytes` is what can be told beforehand, rather more than less.
    """

    bytes: int = 0
    copied: int = 0
    exact: bool = True


def total(gains: Iterable[Gain]) -> Gain:
    """Return several gains as one."""
    told = list(gains)
    return Gain(
        sum(one.bytes for one in told),
        sum(one.copied for one in told),
        exact=all(one.exact for one in told),
    )


def layer_name(boot_point: str, kind: LayerKind) -> LayerName:
    """Return the name of a boot point's layer, such as `bp000042-replica`."""
    return LayerName(f"{boot_point}-{kind}")


def children(layers: Mapping[LayerName, Layer], name: LayerName) -> Iterator[Layer]:
    """Yield the layers whose parent is `name`."""
    return (layer for layer in layers.values() if layer.parent == name)


def lineage(layers: Mapping[LayerName, Layer], name: LayerName) -> Iterator[Layer]:
    """Yield `name` and its ancestors, newest first."""
    at: LayerName | None = name
    while at is not None:
        layer = layers[at]
        yield layer
        at = layer.parent


def read_from(
    layers: Mapping[LayerName, Layer], also: LayerName | None = None
) -> frozenset[LayerName]:
    """Return the layers that something above reads from now: a running VM, a layer being written.

    Where a fold changes files, these cannot be folded. `also`: a layer that will be read from.
    """
    found: set[LayerName] = set()
    writing = [one for one in layers.values() if one.kind is LayerKind.SCRATCH or not one.sealed]
    for start in (also, *(layer.parent for layer in writing)):
        at = start
        while at is not None and at in layers and at not in found:
            found.add(at)
            at = layers[at].parent
    return frozenset(found)


def pack_pieces(pieces: Iterable[Piece]) -> bytes:
    """Return pieces as bytes: 33 each, `start u64 | length u64 | kind u8 | hash 16`, little-endian.

    Kind is 0 for DATA and 1 for ZERO; a piece without a digest gets zeros.
    """
    packed = bytearray()
    for piece in pieces:
        digest = piece.digest or bytes(16)
        packed += _PIECE.pack(piece.start, piece.length, _KINDS.index(piece.kind), digest)
    return bytes(packed)


def unpack_pieces(packed: bytes) -> Iterator[Piece]:
    """Yield the pieces that `pack_pieces` packed.

    Raises:
        ValueError: The bytes are no whole number of pieces, or hold an unknown kind.
    """
    if len(packed) % _PIECE.size:
        raise ValueError(f"{len(packed)} bytes are no whole number of pieces")
    for start, length, kind, digest in _PIECE.iter_unpack(packed):
        if kind >= len(_KINDS):
            raise ValueError(f"unknown kind {kind} of the piece at {start}")
        yield Piece(start, length, _KINDS[kind], digest)
