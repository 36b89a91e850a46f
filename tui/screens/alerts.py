"""Everything that is wrong and was told, or will be; who looks after it, and who knows."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import AlertView
from tui.format import age
from tui.look import Look
from tui.rows import BLANK, Column, Line, Span, paragraph, table, text
from tui.screens import frame
from tui.state import Fleet, raised_alerts
from tui.tones import SEVERITIES, UNKNOWN, Tone

COLUMNS = (
    Column("SINCE", 6, right=True),
    Column("MACHINE", 14, least=70),
    Column("WHAT", 0),
    Column("LOOKS AFTER", 12, least=90),
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the alerts screen."""
    alerts = {
        one.id: one
        for one in fleet.alerts.values()
        if look.query.lower() in f"{one.id} {one.machine} {one.title}".lower()
    }
    grid = table(COLUMNS, look.usable)
    chosen = alerts.get(look.chosen) or next(iter(alerts.values()), None)
    raised = len(raised_alerts(fleet))
    return frame.Content(
        title="alerts",
        head=[text(f" ALERTS RAISED: {raised}", Tone.STRONG)],
        columns=grid.head(),
        ids=list(alerts),
        row=lambda name: (grid.row(*_row(fleet, look, alerts[name])),),
        empty=[BLANK, text(" Nothing is wrong that an alert tells of.")],
        tail=_about(look, chosen) if chosen else (),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the alerts screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _row(fleet: Fleet, look: Look, one: AlertView) -> tuple[Span, Sequence[str | Span]]:
    sign = SEVERITIES.get(one.severity, UNKNOWN)
    over = one.cleared_at is not None
    mark: Span = (" ", Tone.PLAIN) if over else (sign.mark, sign.tone)
    if fleet.link.is_lost:
        mark = ("?", Tone.WARN)
    title = f"over: {one.title}" if over else one.title
    return mark, (age(look.age(one.raised_at)), one.machine, title, one.acked_by or "-")


def _about(look: Look, one: AlertView) -> list[Line]:
    width = look.usable
    told = paragraph("Happened", one.text, width)
    told += paragraph("What now", one.remedy, width)
    if one.acked_by:
        told += paragraph("Looks after", f"{one.acked_by} {one.note}".rstrip(), width)
    elif one.cleared_at is None:
        told += paragraph("To look after", f"bootpoint alert ack {one.id}", width)
    return told + paragraph("Told", ", ".join(one.told) or "nobody yet", width)
