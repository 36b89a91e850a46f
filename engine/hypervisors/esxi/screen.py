"""The picture of a VM's console, as the host draws it: one GET, and no file stays on a datastore.

Source: `/screen?id=ID` of ESXi and vCenter answers a PNG to a logged-in user with the privilege
VirtualMachine.Interact.CreateScreenshot; not seen on a real host yet.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from engine.hypervisors.esxi.inventory import ref_id
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.png import MAGIC
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

_LARGEST = 16 << 20


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
