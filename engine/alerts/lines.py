"""Connections that end: a time-out for each step, and one deadline for the whole.

A server may hang, or say one byte every few seconds for ever: no step of that takes long, so a
timer shuts the socket when the whole takes longer than it may.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from engine.local.tls import by_authority
from engine.model.errors import Failure, Problem
from engine.model.text import safe

STEP_S = 15.0
WHOLE_S = 60.0


class Line:
    """One connection to a host, opened within a `with` block and shut at its end."""

    def __init__(self, host: str, port: int, what: str) -> None:
        """Know where to; `what` names the way in errors."""
        self.host, self.port, self._what = host, port, what
        self._open: list[socket.socket] = []
        self._late = False
        self._lock = threading.Lock()

    def connect(self) -> socket.socket:
        """Return a connected socket."""
        return self._keep(socket.create_connection((self.host, self.port), STEP_S))

    def encrypted(self, plain: socket.socket, authority: Path | None) -> ssl.SSLSocket:
        """Return the connection under TLS, the certificate and its name checked.

        Args:
            plain: Connected.
            authority: PEM file with the certificates to trust; None: the system's.
        """
        wrapped = by_authority(authority).wrap_socket(
            plain, server_hostname=self.host, do_handshake_on_connect=False
        )
        self._keep(wrapped)
        wrapped.settimeout(STEP_S)
        wrapped.do_handshake()
        return wrapped

    def _keep(self, connection: socket.socket) -> socket.socket:
        with self._lock:
            self._open.append(connection)
            if self._late:
                raise TimeoutError
        return connection

    def _cut(self) -> None:
        with self._lock:
            self._late = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def within(self, whole_s: float = WHOLE_S) -> Iterator[None]:
        """Bound everything inside to a time, and tell what goes wrong in words.

        Raises:
            Failure: `alert.not-sent`, in words.
        """
        timer = threading.Timer(whole_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            raise self.failed(self._why(error, whole_s)) from error
        finally:
            timer.cancel()
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.close()

    def _why(self, error: Exception, whole_s: float) -> str:
        if self._late:
            return f"it took longer than {whole_s:.0f} s"
        if isinstance(error, TimeoutError):
            return "no answer in time"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        return str(error) or type(error).__name__

    def failed(self, why: str) -> Failure:
        """Return the error about this connection."""
        place = f"{self.host}:{self.port}"
        return not_sent(f"{self._what} through {safe(place, 200)}", why)


def not_sent(what: str, why: str) -> Failure:
    """Return the error about a message that was not taken."""
    return Failure(
        Problem(
            "alert.not-sent",
            f"{what} did not work: {safe(why, 300)}.",
            "What was to be told is kept, and told later.",
            "Check its address, its password and the network.",
        )
    )
