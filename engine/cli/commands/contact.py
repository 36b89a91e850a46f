"""The first contact with a host: whose certificate it is, compared by a person."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

from engine.cli.context import Context
from engine.cli.output import note
from engine.model.errors import Problem, Refused
from engine.model.text import safe

if TYPE_CHECKING:
    from engine.daemon.adding import Contact


def first_contact(context: Context, name: str, contact: Contact) -> str:
    """Show the certificate that a host showed, let a person compare it, and return its pin.

    Raises:
        Refused: It was not confirmed, or there is no terminal to ask on.
    """
    from engine.hypervisors.esxi.trust import shown_pin

    host, shown = safe(contact.host), contact.certificate
    if context.output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            Problem(
                "target.first-contact",
                f"The certificate of {host} is not known yet. Its SHA-256 is "
                f"{shown_pin(shown.sha256)}.",
                "No target was added; nothing was sent to the host, no password either.",
                "Compare it on the host's own console, then add: --pin SHA256",
                {"target": name, "sha256": shown.sha256},
            )
        )
    note(f"{host} shows a certificate with the SHA-256 fingerprint")
    note(f"    {shown_pin(shown.sha256)}")
    note(f"issued to {shown.subject or 'nobody named'} by {shown.issuer or 'nobody named'}")
    if shown.begins is not None and shown.ends is not None:
        note(f"valid from {_day(shown.begins)} to {_day(shown.ends)}")
    note("Compare it with the host's own console, not with anything that came over this network.")
    sys.stderr.write("Type yes if they are the same: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Refused(
            Problem(
                "target.not-trusted",
                "The certificate was not confirmed.",
                "No target was added; nothing was sent to the host, no password either.",
            )
        )
    return shown.sha256


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
