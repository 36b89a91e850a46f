"""A new standby: choose an image set, then name, trigger and how many boot points to keep."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

from tui.format import pad, size
from tui.look import Draft, Look
from tui.rows import BLANK, Column, Line, paragraph, prose, table, text
from tui.screens import frame
from tui.screens.fleet import points_and_size
from tui.screens.sets import chain
from tui.state import Fleet, unprotected
from tui.tones import Tone
from tui.words import _

COLUMNS = (
    Column("MACHINE", 18),
    Column("POINTS", 6, right=True),
    Column("SIZE", 8, right=True),
    Column("NEWEST", 12),
    Column("FOLDER", 0),
)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_TRIGGER = re.compile(r"immediate|daily@([01]\d|2[0-3]):[0-5]\d|cron:.{1,200}|every:[1-9]\d{0,3}")


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the list of image sets that no standby follows."""
    free = {one.id: one for one in unprotected(fleet)}
    grid = table(COLUMNS, look.usable)
    chosen = free.get(look.chosen) or next(iter(free.values()), None)
    return frame.Content(
        title=_("new standby"),
        head=[
            text(
                " " + _("Which machine shall be protected?   Enter chooses, Esc leaves"),
                Tone.STRONG,
            )
        ],
        columns=grid.head(),
        ids=list(free),
        row=lambda name: (
            grid.row(
                (" ", Tone.PLAIN),
                (
                    free[name].machine or "-",
                    str(len(free[name].points)),
                    size(free[name].size),
                    look.when(free[name].newest),
                    free[name].root,
                ),
            ),
        ),
        empty=[
            BLANK,
            *prose(
                _(
                    "Every image set that was found is protected already. Replicate the images of "
                    "another machine into a watched folder; it appears here by itself."
                ),
                look.usable,
            ),
            BLANK,
            *prose(
                _(
                    "A folder that is not watched yet: {command}",
                    command="bootpoint standby add NAME --images DIR",
                ),
                look.usable,
            ),
        ],
        tail=[text(f" {chain(chosen.points, look.usable - 2)}")] if chosen else (),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the list of image sets, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def form_content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the page that asks for the rest and says what will happen."""
    draft = look.subject
    if not isinstance(draft, Draft):
        return frame.Content(title=_("new standby"), empty=[BLANK, text(" " + _("No draft."))])
    rows = {
        "name": f"   {pad(_('Name'), 12)} {draft.name}",
        "trigger": f"   {pad(_('Trigger'), 12)} {draft.trigger}",
        "keep": f"   {pad(_('Keep'), 12)} " + _("{count} boot points", count=draft.keep),
        "no": "   ( ) " + _("No, leave. Nothing has changed."),
        "yes": "   ( ) " + _("Yes, protect this machine"),
    }
    width = look.usable
    found = fleet.sets.get(look.arg)
    head = [text(" " + _("NEW STANDBY   nothing has changed yet"), Tone.STRONG), BLANK]
    head += paragraph("Images", draft.images, width)
    head += paragraph("Machine", draft.machine, width)
    if found is not None:
        head += paragraph("Found", points_and_size(len(found.points), found.size), width)
    tail = paragraph("Trigger", _explain(draft.trigger), width)
    tail += paragraph("Then", _promise(draft), width)
    if look.height >= 20:
        tail += [BLANK, *prose(_("Command:  {command}", command=_command(draft)), width)]
    return frame.Content(
        title=_("new standby"),
        head=head,
        ids=list(rows),
        row=lambda name: (text(rows[name]),),
        tail=tail,
    )


def form_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the form, line by line."""
    return list(frame.draw(form_content(fleet, look), fleet, look).lines)


def _promise(draft: Draft) -> str:
    return _(
        "the VM {name} is prepared (off), the full image is copied at once, then one boot point "
        "after another. The image files and the source machine are not touched.",
        name=draft.name,
    )


def _explain(trigger: str) -> str:
    if trigger.startswith("daily@"):
        return _("one boot point a day, at {time} (host's time)", time=trigger[6:])
    if trigger.startswith("every:"):
        return _("one boot point whenever {count} increments have arrived", count=trigger[6:])
    if trigger.startswith("cron:"):
        return _("one boot point at each moment of {cron} (host's time)", cron=trigger[5:])
    return _("a boot point as soon as an increment has arrived")


def _command(draft: Draft) -> str:
    told = f"bootpoint standby add {draft.name} --images {draft.images}"
    if draft.trigger != "immediate":
        told += f" --trigger {draft.trigger}"
    return told + (f" --keep {draft.keep}" if draft.keep != "24" else "")


def wrong(draft: Draft) -> str:
    """Return what is wrong with a draft, a sentence; empty when it can be asked for."""
    if not _NAME.fullmatch(draft.name):
        return _("The name takes small letters, digits and hyphens, at most 48.")
    if not _TRIGGER.fullmatch(draft.trigger):
        return _(
            "The trigger is immediate, daily@HH:MM, every:N or cron:EXPRESSION, such as "
            "daily@22:00, every:4 or cron:0 6-20/2 * * mon-fri."
        )
    if not (draft.keep.isascii() and draft.keep.isdigit() and 1 <= int(draft.keep) <= 9999):
        return _("Keep takes a number of boot points, 1 or more.")
    return ""


def free_name(machine: str, taken: Container[str]) -> str:
    """Return a standby name made of a machine's name that is not taken yet."""
    plain = unicodedata.normalize("NFKD", machine).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:44].strip("-") or "machine"
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
