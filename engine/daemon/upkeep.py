"""What retention goes by for each standby: its rules, and its chain as last seen on the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from engine.model.layers import Layer, LayerKind, LayerName
from engine.model.retention import rules_of
from engine.model.upkeep import Upkeep

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.model.standby import Standby

TWIG_AND_SCRATCH = 2
"""Layers that a start lays on the trunk."""


def upkeep_of_all(engine: Engine) -> dict[str, Upkeep]:
    """Return the upkeep of all standbys."""
    return {name: _upkeep(engine, standby) for name, standby in engine.standbys.items()}


def _upkeep(engine: Engine, standby: Standby) -> Upkeep:
    usual, zone = engine.settings.retention, engine.settings.zone
    most = deepest(engine, standby)
    layers = engine.layers.get(standby.name, {})
    return Upkeep(rules_of(standby.keep, standby.retention, usual, zone, most), depths_of(layers))


def deepest(engine: Engine, standby: Standby) -> int | None:
    """Return how many trunk layers may lie on one another on a standby's target."""
    target = engine.targets.get(standby.target)
    opened = target.opened() if target else None
    limit = opened.capabilities.layer_limit if opened else None
    return None if limit is None else max(limit - TWIG_AND_SCRATCH, 1)


def depths_of(layers: Mapping[LayerName, Layer]) -> dict[LayerName, int]:
    """Return trunk layer -> number of trunk layers from its seed up to it."""
    return {
        name: sum(1 for _ in _below(layers, name))
        for name, layer in layers.items()
        if layer.kind is LayerKind.REPLICA
    }


def _below(layers: Mapping[LayerName, Layer], name: LayerName | None) -> Iterator[Layer]:
    """Yield a layer and its ancestors, as far as they are there: a fold may be on its way."""
    while name is not None and name in layers:
        yield layers[name]
        name = layers[name].parent
