"""What was found in a guest, what conversion changed in it, and what it would change."""

from __future__ import annotations

from collections.abc import Iterable

from engine.api.changes import (
    LABEL,
    Kind,
    Words,
    difference_words,
    guest_words,
    ledger_summary,
    ledger_words,
)
from engine.api.conversion_views import ConversionView, GuestView, LedgerView
from tui.format import chop, moment, pad, wrap
from tui.heard import heard
from tui.lists import found
from tui.look import Look, Parts, Report
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

TONES = {
    Kind.TITLE: Tone.STRONG,
    Kind.PLAIN: Tone.PLAIN,
    Kind.WHERE: Tone.NOTE,
    Kind.OLD: Tone.BAD,
    Kind.NEW: Tone.NOTE,
    Kind.WARNING: Tone.WARN,
}
TITLES = {
    "guest": N_("GUEST"),
    "ledger": N_("LEDGER: what its conversion changed"),
    "dry run": N_("DRY RUN: what converting it would change"),
    "engine.toml": N_("ENGINE.TOML, to read"),
    "connected": N_("CONNECTED NOW, the longest first"),
}
ASKING = {
    "guest": N_("Asking the engine .."),
    "ledger": N_("Asking the engine .."),
    "dry run": N_("The engine looks at the guest; this takes seconds. It is safe to leave."),
}
MARGIN, DEEPER = 1, 4


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of a guest, a ledger or a dry run: text that moves below its answer."""
    report = look.subject if isinstance(look.subject, Report) else Report()
    point = look.arg.partition("/")[2]
    title = f"{look.machine} > {point} > {look.place}"
    what = _(TITLES[look.place])
    if report.against:
        what = _("LEDGERS {pair}", pair=report.against)
    data = "" if report.against else _data(fleet, look)
    head: list[Line] = [text(f" {what}{data}", Tone.STRONG)]
    if report.failed is not None:
        return frame.pages(refused(look, report.failed), title=title, head=head)
    if not report.asked:
        return frame.Content(
            title=title, head=head, empty=[BLANK, text(" " + _(ASKING[look.place]))]
        )
    told, said = found(laid_out(report.lines, look), look)
    head += [*laid_out(report.head, look), *said]
    return frame.pages(told or [BLANK], title=title, head=head)


def _data(fleet: Fleet, look: Look) -> str:
    detail = fleet.details.get(look.machine)
    wanted = look.arg.partition("/")[2]
    point = next((one for one in detail.points if one.id == wanted), None) if detail else None
    when = moment(point.data_as_of, look.zone) if point else ""
    return "   " + _("data as of {when}", when=when) if point else ""


def refused(look: Look, parts: Parts) -> list[Line]:
    """Return a refusal in its three parts."""
    width = look.usable
    told = [BLANK, *paragraph("Happened", heard(parts.happened), width, tone=Tone.STRONG)]
    told += paragraph("Not changed", heard(parts.unchanged), width)
    return told + paragraph("What now", heard(parts.remedy), width)


def laid_out(lines: Iterable[Words], look: Look) -> list[Line]:
    """Return lines within the screen's width; what is too long goes on below, a little deeper.

    The engine's own words are in the operator's language, wrapped where one may be; a guest's lines
    are its own.
    """
    told: list[Line] = []
    for line in lines:
        words = line.text
        margin = " " * (MARGIN + len(words) - len(words.lstrip()))
        if line.ours:
            parts = wrap(heard(words.strip()), max(8, look.usable - len(margin)))
            told += [text(margin + part, TONES[line.kind]) for part in parts or [""]]
            continue
        if line.label is not None:
            words = pad(_(line.label), LABEL) + heard(words)
        first, *rest = chop(words, look.usable - MARGIN) or [""]
        deeper = " " * (MARGIN + DEEPER)
        below = chop("".join(rest), look.usable - len(deeper)) if rest else []
        told.append(text(" " * MARGIN + first, TONES[line.kind]))
        told += [text(deeper + part, TONES[line.kind]) for part in below]
    return told


# --- what the engine answered ---------------------------------------------------------------


def about_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return a page about the engine: its own file, or who is connected to it."""
    report = look.subject if isinstance(look.subject, Report) else Report()
    head: list[Line] = [text(" " + _(TITLES[look.place]), Tone.STRONG)]
    title = _("connected") if look.place == "connected" else look.place
    if report.failed is not None:
        return frame.pages(refused(look, report.failed), title=title, head=head)
    told, said = found(laid_out(report.lines, look), look)
    head += [*laid_out(report.head, look), *said]
    return frame.pages(told or [BLANK], title=title, head=head)


def of_guest(view: GuestView) -> Report:
    """Return the page of a guest."""
    if view.source == "record":
        how = _("found when it was converted")
    else:
        how = _("found now: it is not converted")
    return Report((Words(how),), tuple(guest_words(view)), asked=True)


def of_ledger(view: LedgerView) -> Report:
    """Return the page of a ledger, all pages together."""
    if view.against:
        return Report(
            (), tuple(difference_words(view)), against=f"{view.against} -> {view.id}", asked=True
        )
    return Report(tuple(ledger_summary(view)), tuple(ledger_words(view)), asked=True)


def of_dry_run(view: ConversionView) -> Report:
    """Return the page of a dry run."""
    changes = ledger_words(view.ledger, view.guest.volumes)
    lines = (*guest_words(view.guest), *changes)
    return Report(tuple(ledger_summary(view.ledger, is_dry=True)), lines, asked=True)


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
