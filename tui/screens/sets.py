"""Image sets as drawings of their chains, and every file that cannot be used, with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len

from engine.api.views import FindingView, SetPointView, SetView
from tui.format import cut, moment, pad, size
from tui.heard import heard
from tui.lists import Kind, Order, arrange, found, natural
from tui.look import Look
from tui.rows import BLANK, Column, Line, Span, paragraph, prose, table, text
from tui.screens import frame
from tui.screens.fleet import points_and_size
from tui.state import Fleet, unprotected
from tui.tones import ARRIVALS, SEVERITIES, UNKNOWN, Tone
from tui.words import N_, _, ngettext

COLUMNS = (
    Column("MACHINE", 16),
    Column("POINTS", 14),
    Column("SIZE", 8, right=True),
    Column("NEWEST", 12),
    Column("PROTECTED BY", 0),
    Column("FOLDER", 34, least=110),
)
FILE = "file:"
Row = SetView | FindingView


def _newest(one: Row) -> datetime | None:
    return one.newest if isinstance(one, SetView) else None


def _size(one: Row) -> int | None:
    return one.size if isinstance(one, SetView) else None


def _by(one: Row) -> str | None:
    return one.standby if isinstance(one, SetView) else None


def _state(one: Row) -> str:
    if not isinstance(one, SetView):
        return one.gravity
    states = ("" if one.online else "offline", "missing" if one.missing else "")
    return " ".join((*states, "protected" if one.standby else "free"))


LIST: Kind[Row] = Kind(
    N_("image set or problem"),
    N_("image sets and problems"),
    text=lambda one: (
        f"{one.machine} {one.root} {one.standby}"
        if isinstance(one, SetView)
        else f"{one.subject} {one.text}"
    ),
    orders=(
        Order("machine", "machine, then files with a problem", "files with a problem first"),
        Order("newest", "newest image first", "oldest image first", _newest, True),
        Order("size", "largest first", "smallest first", _size, True),
        Order("free", "not protected first", "protected first", _by),
    ),
    facets={"state": _state},
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the image sets screen: sets, then files with a problem."""
    every: list[Row] = [
        *sorted(fleet.sets.values(), key=lambda one: (natural(one.machine), one.id)),
        *sorted(fleet.findings.values(), key=lambda one: (one.gravity, one.subject)),
    ]
    listed = arrange(LIST, every, look)
    sets = {one.id: one for one in listed.rows if isinstance(one, SetView)}
    bad = {FILE + one.id: one for one in listed.rows if isinstance(one, FindingView)}
    grid = table(COLUMNS, look.usable)

    def row(name: str) -> Sequence[Line]:
        if name in sets:
            return (grid.row(*_row(fleet, look, sets[name])),)
        return (_bad_row(bad[name]),)

    return frame.Content(
        title=_("image sets"),
        head=[_answer(fleet), *listed.head()],
        columns=grid.head(),
        ids=[_id(one) for one in listed.rows],
        orders=listed.order_ids,
        row=row,
        empty=listed.empty(
            look,
            _("No image files were found."),
            _(
                "Replicate them into a folder named in engine.toml ([watch] roots) or in a "
                "standby; what is found appears here by itself."
            ),
        ),
        tail=_tail(look, sets, bad),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the image sets screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _id(one: Row) -> str:
    return one.id if isinstance(one, SetView) else FILE + one.id


def _answer(fleet: Fleet) -> Line:
    free = len(unprotected(fleet))
    bad = len(fleet.findings)
    told = ngettext(
        "{count} image set, {free} not protected",
        "{count} image sets, {free} not protected",
        len(fleet.sets),
        free=free,
    )
    wrong = ngettext("{count} problem, see below", "{count} problems, see below", bad)
    return text(f" {told}   {wrong}" if bad else f" {told}", Tone.STRONG)


def _row(fleet: Fleet, look: Look, one: SetView) -> tuple[Span, Sequence[str | Span]]:
    damaged = any(point.arrival == "damaged" for point in one.points)
    mark: Span = ("+", Tone.PLAIN) if one.standby else (" ", Tone.PLAIN)
    if one.missing or damaged:
        mark = ("X", Tone.BAD)
    if not one.online or fleet.link.is_lost:
        mark = ("?", Tone.WARN)
    fulls = sum(point.base for point in one.points)
    by: Span = (one.standby, Tone.PLAIN) if one.standby else (_("nobody, n protects"), Tone.WARN)
    if not one.online:
        by = (_("folder offline"), Tone.WARN)
    return mark, (
        one.machine or "-",
        _("{fulls} full + {increments}", fulls=fulls, increments=len(one.points) - fulls),
        size(one.size),
        look.when(one.newest),
        by,
        one.root,
    )


def _bad_row(one: FindingView) -> Line:
    sign = SEVERITIES.get(one.gravity, UNKNOWN)
    return (
        (f" {sign.mark} ", sign.tone),
        (f"{pad(one.subject, 30)}  ", Tone.PLAIN),
        (heard(one.text), Tone.PLAIN),
    )


def _tail(look: Look, sets: dict[str, SetView], bad: dict[str, FindingView]) -> list[Line]:
    chosen = look.chosen or next(iter([*sets, *bad]), "")
    if chosen in bad:
        one = bad[chosen]
        told = paragraph("About", one.subject, look.usable, tone=Tone.STRONG)
        told += paragraph("Happened", heard(one.text), look.usable)
        told += paragraph("What now", heard(one.remedy), look.usable)
        if one.since:
            told += paragraph("Since", moment(one.since, look.zone), look.usable)
        return told
    if chosen in sets:
        one_set = sets[chosen]
        told = [text(f" {chain(one_set.points, look.usable - 2)}")]
        for why in one_set.missing:
            told += prose(heard(why), look.usable, Tone.WARN, 3)
        if not one_set.online:
            told += prose(
                _("{folder} cannot be read now.", folder=one_set.root), look.usable, Tone.WARN, 3
            )
        return told
    return []


def chain(points: Sequence[SetPointView], width: int) -> str:
    """Return a chain as a drawing, the newest points: `F--1--2  [3 missing]  4--5`.

    `F` is a full, a number an increment, `(5)` one that is damaged, `5?` one still arriving.
    """
    ordered = sorted(points, key=lambda one: (one.sequence, one.id))
    known = {one.id for one in ordered}
    parts: list[str] = []
    for point in ordered:
        name = "F" if point.base else str(point.sequence)
        name = {"damaged": f"({name})", "arriving": f"{name}?"}.get(point.arrival, name)
        if not parts:
            parts.append(name)
        elif not point.base and point.parent and point.parent not in known:
            parts.append(f"  [{_('parent missing')}]  {name}")
        else:
            parts.append(f"   {name}" if point.base else f"--{name}")
    if not points:
        return _("empty")
    shown = ""
    for number, part in enumerate(reversed(parts)):
        if cell_len(part) + cell_len(shown) > width - 6:
            more = _("{count} more: {points}", count=len(parts) - number, points=shown)
            return cut(more, width)
        shown = part + shown
    return shown


def set_content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the screen of one image set: its recovery points, newest first."""
    one = fleet.sets.get(look.arg)
    if one is None:
        gone = [BLANK, text(" " + _("This image set is no longer there."), Tone.WARN)]
        return frame.Content(title=_("image sets"), empty=gone)
    width = look.usable
    offline = _("{folder} (offline)", folder=one.root)
    told = paragraph("Folder", one.root if one.online else offline, width)
    told += paragraph("Protected", one.standby or _("by nobody yet"), width)
    told += paragraph("Chain", chain(one.points, width - 16), width)
    for why in one.missing:
        told += paragraph("Missing", heard(why), width, tone=Tone.WARN)
    told.append(BLANK)
    for point in sorted(one.points, key=lambda p: (p.taken_at, p.sequence), reverse=True):
        sign = ARRIVALS.get(point.arrival, UNKNOWN)
        kind = _("full") if point.base else _("increment")
        at = moment(point.taken_at, look.zone)
        spoken = f"{point.sequence:>6}  {at}  {size(point.size):>8}  {kind}"
        told.append(((f" {sign.mark} ", sign.tone), (f"{spoken}, {_(sign.words)}", Tone.PLAIN)))
        told += prose(heard(point.reason), width, Tone.WARN, 12) if point.reason else []
    told, said = found(told, look)
    head = [
        text(f" {one.machine}   {points_and_size(len(one.points), one.size)}", Tone.STRONG),
        *said,
    ]
    return frame.pages(told, title=_("image sets") + f" > {one.machine}", head=head)


def set_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the screen of one image set, line by line."""
    return list(frame.draw(set_content(fleet, look), fleet, look).lines)
