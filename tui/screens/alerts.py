"""Everything that is wrong and was told, or will be; who looks after it, and who knows."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import AlertView
from tui.format import age
from tui.heard import heard
from tui.lists import Kind, Order, arrange, natural
from tui.look import Look
from tui.rows import Column, Line, Span, paragraph, table, text
from tui.screens import frame
from tui.state import Fleet, raised_alerts
from tui.tones import SEVERITIES, UNKNOWN, Tone
from tui.words import N_, _

COLUMNS = (
    Column("SINCE", 6, right=True),
    Column("MACHINE", 14, least=70),
    Column("WHAT", 0),
    Column("LOOKS AFTER", 12, least=90),
)

GRAVITY = ("info", "warning", "error")


def _grave(one: AlertView) -> int:
    return GRAVITY.index(one.severity) if one.severity in GRAVITY else 0


LIST: Kind[AlertView] = Kind(
    N_("alert"),
    N_("alerts"),
    text=lambda one: f"{one.id} {one.machine} {one.title}",
    orders=(
        Order("told", "as they were raised", "the last raised first"),
        Order("since", "longest first", "shortest first", lambda one: one.raised_at),
        Order("machine", "machine", "machine, from the end", lambda one: natural(one.machine)),
        Order("gravity", "the gravest first", "the gravest last", _grave, True),
    ),
    facets={"state": lambda one: f"{one.severity} {'over' if one.cleared_at else 'raised'}"},
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the alerts screen."""
    listed = arrange(LIST, list(fleet.alerts.values()), look)
    alerts = {one.id: one for one in listed.rows}
    grid = table(COLUMNS, look.usable)
    chosen = alerts.get(look.chosen) or next(iter(alerts.values()), None)
    raised = len(raised_alerts(fleet))
    return frame.Content(
        title=_("alerts"),
        head=[text(" " + _("ALERTS RAISED: {count}", count=raised), Tone.STRONG), *listed.head()],
        columns=grid.head(),
        ids=list(alerts),
        row=lambda name: (grid.row(*_row(fleet, look, alerts[name])),),
        empty=listed.empty(
            look,
            _("Nothing is wrong that an alert tells of."),
            _(
                "Who is told of one stands in engine.toml, [alerts]. To try every way: {command}",
                command="bootpoint alert --test",
            ),
        ),
        orders=listed.order_ids,
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
    title = heard(one.title)
    if over:
        title = _("over: {alert}", alert=title)
    return mark, (age(look.age(one.raised_at)), one.machine, title, one.acked_by or "-")


def _about(look: Look, one: AlertView) -> list[Line]:
    width = look.usable
    told = paragraph("Happened", heard(one.text), width)
    told += paragraph("What now", heard(one.remedy), width)
    if one.acked_by:
        told += paragraph("Looks after", f"{one.acked_by} {one.note}".rstrip(), width)
    elif one.cleared_at is None:
        told += paragraph("Looks after", _("nobody yet: m if you do, with a note"), width)
        told += paragraph("As a command", f"bootpoint alert ack {one.id}", width)
    return told + paragraph("Told", ", ".join(one.told) or _("nobody yet"), width)
