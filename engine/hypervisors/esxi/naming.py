"""Names in an inventory: how hosts write them, and which of them a configured one means."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from engine.model.text import safe

Names = tuple[str, ...]
"""Names on the way to something, the outermost first."""

Thing = TypeVar("Thing")

_SHOWN = 8
_CHARS = {"%2f": "/", "%5c": "\\", "%25": "%"}
_ESCAPED = re.compile("%2f|%5c|%25", re.IGNORECASE)
_ROOT = "Datacenters"
_INNER = ("host", "Resources")
"""Folders and pools that every datacenter and cluster has; not shown, but understood."""


def plain(name: str) -> str:
    """Return a name as people see it: vCenter stores slash, backslash and percent escaped."""
    return _ESCAPED.sub(lambda found: _CHARS[found[0].lower()], name)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _unlike(name: str, wanted: str) -> int:
    """Return how far a name as stored is from a wanted one; 3: it is another."""
    forms = (name, plain(name), _composed(name), _composed(plain(name)))
    composed = _composed(wanted)
    if wanted in forms[:2]:
        return forms.index(wanted)
    return 2 if composed in forms[2:] else 3


def is_named(name: str, wanted: str) -> bool:
    """Tell whether a name as stored is the wanted one, as stored or as people see it.

    Letters may be composed from others (NFC, NFD): nobody sees the difference.
    """
    return _unlike(name, wanted) < 3


def is_same(one: str, other: str) -> bool:
    """Tell whether two names may be the same, whichever of them is escaped."""
    return is_named(one, other) or is_named(other, one)


def closest(known: Iterable[Thing], wanted: str, name: Callable[[Thing], str]) -> Sequence[Thing]:
    """Return what has a name: as stored, or else as people see it, or else composed otherwise."""
    found = [(_unlike(name(one), wanted), one) for one in known]
    best = min((unlike for unlike, _ in found), default=3)
    return [one for unlike, one in found if unlike == best < 3]


def fits(ways: Iterable[Names], wanted: str) -> Sequence[Names]:
    """Return the ways that a name, or some names with slashes between, may mean.

    A whole way wins, also one that is written as it is listed. Then come those with the last name,
    and those with names of the way in their order.
    """
    known = [way for way in ways if way]
    parts = tuple(part for part in wanted.split("/") if part)
    whole = [way for way in known if any(_same(one, parts) for one in (way, way[1:], _short(way)))]
    if "/" in wanted and whole:
        return whole
    named = closest(known, wanted, lambda way: way[-1])
    if "/" not in wanted and named:
        return named
    return [way for way in known if way in named or (parts and _leads(way, parts))]


def _same(way: Names, parts: Names) -> bool:
    return len(way) == len(parts) and all(map(is_named, way, parts))


def _leads(way: Names, parts: Names) -> bool:
    """Tell whether the last of these names is the way's last, and the others come before it."""
    left = _without(parts, way[-1]) if way else None
    if left is None:
        return False
    for name in reversed(way[:-1]):
        shorter = _without(left, name)
        left = left if shorter is None else shorter
    return not left


def _without(parts: Names, name: str) -> Names | None:
    """Return what is before a name at the end of these parts; None when another one is there.

    A name that people see with slashes takes as many parts.
    """
    for taken in (1, plain(name).count("/") + 1):
        if parts and is_named(name, "/".join(parts[-taken:])):
            return parts[:-taken]
    return None


def listed(ways: Sequence[Names]) -> str:
    """Return ways for a sentence, at most eight of them."""
    told = ", ".join(shown("/".join(_short(way))) for way in ways[:_SHOWN]) or "none"
    return told + (f" and {len(ways) - _SHOWN} more" if len(ways) > _SHOWN else "")


def shown(name: str) -> str:
    """Return a name for a sentence, in quotes where its end would not be seen."""
    return f'"{safe(name)}"' if name != name.strip() or ", " in name else safe(name)


def _short(way: Names) -> Names:
    """Return a way without what goes without saying, such as the root's folder.

    A view of the inventory does not have its root, so a way mostly begins with what is in it.
    """
    inner = [name for name in way[:-1] if name not in (_ROOT, *_INNER)]
    return (*inner, way[-1])


def nearest(ways: Sequence[Names], wanted: str) -> Sequence[Names]:
    """Return ways, those first whose last name looks like the wanted one."""
    last = wanted.rpartition("/")[2].casefold()

    def unlike(way: Names) -> tuple[float, Names]:
        return (-difflib.SequenceMatcher(None, way[-1].casefold(), last).ratio(), way)

    return sorted(ways, key=unlike)
