"""What the engine does for itself beside its jobs: once a minute, each chore that is due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from engine.model.errors import Failure, Problem
from engine.ports import Clock

log = logging.getLogger(__name__)

ROUND_S = 60.0

Chore = Callable[[datetime], None]
"""Told the time; does nothing while nothing is due. Raises Failure when it did not work."""


class Housekeeping:
    """A thread of its own, so that a slow chore holds up no job and no console."""

    def __init__(
        self, clock: Clock, tell: Callable[[Problem], None], chores: Mapping[str, Chore]
    ) -> None:
        """Wire, start nothing.

        Args:
            tell: Told a chore's problem when it first fails, and again after it had worked.
            chores: By name.
        """
        self._clock, self._tell, self._chores = clock, tell, dict(chores)
        self._failing: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Make the first round soon, then one each minute."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread; a chore that runs is finished first."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def round(self) -> None:
        """Do every chore that is due; one that fails keeps none from the others."""
        for name, chore in self._chores.items():
            try:
                chore(self._clock.now())
            except Failure as failure:
                if self._failing.get(name) != failure.problem.key:
                    self._tell(failure.problem)
                self._failing[name] = failure.problem.key
            except Exception:
                log.exception("chore %s", name)
            else:
                self._failing.pop(name, None)

    def _rounds(self) -> None:
        while True:
            self.round()
            if self._stopping.wait(ROUND_S):
                return
