"""Who is connected to the engine, asked when somebody wants to know."""

from __future__ import annotations

from engine.api.changes import Kind, Words
from engine.api.presence import ClientView
from engine.model.text import safe
from tui.feed import Feed, Refusal
from tui.format import pad
from tui.look import Look, Parts, Report
from tui.words import N_, _

HEADS = ((N_("USER"), 16), (N_("ROLE"), 10), (N_("PROGRAM"), 10), (N_("SINCE"), 12))
FROM = N_("FROM")


async def asked(feed: Feed, look: Look) -> Report:
    """Return the page of all clients, the longest connected first; a refusal is told on it."""
    try:
        found = await feed.call("clients", {}, list[ClientView])
    except Refusal as refusal:
        parts = Parts(refusal.happened, refusal.unchanged, refusal.remedy)
        return Report(failed=parts, asked=True)
    heads = "".join(pad(_(title), width) + " " for title, width in HEADS) + _(FROM)
    return Report(
        (Words(heads, Kind.TITLE),), tuple(Words(_row(one, look)) for one in found), asked=True
    )


def _row(one: ClientView, look: Look) -> str:
    parts = (safe(one.user), one.role, safe(one.client), look.when(one.since))
    place = " ".join(safe(part) for part in (one.ssh, one.tty) if part)
    told = "".join(
        pad(part, width) + " " for part, (_title, width) in zip(parts, HEADS, strict=True)
    )
    return told + (place or "-") + ("  " + _("(this console)") if one.own else "")
