"""Ways out for alerts."""

from __future__ import annotations

from typing import Protocol

from engine.model.alarms import Message
from engine.model.work import Severity


class Way(Protocol):
    """One way out. Thread-safe: each call has a connection of its own.

    Attributes:
        name: As configured, such as `mail` or `webhook.chat`.
        where: Whom it tells, for people; without secrets.
        least: Least severity that it wants.
    """

    name: str
    where: str
    least: Severity

    def send(self, message: Message) -> None:
        """Hand a message over; returns once it was taken.

        Within a minute or so, whatever the other side does. May be called again with the same
        message after a failure.

        Raises:
            Failure: It was not taken, or nobody can tell.
            PartlyTold: It was taken for some of those it is for; the others cannot be told.
        """


class Beat(Protocol):
    """Somebody who expects a sign of life now and then."""

    where: str
    every_s: float

    def ping(self) -> None:
        """Give the sign. Failure when it did not come through."""
