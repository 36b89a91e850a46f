"""A new standby: what was begun and left, and the image sets that no standby follows."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import SetView
from engine.local.drafts import Draft
from tui.format import pad, size
from tui.look import Look
from tui.rows import BLANK, Column, Line, paragraph, prose, table, text
from tui.screens import frame
from tui.screens.form import step_of
from tui.screens.sets import chain
from tui.state import Fleet, unprotected
from tui.tones import Tone
from tui.words import _

ADD = "bootpoint standby add NAME --images DIR"
COLUMNS = (
    Column("MACHINE", 18),
    Column("POINTS", 6, right=True),
    Column("SIZE", 8, right=True),
    Column("NEWEST", 12),
    Column("FOLDER", 0),
)
DRAFT = "draft:"
"""Begins the ids of drafts; those of image sets have no colon before a name."""


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the drafts that were left, then the image sets that no standby follows."""
    free = {one.id: one for one in unprotected(fleet)}
    drafts = {DRAFT + one.name: one for one in look.drafts if one.new}
    grid = table(COLUMNS, look.usable)
    chosen = look.chosen or next(iter([*drafts, *free]), "")

    def row(name: str) -> Sequence[Line]:
        if name in drafts:
            return (_draft_row(drafts[name], look),)
        return (grid.row((" ", Tone.PLAIN), _set_row(free[name], look)),)

    head = _(" Which machine shall be protected?   Enter chooses, Esc leaves")
    return frame.Content(
        title=_("new standby"),
        head=[text(head, Tone.STRONG)],
        columns=grid.head(),
        ids=[*drafts, *free],
        row=row,
        empty=[
            BLANK,
            *prose(
                _(
                    "Every image set that was found is protected already. Replicate the images of "
                    "another machine into a watched folder; it appears here by itself."
                ),
                look.usable,
            ),
            BLANK,
            *prose(_("A folder that is not watched yet: {command}", command=ADD), look.usable),
        ],
        tail=_tail(look, free.get(chosen), drafts.get(chosen)),
    )


def _set_row(one: SetView, look: Look) -> tuple[str, ...]:
    newest = look.when(one.newest)
    return (one.machine or "-", str(len(one.points)), size(one.size), newest, one.root)


def _draft_row(one: Draft, look: Look) -> Line:
    at = f"   {look.when(one.at)}" if one.at else ""
    told = _("draft, left at: {step}", step=_(step_of(one).title))
    return ((" ! ", Tone.WARN), (f"{pad(one.name, 18)} ", Tone.STRONG), (told + at, Tone.PLAIN))


def _tail(look: Look, free: SetView | None, draft: Draft | None) -> list[Line]:
    if draft is not None:
        told = prose(_("Enter goes on where it was left; x throws the draft away."), look.usable)
        return told + paragraph("Not taken", draft.why, look.usable, tone=Tone.WARN)
    return [text(f" {chain(free.points, look.usable - 2)}")] if free else []


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the list of image sets, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
