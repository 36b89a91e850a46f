"""The rules of the keys: which are here, which work now, and why the others do not.

Bindings, the line of keys, the help and the `:` line come from the table (`tui/keymap.py`). No key
changes a machine without a second screen, and nothing lies beside one that is dangerous.
"""

from __future__ import annotations

from tui.key import Key
from tui.keymap import LISTS, OPENS, TABLE
from tui.look import Look
from tui.state import Fleet
from tui.words import _

__all__ = ["BESIDE", "BY_ID", "FORBIDDEN", "LISTS", "OPENS", "ROLES", "TABLE", "Key"]

ROLES = ("viewer", "operator", "admin")
FORBIDDEN = frozenset(
    {"left_square_bracket", "right_square_bracket", "tilde", "semicolon", "upper_o"}
    | {f"ctrl+{letter}" for letter in ("a", "b", "s", "q", "z", "h", "right_square_bracket")}
)
"""Parts of cut escape sequences, and keys that terminals, screen, tmux and virsh take."""
_ROWS = (
    ("1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "minus"),
    ("q", "w", "e", "r", "t", "y", "u", "i", "o", "p", "at"),
    ("a", "s", "d", "f", "g", "h", "j", "k", "l", "semicolon", "colon"),
    ("z", "x", "c", "v", "b", "n", "m", "comma", "full_stop", "slash", "underscore"),
)
"""Rows of a keyboard, each half a key to the right of the one above; letters and digits lie the
same on QWERTY and JIS, the signs as on JIS, whose colon is a key of its own."""


def _beside() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {name: set() for row in _ROWS for name in row}
    for y, row in enumerate(_ROWS):
        for x, name in enumerate(row):
            near = {(x - 1, y), (x + 1, y), (x, y - 1), (x + 1, y - 1), (x, y + 1), (x - 1, y + 1)}
            found[name] |= {
                _ROWS[b][a] for a, b in near if 0 <= b < len(_ROWS) and 0 <= a < len(_ROWS[b])
            }
    return {name: frozenset(near) for name, near in found.items()}


BESIDE = _beside()
"""Key -> the keys that a finger hits when it misses it."""
BY_ID = {key.id: key for key in TABLE}


def here(fleet: Fleet, look: Look) -> list[Key]:
    """Return the rows that belong to this screen now, whether they work or not."""
    return [key for key in TABLE if look.place in key.places and key.when(fleet, look)]


def refusal(key: Key, fleet: Fleet, look: Look) -> str:
    """Return why a key does not work now, a sentence; empty when it does."""
    why = too_low(key, fleet, look)
    if why:
        return why
    if key.changes and fleet.link.is_lost:
        return _("The engine does not answer, so nothing can be asked of it.")
    return key.why_not(fleet, look)


def too_low(key: Key, fleet: Fleet, look: Look) -> str:
    """Return why the operator's role does not allow a key, a sentence; empty when it does."""
    if not key.role or ROLES.index(key.role) <= _rank(fleet.role):
        return ""
    if look.read_only:
        return _("This console was opened read-only: it only looks.")
    if fleet.hello is None:
        return _("The engine has not said yet what you may do. Try again in a moment.")
    return _(
        "You are {role}; this is for members of the group bootpoint-{needed}s.",
        role=fleet.role,
        needed=key.role,
    )


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else 0


def working(fleet: Fleet, look: Look) -> list[Key]:
    """Return the rows that work on this screen now."""
    return [key for key in here(fleet, look) if not refusal(key, fleet, look)]
