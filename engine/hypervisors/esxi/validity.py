"""Says when a host's certificate is not valid now, or soon not any more.

A pin names one certificate whatever its dates are, so an expired one goes on being trusted here
and is refused by everything else that the host is managed with. An authority is another matter:
what it signed is refused by us too from that day on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from engine.hypervisors.esxi.certificate import Certificate
from engine.hypervisors.esxi.session import Account
from engine.hypervisors.esxi.trust import certificate
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import Finding

AHEAD = timedelta(days=30)
_LOOK_S = 3.0


def validity(account: Account, now: datetime) -> Iterator[Finding]:
    """Yield what is to be said of the dates of the certificate that a host shows.

    It costs a handshake of its own, by which nothing is sent; where that fails nothing is said.

    Args:
        account: Who logs in where, and how the host is trusted.
        now: By this machine's clock.
    """
    try:
        shown = certificate(account.host, account.port, _LOOK_S)
    except OSError:
        return  # whoever asks is connected already, and tells by what it was lost
    pin = account.trust.pin
    if pin and pin == shown.sha256:
        yield from _pinned(account.target, shown, now)
    elif not pin:
        yield from _signed(shown, now)


def _pinned(target: str, shown: Certificate, now: datetime) -> Iterator[Finding]:
    if shown.begins is None or shown.ends is None:
        return
    begins, ends = f"{shown.begins:%Y-%m-%d}", f"{shown.ends:%Y-%m-%d}"
    if shown.ends < now:
        yield Finding(
            Gravity.WARNING,
            "esxi.certificate-expired",
            f"The host's certificate was valid from {begins} to {ends}: it has expired. Its pin "
            "holds all the same, but other programs refuse it.",
            "Give the host a new certificate, then compare and pin it: "
            f"bootpoint target trust {safe(target)}",
        )
    elif now < shown.begins:
        yield Finding(
            Gravity.WARNING,
            "esxi.certificate-early",
            f"The host's certificate is valid from {begins} to {ends}: not yet.",
            "Look at the clocks of the host and of this machine.",
        )


def _signed(shown: Certificate, now: datetime) -> Iterator[Finding]:
    if shown.ends is None or shown.begins is None or shown.ends - now > AHEAD:
        return
    begins, ends = f"{shown.begins:%Y-%m-%d}", f"{shown.ends:%Y-%m-%d}"
    yield Finding(
        Gravity.WARNING,
        "esxi.certificate-ends",
        f"The host's certificate is valid from {begins} to {ends}: after that the target cannot be "
        "used.",
        "Give the host a new one before, signed by the same authority.",
    )
