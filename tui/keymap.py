"""The table of keys, top to bottom as the help shows them; a row is one line of an operator's day.

What is dangerous lies alone: `f` (r t d g c v) and `x` (z s d c) have no neighbour that works.
"""

from __future__ import annotations

from collections.abc import Callable

from tui.conditions import (
    REPORTS,
    asked,
    can_come_home,
    has_rows,
    held,
    is_started,
    no_alert,
    no_certificate,
    no_job,
    no_ledger,
    no_machine,
    no_point,
    no_row,
    no_start,
    no_target,
    no_trunk,
    not_running,
    pinned,
    runs,
)
from tui.key import Key
from tui.look import Look
from tui.state import Fleet
from tui.words import N_

LISTS = frozenset({"fleet", "machine", "jobs", "journal", "targets", "sets", "alerts", "retention"})
"""Places whose rows can be put in order."""
MACHINES = frozenset({"fleet", "machine", "point", "run", "picture"})
ABOUT_ONE = frozenset({"fleet", "machine"})
POINTS = frozenset({"machine", "point"})
GUEST = frozenset({"run", "picture"})
RETENTION = frozenset({"retention"})
NAMING = (
    frozenset({"fleet", "machine", "point", "jobs", "journal", "alerts", "sets", "set"})
    | REPORTS
    | RETENTION
)
"""Where a machine is under the cursor, or the page is about one."""
EVERYWHERE = frozenset(
    {"fleet", "machine", "point", "run", "jobs", "journal", "targets", "sets", "set", "settings"}
    | {"alerts", "picture", "engine.toml", "connected"}
    | REPORTS
    | RETENTION
    | {"help", "menu", "plan", "review", "new", "form", "refused", "answer"}
    | {"target", "trust", "added", "one target", "removal", "removed", "certificate"}
)
OPENING = frozenset(
    {"fleet", "machine", "jobs", "sets", "settings", "menu", "plan", "targets", "one target"}
    | {"review", "new", "form", "refused", "answer", "help", "target", "trust", "added"}
    | {"removal", "removed", "certificate"}
)
OPENS = {"plan": N_("choose"), "review": N_("this one"), "new": N_("choose")}
OPENS |= {"answer": N_("this one"), "trust": N_("this one"), "target": N_("change")}
OPENS |= {"removal": N_("this one"), "certificate": N_("this one")}
OPENS |= {"form": N_("change"), "settings": N_("change"), "menu": N_("do it")}
OPENS |= dict.fromkeys(("refused", "help", "added", "removed", "one target"), N_("back"))
"""What Enter does, where it does not open something."""
CALM = EVERYWHERE - {"plan", "review", "form", "new", "refused", "answer", "target", "trust"}
CALM -= {"removal", "certificate"}
"""Everywhere but where something is being decided."""

When = Callable[[Fleet, Look], bool]


def _key(name: str, keys: str, sign: str, words: str, says: str, **more: object) -> Key:
    places = more.pop("places", EVERYWHERE)
    return Key(name, tuple(keys.split()), sign, words, says, places, **more)  # type: ignore[arg-type]  # a table is read better without six repeated field names


def _go(name: str, key: str, says: str) -> Key:
    """Return a key to one of the main places."""
    return _key(name, key, key, name, says, places=CALM)


def _asks(name: str, key: str, words: str, says: str, **more: object) -> Key:
    """Return a key that leads to a change, over a page that asks."""
    told = {"role": "operator", "why_not": no_machine} | more
    return _key(name, key, key, words, says, changes=True, **told)


def _looks(name: str, key: str, words: str, says: str, **more: object) -> Key:
    """Return a key that only shows something about a machine or a boot point."""
    return _key(name, key, key, words, says, **more)


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
    _go("fleet", "1", "all machines"),
    _go("jobs", "2", "work that runs, waits or has ended"),
    _go("journal", "3", "what has happened"),
    _go("targets", "4", "where standby VMs run"),
    _go("sets", "5", "image sets that were found"),
    _go("settings", "6", "times, language, colours, signs, engine"),
    _go("alerts", "7", "what is wrong and was told"),
    _key(
        "filter",
        "slash",
        "/",
        "find",
        "show only some rows",
        places=LISTS | REPORTS | {"set", "engine.toml", "connected"},
        when=has_rows,
        rank=9,
    ),
    _looks(
        "order",
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
    _key("menu", "a", "a", "actions", "the actions that work here", places=CALM, rank=6),
    _asks(
        "start",
        "f",
        "EMERGENCY",
        "emergency: start a boot point (asks)",
        places=NAMING | {"run"},
        danger=True,
        why_not=no_start,
        when=lambda fleet, look: not is_started(fleet, look),
        command="bootpoint start MACHINE [--point ID]",
        rank=3,
    ),
    _asks(
        "stop",
        "x",
        "stop",
        "power off, drop what it wrote (asks)",
        places=MACHINES,
        danger=True,
        when=runs,
        command="bootpoint stop MACHINE",
        rank=3,
    ),
    _asks(
        "home",
        "n",
        "home",
        "bring it onto its target's disks (asks)",
        places=frozenset({"run"}),
        when=can_come_home,
        command="bootpoint home MACHINE [--to NAME]",
        rank=6,
    ),
    _asks(
        "answer",
        "m",
        "answer",
        "answer what its VM waits for (asks)",
        places=frozenset({"machine", "run"}),
        when=lambda fleet, look: asked(fleet, look) is not None,
        command="bootpoint answer MACHINE [CHOICE]",
        rank=3,
    ),
    _key(
        "serial",
        "i f",
        "i",
        "watch",
        "the VM that runs: how far, what it says",
        places=NAMING,
        when=is_started,
        rank=4,
    ),
    _looks(
        "type",
        "i",
        "type",
        "type at the serial line; Ctrl-] ends it",
        places=GUEST,
        role="operator",
        why_not=not_running,
        when=runs,
        command="bootpoint serial MACHINE --attach",
        rank=4,
    ),
    _looks(
        "picture",
        "o",
        "screen",
        "what the guest shows on its screen",
        places=GUEST,
        why_not=not_running,
        command="bootpoint screen MACHINE",
        rank=5,
    ),
    _looks(
        "save",
        "w",
        "save",
        "save the picture as a PNG file",
        places=frozenset({"picture"}),
        why_not=not_running,
        command="bootpoint screen MACHINE --save FILE",
        rank=6,
    ),
    _asks(
        "build",
        "b",
        "build now",
        "make a boot point now (asks)",
        places=ABOUT_ONE,
        command="bootpoint now MACHINE",
        rank=5,
    ),
    _asks(
        "hold",
        "h",
        "pause",
        "no boot points for a while (asks)",
        places=ABOUT_ONE,
        command="bootpoint pause MACHINE [--for 4h] [--reason TEXT]",
        when=lambda fleet, look: not held(fleet, look),
        rank=6,
    ),
    _asks(
        "resume",
        "h",
        "resume",
        "make boot points again (asks)",
        places=ABOUT_ONE,
        command="bootpoint resume MACHINE",
        when=held,
        rank=6,
    ),
    _asks(
        "new",
        "n",
        "new standby",
        "protect another machine (asks)",
        places=frozenset({"fleet", "sets", "set"}),
        why_not=lambda _fleet, _look: "",
        command="bootpoint standby add NAME --images DIR",
        rank=7,
    ),
    _asks(
        "new_target",
        "n",
        "new target",
        "add an ESXi host or vCenter (asks)",
        places=frozenset({"targets"}),
        role="admin",
        why_not=lambda _fleet, _look: "",
        command="bootpoint target add NAME --url URL --user USER --password REF",
        rank=7,
    ),
    _asks(
        "remove_target",
        "x",
        "remove",
        "take an unused target out (asks)",
        places=frozenset({"targets", "one target"}),
        role="admin",
        danger=True,
        why_not=no_target,
        command="bootpoint target remove NAME",
        rank=8,
    ),
    _asks(
        "trust_target",
        "p",
        "certificate",
        "compare and pin a host's new one (asks)",
        places=frozenset({"targets", "one target"}),
        role="admin",
        why_not=no_certificate,
        command="bootpoint target trust NAME",
        rank=9,
    ),
    _asks(
        "edit",
        "e",
        "edit",
        "change how it is protected (asks)",
        places=ABOUT_ONE,
        command="bootpoint standby edit NAME",
        rank=8,
    ),
    _looks(
        "text",
        "e",
        "as text",
        "all of the definition as text",
        places=frozenset({"form"}),
        rank=3,
    ),
    _looks(
        "drop",
        "x",
        "drop draft",
        "throw the chosen draft away",
        places=frozenset({"new"}),
        when=lambda _fleet, look: look.chosen.startswith("draft:"),
        rank=3,
    ),
    _looks(
        "retention",
        "y",
        "retention",
        "which boot points stay, and why",
        places=frozenset({"fleet", "machine", "point"}),
        why_not=no_machine,
        command="bootpoint retention MACHINE",
        rank=8,
    ),
    _asks(
        "pin",
        "p",
        "pin",
        "keep a boot point for good (asks)",
        places=POINTS,
        why_not=no_point,
        when=lambda fleet, look: not pinned(fleet, look),
        command="bootpoint pin MACHINE POINT --note TEXT",
        rank=8,
    ),
    _asks(
        "unpin",
        "p",
        "unpin",
        "let retention judge it again (asks)",
        places=POINTS,
        role="admin",
        why_not=no_point,
        when=pinned,
        command="bootpoint unpin MACHINE POINT",
        rank=8,
    ),
    _looks(
        "ledger",
        "l",
        "ledger",
        "what conversion changed, line by line",
        places=POINTS | {"guest"},
        why_not=no_ledger,
        command="bootpoint ledger MACHINE [--point ID]",
        rank=6,
    ),
    _looks(
        "guest",
        "u",
        "guest",
        "system and volumes in the disks",
        places=POINTS | {"ledger"},
        why_not=no_point,
        command="bootpoint guest MACHINE [--point ID]",
        rank=7,
    ),
    _looks(
        "dry_run",
        "w",
        "dry run",
        "what converting would change; no change",
        places=frozenset({"point"}) | REPORTS - {"dry run"},
        why_not=no_trunk,
        command="bootpoint convert MACHINE --point ID --dry-run",
        rank=6,
    ),
    _asks(
        "convert",
        "b",
        "convert",
        "convert it again, as imaged (asks)",
        places=frozenset({"point"}) | REPORTS,
        why_not=no_trunk,
        command="bootpoint convert MACHINE --point ID --again",
        rank=5,
    ),
    _looks(
        "other",
        "o",
        "compare",
        "how it differs from another boot point",
        places=frozenset({"ledger"}),
        why_not=no_ledger,
        command="bootpoint ledger MACHINE --point ID --against ID",
        rank=3,
    ),
    _asks(
        "cancel",
        "x",
        "cancel job",
        "end the chosen job (asks)",
        places=frozenset({"jobs"}),
        danger=True,
        why_not=no_job,
        command="bootpoint job cancel N",
        rank=3,
    ),
    _asks(
        "ack",
        "m",
        "look after",
        "say that you look after it (asks)",
        places=frozenset({"alerts"}),
        why_not=no_alert,
        command="bootpoint alert ack KEY --note TEXT",
        rank=3,
    ),
    _key("redraw", "ctrl+l", "Ctrl+L", "redraw", "draw the screen again"),
    _key("retry", "ctrl+r", "Ctrl+R", "retry", "try the engine now; find window size"),
    _key("help", "question_mark", "?", "help", "this help", places=EVERYWHERE - {"help"}, rank=20),
    _key("quit", "q", "q", "leave", "leave; the engine goes on", places=CALM, rank=19),
)
