"""Pauses: what was asked for by hand before one waits as well; their end, told once it has come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.model.errors import Failure, Problem
from engine.model.points import UNREADY
from engine.model.work import Severity

if TYPE_CHECKING:
    from engine.daemon.engine import Engine


def end_pauses(engine: Engine) -> None:
    """Clear pauses whose time is up; they hold nothing any more as it is."""
    now = engine.clock.now()
    for name, standby in list(engine.standbys.items()):
        if not standby.held or standby.is_held(now):
            continue
        resumed = replace(standby, held="", held_until=None)
        with engine.lock:
            engine.standbys[name] = resumed
        told = f"The pause of {name} ended by itself ({standby.held})."
        engine.tell(Severity.INFO, name, Problem("standby.resumed", told))
        try:
            engine.files.write(resumed)
        except Failure as failure:
            engine.tell(Severity.WARNING, name, failure.problem)


def let_wait(engine: Engine, name: str) -> None:
    """Take back what was asked for by hand before a pause: of two decisions the later counts."""
    with engine.lock, engine.state.write() as tx:
        for point in tx.state().points_of(name):
            if point.asked and point.stage in UNREADY:
                tx.save_boot_point(replace(point, asked=False))
