"""A place of the console as numbered lines, and the words that work there. Pure.

mail01                              title
CAN START NOW: 12 of 14             head
      MACHINE  STATE  DATA AS OF    columns
  1 X mail01   FAIL   Sat 23:00     rows, each with the number that opens it
Words: start N, build N, back …     the keys of the place, by name
"""

from __future__ import annotations

from collections.abc import Sequence

from tui import keys
from tui.format import wrap
from tui.heard import heard
from tui.look import Look
from tui.rows import Line
from tui.screens import frame
from tui.state import Fleet
from tui.words import _

NUMBER = 4
"""Cells before a row."""
ROWS, READ = 20, 40
"""Rows of a list and lines of a text that are told at a time."""
MOVING = frozenset({"up", "down", "page_up", "page_down", "first", "last"})
SILENT = MOVING | {"open", "command", "menu", "redraw"}
"""Keys without a word: numbers, or nothing, stand for them."""
ANYWHERE = frozenset(
    {"fleet", "jobs", "journal", "targets", "sets", "settings", "alerts", "help", "quit", "back"}
    | {"filter", "order", "turn", "worst", "retry", "new", "new_target"}
)
"""Words that are about no row."""
ROWED = frozenset({"fleet", "jobs", "machine", "targets"})
"""Places whose words are about a row that must be named."""


def page(content: frame.Content, fleet: Fleet, look: Look, first: int) -> list[str]:
    """Return a place as lines, its rows from number `first` (0: the first) on."""
    told = ["", _title(content, fleet, look)]
    told += plain(frame.banner(fleet, look), look)
    told += plain(content.head, look)
    told += _rows(content, first)
    told += plain(content.empty if not content.ids else (), look)
    if look.place == "fleet":
        told += _alarms(content, fleet, look, first)
    return told + plain(content.tail, look)


def plain(lines: Sequence[Line], look: Look) -> list[str]:
    """Return lines without tones; rules, which only please the eye, are left out."""
    texts = ["".join(words for words, _ in line).rstrip() for line in lines]
    return [text for text in texts if not text or set(text) != {look.glyphs.rule}]


def _title(content: frame.Content, fleet: Fleet, look: Look) -> str:
    hello = fleet.hello
    where = f" > {content.title}" if content.title else ""
    who = f"   {hello.user} ({hello.role})" if hello else ""
    return f"bootpoint {hello.site if hello else ''}{where}{who}   {look.clock()}"


def _rows(content: frame.Content, first: int) -> list[str]:
    ids = content.ids
    most = READ if content.pager else ROWS
    told: list[str] = []
    if content.columns and ids:
        told.append(" " * NUMBER + "".join(words for words, _tone in content.columns).rstrip())
    for at in range(first, min(first + most, len(ids))):
        lines = ["".join(words for words, _tone in line).rstrip() for line in content.row(ids[at])]
        number = "" if content.pager else f"{at + 1:>{NUMBER - 1}}"
        told += [f"{number:<{NUMBER}}{line.removeprefix(' ')}" for line in lines[:1]]
        told += [" " * NUMBER + line for line in lines[1:] if line]
    below = len(ids) - first - most
    if below > 0:
        told.append(" " + _("{count} more: type more", count=below))
    return told


def _alarms(content: frame.Content, fleet: Fleet, look: Look, first: int) -> list[str]:
    """Return what is wrong with each machine told: the full screen tells it of the chosen one."""
    told: list[str] = []
    for name in content.ids[first : first + ROWS]:
        one = fleet.machines[name]
        if one.alarm and name != look.chosen:
            words = " ".join(
                part for part in (f"{name}: {heard(one.alarm)}", heard(one.remedy)) if part
            )
            told += [f" {line}" for line in wrap(words, look.usable - 1)]
    return told


def here(fleet: Fleet, look: Look) -> list[keys.Key]:
    """Return the keys of a place that this role may use, whatever row they are about."""
    return [
        key
        for key in keys.TABLE
        if look.place in key.places and key.id not in SILENT and not keys.too_low(key, fleet, look)
    ]


def word(key: keys.Key) -> str:
    """Return the word that stands for a key."""
    return {"filter": "find", "quit": "leave"}.get(key.id, key.id.replace("_", "-"))


def needs_row(key: keys.Key, place: str) -> bool:
    """Tell whether a word must be followed by the number of a row."""
    return place in ROWED and key.id not in ANYWHERE


def words(fleet: Fleet, look: Look, *, numbered: bool) -> list[str]:
    """Return the line or lines that name every word of a place."""
    named = []
    for key in here(fleet, look):
        if key.id == "filter":
            named.append("find TEXT")
        elif key.id != "back" or look.place != "fleet" or look.query or look.worst:
            named.append(word(key) + " N" * needs_row(key, look.place))
    all_words = ", ".join(dict.fromkeys(named))
    if numbered:
        told = _("a number opens its row; words: {words}", words=all_words)
    else:
        told = _("words: {words}", words=all_words)
    return [f" {line}" for line in wrap(told, look.usable)]


def _names(key: keys.Key) -> tuple[str, ...]:
    return word(key), key.id, key.sign.lower(), key.words.lower()


def meant(typed: str, fleet: Fleet, look: Look) -> list[keys.Key]:
    """Return the keys a typed word may stand for: by word, by sign, by its beginning."""
    typed = typed.lower()
    all_here = here(fleet, look)
    exact = [key for key in all_here if typed in _names(key)]
    if exact:
        return exact
    return [key for key in all_here if len(typed) > 1 and word(key).startswith(typed)]
