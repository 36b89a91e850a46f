"""How quickly targets' stores write: measured now and then, told when that becomes slow or usual.

A doubt only keeps further jobs from being begun; what runs goes on, and a start waits for nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.model.errors import Failure, Problem
from engine.model.latency import Latency, hangs_words, measured, slow_words
from engine.model.work import Severity

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.targets import Target

log = logging.getLogger(__name__)

HANGS_S = 10.0


class Latencies:
    """What was measured of each target. Each is measured by one thread; asking never waits."""

    def __init__(self) -> None:
        """Know nothing."""
        self.known: dict[str, Latency] = {}
        self._since: dict[str, float] = {}

    def measure(self, engine: Engine, target: Target) -> None:
        """Let a target's store write a little, and remember how long that took."""
        began = engine.clock.monotonic()
        self._since[target.name] = began
        try:
            target.store.touch()
        except (OSError, Failure) as error:
            log.info("latency of %s was not measured: %s", target.name, error)
            return
        finally:
            del self._since[target.name]
        self.take(engine, target.name, engine.clock.monotonic() - began)

    def take(self, engine: Engine, name: str, seconds: float) -> None:
        """Remember a measurement; tell what became of it."""
        before = self.known.get(name, Latency())
        after = self.known[name] = measured(before, seconds)
        if after.is_slow == before.is_slow:
            return
        if after.is_slow:
            unchanged = "Jobs that run go on; boot points can be started."
            remedy = "See what else keeps its disk or network busy."
            told = Problem("target.slow", slow_words(name, after), unchanged, remedy)
            engine.tell(Severity.WARNING, "", told)
        else:
            text = f"Target {name} is as quick as usual again: {(after.now or 0) * 1000:.0f} ms."
            engine.tell(Severity.INFO, "", Problem("target.quick", text))
        engine.wake()
        engine.picture.touch()

    def slow(self, now: float) -> dict[str, str]:
        """Return target -> why fewer jobs are begun on it, sentences; `now`: monotonic."""
        found = {name: text for name, one in self.known.items() if (text := slow_words(name, one))}
        for name, since in list(self._since.items()):
            if now - since > HANGS_S:
                found[name] = hangs_words(name, now - since)
        return found
