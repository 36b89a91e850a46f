"""What has happened, the newest first; the chosen entry in its three parts below."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import JournalView
from tui.format import moment
from tui.look import Look
from tui.rows import BLANK, Line, paragraph, spread, text
from tui.screens import frame
from tui.screens.fleet import journal_lines
from tui.state import Fleet
from tui.tones import Tone

GRAVE = {"late": "warning", "warning": "warning", "fail": "error", "error": "error"}


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the journal screen."""
    shown = {one.id: one for one in reversed(fleet.journal) if _fits(one, look.query)}
    chosen = shown.get(look.chosen) or next(iter(shown.values()), None)
    lined = dict(zip(shown, journal_lines(list(shown.values()), look), strict=True))
    return frame.Content(
        title="journal",
        head=[_head(fleet, look, len(shown))],
        ids=list(shown),
        row=lambda name: (lined[name],),
        empty=[
            BLANK,
            text(" No entry fits this filter." if look.query else " Nothing has happened yet."),
        ],
        tail=_parts(chosen, look) if chosen else (),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the journal screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _fits(entry: JournalView, query: str) -> bool:
    spoken = f"{entry.machine} {entry.text} {entry.key}".lower()
    return all(
        entry.severity in [GRAVE.get(part, part) for part in word[6:].split(",")]
        if word.startswith("state:")
        else word in spoken
        for word in query.lower().split()
    )


def _head(fleet: Fleet, look: Look, shown: int) -> Line:
    total = len(fleet.journal)
    if look.query:
        return text(f" Filter: {look.query}   {shown} of {total} shown   Esc shows all", Tone.NOTE)
    bad = sum(entry.severity == "error" for entry in fleet.journal)
    warned = sum(entry.severity == "warning" for entry in fleet.journal)
    return spread(
        text(f" The newest {total} entries, newest first"),
        text(f"X {bad}   ! {warned}"),
        look.usable,
    )


def _parts(entry: JournalView, look: Look) -> Sequence[Line]:
    width = look.usable
    at = moment(entry.at, look.zone)
    told = paragraph("Happened", entry.text, width, tone=Tone.STRONG)
    told += paragraph("Not changed", entry.unchanged, width)
    told += paragraph("What now", entry.remedy, width)
    about = entry.machine or "the engine"
    return [*told, *paragraph("When", f"{at}, about {about}  ({entry.key}, no. {entry.id})", width)]
