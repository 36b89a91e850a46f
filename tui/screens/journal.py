"""What has happened, the newest first; the chosen entry in its three parts below."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import JournalView
from tui.format import moment
from tui.heard import heard
from tui.lists import Kind, Order, arrange, natural
from tui.look import Look
from tui.rows import Line, paragraph, spread, text
from tui.screens import frame
from tui.screens.fleet import journal_lines
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

ALSO = {"warning": "warning late", "error": "error fail"}
"""Words of `state:` that find an entry, by its severity."""


def _grave(entry: JournalView) -> int:
    return ("info", "warning", "error").index(entry.severity) if entry.severity in ALSO else 0


LIST: Kind[JournalView] = Kind(
    N_("entry"),
    N_("entries"),
    text=lambda one: f"{one.machine} {one.text} {one.key}",
    orders=(
        Order("newest", "the newest first", "the oldest first"),
        Order("machine", "machine", "machine, from the end", lambda one: natural(one.machine)),
        Order("gravity", "the gravest first", "the gravest last", _grave, True),
        Order("what", "what happened", "what happened, from the end", lambda one: one.key),
    ),
    facets={"state": lambda one: ALSO.get(one.severity, one.severity)},
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the journal screen."""
    listed = arrange(LIST, fleet.journal[::-1], look)
    shown = {one.id: one for one in listed.rows}
    chosen = shown.get(look.chosen) or next(iter(shown.values()), None)
    lined = dict(zip(shown, journal_lines(list(shown.values()), look), strict=True))
    return frame.Content(
        title=_("journal"),
        head=listed.head() or [_head(fleet, look)],
        ids=list(shown),
        row=lambda name: (lined[name],),
        empty=listed.empty(
            look,
            _("Nothing has happened yet."),
            _("Whatever the engine does is told here by itself."),
        ),
        tail=_parts(chosen, look) if chosen else (),
        orders=listed.order_ids,
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the journal screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _head(fleet: Fleet, look: Look) -> Line:
    total = len(fleet.journal)
    bad = sum(entry.severity == "error" for entry in fleet.journal)
    warned = sum(entry.severity == "warning" for entry in fleet.journal)
    return spread(
        text(" " + _("The newest {total} entries, newest first", total=total)),
        text(f"X {bad}   ! {warned}"),
        look.usable,
    )


def _parts(entry: JournalView, look: Look) -> Sequence[Line]:
    width = look.usable
    at = moment(entry.at, look.zone)
    told = paragraph("Happened", heard(entry.text), width, tone=Tone.STRONG)
    told += paragraph("Not changed", heard(entry.unchanged), width)
    told += paragraph("What now", heard(entry.remedy), width)
    when = _(
        "{when}, about {machine}  ({key}, no. {number})",
        when=at,
        machine=entry.machine or _("the engine"),
        key=entry.key,
        number=entry.id,
    )
    return [*told, *paragraph("When", when, width)]
