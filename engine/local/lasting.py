"""Keeps the interpreter's collector from looking again and again through what lasts.

    new objects ─► full collection ─► what lived through it is put aside (frozen)
                                      └─ once a day all of it is looked through again

A full collection looks for cycles of garbage among all objects there are, and holds every thread
meanwhile. The state of a large site is millions of objects that stay and grow for years: reading
it, and taking in what has arrived, would set off one such collection after another. Now each
costs what was made since the last one. A cycle that dies after it was put aside stays until the
daily look; everything else goes at once, as always.
"""

from __future__ import annotations

import gc
from datetime import date, datetime


class Lasting:
    """Puts aside what lived through each full collection, until it is stopped. One a process."""

    def __init__(self) -> None:
        """Begin."""
        self._looked: date | None = None
        gc.callbacks.append(self._collected)

    def stop(self) -> None:
        """End it; repeatable. What was put aside stays so: the end comes sooner."""
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def daily(self, now: datetime) -> None:
        """Look through everything, on the first call of each day but that of the very first."""
        before, self._looked = self._looked, now.date()
        if before not in (None, self._looked):
            gc.unfreeze()
            gc.collect()

    @staticmethod
    def _collected(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.freeze()
