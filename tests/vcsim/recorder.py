"""A TLS server in the middle: hands everything on and remembers what it saw."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.vcsim.simulator import Certificate


@dataclass
class Recorder:
    """Somebody in the middle.

    Attributes:
        seen: Every byte that clients sent after a handshake.
        connections: How many came.
    """

    port: int = 0
    seen: bytearray = field(default_factory=bytearray)
    connections: int = 0

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return f"https://127.0.0.2:{self.port}/"


def _relay(client: ssl.SSLSocket, server: ssl.SSLSocket, told: Recorder) -> None:
    """Hand on in both directions, in one thread: a TLS socket is not for two."""
    other = {client: server, server: client}
    while True:
        ready = [one for one in other if one.pending()] or select.select([*other], [], [])[0]
        for one in ready:
            one.setblocking(False)  # what came may be the handshake's, with nothing to read in it
            try:
                data = one.recv(65536)
            except ssl.SSLWantReadError:
                continue
            finally:
                one.setblocking(True)
            if not data:
                return
            if one is client:
                told.seen += data
            other[one].sendall(data)


@contextmanager
def recording(shown: Certificate, upstream: str) -> Iterator[Recorder]:
    """Yield a recorder that shows a certificate and passes on to `host:port`."""
    told = Recorder()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    listener = socket.create_server(("127.0.0.2", 0))
    told.port = listener.getsockname()[1]

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            told.connections += 1
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as client:
            host, _, port = upstream.partition(":")
            away = ssl._create_unverified_context()
            with away.wrap_socket(socket.create_connection((host, int(port)))) as server:
                _relay(client, server, told)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield told
    finally:
        listener.close()
