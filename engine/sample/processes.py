"""The sample site's two processes, found by what they hold and ended without guessing.

engine    whoever listens on the site's socket          (the kernel names it)
live      whoever holds the lock of live.lock           (it wrote its id there)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

from engine.local.durable import LockHeld, file_lock
from engine.ports import Clock, NeverCancelled
from engine.sample.site import Site

_CREDENTIALS = struct.Struct("iII")
_LOOK_S = 0.2


def engine_of(door: Path) -> int | None:
    """Return the process that listens on a socket, None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(2.0)
        try:
            knocking.connect(str(door))
            told = knocking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None
    return int(_CREDENTIALS.unpack(told)[0])


def live_of(site: Site) -> int | None:
    """Return the process in which the site lives, None when it rests."""
    place = site.folder / "live.lock"
    if not place.exists():
        return None
    with contextlib.suppress(LockHeld), file_lock(place):
        return None
    text = place.read_text(errors="replace").strip()
    return int(text) if text.isdigit() else None


def end(process: int, clock: Clock, within_s: float) -> bool:
    """Ask a process to end and wait for it; kill it when it does not. True when it ended by itself.

    Someone else's child cannot be waited for, so its presence is looked at.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        until = clock.monotonic() + within_s
        while clock.monotonic() < until:
            os.kill(process, 0)
            clock.sleep(_LOOK_S, NeverCancelled())
        os.kill(process, signal.SIGKILL)
        return False
    return True
