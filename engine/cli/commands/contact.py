"""The first contact with a host: whose certificate it is, compared by a person."""

from __future__ import annotations

import sys

from engine.cli.context import Context
from engine.cli.output import note
from engine.model.errors import Failure, Problem, Refused, WrongUse
from engine.model.text import safe

CONTACT_S = 15.0


def given_pin(pin: str) -> str:
    """Return a pin as it is configured. WrongUse when it is none."""
    from engine.hypervisors.esxi.trust import normal_pin

    try:
        return normal_pin(pin)
    except ValueError as error:
        raise WrongUse(
            Problem("use.wrong", f"--pin: {error}.", "", "See: bootpoint target add --help")
        ) from None


def first_contact(context: Context, name: str, url: str) -> str:
    """Show the certificate's fingerprint, let a person compare it, and return it.

    Nothing else is sent.

    Raises:
        Refused: It was not confirmed, or there is no terminal to ask on.
        Failure: The host shows none.
    """
    from engine.hypervisors.esxi.faults import how
    from engine.hypervisors.esxi.trust import fingerprint, shown_pin
    from engine.model.addresses import host_and_port

    host, port = host_and_port(url)
    try:
        pin = fingerprint(host, port, CONTACT_S)
    except OSError as error:
        said = safe(str(error), 200) or type(error).__name__
        what, remedy = how(error, said)
        raise Failure(
            Problem(
                "target.away",
                f"{safe(host)}, port {port}, {what}: {said}.",
                "No target was added.",
                remedy,
                {"target": name, "error": type(error).__name__},
            )
        ) from error
    shown = (
        f"{safe(host)} shows a certificate with the SHA-256 fingerprint",
        f"    {shown_pin(pin)}",
        "Compare it with the host's own console, not with anything that came over this network.",
    )
    if context.output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            Problem(
                "target.first-contact",
                f"The certificate of {safe(host)} is not known yet. Its SHA-256 is "
                f"{shown_pin(pin)}.",
                "No target was added; nothing was sent to the host, no password either.",
                "Compare it on the host's own console, then add: --pin SHA256",
                {"target": name, "sha256": pin},
            )
        )
    note("\n".join(shown))
    sys.stderr.write("Type yes if they are the same: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Refused(
            Problem("target.not-trusted", "The certificate was not confirmed.", "Nothing was sent.")
        )
    return pin
