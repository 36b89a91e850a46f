"""Whether the engine itself is well: its loop turns, its state can be written, folders are watched.

Asking never blocks, so that a heart that beats only while all is well stops when something hangs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.model.ladder import span

if TYPE_CHECKING:
    from engine.daemon.engine import Engine

STUCK_S = 180.0
"""Seconds without a turn of the loop, or without a write, that mean that it hangs."""


class Health:
    """What is known of one engine's health. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Take it for well until something shows."""
        self._engine = engine
        self._written = engine.clock.monotonic()
        self._refused = ""

    def wrote(self, problem: str = "") -> None:
        """Note that the state could be written, or why not."""
        self._refused = problem
        if not problem:
            self._written = self._engine.clock.monotonic()

    def unwell(self) -> Mapping[str, str]:
        """Return what is wrong, sentences by a stable word; empty while all is well."""
        now = self._engine.clock.monotonic()
        found = {}
        if now - self._engine.turned > STUCK_S:
            passed = span(now - self._engine.turned)
            found["loop"] = f"The engine's loop has not turned for {passed}: it hangs."
        if self._refused:
            found["state"] = f"The engine's state cannot be written: {self._refused}"
        elif now - self._written > STUCK_S:
            found["state"] = (
                f"Nothing could be written to the state for {span(now - self._written)}."
            )
        if not self._engine.is_watching():
            found["watcher"] = "Watched folders are not looked at: a thread of the watcher ended."
        return found
