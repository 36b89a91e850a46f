"""How much the consolidation that retention wants next copies, so that room is kept for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.daemon.upkeep import upkeep_of_all
from engine.model.errors import Failure
from engine.model.layers import Layer, LayerKind, LayerName, children
from engine.model.upkeep import surplus

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.targets import Target
    from engine.model.points import BootPointId

log = logging.getLogger(__name__)

MOST = 4
"""Retirements of one standby that are looked at: one is done at a time, the oldest first."""


class Folds:
    """The largest pending fold of each target. A look reads layers, in the target's own thread."""

    def __init__(self) -> None:
        """Know of none."""
        self._known: dict[str, tuple[object, int]] = {}
        self.largest: dict[str, int] = {}

    def look(self, engine: Engine, target: Target) -> None:
        """Look again at the standbys of a target about which something changed."""
        with engine.lock:
            state = engine.state.read()
            upkeep = upkeep_of_all(engine, state)
        found = 0
        for name, standby in list(engine.standbys.items()):
            if standby.target != target.name or name not in upkeep:
                continue
            going = surplus(name, state.by_standby.get(name, ()), state, upkeep[name])[:MOST]
            points = tuple(one.boot_point for one in going if one.boot_point is not None)
            trunks = {p: state.boot_points[p].replica for p in points if p in state.boot_points}
            layers = engine.layers.get(name, {})
            known = self._known.get(name)
            if known is None or known[0] != (points, id(layers)):
                known = ((points, id(layers)), _largest(target, name, layers, trunks))
                self._known[name] = known
            found = max(found, known[1])
        self.largest[target.name] = found


def _largest(
    target: Target,
    name: str,
    layers: Mapping[LayerName, Layer],
    trunks: Mapping[BootPointId, LayerName],
) -> int:
    """Return the bytes that the largest of some folds copies; 0 where nothing is folded."""
    try:
        chain = target.chain(name)
        if not trunks or not chain.folds_files:
            return 0
        return max(chain.gain([*_twigs(layers, trunk), trunk]).copied for trunk in trunks.values())
    except (OSError, Failure) as error:
        log.warning("folds of %s: %s", name, error)
        return 0


def _twigs(layers: Mapping[LayerName, Layer], trunk: LayerName) -> list[LayerName]:
    return [c.name for c in children(layers, trunk) if c.kind is LayerKind.CONVERSION]
