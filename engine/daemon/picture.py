"""What changes under the eyes of consoles: a number that rises, and signs of life."""

from __future__ import annotations

import threading
from collections.abc import Container, Mapping

from engine.model.machine import Signs


class Picture:
    """A change counter that threads can wait on, and the newest signs of started VMs."""

    def __init__(self) -> None:
        """Start at 1 with no signs."""
        self._changed = threading.Condition()
        self._seq = 1
        self._signs: dict[str, Signs] = {}

    @property
    def seq(self) -> int:
        """The present number."""
        return self._seq

    def touch(self) -> None:
        """Say that something changed."""
        with self._changed:
            self._seq += 1
            self._changed.notify_all()

    def wait(self, seq: int, timeout_s: float) -> int:
        """Block until the number is higher than `seq` or the time is up; return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._seq > seq, timeout_s)
            return self._seq

    def sign(self, standby: str, signs: Signs) -> None:
        """Keep a VM's signs; a change counts as one."""
        if self._signs.get(standby) != signs:
            self._signs = {**self._signs, standby: signs}
            self.touch()

    def only(self, standbys: Container[str]) -> None:
        """Forget the signs of all other standbys."""
        kept = {name: signs for name, signs in self._signs.items() if name in standbys}
        if len(kept) != len(self._signs):
            self._signs = kept
            self.touch()

    def signs(self) -> Mapping[str, Signs]:
        """Return the newest signs by standby."""
        return self._signs
