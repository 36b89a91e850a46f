"""The ransomware guard at work: what it thinks of each machine, and the hold that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.model.errors import Failure
from engine.model.guard import GUARD, GuardVerdict, guard, increments_of
from engine.model.text import safe
from engine.model.work import Severity

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.model.standby import Standby
    from engine.model.state import State


def watch_all(engine: Engine, state: State) -> bool:
    """Put the retention of machines on hold whose increments look like an attack.

    Called before jobs are planned, so that nothing is retired of a machine that was not judged;
    the caller holds the engine's lock. What did not change is not judged again.

    Returns:
        Whether any hold was set.
    """
    held, machines = False, state.by_machine
    followed = {name: machines.get(uuid, ()) for name, uuid in engine.sources.items()}
    told = dict(engine.standbys), followed
    news, _ = engine.memo.news("guard", told)
    for name in news[0] | news[1]:
        standby = engine.standbys.get(name)
        verdict = None if standby is None else verdict_of(engine, state, standby)
        if standby and verdict and verdict.is_frozen and not standby.retention.hold:
            _freeze(engine, standby, verdict)
            held = True
    engine.memo.settle("guard", told, None)
    return held


def verdict_of(engine: Engine, state: State, standby: Standby) -> GuardVerdict | None:
    """Return what the guard thinks of a standby's machine; None while it has none."""
    machine = engine.sources.get(standby.name)
    points = state.by_machine.get(machine or "")
    if not points:
        return None
    return engine.memo.of(
        ("guard", standby.name),
        (points, standby.images, standby.guard_released),
        lambda: guard(increments_of(points, standby.images), standby.guard_released),
    )


def _freeze(engine: Engine, standby: Standby, verdict: GuardVerdict) -> None:
    text = f"{GUARD}: {safe(verdict.reason, 600)}"
    frozen = replace(standby, retention=replace(standby.retention, hold=text))
    engine.take_standby(frozen, standby.name)
    with engine.state.write() as tx:
        tx.write_journal(
            engine.clock.now(),
            Severity.ERROR,
            standby.name,
            "guard.frozen",
            f"{verdict.reason} The retention of {standby.name} is on hold.",
            "Boot points are still made, and none is taken away: those from before stay.",
            f"Look at the machine. If all is well: bootpoint guard release {standby.name}",
        )
    try:
        engine.files.write(frozen)
    except Failure as failure:
        engine.tell(Severity.ERROR, standby.name, failure.problem)


def release(engine: Engine, standby: Standby, note: str, actor: str) -> None:
    """Say that all is well: what has arrived by now is known, and retention works again.

    A hold that somebody else set stays.
    """
    hold = standby.retention.hold
    own = replace(standby.retention, hold="" if hold.startswith(GUARD) else hold)
    told = replace(standby, retention=own, guard_released=engine.clock.now())
    engine.files.write(told)
    engine.take_standby(told, standby.name)
    said = f"{actor} released the ransomware guard's hold of {standby.name}: "
    said += f"{safe(note, 300) or 'no note given'}"
    with engine.state.write() as tx:
        tx.write_journal(
            engine.clock.now(), Severity.INFO, standby.name, "guard.released", safe(said, 1000)
        )
    engine.picture.touch()
