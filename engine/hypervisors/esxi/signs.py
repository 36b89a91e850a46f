"""What a started VM shows of its guest: its tools, its addresses. Its screen: `console.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.hypervisors.esxi.session import Session
from engine.model.text import safe

_ALIVE = frozenset({"green", "yellow"})


def guest(session: Session, ref: Any) -> tuple[bool | None, Sequence[str]]:
    """Return whether the guest's tools answer (None: it has none), and its addresses."""
    paths = ("guestHeartbeatStatus", "guest.toolsRunningStatus", "guest.net")
    seen = session.read(ref, *paths)
    tools = str(seen.get(paths[1], ""))
    agent = None
    if tools:
        agent = tools == "guestToolsRunning" and str(seen.get(paths[0])) in _ALIVE
    addresses = [
        str(safe(str(address)))
        for card in seen.get(paths[2]) or ()
        for address in getattr(card, "ipAddress", None) or ()
    ]
    return agent, addresses
