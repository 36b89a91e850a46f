"""What is typed into a VM's serial console, through the socket that QEMU listens on.

The socket is held only while bytes are on their way: QEMU would wait, and the guest with it, for
somebody who is connected and does not read what the guest prints.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time
from pathlib import Path

PATIENCE_S = 5.0
CHUNK = 16
"""A 16550 takes 16 bytes at once; what is taken is known by whole chunks."""
_STEP_S = 0.02


def typed(place: Path, data: bytes) -> int:
    """Send bytes and return how many QEMU took for its guest, within 5 s.

    QEMU takes as many as the guest's port has room for: a guest that does not read stops it.

    Raises:
        OSError: There is no such socket, or nobody listens on it.
    """
    end = time.monotonic() + PATIENCE_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(PATIENCE_S)
        line.connect(str(place))
        line.setblocking(False)
        for start in range(0, len(data), CHUNK):
            line.send(data[start : start + CHUNK])
            while _is_waiting(line):
                if time.monotonic() > end:
                    return start
                _drain(line)
                select.select([line], [], [], _STEP_S)
    return len(data)


def _drain(line: socket.socket) -> None:
    """Throw away what the guest prints: the log has it."""
    with contextlib.suppress(BlockingIOError):
        while line.recv(65536):
            pass


def _is_waiting(line: socket.socket) -> bool:
    """Tell whether the other side has not taken all yet (unix(7), SIOCOUTQ)."""
    told = fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return bool(struct.unpack("i", told)[0])
