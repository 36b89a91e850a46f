"""The common frame: title, answer, list, details, keys; and which rows fit. Pure.

title          bootpoint  site > where                   who (role)  13:42 JST
banner         only while the engine does not answer
head           the answer of this screen
------------
columns
rows           the cursor is reverse video, and `=` in the first cell
------------
tail           about the chosen row, jobs, journal
notice
keys           only those that work now
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from tui import keys
from tui.format import duration, moment
from tui.look import Look
from tui.rows import BLANK, Line, Span, cells, clip, fit, paragraph, prose, spread, text
from tui.state import Fleet, raised_alerts
from tui.tones import Tone
from tui.words import _, ngettext

LEAST_ROWS = 5
MOST_NOTICE = 3
"""Lines of a sentence for the operator, where the screen is high enough."""
STATUS = "systemctl status bootpoint"


@dataclass(frozen=True, slots=True)
class Content:
    """What stands on a screen, before it is known what fits.

    Attributes:
        title: Where this is, for the first line.
        head: Answer lines; the last ones are cut when the screen is low.
        ids: Rows, top to bottom; `row` gives the lines of one (always `tall` many).
        columns: Titles of the rows.
        empty: Shown instead of rows when there are none.
        tail: Lines below the rows; the last ones are cut when the screen is low.
        pager: True when there is no cursor and the arrows move the text.
        first: Row under the cursor when none was chosen yet; empty: the first one.
        orders: By what the rows can be put in order, the usual one first.
    """

    title: str = ""
    head: Sequence[Line] = ()
    ids: Sequence[str] = ()
    row: Callable[[str], Sequence[Line]] = lambda _name: (BLANK,)
    tall: int = 1
    columns: Line | None = None
    empty: Sequence[Line] = ()
    tail: Sequence[Line] = ()
    pager: bool = False
    first: str = ""
    orders: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines for the board, exactly as many as the screen is high.

    Attributes:
        cursor: Number of the line under the cursor; None without one.
        chosen, at, top: As they came out: the chosen row may have gone. `at` is its number.
        page: Rows that fit, for moving by screens.
    """

    lines: tuple[Line, ...]
    cursor: int | None
    chosen: str
    top: int
    page: int
    at: int = 0


def pages(lines: Sequence[Line], **more: object) -> Content:
    """Return the content of a screen that is only text to read."""
    ids = [str(number) for number in range(len(lines))]
    return Content(ids=ids, row=lambda name: (lines[int(name)],), pager=True, **more)  # type: ignore[arg-type]  # fields of Content, passed on


def broken(error: Exception, look: Look) -> Content:
    """Return a page instead of one that cannot be drawn: what to do, and what to report."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{PurePath(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at else "-"
    width = look.usable
    told = [BLANK, *paragraph("Happened", _("This page cannot be drawn."), width, tone=Tone.BAD)]
    told += paragraph("Not changed", _("Nothing was changed; the engine goes on."), width)
    told += paragraph(
        "What now",
        _(
            "Esc leaves this page, the others go on. bootpoint status and bootpoint show MACHINE "
            "tell the same. To report: {error}, {where}, {place}.",
            error=type(error).__name__,
            where=where,
            place=look.place,
        ),
        width,
    )
    return Content(title=look.place, empty=told)


def draw(content: Content, fleet: Fleet, look: Look) -> Drawing:
    """Return the screen: what fits of the content, in the common frame."""
    look = replace(look, chosen=chosen_of(content, look))
    width, rule = look.usable, text(look.glyphs.rule * look.usable)
    above = [title(content.title, fleet, look), *banner(fleet, look)]
    below = [*_notice(look), footer(fleet, look)]
    columns = [content.columns] if content.columns and content.ids else []
    head, tail = list(content.head), list(content.tail)
    room = look.height - len(above) - len(below) - len(columns) - 1
    wanted = len(content.ids) * content.tall or len(content.empty)
    least = min(wanted, max(LEAST_ROWS, content.tall))
    tail = clip(tail, max(0, room - len(head) - least - 1), width)
    head = clip(head, max(0, room - least - (len(tail) + 1 if tail else 0)), width)
    body_room = room - len(head) - (len(tail) + 1 if tail else 0)
    body, cursor, chosen, top, page = _body(content, look, max(1, body_room))
    lines = [*above, *head, rule, *columns]
    start = len(lines)
    lines += body + ([rule, *tail] if tail else [])
    lines = [*lines[: look.height - len(below)], *below]
    return Drawing(
        tuple(fit(line, width) for line in lines),
        None if cursor is None else start + cursor,
        chosen,
        top,
        page,
        content.ids.index(chosen) if chosen else look.at,
    )


def chosen_of(content: Content, look: Look) -> str:
    """Return the row under the cursor; the keys that work depend on it from the first paint on.

    The cursor stays on its row wherever that moves; when the row has gone, it stays where it was.
    """
    ids = content.ids
    if content.pager or not ids:
        return ""
    if look.chosen in ids:
        return look.chosen
    if look.chosen:
        return ids[min(look.at, len(ids) - 1)]
    return content.first if content.first in ids else ids[0]


def _body(content: Content, look: Look, room: int) -> tuple[list[Line], int | None, str, int, int]:
    ids, tall = content.ids, content.tall
    if not ids:
        lines = list(content.empty)[:room]
        return lines + [BLANK] * (room - len(lines)), None, "", 0, 1
    fits = max(1, room // tall)
    page = fits if len(ids) <= fits else max(1, (room - 1) // tall)
    at = ids.index(look.chosen) if look.chosen in ids else 0
    top = min(look.top, max(0, len(ids) - page))
    if not content.pager:
        top = min(max(top, at - page + 1), at)
    shown = ids[top : top + page]
    lines = [line for name in shown for line in content.row(name)]
    if len(ids) > page:
        lines = lines[: room - 1]
        lines += [BLANK] * (room - 1 - len(lines)) + [_more(top, page, len(ids))]
    lines = (lines + [BLANK] * room)[:room]
    cursor = None if content.pager else (at - top) * tall
    return lines, cursor, look.chosen, top, page


def _more(top: int, page: int, total: int) -> Line:
    above, below = top, total - top - page
    parts = [
        _("{count} more below, PgDn", count=below) if below else "",
        _("{count} more above, PgUp", count=above) if above else "",
    ]
    return text("   " + "   ".join(part for part in parts if part))


def title(where: str, fleet: Fleet, look: Look) -> Line:
    """Return the first line: what this is, who looks, and the time with its zone."""
    hello = fleet.hello
    role = _("viewer, read-only") if fleet.role == "viewer" else fleet.role
    who = f"{hello.user} ({role})  " if hello else ""
    place = f" > {where}" if where else ""
    left: Line = ((" bootpoint  ", Tone.HEAD), ((hello.site if hello else "") + place, Tone.PLAIN))
    raised = len(raised_alerts(fleet))
    told = ngettext("{count} alert", "{count} alerts", raised)
    alarm: Line = ((told + "  ", Tone.WARN),) if raised else ()
    return spread(left, (*alarm, *text(who + look.clock())), look.usable)


def banner(fleet: Fleet, look: Look) -> list[Line]:
    """Return what stands on top while the engine does not answer, nothing while it does."""
    link = fleet.link
    if link.since is None or not link.ever:
        return []
    # Times of the link are by the console's clock, `look.now` by the engine's.
    here = look.now - fleet.skew
    tries = _(
        "Next try in {wait} (try {number}).", wait=wait_words(fleet, look), number=link.tries + 1
    )
    since = moment(link.since, look.zone).split()[-1]
    long = duration((here - link.since).total_seconds())
    what = _(
        "ENGINE NOT ANSWERING since {since} ({long}). LAST KNOWN STATE, nothing is live.",
        since=since,
        long=long,
    )
    told = [f" {what}", f" {tries} {link.why}"]
    if look.height >= 20:
        go_on = _("Try: {command}   VMs that run go on; nothing is undone.", command=STATUS)
        told.append(f" {go_on}")
    return [text(line, Tone.WARN) for line in told]


def wait_words(fleet: Fleet, look: Look) -> str:
    """Return how long until the engine is tried again."""
    link = fleet.link
    here = look.now - fleet.skew
    return "0s" if link.next_at is None else duration((link.next_at - here).total_seconds())


def _notice(look: Look) -> list[Line]:
    told = prose(look.notice, look.usable, Tone.STRONG) if look.notice else []
    return told[:MOST_NOTICE] if look.height >= LEAST_ROWS * 4 else told[:1]


def footer(fleet: Fleet, look: Look) -> Line:
    """Return the line of keys: those that work now, as many as fit, help and leave always."""
    if look.typing:
        return text(" " + _("TYPING AT THE GUEST   Ctrl-] ends it"), Tone.LIVE)
    ranked = sorted(
        (key for key in keys.working(fleet, look) if key.rank), key=lambda key: key.rank
    )
    if look.place == "fleet":
        ranked = [key for key in ranked if key.id != "back" or look.query or look.worst]
    fixed = [key for key in ranked if key.rank >= keys.BY_ID["quit"].rank]
    left: list[Span] = []
    room = look.usable - sum(cells(_shown(key, look)) for key in fixed) - 1
    for key in ranked:
        words = _shown(key, look)
        if key in fixed or cells(words) > room:
            continue
        room -= cells(words)
        left += words
    return (*left, *(span for key in fixed for span in _shown(key, look)))


def _shown(key: keys.Key, look: Look) -> Line:
    words = keys.OPENS.get(look.place, key.words) if key.id == "open" else key.words
    return ((f" {key.sign}", Tone.HEAD), (f" {_(words)} ", Tone.PLAIN))
