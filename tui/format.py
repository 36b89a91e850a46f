"""Times, sizes and bars in the operator's words, and text cut and padded by cells. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from rich.cells import cell_len, set_cell_size

from engine.api.words import NOTHING, age, duration, rate, size
from engine.api.words import moment as english
from tui import words
from tui.glyphs import Glyphs
from tui.words import N_, _

__all__ = [
    "age", "bar", "clock", "count", "cut", "duration", "goal", "moment", "pad", "percent", "rate",
    "retry_time", "size", "when", "wrap",
]  # fmt: skip

MINUTE, HOUR, DAY = 60, 3600, 86400
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
_WEEK = 7
_CLOSING = frozenset(
    "、。，．・：；？！）」』】〕〉》ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ),.;:!?"
)
_OPENING = frozenset("（「『【〔〈《(")


def cut(text: str, cells: int) -> str:
    """Return `text` in at most `cells` cells; a cut is marked with `..`."""
    if cell_len(text) <= cells:
        return text
    if cells <= 2:
        return set_cell_size(text, cells)
    return set_cell_size(text, cells - 2).rstrip() + ".."


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """Return `text` in exactly `cells` cells, on the right-hand side if `right`."""
    text = cut(text, cells)
    blanks = " " * (cells - cell_len(text))
    return blanks + text if right else text + blanks


def wrap(text: str, cells: int) -> list[str]:
    """Return `text` as lines of at most `cells` cells; words longer than that are cut up.

    A line may also end after a wide sign, for such scripts have no blanks; none begins with a
    closing mark or ends with an opening one.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        joint = " " if line else ""
        for piece in _pieces(word):
            if cell_len(line + joint + piece) <= cells:
                line += joint + piece
            else:
                if line:
                    lines.append(line)
                *whole, line = chop(piece, cells)
                lines += whole
            joint = ""
    return [*lines, line] if line else lines


def _pieces(word: str) -> list[str]:
    """Return a word in the parts that a line may end between."""
    if word.isascii():
        return [word]
    pieces: list[str] = []
    for sign in word:
        wide = cell_len(sign) == 2
        before = pieces[-1][-1:] if pieces else ""
        if pieces and (
            sign in _CLOSING or before in _OPENING or not (wide or cell_len(before) == 2)
        ):
            pieces[-1] += sign
        else:
            pieces.append(sign)
    return pieces


def chop(word: str, cells: int) -> list[str]:
    """Return a text in pieces of at most `cells` cells."""
    parts = [""]
    used = 0
    for sign in word:
        width = cell_len(sign)
        if used + width > cells and parts[-1]:
            parts.append("")
            used = 0
        parts[-1] += sign
        used += width
    return parts


def goal(seconds: float | None) -> str:
    """Return a goal as short as it goes: `1h 90m 1d`, `-` without one."""
    if not seconds:
        return "-"
    whole = int(seconds)
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if whole % unit == 0:
            return f"{whole // unit}{name}"
    return duration(whole)


def percent(done: float, total: float | None, *, sealed: bool = False) -> str:
    """Return the share done, cut; 100 only when `sealed`. Empty when the whole is not known."""
    if not total:
        return ""
    share = min(100, max(0, int(100 * done / total)))
    return f"{share if sealed else min(share, 99)}%"


def bar(done: float, total: float | None, cells: int, glyphs: Glyphs) -> str:
    """Return a bar of `cells` cells, brackets included; no motion when the whole is not known."""
    inner = max(1, cells - 2)
    full = 0 if not total else min(inner, max(0, int(inner * done / total)))
    return "[" + glyphs.full * full + glyphs.rest * (inner - full) + "]"


def moment(at: datetime | None, zone: tzinfo | None) -> str:
    """Return a moment in full, to the second: `Fri 13 Nov 22:00:04`."""
    if at is None:
        return "-"
    here = at.astimezone(zone)
    return _(
        "{weekday} {day} {month} {clock}",
        weekday=_(_DAYS[here.weekday()]),
        day=f"{here.day:2}" if words.language() == words.SOURCE else here.day,
        month=_month(here),
        clock=f"{here:%H:%M:%S}",
    )


def when(at: datetime | None, now: datetime, zone: tzinfo | None = None) -> str:
    """Return a moment as short as it goes: `13:40`, `Sat 23:00`, `13 Nov 22:00`, `13 Nov 2025`."""
    if at is None or words.language() == words.SOURCE:
        return NOTHING if at is None else english(at, now, zone)
    there, here = at.astimezone(zone), now.astimezone(zone)
    clock, days = f"{there:%H:%M}", (here.date() - there.date()).days
    if days == 0:
        return clock
    if 0 < days < _WEEK:
        return _("{weekday} {clock}", weekday=_(_DAYS[there.weekday()]), clock=clock)
    if there.year != here.year:
        return _("{day} {month} {year}", day=there.day, month=_month(there), year=there.year)
    return _("{day} {month} {clock}", day=there.day, month=_month(there), clock=clock)


def _month(at: datetime) -> str:
    """Return a month's name in English, its number where dates are written in numbers."""
    return MONTHS[at.month - 1] if words.language() == words.SOURCE else str(at.month)


def clock(now: datetime, zone: tzinfo | None) -> str:
    """Return the wall clock with its zone: `13:42 JST`."""
    here = now.astimezone(zone)
    return f"{here.hour:02}:{here.minute:02} {here.tzname() or 'UTC'}"


def retry_time(text: str) -> datetime | None:
    """Read the engine's `2026-11-22 13:50:00 UTC`; None when it is anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None


def count(number: int, one: str, many: str = "") -> str:
    """Return `1 job`, `2 jobs`; `many` where an s is not enough."""
    return f"{number} {one if number == 1 else many or one + 's'}"
