"""Removing a target: what goes, what stays where it is; then what was done. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.contact_views import RemovalView
from tui.heard import heard
from tui.look import Look
from tui.rows import BLANK, Line, paragraph, prose, spread, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import _

NO, YES = "no", "yes"


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page that asks; its first row, the default, changes nothing."""
    going = look.subject
    if not isinstance(going, RemovalView):
        return _nothing()
    width = look.usable
    what = _("REMOVE TARGET {name}", name=going.id)
    head = [
        spread(text(f" {what}", Tone.STRONG), text(_("nothing has changed yet")), width),
        BLANK,
        *paragraph("File", going.file, width),
        *paragraph("Becomes", going.aside, width),
        *_stays(going.stays, look),
    ]
    if look.height >= 20:
        command = f"bootpoint target remove {going.id} --yes-i-mean {going.id}"
        head += [BLANK, text(" " + _("Command:  {command}", command=command))]
    rows = {NO: _("No, leave. Nothing has changed."), YES: _("Yes, remove it")}
    chosen = look.chosen or NO
    return frame.Content(
        title=_title(going),
        head=[*head, BLANK],
        ids=list(rows),
        row=lambda one: (text(f" ({'o' if one == chosen else ' '}) {rows[one]}"),),
    )


def done_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return what was done, and what stays."""
    going = look.subject
    if not isinstance(going, RemovalView):
        return _nothing()
    width = look.usable
    title = _("TARGET {name} WAS REMOVED", name=going.id)
    told: list[Line] = [BLANK]
    told += prose(_("The engine has let go of it; nothing needs to be started again."), width)
    told += [BLANK, *paragraph("File", going.aside, width), *_stays(going.stays, look)]
    head = text(f" {title}", Tone.STRONG)
    return frame.pages(told, title=_title(going), head=[head])


def _stays(stays: Sequence[str], look: Look) -> list[Line]:
    told: list[Line] = []
    for one in stays:
        told += paragraph("Stays", heard(one), look.usable)
    return told


def _title(going: RemovalView) -> str:
    return _("targets") + f" > {going.id} > " + _("remove")


def _nothing() -> frame.Content:
    return frame.Content(title=_("targets"), empty=[BLANK, text(" " + _("No plan."))])
