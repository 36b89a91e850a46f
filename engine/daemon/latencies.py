"""How quickly targets' stores write and their hypervisors answer: told when that becomes slow.

A doubt only keeps further jobs from being begun; what runs goes on, and a start waits for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.model.errors import Failure, Problem
from engine.model.latency import (
    Latency,
    Measure,
    hangs_phrase,
    measured,
    quick_words,
    slow_phrase,
    slow_words,
)
from engine.model.work import Severity

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.targets import Target

log = logging.getLogger(__name__)

HANGS_S = 10.0
_REMEDY = {
    Measure.WRITE: "See what else keeps its disk or network busy.",
    Measure.CALL: "See what keeps the host or vCenter busy, and the line to it.",
}


class Latencies:
    """What was measured of each target. Each is measured by one thread; asking never waits."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[tuple[str, Measure], Latency] = {}
        self._since: dict[tuple[str, Measure], float] = {}

    def of(self, name: str, what: Measure) -> Latency:
        """Return what is known of a target."""
        return self._known.get((name, what), Latency())

    def forget(self, name: str) -> None:
        """Know nothing of a target any more."""
        for what in Measure:
            self._known.pop((name, what), None)
            self._since.pop((name, what), None)

    def measure_write(self, engine: Engine, target: Target) -> None:
        """Let a target's store write a little, and remember how long that took."""
        self._measure(engine, target.name, Measure.WRITE, target.store.touch)

    def measure_call(self, engine: Engine, target: Target) -> None:
        """Ask a target's hypervisor a small question, where it is open, and remember the time."""
        hypervisor = target.opened()
        if hypervisor is not None:
            self._measure(engine, target.name, Measure.CALL, hypervisor.ping)

    def _measure(self, engine: Engine, name: str, what: Measure, work: Callable[[], None]) -> None:
        began = engine.clock.monotonic()
        self._since[name, what] = began
        try:
            work()
        except (OSError, Failure) as error:
            log.info("%s latency of %s was not measured: %s", what, name, error)
            if engine.clock.monotonic() - began < HANGS_S:
                return  # it did not take long to say no: that tells nothing of its pace
        finally:
            self._since.pop((name, what), None)  # it may have been forgotten meanwhile
        self.take(engine, name, what, engine.clock.monotonic() - began)

    def take(self, engine: Engine, name: str, what: Measure, seconds: float) -> None:
        """Remember a measurement; tell what became of it."""
        before = self.of(name, what)
        after = self._known[name, what] = measured(before, seconds)
        if after.is_slow == before.is_slow:
            return
        if after.is_slow:
            unchanged = "Jobs that run go on; boot points can be started."
            happened = slow_words(name, [slow_phrase(what, after)])
            engine.tell(
                Severity.WARNING, "", Problem("target.slow", happened, unchanged, _REMEDY[what])
            )
        else:
            text = quick_words(name, what, after)
            engine.tell(Severity.INFO, "", Problem("target.quick", text))
        engine.wake()
        engine.picture.touch()

    def slow(self, now: float) -> dict[str, str]:
        """Return target -> why fewer jobs are begun on it, sentences; `now`: monotonic."""
        found: dict[str, dict[Measure, str]] = {}
        for (name, what), known in list(self._known.items()):
            if phrase := slow_phrase(what, known):
                found.setdefault(name, {})[what] = phrase
        for (name, what), since in list(self._since.items()):
            if now - since > HANGS_S:
                found.setdefault(name, {})[what] = hangs_phrase(what, now - since)
        return {name: slow_words(name, list(told.values())) for name, told in found.items()}
