"""Whom we believe to be the host: a pinned certificate, or a certificate authority.

connect ─► TLS handshake ─► certificate checked ─► only now: request, `Login`, password

pyvmomi's own pin is looked at only after the usual verification has failed, so a wrong one still
sends the password to whoever has any accepted certificate. Here the check is part of the
handshake itself, where every byte must pass.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from engine.hypervisors.esxi.certificate import Certificate, read_certificate
from engine.hypervisors.esxi.patience import PatientSocket
from engine.local.tls import by_authority

_PIN = re.compile(r"[0-9a-f]{64}")


class PinMismatch(Exception):
    """The host has another certificate than the pinned one; nothing was sent to it."""

    def __init__(self, expected: str, seen: str) -> None:
        """Keep both SHA-256 fingerprints, as hex."""
        super().__init__(f"expected {expected}, met {seen}")
        self.expected, self.seen = expected, seen


@dataclass(slots=True, eq=False)
class Trust:
    """How a host proves who it is: by `pin`, or, where that is empty, by an authority.

    Attributes:
        pin: SHA-256 of the certificate, 64 hex digits. Each connection goes by the one of its time.
        authority: PEM file of a certificate authority; None: the system's own.
    """

    pin: str = ""
    authority: Path | None = None

    def __post_init__(self) -> None:
        """Take a pin as people write it. ValueError: it is none."""
        if self.pin:
            self.renew(self.pin)

    def renew(self, pin: str) -> None:
        """Trust another certificate, which a person has compared. ValueError: the pin is none."""
        self.pin = normal_pin(pin)


def normal_pin(text: str) -> str:
    """Return a SHA-256 as people write it (colons, spaces, capitals) as 64 hex digits.

    Raises:
        ValueError: It is no SHA-256.
    """
    pin = re.sub(r"[:\s]", "", text.removeprefix("sha256:")).lower()
    if not _PIN.fullmatch(pin):
        raise ValueError("expected a SHA-256 fingerprint: 64 hexadecimal digits")
    return pin


def shown_pin(pin: str) -> str:
    """Return a fingerprint as a host's own console shows it: `AB:CD:...`."""
    return ":".join(pin[at : at + 2] for at in range(0, len(pin), 2)).upper()


def trusting(trust: Trust) -> ssl.SSLContext:
    """Return the context for every connection to a host.

    Raises:
        OSError: The authority's file cannot be read.
    """
    if trust.pin:
        return _pinned(trust)
    context = by_authority(trust.authority)
    context.sslsocket_class = PatientSocket
    return context


def _pinned(trust: Trust) -> ssl.SSLContext:
    class PinnedSocket(PatientSocket):
        """A socket whose handshake ends with the pin's check."""

        def do_handshake(self, block: bool = False) -> None:
            """Shake hands, then compare; on another certificate nothing more is sent."""
            super().do_handshake(block)
            pin = trust.pin
            seen = hashlib.sha256(self.getpeercert(binary_form=True) or b"").hexdigest()
            if not hmac.compare_digest(seen, pin):
                self.close()
                raise PinMismatch(pin, seen)

    class SocketsOnly(ssl.SSLObject):
        """Refuses connections that are no sockets, which would go past the check."""

        def do_handshake(self) -> None:
            """Refuse."""
            raise ssl.SSLError("a pinned connection is a socket")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The pin names one certificate; names and dates in it add nothing. The order matters: without
    # the first line the second is refused.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = PinnedSocket
    context.sslobject_class = SocketsOnly
    return context


def certificate(host: str, port: int, timeout_s: float) -> Certificate:
    """Return the certificate that a host shows; nothing is sent to it.

    For the first contact only: a person compares it with what the host's own console shows.

    Raises:
        OSError: No connection, or no TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=host) as told,
    ):
        return read_certificate(told.getpeercert(binary_form=True) or b"")
