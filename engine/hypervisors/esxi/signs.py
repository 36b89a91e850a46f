"""What a started VM shows: its tools, its addresses, its screen.

The picture of the console is one GET, and no file stays on a datastore. Source: `/screen?id=ID`
of ESXi and vCenter answers a PNG to a logged-in user with the privilege
VirtualMachine.Interact.CreateScreenshot; not seen on a real host yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from engine.hypervisors.esxi.inventory import ref_id
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.png import MAGIC
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

_LARGEST = 16 << 20
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


def picture(session: Session, ref: Any, vm: str) -> bytes:
    """Return a VM's screen as PNG.

    Raises:
        HypervisorError: The host gives none.
    """
    status, body = session.get(f"/screen?id={quote(ref_id(ref), safe='')}", _LARGEST)
    if status == 200 and body.startswith(MAGIC):
        return body
    why = "what came is no PNG" if status == 200 else f"HTTP {status}"
    raise HypervisorError(
        Problem(
            "vm.no-screen",
            f"Target {safe(session.account.target)} gives no picture of {safe(vm)}: {why}.",
            "The VM goes on.",
            "Give the role VirtualMachine.Interact.CreateScreenshot, or look at it with the host's "
            "own client.",
        )
    )
