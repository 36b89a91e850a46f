"""What retention goes by for each standby: its rules, and its chain as last seen on the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, cast

from engine.model.errors import StoreAway
from engine.model.layers import Layer, LayerName
from engine.model.memo import Memo
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.retention import Rules, Verdict, rules_of
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.upkeep import Upkeep, judged, most_points, resting, upkeep_from

if TYPE_CHECKING:
    from engine.daemon.engine import Engine


_NO_LAYERS: Mapping[LayerName, Layer] = {}
_NONE: frozenset[BootPointId] = frozenset()


def upkeep_of_all(engine: Engine, state: State) -> dict[str, Upkeep]:
    """Return the upkeep of all standbys; the caller holds the engine's lock.

    What nothing changed about is the same object as before.
    """
    pausing = resting(state, engine.clock.now(), engine.since)
    opened = {name: target.opened() for name, target in engine.targets.items()}
    away = {name: target.away for name, target in engine.targets.items()}
    told = (engine.standbys, engine.layers, state.by_standby, state.runs, pausing, opened, away)
    news, kept = engine.memo.news("upkeep", told)
    before = cast("dict[str, Upkeep]", kept or {})
    names = engine.standbys.keys() if news[5] or news[6] else set().union(*news)
    found = {name: care for name, care in before.items() if name in engine.standbys}
    for name, standby in engine.standbys.items():
        if name not in names:
            continue
        rests = pausing.get(name, _NONE)
        own = (
            standby,
            engine.layers.get(name, _NO_LAYERS),
            state.by_standby.get(name, ()),
            state.runs.get(name),
            opened.get(standby.target),
            away.get(standby.target),
            rests,
        )
        work = partial(_upkeep, engine, state, standby, rests)
        found[name] = engine.memo.of(("upkeep", name), own, work)
    engine.memo.settle("upkeep", told, found)
    return found


def _upkeep(
    engine: Engine, state: State, standby: Standby, pausing: frozenset[BootPointId]
) -> Upkeep:
    rules, folds_files = rules_for(engine, standby)
    made = state.by_standby.get(standby.name, ())
    retired = [point for point in made if point.stage is Stage.RETIRED]
    run = state.runs.get(standby.name)
    started = state.boot_points.get(run.boot_point) if run else None
    runs = started.boot if started else None
    layers = engine.layers.get(standby.name, _NO_LAYERS)
    seen = upkeep_from(rules, layers, retired, runs, folds_files=folds_files)
    return replace(seen, resting=pausing)


def rules_for(engine: Engine, standby: Standby) -> tuple[Rules, bool]:
    """Return a standby's rules, and whether a fold on its target changes files."""
    usual, zone = engine.settings.retention, engine.settings.zone
    target = engine.targets.get(standby.target)
    try:
        chain = None if target is None else target.chain(standby.name)
    except StoreAway:
        chain = None
    if target is None or chain is None:
        return rules_of(standby.keep, standby.retention, usual, zone), True
    opened = target.opened()
    limit = opened.capabilities.layer_limit if opened else None
    most = most_points(limit, chain.deepest)
    return rules_of(standby.keep, standby.retention, usual, zone, most), chain.folds_files


@dataclass(frozen=True, slots=True)
class _Case:
    """What verdicts on one standby's boot points were made of, and what they are."""

    points: Sequence[BootPoint]
    upkeep: Upkeep
    running: BootPointId | None
    verdicts: Mapping[BootPointId, Verdict]

    def is_still(
        self, points: Sequence[BootPoint], upkeep: Upkeep, running: BootPointId | None
    ) -> bool:
        """Tell whether nothing that matters is different now."""
        return (
            self.running == running
            and len(self.points) == len(points)
            and all(map(is_, self.points, points))
            and self.upkeep.rules == upkeep.rules
            and self.upkeep.in_use == upkeep.in_use
        )


_Verdicts = Mapping[BootPointId, Verdict]
_Cases = Mapping[str, _Case]
_NOTHING: tuple[_Verdicts, _Cases] = {}, {}


class Judge:
    """Verdicts on all boot points, made again only of standbys that changed. Thread-safe."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._memo = Memo()

    def verdicts(
        self, upkeep: Mapping[str, Upkeep], state: State, made: Mapping[str, Sequence[BootPoint]]
    ) -> _Verdicts:
        """Return the verdicts; `made`: standby -> its boot points that are not retired."""
        told = (upkeep, state.by_standby, state.runs)
        news, kept = self._memo.news("verdicts", told)
        before = cast("tuple[_Verdicts, _Cases]", kept or _NOTHING)
        found, cases = dict(before[0]), dict(before[1])
        for name in set().union(*news):
            old, care, points = cases.get(name), upkeep.get(name), made.get(name, ())
            run = state.runs.get(name)
            running = run.boot_point if run else None
            if old and care and old.is_still(points, care, running):
                continue
            for point in old.verdicts if old else ():
                del found[point]
            cases.pop(name, None)
            if care:
                cases[name] = _Case(points, care, running, judged(name, points, state, care))
                found |= cases[name].verdicts
        self._memo.settle("verdicts", told, (found, cases))
        return found
