"""The small files beside a layer's disks, each with its own checksum.

place.json      what the layer is and where in the tree; written first, moved by a fold
disk-0.raw      the disks
disk-0.hashes   one entry per piece, packed by `pack_pieces`
conversion.json the record of the conversion, only beside a twig
layer.json      what was sealed; written last, its presence is the seal
note            a text for a later try, until the seal
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
from blake3 import blake3

from engine.model.layers import DiskManifest, LayerKind, LayerManifest, LayerName

SCHEMA = 1
LIMIT = 16 << 20
"""Longest small file in bytes that is read."""
HASHES_LIMIT = 4 << 30

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """What a layer is and where it stands in the tree.

    Attributes:
        sizes: Bytes of each disk.
        used: Bytes the layer occupies by itself, measured when it was sealed.
        folding: True once a fold began: its files may not read like the layer any more.
    """

    layer: LayerName
    parent: LayerName | None
    kind: LayerKind
    sizes: Sequence[int]
    used: int = 0
    folding: bool = False


def encode(body: Place | LayerManifest) -> bytes:
    """Return a record as JSON with sorted keys, schema version and its own SHA-256."""
    plain = msgspec.to_builtins(body)
    whole = {"schema": SCHEMA, "sha256": _checksum(plain), "body": plain}
    return json.dumps(whole, sort_keys=True, indent=1).encode() + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """Read what `encode` wrote.

    Raises:
        ValueError: It is damaged, or of a schema this version does not know.
    """
    whole = json.loads(data)
    if not isinstance(whole, dict) or whole.get("schema") != SCHEMA:
        raise ValueError("not a record of a known schema")
    body = whole.get("body")
    if whole.get("sha256") != _checksum(body):
        raise ValueError("the checksum does not match")
    return msgspec.convert(body, kind)


def signed(text: str) -> bytes:
    """Return a text with its own SHA-256 in the first line."""
    data = text.encode()
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def unsigned(data: bytes) -> str:
    """Return the text that `signed` was given. ValueError when it is another one."""
    digest, _, text = data.partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise ValueError("the checksum does not match")
    return text.decode()


def strip(manifest: LayerManifest) -> LayerManifest:
    """Return a manifest without hashes and record, the hashes' digests filled in."""
    return replace(manifest, disks=[_strip(disk) for disk in manifest.disks], conversion="")


def attach(disk: DiskManifest, hashes: bytes) -> DiskManifest:
    """Return a disk's manifest with its hashes.

    Raises:
        ValueError: They are not the ones that were sealed.
    """
    if disk.digest and blake3(hashes).hexdigest() != disk.digest:
        raise ValueError("the piece hashes do not match their digest")
    return replace(disk, hashes=hashes)


def _strip(disk: DiskManifest) -> DiskManifest:
    digest = blake3(disk.hashes).hexdigest() if disk.hashes else disk.digest
    return replace(disk, digest=digest, hashes=b"")


def _checksum(plain: object) -> str:
    return hashlib.sha256(
        json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
