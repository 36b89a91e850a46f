"""What an NFS server exports, asked of it as `showmount -e` does.

    portmapper, TCP 111 ── GETPORT mountd 3 ── port       no answer: 20048, where it mostly is
    mountd ── EXPORT ── folders, each with who may mount it

Source: RFC 5531 (calls, record marking), RFC 1833 (portmapper), RFC 1813, appendix I (mountd).
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath

_PORTMAP, _MOUNTD = (100000, 2), (100005, 3)
_GETPORT, _EXPORT, _TCP = 3, 5, 6
_PORTS = (111, 20048)
_ANYBODY = frozenset({"*", "0.0.0.0/0", "0.0.0.0/0.0.0.0", "::/0", "(everyone)"})
_LARGEST = 1 << 20
_LAST = 1 << 31
"""Bit of a record's mark: it is the last one of an answer."""


@dataclass(frozen=True, slots=True)
class Export:
    """A folder that is exported.

    Attributes:
        clients: Who may mount it, as the server words them: addresses, networks, names, groups.
    """

    folder: str
    clients: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Tell whether anybody may mount it: a server that names nobody means everybody."""
        return not self.clients or any(one in _ANYBODY for one in self.clients)


def exports(server: str, *, timeout_s: float, ports: tuple[int, int] = _PORTS) -> list[Export]:
    """Return what a server says it exports; some servers say none.

    Args:
        server: Name or address.
        timeout_s: Seconds without a byte after which it is given up.
        ports: Of its portmapper, and of mountd where that does not answer.

    Raises:
        OSError: It does not answer, or not in a way that can be understood.
    """
    port = _port(server, timeout_s, ports[0]) or ports[1]
    answer = _Answer(_call(server, port, timeout_s, *_MOUNTD, _EXPORT, b""))
    told = []
    while answer.number():
        folder, clients = os.fsdecode(answer.text()), []
        while answer.number():
            clients.append(os.fsdecode(answer.text()))
        told.append(Export(folder, tuple(clients)))
    return told


def is_above(folder: str, share: str) -> bool:
    """Tell whether a folder holds a share, or is it."""
    return PurePosixPath(share).is_relative_to(folder)


def _port(server: str, timeout_s: float, portmapper: int) -> int:
    """Return the port of a server's mountd; 0 where the portmapper does not answer."""
    try:
        told = _call(
            server,
            portmapper,
            timeout_s,
            *_PORTMAP,
            _GETPORT,
            struct.pack(">4I", *_MOUNTD, _TCP, 0),
        )
        return _Answer(told).number() & 0xFFFF
    except OSError:
        return 0


class _Answer:
    """Reads the parts of an answer, one after another."""

    def __init__(self, told: bytes) -> None:
        self._left = told

    def _take(self, size: int) -> bytes:
        part, self._left = self._left[:size], self._left[size:]
        if len(part) < size:
            raise OSError("its answer is too short")
        return part

    def number(self) -> int:
        """Return the next number."""
        return int(struct.unpack(">I", self._take(4))[0])

    def text(self) -> bytes:
        """Return the next text; it is padded to whole words of four bytes."""
        size = self.number()
        return self._take(-(-size // 4) * 4)[:size]

    def rest(self) -> bytes:
        """Return what is left."""
        return self._left


def _call(
    server: str,
    port: int,
    timeout_s: float,
    program: int,
    version: int,
    procedure: int,
    args: bytes,
) -> bytes:
    """Return the result of a call without credentials. OSError when there is none."""
    ident = os.urandom(4)
    call = ident + struct.pack(">9I", 0, 2, program, version, procedure, 0, 0, 0, 0) + args
    with socket.create_connection((server, port), timeout=timeout_s) as connection:
        connection.sendall(struct.pack(">I", _LAST | len(call)) + call)
        answer = _Answer(_record(connection))
    is_ours = answer.number() == int.from_bytes(ident, "big") and answer.number() == 1
    is_taken = is_ours and answer.number() == 0
    if not is_taken:
        raise OSError("it refuses the call")
    answer.number()
    answer.text()
    if answer.number() != 0:
        raise OSError("it does not know the call")
    return answer.rest()


def _record(connection: socket.socket) -> bytes:
    """Return an answer, put together from its parts."""
    told, is_last = b"", False
    while not is_last:
        mark = int.from_bytes(_exactly(connection, 4), "big")
        is_last, size = bool(mark & _LAST), mark & ~_LAST
        if len(told) + size > _LARGEST or (not size and not is_last):
            raise OSError("its answer is too long")
        told += _exactly(connection, size)
    return told


def _exactly(connection: socket.socket, size: int) -> bytes:
    told = b""
    while len(told) < size:
        if not (part := connection.recv(size - len(told))):
            raise OSError("it ended the connection")
        told += part
    return told
