"""Help for each screen, from the table of keys; and the menu of the actions that work here."""

from __future__ import annotations

from tui import keys
from tui.format import pad
from tui.look import Look, Menu
from tui.rows import BLANK, Line, prose, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import STATES, Tone
from tui.words import N_, _

SAFE = N_(
    "No key on this console changes a machine without a second screen that says what will "
    "happen. Leaving is always safe: the engine does the work, the console looks and asks."
)
MOVES = (
    (N_("1 to 7"), N_("fleet, jobs, journal, targets, image sets, settings, alerts")),
    (N_("arrows"), N_("or k and j: one row; PgUp PgDn: one screen; Home End: first, last")),
)
FOLDED = frozenset(
    {"up", "down", "page_up", "page_down", "first", "last"}
    | {"fleet", "jobs", "journal", "targets", "sets", "settings", "alerts"}
)
"""Keys that have no line of their own in the help."""
PLACES = {
    "fleet": N_(
        "All machines, those that need somebody on top. The first line answers: how many can "
        "start now? DATA AS OF and AGE say which data you would get."
    ),
    "machine": N_("One machine and its boot points, the newest on top. A row marked + can start."),
    "point": N_("One boot point: a moment of the machine that can be started."),
    "guest": N_("What was found in the disks of a boot point."),
    "ledger": N_("What conversion changed in a boot point, before (-) and after (+)."),
    "dry run": N_("What converting a boot point would change. Nothing was changed for it."),
    "run": N_("A VM that was started, isolated from the network, and its serial line."),
    "jobs": N_("The work of the engine. A bar grows with bytes; LEFT is an estimate."),
    "journal": N_("What has happened, the newest on top; the chosen entry in full below."),
    "targets": N_("Where standby VMs run, and where their disks lie."),
    "one target": N_("All that is known of a target, and what was found wrong with it."),
    "target": N_(
        "A new target: an ESXi host or vCenter. What is left empty is what there is one of. The "
        "password is never typed here, only where it is. Esc keeps what was filled in."
    ),
    "trust": N_(
        "Whose certificate the host shows. Compare its SHA-256 on the host's own console: whoever "
        "is trusted here gets the password."
    ),
    "added": N_("What was found in the target that was added, and what is left to do."),
    "removal": N_(
        "What goes and what stays when a target is removed. The first row changes nothing."
    ),
    "certificate": N_(
        "The certificate that a target's host shows, and the pinned one. Compare it on the host's "
        "own console. The first row changes nothing."
    ),
    "removed": N_("What stays of a target that was removed, and where."),
    "sets": N_(
        "Image files found in watched folders, put together to chains; below them files that "
        "cannot be used, with the reason."
    ),
    "set": N_("One image set and its recovery points."),
    "settings": N_(
        "Times, language, colours, signs and what is confirmed: Enter takes the next choice, kept "
        "in your own file. The last rows show the engine's own file and who is connected."
    ),
    "connected": N_(
        "Who is connected to the engine: user and role as this host says, terminal and address as "
        "their program says."
    ),
    "engine.toml": N_(
        "The engine's own file, to read. Change it with an editor, then start the engine anew. "
        "Values that are passwords are left out."
    ),
    "review": N_(
        "The boot points that can start, newest data on top. YOU LOSE is the age of the "
        "data; NEWER counts increments that arrived after it; GUARD warns of data that looks "
        "encrypted. Enter shows what will happen with the one under the cursor; nothing starts "
        "before you type the machine's name."
    ),
    "alerts": N_("What is wrong. m says that you look after it, so that nobody is reminded."),
    "answer": N_("What a VM asks before it goes on. Nothing is answered before you type yes."),
    "plan": N_("What will happen, before it happens. Nothing has changed yet."),
    "new": N_("Drafts that were begun and left, then image sets that no standby follows yet."),
    "form": N_(
        "How a machine is protected, step by step; Enter changes what the cursor is on. What is "
        "wrong is said at once. Leaving keeps a draft; only yes on the last step changes anything."
    ),
}


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the help of the screen named by `look.arg`."""
    width = look.usable
    place = look.arg or "fleet"
    told = [*prose(_(PLACES.get(place, "")), width), BLANK, text(" " + _("KEYS HERE"), Tone.HEAD)]
    here = [key for key in keys.TABLE if place in key.places and key.id not in FOLDED]
    here.sort(key=lambda key: (not key.changes, key.rank or 99))
    barred = [key for key in here if keys.too_low(key, fleet, look)]
    told += [_key(key) for key in here if key not in barred]
    told += [_row(_(sign), _(says)) for sign, says in MOVES]
    if barred:
        told += [BLANK, text(" " + _("NOT FOR YOU HERE"), Tone.HEAD)]
        told += prose(_why_barred(fleet, look), width)
        told += [_key(key, barred=True) for key in barred]
    told += [BLANK, text(" " + _("STATES"), Tone.HEAD)]
    told += [
        ((f"   {sign.mark} {code:<6} ", sign.tone), (_(sign.words), Tone.PLAIN))
        for code, sign in STATES.items()
    ]
    told += [
        BLANK,
        text(" " + _("LAST 12   the newest boot points, the newest on the right"), Tone.HEAD),
    ]
    told += [text("   " + _(". ready   o late   X failed   > being made"))]
    told += [
        BLANK,
        text(" " + _("FILTER"), Tone.HEAD),
        text("   " + _("part of a name   state:late,fail   on:TARGET   more words: all must fit")),
        text(
            "   "
            + _("o takes the next order, - turns it round; : takes one by name, as in :order age")
        ),
    ]
    told += [BLANK, *prose(_(SAFE), width, Tone.STRONG)]
    return frame.pages(told, title=_("help: {place}", place=place))


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the help, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _why_barred(fleet: Fleet, look: Look) -> str:
    if look.read_only:
        return _("This console was opened read-only: it only looks.")
    return _("You are {role}; a key is for members of the group that it names.", role=fleet.role)


def _key(key: keys.Key, *, barred: bool = False) -> Line:
    """Return the row of a key; one that the operator's role bars is quiet and marked."""
    if barred:
        return text(f" - {pad(key.sign, 8)} {_(key.says)}  (bootpoint-{key.role}s)")
    role = f"  ({key.role})" if key.role else ""
    return _row(key.sign, f"{_(key.says)}{role}")


def _row(sign: str, says: str) -> Line:
    return ((f"   {pad(sign, 8)}", Tone.STRONG), (f" {says}", Tone.PLAIN))


def menu_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the menu of actions."""
    rows = look.subject.rows if isinstance(look.subject, Menu) else ()
    by_id = {name: (sign, words, says) for name, sign, words, says in rows}

    def row(name: str) -> tuple[Line]:
        sign, words, says = by_id[name]
        return (
            ((f"   {pad(sign, 6)}", Tone.STRONG), (f"{pad(_(words), 14)} {_(says)}", Tone.PLAIN)),
        )

    head = [text(" " + _("What can be done here; Enter does it, Esc leaves"), Tone.STRONG)]
    none = _("Nothing can be done with what is shown here. ? lists the keys.")
    empty = [BLANK, text(" " + none)]
    return frame.Content(title=_("actions"), head=head, ids=list(by_id), row=row, empty=empty)


def menu_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the menu, line by line."""
    return list(frame.draw(menu_content(fleet, look), fleet, look).lines)
