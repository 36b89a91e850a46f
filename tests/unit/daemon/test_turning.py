"""A turn of the engine's loop looks at what changed, not at the whole site."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest

from engine.daemon import guarding, upkeep
from engine.daemon.clock import ManualClock
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.jobs.power import Shape
from engine.model.errors import Problem
from engine.model.layers import Layer, LayerKind, LayerName
from engine.model.points import Stage
from engine.model.retention import Retention
from engine.model.slots import Limits
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.bench.largehub import Files, Images
from tests.bench.largesite import START, Site, made_of, recovery_points, standbys

MACHINES = 30


@pytest.fixture
def engine() -> Engine:
    """Return an engine, not started, that knows thirty machines with two boot points each."""
    known, state, store = standbys(Site(MACHINES, 2, 0)), MemoryState(), MemoryStore()
    target = Target(
        "local",
        "simulated",
        store,
        lambda: SimulatedHypervisor("local", store.chain),
        SimulatedConverter(),
    )
    clock = ManualClock(START + timedelta(days=30))
    settings = Settings("test", (), UTC, Retention(), Limits(), Shape())
    engine = Engine(settings, state, clock, Images(), {"local": target}, Files(known))
    engine.standbys = known
    engine.sources = {name: f"{name}-uuid" for name in known}
    number = 1
    with state.write() as tx:
        for name in known:
            points = recovery_points(name, 2)
            tx.save_recovery_points(points)
            for made in made_of(points, number, name):
                tx.save_boot_point(made)
            number += 2
    return engine


def counted(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> Counter[str]:
    """Count for which standbys a function that takes engine, state and standby is called."""
    calls: Counter[str] = Counter()
    really = getattr(where, name)

    def call(engine: Engine, state: object, standby: Any, *more: object) -> object:
        calls[standby.name] += 1
        return really(engine, state, standby, *more)

    monkeypatch.setattr(where, name, call)
    return calls


def test_the_guard_looks_at_machines_of_which_something_arrived(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At all of them once; then at none while boot points are made and retired."""
    asked = counted(monkeypatch, guarding, "verdict_of")
    guarding.watch_all(engine, engine.state.read())
    assert asked == dict.fromkeys(engine.standbys, 1)
    asked.clear()
    with engine.state.write() as tx:
        tx.save_boot_point(replace(tx.state().by_standby["m0001"][0], pin="keep"))
    guarding.watch_all(engine, engine.state.read())
    assert not asked
    with engine.state.write() as tx:
        tx.save_recovery_points(recovery_points("m0002", 3)[2:])
    guarding.watch_all(engine, engine.state.read())
    assert asked == {"m0002": 1}


def test_upkeep_is_told_anew_where_something_changed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot point, a layer, a definition: one standby each; a target: all that are on it."""
    asked = counted(monkeypatch, upkeep, "_upkeep")
    first = upkeep.upkeep_of_all(engine, engine.state.read())
    assert list(first) == list(engine.standbys)
    assert asked == dict.fromkeys(engine.standbys, 1)
    asked.clear()
    same = upkeep.upkeep_of_all(engine, engine.state.read())
    assert not asked
    assert all(same[name] is care for name, care in first.items())
    with engine.state.write() as tx:
        tx.save_boot_point(replace(tx.state().by_standby["m0001"][0], pin="keep"))
    name = LayerName("bp1-r")
    engine.layers["m0002"] = {name: Layer(name, None, LayerKind.REPLICA, True, (1,))}
    engine.standbys["m0003"] = replace(engine.standbys["m0003"], keep=7)
    told = upkeep.upkeep_of_all(engine, engine.state.read())
    assert asked == {"m0001": 1, "m0002": 1, "m0003": 1}
    assert told["m0003"].rules.keep == 7
    del engine.standbys["m0004"]
    assert "m0004" not in upkeep.upkeep_of_all(engine, engine.state.read())
    asked.clear()
    engine.targets["local"].away = Problem("store.away", "It is away.")
    upkeep.upkeep_of_all(engine, engine.state.read())
    assert asked.keys() == engine.standbys.keys()


def test_verdicts_are_made_anew_where_something_changed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boot points that come, change and go with their standby; all others stay as they were."""
    asked: Counter[str] = Counter()
    really = upkeep.judged

    def judged(name: str, *more: Any) -> Any:
        asked[name] += 1
        return really(name, *more)

    monkeypatch.setattr(upkeep, "judged", judged)
    judge = upkeep.Judge()

    def verdicts(judge: upkeep.Judge) -> dict[str, object]:
        state = engine.state.read()
        care = upkeep.upkeep_of_all(engine, state)
        return dict(judge.verdicts(care, state, state.alive()))

    first = verdicts(judge)
    assert first.keys() == engine.state.read().boot_points.keys()
    assert asked == dict.fromkeys(engine.standbys, 1)
    asked.clear()
    assert verdicts(judge) == first
    assert not asked
    point = engine.state.read().by_standby["m0001"][0]
    with engine.state.write() as tx:
        tx.save_boot_point(replace(point, stage=Stage.RETIRED))
        tx.save_boot_point(replace(tx.state().by_standby["m0002"][0], pin="keep"))
    del engine.standbys["m0003"]
    now = verdicts(judge)
    assert asked == {"m0001": 1, "m0002": 1}
    assert point.id not in now
    assert now.keys() < first.keys()
    assert now == verdicts(upkeep.Judge())
