"""The state, made anew from the layer manifests of a store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.daemon.marks import with_marks
from engine.model.images import (
    Arrival,
    DiskPart,
    PointDisk,
    PointId,
    RecoveryPoint,
    hints_from_json,
)
from engine.model.layers import (
    Layer,
    LayerKind,
    LayerManifest,
    LayerName,
    children,
    layer_name,
)
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.work import Severity
from engine.ports import StateStore, Store


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was found: counts, and sentences about layers that could not be understood."""

    ready: int
    unfinished: int
    odd: Sequence[str]


def rebuild(state: StateStore, stores: Sequence[Store], now: datetime) -> Rebuilt:
    """Fill an empty state from all sealed layers.

    A sealed trunk layer with its sealed twig is a READY boot point. A trunk layer without a twig
    is FAILED, and made ready again by the planner without copying. Pins and proofs are in a
    file beside the layers (`marks`); jobs and the journal are nowhere.
    """
    ready = unfinished = 0
    odd: list[str] = []
    for store in stores:
        for standby in store.standbys():
            layers = store.chain(standby).layers()
            points = sorted(_points(standby, layers, now, odd), key=lambda p: p[0].id)
            marked = with_marks(store.path, standby, [point for point, _ in points])
            with state.write() as tx:
                for point, (_, recovery) in zip(marked, points, strict=True):
                    tx.save_recovery_points([recovery])
                    tx.save_boot_point(point)
            ready += sum(p.stage is Stage.READY for p, _ in points)
            unfinished += sum(p.stage is not Stage.READY for p, _ in points)
    with state.write() as tx:
        text = f"The state was rebuilt from layer manifests: {ready} ready boot points."
        tx.write_journal(now, Severity.WARNING, "", "state.rebuilt", text)
    return Rebuilt(ready, unfinished, odd)


def _points(
    standby: str, layers: Mapping[LayerName, Layer], now: datetime, odd: list[str]
) -> list[tuple[BootPoint, RecoveryPoint]]:
    found = []
    for layer in layers.values():
        if layer.kind is not LayerKind.REPLICA:
            continue
        if layer.manifest is None:
            odd.append(f"{standby}/{layer.name} is not sealed; it is made again.")
            continue
        found.append((_boot_point(layer, layers, now), _recovery(layer.manifest)))
    return found


def _newest_twig(layer: Layer, layers: Mapping[LayerName, Layer]) -> LayerName | None:
    """Return the sealed twig; of two, which an interrupted change left, the newer one."""
    twigs = [
        (twig.manifest.sealed_at, twig.name)
        for twig in children(layers, layer.name)
        if twig.kind is LayerKind.CONVERSION and twig.manifest is not None
    ]
    return max(twigs)[1] if twigs else None


def _boot_point(layer: Layer, layers: Mapping[LayerName, Layer], now: datetime) -> BootPoint:
    made = layer.manifest
    if made is None:
        raise ValueError(layer.name)
    below = layers.get(layer.parent) if layer.parent else None
    twig = _newest_twig(layer, layers)
    ready = twig is not None
    parent = below.manifest.boot_point if below is not None and below.manifest else None
    return BootPoint(
        id=BootPointId(made.boot_point),
        standby=made.standby,
        recovery_point=PointId(made.recovery_point),
        set_id=made.set_id,
        parent=BootPointId(parent) if parent else None,
        sequence=made.sequence,
        taken_at=made.taken_at,
        stage=Stage.READY if ready else Stage.FAILED,
        replica=layer.name,
        boot=twig or layer_name(made.boot_point, LayerKind.CONVERSION),
        created_at=made.sealed_at,
        ready_at=made.sealed_at if ready else None,
        failed_at=None if ready else now,
        reason="" if ready else "The state was rebuilt; this boot point had no sealed twig.",
        bytes=layer.used,
        has_trunk=True,
    )


def _recovery(made: LayerManifest) -> RecoveryPoint:
    try:
        hints = hints_from_json(made.facts)
    except (ValueError, TypeError, KeyError):
        hints = hints_from_json("{}")
    disks = [
        PointDisk(DiskPart(n, d.uuid, False, d.size, d.image_root, "", 0), d.image, None)
        for n, d in enumerate(made.disks)
    ]
    return RecoveryPoint(
        id=PointId(made.recovery_point),
        parent=None,
        set_id=made.set_id,
        format="",
        root="",
        machine_uuid=made.machine_uuid,
        machine_name=made.machine,
        sequence=made.sequence,
        taken_at=made.taken_at,
        arrival=Arrival.VERIFIED,
        reason="",
        disks=disks,
        hints=hints,
        size=0,
    )
