"""How much the consolidation that retention wants next copies, so that room is kept for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from engine.daemon.upkeep import upkeep_of_all
from engine.model.errors import Failure
from engine.model.layers import Layer, LayerKind, LayerName, children
from engine.model.memo import Memo
from engine.model.state import State
from engine.model.upkeep import Upkeep, surplus

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.targets import Target

log = logging.getLogger(__name__)

MOST = 4
"""Retirements of one standby that are looked at: one is done at a time, the oldest first."""


class Folds:
    """The largest pending fold of each target. A look reads layers, in the target's own thread."""

    def __init__(self) -> None:
        """Know of none."""
        self._memo = Memo()
        self.largest: dict[str, int] = {}

    def forget(self, name: str) -> None:
        """Know nothing of a target any more."""
        self.largest.pop(name, None)

    def look(self, engine: Engine, target: Target) -> None:
        """Look again at the standbys of a target about which something changed."""
        if not _folds(target):
            self.largest[target.name] = 0
            return
        with engine.lock:
            state = engine.state.read()
            upkeep = upkeep_of_all(engine, state)
        found = 0
        for name, standby in list(engine.standbys.items()):
            if standby.target == target.name and name in upkeep:
                made, layers = state.by_standby.get(name, ()), engine.layers.get(name, {})
                parts = (made, upkeep[name], layers)
                work = partial(_of_standby, target, name, state, upkeep[name], layers)
                found = max(found, self._memo.of(("fold", name), parts, work))
        self.largest[target.name] = found


def _folds(target: Target) -> bool:
    """Tell whether consolidation copies anything on a target."""
    try:
        return target.chain("folds").folds_files
    except Failure:
        return False


def _of_standby(
    target: Target, name: str, state: State, care: Upkeep, layers: Mapping[LayerName, Layer]
) -> int:
    """Return the bytes that the largest fold of one standby copies; seconds on a large store."""
    going = surplus(name, state.by_standby.get(name, ()), state, care)[:MOST]
    points = (one.boot_point for one in going if one.boot_point is not None)
    trunks = [state.boot_points[p].replica for p in points if p in state.boot_points]
    return _largest(target, name, layers, trunks)


def _largest(
    target: Target,
    name: str,
    layers: Mapping[LayerName, Layer],
    trunks: Sequence[LayerName],
) -> int:
    """Return the bytes that the largest of some folds copies; 0 where nothing is folded."""
    try:
        chain = target.chain(name)
        if not trunks:
            return 0
        return max(chain.gain([*_twigs(layers, trunk), trunk]).copied for trunk in trunks)
    except (OSError, Failure) as error:
        log.warning("folds of %s: %s", name, error)
        return 0


def _twigs(layers: Mapping[LayerName, Layer], trunk: LayerName) -> list[LayerName]:
    return [c.name for c in children(layers, trunk) if c.kind is LayerKind.CONVERSION]
