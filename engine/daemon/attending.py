"""Looks after targets: a store that is away is looked for, and what comes or goes is told.

Two threads a target, one for its store and one for its hypervisor, so that a file system or a host
that hangs holds up nobody else. What a target's store
lacks is that target's problem alone: the others work, and its own machines say why they wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine.daemon.marks import write_marks
from engine.model.errors import Failure, NotFound, Problem, Refused
from engine.model.slots import Limits
from engine.model.text import safe
from engine.model.work import Severity
from engine.ports import Clock

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.targets import Target

log = logging.getLogger(__name__)

EVERY_S = 15.0
FIRST_S = 10.0
"""Seconds that the first look may take before the engine starts without it."""


class Seen:
    """Which targets' stores were looked at once."""

    def __init__(self, clock: Clock) -> None:
        """None yet."""
        self._clock = clock
        self._events: dict[str, threading.Event] = {}

    def of(self, name: str) -> threading.Event:
        """Return what is set once a target was looked at."""
        return self._events.setdefault(name, threading.Event())

    def wait(self) -> None:
        """Wait for all, and go on without those that hang."""
        until = self._clock.monotonic() + FIRST_S
        for event in self._events.values():
            event.wait(max(0.0, until - self._clock.monotonic()))


def attendants(engine: Engine, seen: Seen) -> Mapping[str, Callable[[], None]]:
    """Return the work of the threads that look after targets, by the thread's name."""
    work: dict[str, Callable[[], None]] = {}
    for name, target in engine.targets.items():
        work |= attendants_of(engine, target, seen.of(name))
    return work


def attendants_of(
    engine: Engine, target: Target, seen: threading.Event
) -> Mapping[str, Callable[[], None]]:
    """Return the work of the threads that look after one target, by the thread's name."""
    return {
        f"target-{target.name}": partial(attend, engine, target, seen),
        f"answers-{target.name}": partial(ask, engine, target),
    }


def is_ours(engine: Engine, target: Target) -> bool:
    """Tell whether a target was not let go of meanwhile."""
    return engine.targets.get(target.name) is target


def attend(engine: Engine, target: Target, seen: threading.Event) -> None:
    """Look at a target until it is let go of; `seen` is set after the first look at its store."""
    first = True
    while (first or not engine.stopping.wait(EVERY_S)) and is_ours(engine, target):
        try:
            look(engine, target, is_first=first, seen=seen)
            if target.away is None:
                engine.latencies.measure_write(engine, target)
                engine.folds.look(engine, target)
        except Exception:
            log.exception("target %s", target.name)
        seen.set()
        first = False


def ask(engine: Engine, target: Target) -> None:
    """Measure how quickly a target's hypervisor answers, until it is let go of."""
    while not engine.stopping.wait(EVERY_S) and is_ours(engine, target):
        try:
            engine.latencies.measure_call(engine, target)
        except Exception:
            log.exception("hypervisor of target %s", target.name)


def look(
    engine: Engine, target: Target, *, is_first: bool = False, seen: threading.Event | None = None
) -> None:
    """Look at a target's store and tell what changed; open the hypervisor where nobody tried."""
    changed = target.find_store()
    if seen is not None:
        seen.set()
    if not is_ours(engine, target):
        return
    if changed:
        _tell(engine, target, is_first=is_first)
    if changed and target.away is None:
        target.tried = False
        _take_up(engine, target, is_first=is_first)
    if target.away is None and target.opened() is None and not target.tried:
        _open(engine, target)
    if changed:
        engine.wake()
        engine.picture.touch()


def limits_now(engine: Engine) -> Limits:
    """Return how much at once, with what holds up targets at this moment."""
    away = {
        name: f"Target {name} cannot be used: {problem}"
        for name, target in engine.targets.items()
        if (problem := target.away) is not None
    }
    return replace(engine.limits, away=away, slow=engine.latencies.slow(engine.clock.monotonic()))


def check(engine: Engine, name: str, definition: str = "") -> None:
    """Look at a target now: for its store, then what its hypervisor says of itself.

    Raises:
        NotFound: There is none of that name.
        Refused: `definition` is not empty, and the target has another one.
    """
    target = engine.targets.get(name)
    if target is None:
        known = ", ".join(sorted(engine.targets))
        raise NotFound(
            Problem(
                "target.not-running",
                f"The running engine does not know target {safe(name)}.",
                "",
                f"Known: {known}. One that was written by hand since is known after the engine's "
                "next start.",
            )
        )
    if definition and definition != target.definition:
        raise Refused(other_definition(name))
    look(engine, target)
    if target.away is None:
        target.look(engine.clock.now())
        engine.latencies.measure_call(engine, target)
        engine.picture.touch()


def other_definition(name: str) -> Problem:
    """Return why a target is not looked at or taken up as it is configured now."""
    return Problem(
        "target.other-definition",
        f"The running engine was started with another definition of target {safe(name)}.",
        "It was not looked at.",
        "Start the engine again, so that it takes up the present one.",
    )


def _open(engine: Engine, target: Target) -> None:
    try:
        target.hypervisor()
    except Failure as failure:
        if is_ours(engine, target):
            engine.tell(Severity.ERROR, "", failure.problem)
    engine.picture.touch()


def _tell(engine: Engine, target: Target, *, is_first: bool) -> None:
    away = target.away
    if away is not None:
        happened = f"Target {target.name} cannot be used: {away.happened}"
        told = Problem("target.store-away", happened, away.unchanged, away.remedy)
        engine.tell(Severity.ERROR, "", told)
    elif not is_first:
        text = f"The store of target {target.name} can be used again."
        engine.tell(Severity.INFO, "", Problem("target.store-back", text))


def _take_up(engine: Engine, target: Target, *, is_first: bool) -> None:
    """See what is there; write down beside it what was marked meanwhile."""
    state = engine.state.read()
    for name, standby in list(engine.standbys.items()):
        if standby.target == target.name:
            engine.refresh_layers(name)
            if not is_first:
                write_marks(target.store.path, name, state.points_of(name))
