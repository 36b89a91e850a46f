"""Names in an inventory: how hosts write them, and which of them a configured one means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from engine.model.text import safe

Names = tuple[str, ...]
"""Names on the way to something, the outermost first."""

_SHOWN = 8
_CHARS = {"%2f": "/", "%5c": "\\", "%25": "%"}
_ESCAPED = re.compile("%2f|%5c|%25", re.IGNORECASE)
_INNER = ("host", "Resources")
"""Folders and pools that every datacenter and cluster has; not shown, but understood."""


def plain(name: str) -> str:
    """Return a name as people see it: vCenter stores slash, backslash and percent escaped."""
    return _ESCAPED.sub(lambda found: _CHARS[found[0].lower()], name)


def is_named(name: str, wanted: str) -> bool:
    """Tell whether a name as stored is the wanted one, as stored or as people see it."""
    return wanted in (name, plain(name))


def fits(ways: Iterable[Names], wanted: str) -> Sequence[Names]:
    """Return the ways that a name, or some names with slashes between, may mean.

    A whole way wins; then the last name; then names of the way in their order.
    """
    known = list(ways)
    parts = tuple(part for part in wanted.split("/") if part)
    whole = [way for way in known if _same(way, parts) or _same(way[1:], parts)]
    if "/" in wanted and whole:
        return whole
    if named := [way for way in known if way and is_named(way[-1], wanted)]:
        return named
    return [way for way in known if parts and _leads(way, parts)]


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
    told = ", ".join(safe("/".join(_short(way))) for way in ways[:_SHOWN]) or "none"
    return told + (f" and {len(ways) - _SHOWN} more" if len(ways) > _SHOWN else "")


def _short(way: Names) -> Names:
    """Return a way without what goes without saying, such as the root's folder."""
    inner = [name for name in way[1:-1] if name not in _INNER]
    return (*inner, way[-1])


def nearest(ways: Sequence[Names], wanted: str) -> Sequence[Names]:
    """Return ways, those first whose last name looks like the wanted one."""
    last = wanted.rpartition("/")[2].casefold()

    def unlike(way: Names) -> tuple[float, Names]:
        return (-difflib.SequenceMatcher(None, way[-1].casefold(), last).ratio(), way)

    return sorted(ways, key=unlike)
