"""The one table of keys: what each does, in which words, for whom, on which screens.

Bindings, the line of keys, the help and the `:` line come from it. No key here changes a machine
without a second screen; `f` is kept free, with its neighbours, for the failover to come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui.conditions import (
    REPORTS,
    has_rows,
    held,
    no_job,
    no_ledger,
    no_machine,
    no_point,
    no_row,
    no_start,
    no_trunk,
    pinned,
    runs,
)
from tui.look import Look
from tui.state import Fleet
from tui.words import N_, _

ROLES = ("viewer", "operator", "admin")
FORBIDDEN = frozenset(
    {"left_square_bracket", "right_square_bracket", "tilde", "semicolon", "upper_o"}
    | {f"ctrl+{letter}" for letter in ("a", "b", "s", "q", "z", "h", "right_square_bracket")}
)
"""Parts of cut escape sequences, and keys that terminals, screen, tmux and virsh take."""
NEIGHBOURS_OF_F = frozenset("rtdgcv")
LISTS = frozenset({"fleet", "machine", "jobs", "journal", "targets", "sets", "alerts", "retention"})
"""Places whose rows can be put in order."""
MACHINES = frozenset({"fleet", "machine", "point", "run", "picture"})
POINTS = frozenset({"machine", "point"})
RETENTION = frozenset({"retention"})
EVERYWHERE = frozenset(
    {"fleet", "machine", "point", "run", "jobs", "journal", "targets", "sets", "set", "settings"}
    | {"alerts", "picture"}
    | REPORTS
    | RETENTION
    | {"help", "menu", "plan", "new", "form", "refused"}
)
OPENING = frozenset(
    {"fleet", "machine", "jobs", "sets", "menu", "plan", "new", "form", "refused", "help"}
)
OPENS = {"plan": N_("choose"), "new": N_("choose"), "form": N_("change"), "menu": N_("do it")}
OPENS |= dict.fromkeys(("refused", "help"), N_("back"))
"""What Enter does, where it does not open something."""
CALM = EVERYWHERE - {"plan", "form", "new", "refused"}
"""Everywhere but where something is being decided."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table.

    Attributes:
        id: Name of the action; users remap keys by it.
        keys: As Textual names them; `sign`: as the operator reads them.
        words: For the line of keys, short; `says`: for the help, a sentence. Both are in English
            here and looked up in the operator's language when they are shown.
        role: The least role that may, empty: anybody.
        changes: True when it leads to a change (always over a second screen).
        why_not: A sentence when it does not work now, else empty.
        when: False hides the row, such as `stop` where nothing runs.
        command: The same on the command line.
        rank: Place in the line of keys, low first; 0: not shown there.
    """

    id: str
    keys: tuple[str, ...]
    sign: str
    words: str
    says: str
    places: frozenset[str]
    role: str = ""
    changes: bool = False
    why_not: Callable[[Fleet, Look], str] = lambda _fleet, _look: ""
    when: Callable[[Fleet, Look], bool] = lambda _fleet, _look: True
    command: str = ""
    rank: int = 0


def _key(name: str, keys: str, sign: str, words: str, says: str, **more: object) -> Key:
    places = more.pop("places", EVERYWHERE)
    return Key(name, tuple(keys.split()), sign, words, says, places, **more)  # type: ignore[arg-type]  # a table is read better without six repeated field names


TABLE: tuple[Key, ...] = (
    _key("up", "up k", "Up k", "up", "one row up"),
    _key("down", "down j", "Down j", "down", "one row down"),
    _key("page_up", "pageup", "PgUp", "page up", "one screen up"),
    _key("page_down", "pagedown space", "PgDn", "page down", "one screen down"),
    _key("first", "home", "Home", "first", "to the first row"),
    _key("last", "end", "End", "last", "to the last row"),
    _key(
        "open",
        "enter",
        "Enter",
        "open",
        "open what the cursor is on",
        places=OPENING,
        why_not=no_row,
        rank=1,
    ),
    _key("back", "escape", "Esc", "back", "back; first takes the filter away", rank=2),
    _key("fleet", "1", "1", "fleet", "all machines", places=CALM),
    _key("jobs", "2", "2", "jobs", "work that runs, waits or has ended", places=CALM),
    _key("journal", "3", "3", "journal", "what has happened", places=CALM),
    _key("targets", "4", "4", "targets", "where standby VMs run", places=CALM),
    _key("sets", "5", "5", "sets", "image sets that were found", places=CALM),
    _key("settings", "6", "6", "settings", "engine, console, versions", places=CALM),
    _key("alerts", "7", "7", "alerts", "what is wrong and was told", places=CALM),
    _key(
        "filter",
        "slash",
        "/",
        "find",
        "show only some rows",
        places=LISTS | REPORTS | {"set"},
        when=has_rows,
        rank=9,
    ),
    _key(
        "order",
        "o",
        "o",
        "order",
        "put the rows in the next order",
        places=LISTS,
        when=has_rows,
        rank=12,
    ),
    _key(
        "turn",
        "minus",
        "-",
        "turn round",
        "the same order the other way round",
        places=LISTS,
        when=has_rows,
        rank=13,
    ),
    _key(
        "worst",
        "w",
        "w",
        "worst only",
        "hide what is READY, or show it again",
        places=frozenset({"fleet"}),
        when=has_rows,
        rank=8,
    ),
    _key("command", "colon", ":", "cmd", "any action by name", places=CALM, rank=11),
    _key("menu", "a", "a", "actions", "the actions that work here", places=CALM, rank=10),
    _key(
        "start",
        "s",
        "s",
        "start",
        "start a boot point, isolated (asks)",
        places=frozenset({"fleet", "machine", "point"}),
        role="operator",
        changes=True,
        why_not=no_start,
        when=lambda fleet, look: not runs(fleet, look),
        command="bootpoint start MACHINE [--point ID]",
        rank=3,
    ),
    _key(
        "stop",
        "s",
        "s",
        "stop",
        "power off, drop what it wrote (asks)",
        places=MACHINES,
        role="operator",
        changes=True,
        why_not=no_machine,
        when=runs,
        command="bootpoint stop MACHINE",
        rank=3,
    ),
    _key(
        "serial",
        "i",
        "i",
        "serial",
        "the serial line of the VM that runs",
        places=frozenset({"fleet", "machine", "point"}),
        why_not=lambda fleet, look: "" if runs(fleet, look) else _("No VM of it runs now."),
        when=runs,
        rank=4,
    ),
    _key(
        "type",
        "i",
        "i",
        "type",
        "type at the serial line; Ctrl-] ends it",
        places=frozenset({"run", "picture"}),
        role="operator",
        why_not=lambda fleet, look: "" if runs(fleet, look) else _("No VM of it runs now."),
        when=runs,
        command="bootpoint serial MACHINE --attach",
        rank=4,
    ),
    _key(
        "picture",
        "o",
        "o",
        "screen",
        "what the guest shows on its screen",
        places=frozenset({"run", "picture"}),
        why_not=lambda fleet, look: "" if runs(fleet, look) else _("No VM of it runs now."),
        command="bootpoint screen MACHINE",
        rank=5,
    ),
    _key(
        "save",
        "w",
        "w",
        "save",
        "save the picture as a PNG file",
        places=frozenset({"picture"}),
        why_not=lambda fleet, look: "" if runs(fleet, look) else _("No VM of it runs now."),
        command="bootpoint screen MACHINE --save FILE",
        rank=6,
    ),
    _key(
        "build",
        "b",
        "b",
        "build now",
        "make a boot point now (asks)",
        places=frozenset({"fleet", "machine"}),
        role="operator",
        changes=True,
        why_not=no_machine,
        command="bootpoint now MACHINE",
        rank=5,
    ),
    _key(
        "hold",
        "h",
        "h",
        "pause",
        "no boot points for a while (asks)",
        places=frozenset({"fleet", "machine"}),
        role="operator",
        changes=True,
        why_not=no_machine,
        command="bootpoint pause MACHINE [--for 4h] [--reason TEXT]",
        when=lambda fleet, look: not held(fleet, look),
        rank=6,
    ),
    _key(
        "resume",
        "h",
        "h",
        "resume",
        "make boot points again (asks)",
        places=frozenset({"fleet", "machine"}),
        role="operator",
        changes=True,
        why_not=no_machine,
        command="bootpoint resume MACHINE",
        when=held,
        rank=6,
    ),
    _key(
        "new",
        "n",
        "n",
        "new standby",
        "protect another machine (asks)",
        places=frozenset({"fleet", "sets", "set"}),
        role="operator",
        changes=True,
        command="bootpoint standby add NAME --images DIR",
        rank=7,
    ),
    _key(
        "retention",
        "y",
        "y",
        "retention",
        "which boot points stay, and why",
        places=frozenset({"fleet", "machine", "point"}),
        why_not=no_machine,
        command="bootpoint retention MACHINE",
        rank=8,
    ),
    _key(
        "pin",
        "p",
        "p",
        "pin",
        "keep a boot point for good (asks)",
        places=POINTS,
        role="operator",
        changes=True,
        why_not=no_point,
        when=lambda fleet, look: not pinned(fleet, look),
        command="bootpoint pin MACHINE POINT --note TEXT",
        rank=8,
    ),
    _key(
        "unpin",
        "p",
        "p",
        "unpin",
        "let retention judge it again (asks)",
        places=POINTS,
        role="admin",
        changes=True,
        why_not=no_point,
        when=pinned,
        command="bootpoint unpin MACHINE POINT",
        rank=8,
    ),
    _key(
        "ledger",
        "l",
        "l",
        "ledger",
        "what conversion changed, line by line",
        places=POINTS | {"guest"},
        why_not=no_ledger,
        command="bootpoint ledger MACHINE [--point ID]",
        rank=6,
    ),
    _key(
        "guest",
        "u",
        "u",
        "guest",
        "system and volumes in the disks",
        places=POINTS | {"ledger"},
        why_not=no_point,
        command="bootpoint guest MACHINE [--point ID]",
        rank=7,
    ),
    _key(
        "dry_run",
        "w",
        "w",
        "dry run",
        "what converting would change; no change",
        places=frozenset({"point"}) | REPORTS - {"dry run"},
        why_not=no_trunk,
        command="bootpoint convert MACHINE --point ID --dry-run",
        rank=6,
    ),
    _key(
        "convert",
        "b",
        "b",
        "convert",
        "convert it again, as imaged (asks)",
        places=frozenset({"point"}) | REPORTS,
        role="operator",
        changes=True,
        why_not=no_trunk,
        command="bootpoint convert MACHINE --point ID --again",
        rank=5,
    ),
    _key(
        "other",
        "o",
        "o",
        "compare",
        "how it differs from another boot point",
        places=frozenset({"ledger"}),
        why_not=no_ledger,
        command="bootpoint ledger MACHINE --point ID --against ID",
        rank=3,
    ),
    _key(
        "cancel",
        "x",
        "x",
        "cancel job",
        "end the chosen job (asks)",
        places=frozenset({"jobs"}),
        role="operator",
        changes=True,
        why_not=no_job,
        command="bootpoint job cancel N",
        rank=3,
    ),
    _key("redraw", "ctrl+l", "Ctrl+L", "redraw", "draw the screen again"),
    _key("retry", "ctrl+r", "Ctrl+R", "retry", "try the engine now; find window size"),
    _key("help", "question_mark", "?", "help", "this help", places=EVERYWHERE - {"help"}, rank=20),
    _key("quit", "q", "q", "leave", "leave; the engine goes on", places=CALM, rank=19),
)
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
    return _(
        "You are {role}; this needs {needed}, which the group bootpoint-{needed}s gives.",
        role=fleet.role,
        needed=key.role,
    )


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else 0


def working(fleet: Fleet, look: Look) -> list[Key]:
    """Return the rows that work on this screen now."""
    return [key for key in here(fleet, look) if not refusal(key, fleet, look)]
