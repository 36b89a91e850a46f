"""Whose certificate a host shows, compared by a person: at first contact, and when it changed."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

from engine.cli.context import Context
from engine.cli.output import note
from engine.model.errors import Problem, Refused

if TYPE_CHECKING:
    from engine.api.contact_views import ContactView


def first_contact(context: Context, name: str, seen: ContactView, unchanged: str) -> str:
    """Show the certificate that a host showed, let a person compare it, and return its pin.

    Args:
        name: The target.
        seen: Who answers there, beside what is pinned.
        unchanged: What is as it was, where it is not confirmed.

    Raises:
        Refused: It was not confirmed, or there is no terminal to ask on.
    """
    from engine.hypervisors.esxi.trust import normal_pin

    unchanged += " Nothing was sent to the host, no password either."
    if context.output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        what = "is not known yet"
        if seen.pinned:
            what = f"is not the pinned one, with the SHA-256 {seen.pinned}"
        raise Refused(
            Problem(
                "target.first-contact",
                f"The certificate of {seen.host} {what}. Its SHA-256 is {seen.sha256}.",
                unchanged,
                "Compare it on the host's own console, then add: --pin SHA256",
                {
                    "target": name,
                    "sha256": normal_pin(seen.sha256),
                    "pinned": normal_pin(seen.pinned) if seen.pinned else "",
                },
            )
        )
    if seen.pinned:
        note("The certificate that is pinned until now has the SHA-256 fingerprint")
        note(f"    {seen.pinned}")
    note(f"{seen.host} shows a certificate with the SHA-256 fingerprint")
    note(f"    {seen.sha256}")
    note(f"issued to {seen.subject or 'nobody named'} by {seen.issuer or 'nobody named'}")
    if seen.begins is not None and seen.ends is not None:
        note(f"valid from {_day(seen.begins)} to {_day(seen.ends)}")
    note("Compare it with the host's own console, not with anything that came over this network.")
    sys.stderr.write("Type yes if they are the same: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Refused(
            Problem("target.not-trusted", "The certificate was not confirmed.", unchanged)
        )
    return seen.sha256


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
