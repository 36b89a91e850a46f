"""Whose certificate a host shows, to be compared by a person; a known host's new one too. Pure."""

from __future__ import annotations

from engine.api.contact_views import ContactView
from tui.look import Look
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import _

NO, YES = "no", "yes"
_WIDE, _NARROW = 48, 24
"""Cells of 16 and of 8 bytes of a fingerprint, as a host's own console shows it."""


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page that asks about a known host; its first row, the default, changes nothing."""
    seen = look.subject
    if not isinstance(seen, ContactView):
        return frame.Content(title=_("targets"), empty=[BLANK, text(" " + _("No plan."))])
    rows = {NO: _("No, leave the pin as it is."), YES: _("Yes, the SHA-256 is the same: pin it")}
    head = _("TARGET {name} SHOWS ANOTHER CERTIFICATE   no password was sent", name=seen.id)
    if seen.sha256 == seen.pinned:
        rows = {NO: _("Back: it is the one that is pinned.")}
        head = _("TARGET {name} SHOWS THE PINNED CERTIFICATE", name=seen.id)
    chosen = look.chosen or NO
    return frame.Content(
        title=_("targets") + f" > {seen.id} > " + _("certificate"),
        head=[text(f" {head}", Tone.STRONG), *lines(seen, look), BLANK],
        ids=list(rows),
        row=lambda one: (text(f" ({'o' if one == chosen else ' '}) {rows[one]}"),),
    )


def lines(seen: ContactView, look: Look, authority: str = "") -> list[Line]:
    """Return a certificate, what is compared first: a low screen cuts the rest.

    Args:
        seen: What the host shows.
        look: The look at the page.
        authority: File that says who must have signed it; empty: it is to be pinned.
    """
    width = look.usable
    told = paragraph("Host", _("{host}, port {port}", host=seen.host, port=seen.port), width)
    told += _print("SHA-256", seen.sha256, width)
    if authority:
        by = _("whoever {file} says must have signed it; it is not pinned", file=authority)
        told += paragraph("Trusted by", by, width)
    elif seen.sha256 != seen.pinned:
        how = _(
            "with what the host's own console shows, not with anything that came over this network."
        )
        told += paragraph("Compare", how, width, tone=Tone.WARN)
    if seen.pinned and seen.sha256 != seen.pinned:
        told += _print("Pinned now", seen.pinned, width)
    told += paragraph("Issued to", seen.subject or _("nobody named"), width)
    told += paragraph("Issued by", seen.issuer or _("nobody named"), width)
    return told + _valid(seen, look)


def _print(label: str, sha256: str, width: int) -> list[Line]:
    """Return a fingerprint as a host's own console shows it, in lines that fit."""
    step = _WIDE if width > _WIDE + 14 else _NARROW
    parts = [sha256[at : at + step] for at in range(0, len(sha256), step)]
    told = paragraph(label, parts[0], width, tone=Tone.STRONG, named=True)
    return told + [((" " * 14, Tone.PLAIN), (part, Tone.STRONG)) for part in parts[1:]]


def _valid(seen: ContactView, look: Look) -> list[Line]:
    if seen.begins is None or seen.ends is None:
        return paragraph("Valid", _("it does not say"), look.usable)
    begins, ends = f"{seen.begins:%Y-%m-%d}", f"{seen.ends:%Y-%m-%d}"
    told = _("{begins} to {ends}", begins=begins, ends=ends)
    if seen.ends < look.now:
        told += ": " + _("IT HAS EXPIRED. A pin holds all the same; a new one needs a new pin.")
    elif seen.begins > look.now:
        told += ": " + _("NOT YET. Look at the clocks of the host and of this computer.")
    tone = Tone.PLAIN if seen.begins <= look.now <= seen.ends else Tone.WARN
    return paragraph("Valid", told, look.usable, tone=tone)
