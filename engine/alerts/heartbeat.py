"""A sign of life to somebody who raises the alarm when it stays away.

The one alert that works when this host is dead: whoever expects the sign tells of its absence.
"""

from __future__ import annotations

from engine.alerts.http import Address, ask

WHOLE_S = 30.0


class Heartbeat:
    """A `Beat`: one GET for each sign."""

    def __init__(self, address: Address, every_s: float, whole_s: float = WHOLE_S) -> None:
        """Ask nobody yet."""
        self.where, self.every_s = address.host(), every_s
        self._address, self._whole_s = address, whole_s

    def ping(self) -> None:
        """Give the sign."""
        ask("Heartbeat", self._address, "GET", whole_s=self._whole_s)
