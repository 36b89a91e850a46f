"""A boot point, from image files to READY: seed and sync are the same story.

    PENDING ─► APPLYING   leftovers dropped; replica layer = parent's layer + what the images say,
                          every piece checked, flushed, read back, sealed
            ─► CONVERTING twig on the replica layer, the guest in it converted, sealed
            ─► READY

It may be killed anywhere and simply run again: layer names come from the boot point's id, a
sealed layer is not made twice, and disks that an earlier try finished are not copied again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from threading import Lock

from blake3 import blake3

from engine.jobs.copying import (
    clear_gaps,
    copy_disk,
    merged,
    move_disk,
    read_digest,
)
from engine.jobs.disklayers import DiskLayer, disk_layers, place_of
from engine.jobs.tools import Tools
from engine.jobs.twig import make_twig, twigs
from engine.local.parallel import both
from engine.model.errors import FormatError, LayerError, Problem
from engine.model.images import DiskPart, PointDisk, RecoveryPoint, hints_to_json
from engine.model.layers import (
    DiskManifest,
    Layer,
    LayerKind,
    LayerManifest,
    LayerName,
    pack_pieces,
)
from engine.model.points import BootPoint, Stage
from engine.model.progress import Meter
from engine.model.text import safe
from engine.ports import BlockDevice, PointReader

log = logging.getLogger(__name__)

_TELL_S = 0.05
"""Shorter after one another nobody sees how far it is, and telling costs as much as writing."""


def sync(
    point: BootPoint, parent: LayerName | None, path: Sequence[RecoveryPoint], t: Tools
) -> None:
    """Make a PENDING or FAILED boot point READY.

    Args:
        point: The boot point; its `recovery_point` is the last of `path`.
        parent: Trunk layer that the first of `path` continues; None to seed.
        path: Recovery points to apply, oldest first, at least one.
        t: The world.

    Raises:
        Failure: In its own words; the boot point is left for the caller to mark FAILED.
    """
    started = t.clock.monotonic()
    point, written, layers = _applied(point, parent, path, t)
    point = t.move(point, Stage.CONVERTING, bytes=written, has_trunk=True)
    make_twig(point, point.boot, t, layers)
    point = t.move(point, Stage.READY, ready_at=t.clock.now(), failed_at=None)
    took = t.clock.monotonic() - started
    log.info(
        "ready standby=%s point=%s bytes=%d seconds=%.1f", point.standby, point.id, written, took
    )
    t.tell(
        "point.ready",
        f"Boot point {point.id} is ready: data as of {point.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{_of(path)}{written / 2**20:.1f} MiB applied in {took:.1f} s.",
    )


def apply(
    point: BootPoint, parent: LayerName | None, path: Sequence[RecoveryPoint], t: Tools
) -> None:
    """Make a boot point's trunk layer and leave its conversion for later: it is PENDING again.

    Args and errors as in `sync`, which takes it up from there.
    """
    started = t.clock.monotonic()
    point, written, _ = _applied(point, parent, path, t)
    t.move(point, Stage.PENDING, bytes=written, has_trunk=True, attempts=0, failed_at=None)
    took = t.clock.monotonic() - started
    log.info(
        "applied standby=%s point=%s bytes=%d seconds=%.1f", point.standby, point.id, written, took
    )


def _applied(
    point: BootPoint, parent: LayerName | None, path: Sequence[RecoveryPoint], t: Tools
) -> tuple[BootPoint, int, Mapping[LayerName, Layer]]:
    """Return the boot point, APPLYING, with its trunk layer sealed; bytes applied; the layers."""
    point = t.move(point, Stage.APPLYING, attempts=point.attempts + 1, reason="", obstacle="")
    return point, *_make_replica(point, parent, path, t)


def _of(path: Sequence[RecoveryPoint]) -> str:
    return f"{len(path)} recovery points in one, " if len(path) > 1 else ""


def _make_replica(
    point: BootPoint, parent: LayerName | None, path: Sequence[RecoveryPoint], t: Tools
) -> tuple[int, Mapping[LayerName, Layer]]:
    """Bring the trunk layer to sealed; return the bytes applied, and the layers as they are."""
    layers = dict(t.chain.layers())
    found = layers.get(point.replica)
    if found is not None and _is_done(found, point):
        return point.bytes, layers
    below = None if parent is None else layers[parent]
    _refuse_strangers(path, below)
    finished = _finished(t, point, path) if found and found.parent == parent else frozenset()
    with ExitStack() as stack:
        # The one waits for the store, the other for the source.
        made, readers = both(
            lambda: found if found and finished else _fresh(point, parent, path[-1], layers, t),
            lambda: [stack.enter_context(t.source.open(one, t.cancel)) for one in path],
        )
        copy = _Copy(point, path, readers, below, t)
        disks = copy.all_disks(finished)
        for reader in readers:
            reader.unchanged()
    manifest = _manifest(point, parent, path[-1], disks, t.clock.now())
    t.chain.seal(point.replica, manifest)
    layers[point.replica] = replace(made, sealed=True, manifest=manifest)
    return copy.done, layers


def _fresh(
    point: BootPoint,
    parent: LayerName | None,
    last: RecoveryPoint,
    layers: dict[LayerName, Layer],
    t: Tools,
) -> Layer:
    """Drop what an earlier try left, also from `layers`, and begin the trunk layer anew."""
    for leftover in (*twigs(list(layers.values()), point), point.replica):
        if layers.pop(leftover, None) is not None:
            t.chain.drop(leftover)
    sizes = [disk.part.size for disk in last.disks]
    return t.chain.add(point.replica, parent, LayerKind.REPLICA, sizes)


def _is_done(found: Layer, point: BootPoint) -> bool:
    """Tell whether an earlier try sealed this layer already."""
    made = found.manifest if found.sealed else None
    return made is not None and made.recovery_point == point.recovery_point


def _refuse_strangers(path: Sequence[RecoveryPoint], below: Layer | None) -> None:
    """Refuse an increment of a disk that the layer below does not have, in whatever place."""
    known: list[str] = []
    if below is not None and below.manifest is not None:
        known = [disk.uuid for disk in below.manifest.disks]
    for one in path:
        for number, disk in enumerate(one.disks):
            if not disk.part.base and place_of(disk.part.uuid, number, known) is None:
                have = known[number] if number < len(known) else "no disk"
                raise FormatError(_stranger(one, number, disk.part.uuid, have))
        known = [disk.part.uuid for disk in one.disks]


def _stranger(one: RecoveryPoint, number: int, uuid: str, have: str) -> Problem:
    return Problem(
        "image.disk-identity",
        f"Disk {number} of recovery point {one.sequence} is an increment of disk {safe(uuid)}, "
        f"but the boot point below has {safe(have)} in that place.",
        "No boot point was made from it; earlier boot points are not touched.",
        "Start a new chain with a full backup of this machine.",
        {"disk": number, "sequence": one.sequence},
    )


def _immovable(one: RecoveryPoint, place: int, number: int) -> Problem:
    return Problem(
        "image.disk-moved",
        f"Disk {place} of the boot point below is disk {number} in recovery point {one.sequence}, "
        "and the target, which attaches one layer at a time, cannot move it there.",
        "No boot point was made from it; earlier boot points are not touched.",
        "Start a new chain with a full backup of this machine, or give its disks their old order.",
        {"disk": number, "sequence": one.sequence},
    )


def _finished(t: Tools, point: BootPoint, path: Sequence[RecoveryPoint]) -> frozenset[int]:
    """Return the disks that an earlier try of the same work copied and made durable."""
    try:
        note = json.loads(t.chain.noted(point.replica) or "{}")
    except ValueError:
        return frozenset()
    if note.get("path") != [one.id for one in path]:
        return frozenset()
    return frozenset(note.get("disks", []))


class _Copy:
    """Copies all disks of a path into one layer, with one progress for all."""

    def __init__(
        self,
        point: BootPoint,
        path: Sequence[RecoveryPoint],
        readers: Sequence[PointReader],
        below: Layer | None,
        t: Tools,
    ) -> None:
        self._below = below
        self._point, self._path, self._readers, self._t = point, path, readers, t
        self._total = sum(_weight(disk.part) for one in path for disk in one.disks)
        self._meter = Meter(self._total, t.clock.monotonic())
        self._lock = Lock()
        self._step, self._file = "apply", ""
        self._told = ("", 0.0)
        self.done = 0

    def all_disks(self, finished: frozenset[int]) -> list[DiskManifest]:
        """Copy each disk that is not `finished`; note each one that is."""
        manifests = []
        for number, disk in enumerate(self._path[-1].disks):
            layers = disk_layers(self._path, self._readers, disk.part.uuid, number)
            with self._t.chain.open(self._point.replica, number, self._t.cancel) as device:
                hashes = partial(self._hashes, layers, device)
                if number in finished:
                    packed = hashes()
                else:
                    self._apply(number, layers, device)
                    finished |= {number}
                    _, packed = both(partial(self._note, finished), hashes)
                manifests.append(_disk_manifest(disk, device.size, packed))
        return manifests

    def _apply(self, number: int, layers: Sequence[DiskLayer], device: BlockDevice) -> None:
        first = layers[0].disk.part
        if self._below is not None and not first.base:
            self._bring(first, number, device)
        for layer in layers:
            self._step = "apply"
            before = self._brake(layer.point, layer.disk)
            compare = layer.disk.part.base and self._below is not None
            if compare:
                clear_gaps(layer.reader, device)
            copy_disk(
                layer.reader, device, self._t.cancel, self._advance, before,
                compare=compare, tail=layer.size, checking=self._checked,
            )  # fmt: skip

    def _bring(self, part: DiskPart, number: int, device: BlockDevice) -> None:
        """Copy a disk that had another place in the layer below."""
        below = self._below
        if below is None or below.manifest is None:
            return
        place = place_of(part.uuid, part.number, [disk.uuid for disk in below.manifest.disks])
        if place is None or place == number:
            return
        with ExitStack() as stack:
            try:
                source = stack.enter_context(self._t.chain.open(below.name, place, self._t.cancel))
            except LayerError as error:
                if error.problem.key != "layer.in-use":
                    raise
                raise FormatError(_immovable(self._path[-1], place, number)) from error
            move_disk(source, device, self._t.cancel)

    def _brake(self, point: RecoveryPoint, disk: PointDisk) -> Callable[[int], None]:
        """Return what waits before a piece is read: for as many bytes as it has in the file."""
        self._file = file = f"{point.root}/{disk.path}"
        plain, reading, cancel = disk.part.data_bytes, self._t.reading, self._t.cancel
        stored = min(disk.part.file_size / plain, 1.0) if plain else 1.0
        return lambda length: reading.take(file, int(length * stored), cancel)

    def _hashes(self, layers: Sequence[DiskLayer], device: BlockDevice) -> bytes:
        told = [layer.pieces(device.size) for layer in layers]

        def reread(start: int, length: int) -> bytes:
            self._t.cancel.check()
            return read_digest(device, start, length)

        return pack_pieces(merged(told, reread))

    def _note(self, finished: frozenset[int]) -> None:
        note = {"path": [one.id for one in self._path], "disks": sorted(finished)}
        self._t.chain.note(self._point.replica, json.dumps(note))

    def _advance(self, length: int) -> None:
        with self._lock:
            self.done += length
        self._tell(length)

    def _checked(self, length: int) -> None:
        self._step = "check"
        self._tell(length)

    def _tell(self, _length: int) -> None:
        step, then, now = *self._told, self._t.clock.monotonic()
        if step == self._step and now - then < _TELL_S:
            return
        self._told = self._step, now
        done = min(self.done, self._total)
        progress = self._meter.at(self._step, done, now)
        pace = self._t.reading.pace(self._file) if self._step == "apply" else progress.pace
        self._t.report(replace(progress, pace=pace))


def _weight(part: DiskPart) -> int:
    """Return the bytes a disk's layer brings, as well as can be told beforehand."""
    return part.file_size if part.data_bytes is None else part.data_bytes


def _disk_manifest(disk: PointDisk, size: int, hashes: bytes) -> DiskManifest:
    return DiskManifest(
        size=size,
        uuid=disk.part.uuid,
        image=disk.path,
        image_root=disk.part.root,
        digest=blake3(hashes).hexdigest(),
        hashes=hashes,
    )


def _manifest(
    point: BootPoint,
    parent: LayerName | None,
    last: RecoveryPoint,
    disks: Sequence[DiskManifest],
    now: datetime,
) -> LayerManifest:
    return LayerManifest(
        layer=point.replica,
        parent=parent,
        kind=LayerKind.REPLICA,
        standby=point.standby,
        boot_point=point.id,
        recovery_point=point.recovery_point,
        set_id=point.set_id,
        machine=last.machine_name,
        machine_uuid=last.machine_uuid,
        sequence=point.sequence,
        taken_at=point.taken_at,
        sealed_at=now,
        disks=disks,
        facts=hints_to_json(replace(last.hints, boot_disk=last.boot_disk)),
    )
