"""The first page of an emergency: which data, how old, what is lost, what looks wrong, how long."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import review_words as words
from engine.api.review_views import ChoiceView, ReviewView
from engine.api.views import Plan
from tui.format import age, cut, moment
from tui.heard import heard
from tui.look import Look
from tui.rows import Column, Line, Span, clip, paragraph, prose, spread, table, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import STAGES, Tone
from tui.words import _

COLUMNS = (
    Column("POINT", 9),
    Column("DATA AS OF", 19),
    Column("YOU LOSE", 8, right=True),
    Column("NEWER", 5, right=True, least=70),
    Column("PROVEN", 12, least=66),
    Column("GUARD", 0),
)
ROOMY = 30
"""From this height on everything is told; below, the gravest only."""


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page; its rows are the boot points that can start."""
    plan = look.subject
    if not isinstance(plan, Plan) or plan.review is None:
        return frame.Content(title=_("emergency"), empty=[text(" " + _("Nothing is known."))])
    view = plan.review
    by_id = {one.point: one for one in view.choices}
    grid = table(COLUMNS, look.usable)
    chosen = by_id.get(look.chosen) or by_id.get(view.proposed)
    return frame.Content(
        title=f"{plan.machine} > " + _("emergency"),
        head=_head(look, plan.machine, view),
        columns=grid.head(),
        ids=list(by_id),
        row=lambda name: (grid.row(*_row(look, view, by_id[name])),),
        first=view.proposed,
        tail=_about(look, view, chosen) if chosen else (),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _head(look: Look, machine: str, view: ReviewView) -> list[Line]:
    width, roomy = look.usable, look.height >= ROOMY
    title = text(_(" EMERGENCY   start {machine}, isolated", machine=machine), Tone.STRONG)
    told = [spread(title, text(_("nothing has changed yet")), width)]
    if look.height >= 20:
        told += prose(_("Choose the data to start from. Then its name is asked for."), width)
    tone = Tone.BAD if view.odd_since else Tone.PLAIN
    guard = paragraph("Guard", heard(words.guard(view)), width, tone=tone)
    told += clip(guard, 6 if roomy else 2, width)
    told += _missing(look, view)
    took = _(
        "{time}. {history}",
        time=heard(words.expected(view)),
        history=heard(words.history(view)),
    )
    return told + clip(paragraph("Time", took, width), 3 if roomy else 2, width)


def _missing(look: Look, view: ReviewView) -> list[Line]:
    """Return what has arrived and is in none of them."""
    most = 6 if look.height >= ROOMY else 2
    shown = view.missing[:most]
    more = len(view.missing) - len(shown) + view.more_missing
    told = [f"{look.when(one.data_as_of)}  {heard(words.missing(one))}" for one in shown]
    if more:
        told[-1] += _("; and {count} more", count=more)
    lost: list[Line] = []
    for label, line in zip(["Not ready", *[" "] * len(told)], told, strict=False):
        lost += paragraph(label, cut(line, look.usable - 15), look.usable, tone=Tone.WARN)
    return lost or paragraph("Not ready", _("nothing: all that has arrived can start"), look.usable)


def doubt(one: ChoiceView) -> Span:
    """Return what the guard thinks of a boot point, in a word or two."""
    if one.suspect:
        return (_("LOOKS ENCRYPTED"), Tone.BAD)
    return (_("odd, see below"), Tone.WARN) if one.guard else ("-", Tone.PLAIN)


def _row(look: Look, view: ReviewView, one: ChoiceView) -> tuple[Span, Sequence[str | Span]]:
    sign = STAGES["ready"]
    mark: Span = ("!", Tone.BAD) if one.suspect else (sign.mark, sign.tone)
    said, tone = doubt(one)
    proposed = _("<- proposed") if one.point == view.proposed else ""
    said = proposed if proposed and said == "-" else f"{said} {proposed}".rstrip()
    return mark, (
        one.point,
        moment(one.data_as_of, look.zone),
        age(look.age(one.data_as_of)),
        str(one.newer) if one.newer else "-",
        look.when(one.proven_at) if one.proven_at else _("not yet"),
        (said, tone),
    )


def _about(look: Look, view: ReviewView, one: ChoiceView) -> list[Line]:
    width = look.usable
    old = age(look.age(one.data_as_of))
    since = moment(one.data_as_of, look.zone)
    lost = _("what was written after {moment}, {age} of work", moment=since, age=old)
    if one.newer:
        lost += _("; increments after it that arrived here: {count}", count=one.newer)
    told = paragraph("You lose", lost, width, tone=Tone.STRONG)
    if one.suspect and view.odd_since is not None:
        since = moment(view.odd_since, look.zone)
        doubted = _(
            "holds data written since {moment}, which looks encrypted. Choose an older one.",
            moment=since,
        )
        told += paragraph("Doubt", doubted, width, tone=Tone.BAD)
    told += paragraph("Odd", heard(one.guard), width, tone=Tone.WARN)
    if one.point == view.proposed:
        told += paragraph("Proposed", heard(view.why), width)
    told += paragraph("Pinned", one.pin, width)
    if view.hidden:
        more = _("boot points that can start and are not listed: {count}", count=view.hidden)
        told += paragraph("Older", more, width)
    return told
