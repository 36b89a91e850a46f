"""The twig: a layer on the sealed trunk layer, in which the guest fits its new hardware.

trunk layer (sealed) ── twig ── conversion ── sealed, its record beside it
                         └ dropped when the conversion fails; the trunk layer never changes
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.jobs.tools import Tools, hints_of
from engine.model.cards import card_changes
from engine.model.conversion import ConversionMode, Record
from engine.model.errors import Failure, LayerError, Problem, Refused
from engine.model.images import hints_to_json
from engine.model.layers import (
    DiskManifest,
    Layer,
    LayerKind,
    LayerManifest,
    LayerName,
    children,
    layer_name,
)
from engine.model.machine import Hints
from engine.model.points import BootPoint, Stage
from engine.model.progress import Progress

log = logging.getLogger(__name__)


def make_twig(
    point: BootPoint, name: LayerName, t: Tools, layers: Mapping[LayerName, Layer] | None = None
) -> None:
    """Bring a twig on the boot point's trunk layer to sealed; repeatable.

    Args:
        point: Its trunk layer is sealed.
        name: Of the twig.
        t: The world.
        layers: As they are, where the caller just looked.

    Raises:
        NotBootable: The guest cannot be converted; no twig is left.
        Failure: A tool or the store failed; no twig is left, or one that a later try drops.
    """
    layers = t.chain.layers() if layers is None else layers
    found = layers.get(name)
    if found is not None and found.sealed:
        return
    if found is not None:
        t.chain.drop(name)
    trunk = layers[point.replica]
    made = _manifest_of(trunk)
    t.chain.add(name, trunk.name, LayerKind.CONVERSION, trunk.disk_sizes)
    hints, text = hints_of(made), ""
    try:
        if t.standby.conversion is ConversionMode.AUTO:
            t.report(Progress("convert", 0, None))
            cards = card_changes(point.standby, hints)
            files = t.chain.disk_files(name)
            converted = t.converter.convert(files, cards, t.cancel, t.report)
            hints, text = _better(hints, converted.record), converted.text
            _say(point, converted.record)
    except BaseException:
        _drop(name, t)
        raise
    disks = [
        DiskManifest(size=size, uuid=disk.uuid)
        for size, disk in zip(trunk.disk_sizes, made.disks, strict=True)
    ]
    manifest = replace(
        made,
        layer=name,
        parent=trunk.name,
        kind=LayerKind.CONVERSION,
        sealed_at=t.clock.now(),
        disks=disks,
        facts=hints_to_json(hints),
        conversion=text,
    )
    t.chain.seal(name, manifest)


def convert_again(point: BootPoint, t: Tools) -> None:
    """Give a READY boot point a new twig; the old one stays until the new one is sealed.

    Raises:
        Refused: It is not READY, or a VM runs from it.
        NotBootable, Failure: It keeps the twig it has.
    """
    _check(point, t)
    _drop_armed(point, t)
    new = _other_name(point)
    leftover = t.chain.layers().get(new)
    if leftover is not None:
        t.chain.drop(new)
    make_twig(point, new, t)
    old = point.boot
    with t.state.write() as tx:
        now = tx.state().boot_points.get(point.id)
        run = tx.state().runs.get(point.standby)
        is_running = run is not None and run.boot_point == point.id
        is_ready = now is not None and now.stage is Stage.READY
        if now is not None and is_ready and not is_running:
            tx.save_boot_point(replace(now, boot=new))
    if not is_ready or is_running:
        t.chain.drop(new)
        raise Refused(_busy(point))
    _drop_armed(replace(point, boot=old), t)
    t.chain.drop(old)
    t.tell("point.converted", f"Boot point {point.id} was converted again.")


def twigs(layers: Sequence[Layer], point: BootPoint) -> Sequence[LayerName]:
    """Return all twigs on a boot point's trunk layer: one, or two after an interrupted change."""
    known = {layer.name: layer for layer in layers}
    found = children(known, point.replica)
    return [layer.name for layer in found if layer.kind is LayerKind.CONVERSION]


def _check(point: BootPoint, t: Tools) -> None:
    run = t.state.read().runs.get(point.standby)
    if point.stage is not Stage.READY or (run is not None and run.boot_point == point.id):
        raise Refused(_busy(point))


def _drop_armed(point: BootPoint, t: Tools) -> None:
    """Drop scratch that was armed on a twig and not written to; Refused when it was."""
    layers = t.chain.layers()
    for layer in list(children(layers, point.boot)):
        if layer.kind is LayerKind.SCRATCH:
            disks = range(len(layer.disk_sizes))
            if any(True for disk in disks for _ in t.chain.changed(layer.name, disk)):
                raise Refused(_busy(point))
            t.chain.drop(layer.name)


def _busy(point: BootPoint) -> Problem:
    return Problem(
        "point.in-use",
        f"Boot point {point.id} of {point.standby} is not ready, or a VM runs from it.",
        "It keeps the conversion it has.",
        "Stop the VM first, then convert again.",
    )


def _other_name(point: BootPoint) -> LayerName:
    """Return the name of the twig that takes the place of the present one."""
    usual = layer_name(point.id, LayerKind.CONVERSION)
    return usual if point.boot != usual else layer_name(f"{point.id}-again", LayerKind.CONVERSION)


def _manifest_of(trunk: Layer) -> LayerManifest:
    if trunk.manifest is None:
        happened = f"The trunk layer {trunk.name} has no manifest that can be read."
        raise LayerError(Problem("layer.manifest", happened, "It was not touched."))
    return trunk.manifest


def _better(hints: Hints, record: Record) -> Hints:
    """Return what the image says of its machine, and where it says nothing what was found."""
    guest = record.guest
    return replace(
        hints,
        firmware=hints.firmware or guest.firmware,
        os=hints.os or f"{guest.name} {guest.version}".strip(),
        drivers=guest.drivers,
        boot_disk=guest.boot_disk,
    )


def _say(point: BootPoint, record: Record) -> None:
    ledger = record.ledger
    log.info(
        "converted standby=%s point=%s backend=%s changes=%d bytes=%d seconds=%.2f check=%s",
        point.standby,
        point.id,
        ledger.backend,
        len(ledger.entries),
        ledger.bytes_written,
        ledger.seconds,
        ledger.check,
    )


def _drop(name: LayerName, t: Tools) -> None:
    """Drop a twig that came to nothing; the first failure is the one that is told."""
    try:
        t.chain.drop(name)
    except (Failure, OSError) as error:
        log.warning("a failed twig is left for the next try: %s", error)
