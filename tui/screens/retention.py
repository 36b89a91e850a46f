"""Which boot points of a machine stay, which go, why, and how much room comes back."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.changes import Kind as Tint
from engine.api.changes import Words
from engine.api.keeping_views import (
    ForeseenView,
    RetentionView,
    VerdictView,
    room,
    settings_words,
)
from tui.format import age, moment
from tui.heard import heard
from tui.lists import Kind, Order, arrange
from tui.look import Kept, Look
from tui.rows import BLANK, Column, Line, Span, paragraph, table, text
from tui.screens import frame
from tui.screens.reports import laid_out, refused
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _, ngettext

COLUMNS = (
    Column("POINT", 8),
    Column("DATA AS OF", 19),
    Column("AGE", 6, right=True, least=70),
    Column("STAYS", 5),
    Column("BECAUSE", 0),
)
LIST: Kind[VerdictView] = Kind(
    N_("boot point"),
    N_("boot points"),
    text=lambda one: f"{one.id} {one.reason} {one.pin}",
    orders=(
        Order("newest", "newest data first", "oldest data first"),
        Order("goes", "what goes first", "what stays first", lambda one: one.keep),
        Order("because", "reason", "reason, from the end", lambda one: one.reason),
    ),
    facets={"state": lambda one: "stays" if one.keep else "goes"},
)


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page: its answer, then each boot point, the newest on top."""
    kept = look.subject if isinstance(look.subject, Kept) else Kept()
    title = f"{look.machine} > " + _("retention")
    head: list[Line] = [text(" " + _("RETENTION: which boot points stay, and why"), Tone.STRONG)]
    if kept.failed is not None:
        return frame.pages(refused(look, kept.failed), title=title, head=head)
    view = kept.view
    if view is None:
        asking = text(
            " " + _("The engine looks at the store; this takes a moment. It is safe to leave.")
        )
        return frame.Content(title=title, head=head, empty=[BLANK, asking])
    listed = arrange(LIST, view.points[::-1], look)
    points = {one.id: one for one in listed.rows}
    grid = table(COLUMNS, look.usable)
    chosen = points.get(look.chosen) or next(iter(points.values()), None)
    return frame.Content(
        title=title,
        head=[*head, *laid_out(_answer(view, look), look), *listed.head()],
        columns=grid.head(),
        ids=list(points),
        row=lambda name: (grid.row(*_row(look, points[name])),),
        empty=listed.empty(
            look, _("No boot point yet, so nothing can go."), _("Each increment makes one.")
        ),
        tail=paragraph("Because", heard(chosen.reason), look.usable) if chosen else (),
        orders=listed.order_ids,
    )


def _answer(view: RetentionView, look: Look) -> list[Words]:
    comes = _("{stay} stay, {go} go; {room}.", stay=view.stay, go=view.go, room=heard(room(view)))
    told = [Words(comes), Words(heard(settings_words(view)))]
    if view.most is not None:
        told.append(
            Words(_("The target can hold {most} boot points of one chain.", most=view.most))
        )
    if view.hold:
        hold = _("ON HOLD, nothing is taken away: {reason}", reason=view.hold)
        told.append(Words(hold, Tint.WARNING))
    told += _coming(view.next, look)
    if view.hidden:
        told.append(
            Words(
                ngettext(
                    "{count} older one is not shown.",
                    "{count} older ones are not shown.",
                    view.hidden,
                )
            )
        )
    return told


def _coming(seen: ForeseenView | None, look: Look) -> list[Words]:
    """Return what goes next and when; nothing where something goes now."""
    if seen is None:
        return []
    time = moment(seen.at, look.zone) if seen.at else ""
    facts = {"point": seen.point, "count": seen.after, "time": time, "reason": heard(seen.reason)}
    if seen.after is None:
        return [Words(_("None of them goes as more come: each is kept for a reason."))]
    if not seen.point:
        full = N_("After {count} more the chain is full, and no further one is made: none may go.")
        return [Words(_(full, **facts), Tint.WARNING)]
    if not seen.after:
        told = _("Next to go: {point}, before another one is made: {reason}.", **facts)
    elif time:
        told = _("Next to go: {point}, after {count} more (about {time}): {reason}.", **facts)
    else:
        told = _("Next to go: {point}, after {count} more: {reason}.", **facts)
    return [Words(told)]


def _row(look: Look, one: VerdictView) -> tuple[Span, Sequence[str | Span]]:
    tone = Tone.PLAIN if one.keep else Tone.WARN
    return ("+" if one.keep else "-", tone), (
        one.id,
        moment(one.data_as_of, look.zone),
        age(look.age(one.data_as_of)),
        (_("stays") if one.keep else _("goes"), tone),
        (heard(one.reason), tone),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
