"""A new ESXi target: what is filled in, whose certificate is compared, what was found. Pure.

target ─► the host shows its certificate ─► trust ─► log in, look ─► added
   ▲                                          │          │
   └──────────── no, or Esc: kept ────────────┴──────────┘ something stands in the way
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.api.contact_views import AddedView
from tui.format import pad
from tui.heard import heard
from tui.look import Look, NewTarget
from tui.rows import BLANK, Line, paragraph, prose, text
from tui.screens import certificate, frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

GO, CLEAR, NO, YES = "go", "clear", "no", "yes"
TRANSPORTS = ("nfs", "hotadd")
FIELDS: Mapping[str, str] = {
    "name": N_("Small letters, digits and hyphens, at most 48."),
    "url": N_("Address of the host or vCenter: https://HOST/ or https://HOST:PORT/"),
    "user": N_("Who logs in; the role it needs is in docs/ESXI.md."),
    "password": N_(
        "Where the password is, never the password: file:/PATH, mode 0600, on the engine's "
        "computer, or credential:NAME of its service."
    ),
    "transport": N_(
        "Where boot points are: nfs, here, hosts mount them; hotadd, on the host's datastore, and "
        "this program runs in a VM there. Enter takes the other one. Left out: nfs."
    ),
    "datastore": N_("For the VMs' own files; with hotadd for their disks too."),
    "server": N_("This appliance's address as the hosts see it; only with nfs."),
    "store": N_("Folder of the boot points, on XFS or btrfs; hosts mount .run in it."),
    "place": N_("Resource pool, cluster or host of the VMs, or the way there: cluster/pool"),
    "production": N_("Port group of the real network; left out: no VM gets onto one."),
    "isolated": N_("Port group without an uplink. Left out: bootpoint-isolated."),
    "authority": N_(
        "PEM file of who signs the host's certificate. Left out: the certificate is pinned, after "
        "you compare it."
    ),
}
"""Field of `target add` -> what is said of it while the cursor is on it."""
NEEDED = ("name", "url", "user", "password")
AFTER = "systemctl restart bootpoint"
_MARKS = {
    "error": ("Error", Tone.BAD),
    "warning": ("Warning", Tone.WARN),
    "note": ("Note", Tone.PLAIN),
}
"""Gravity of a finding -> its label and its tone; what is worst stands first."""


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page with the fields."""
    new = look.subject
    if not isinstance(new, NewTarget):
        return frame.Content(title=_("new target"), empty=[BLANK, text(_(" No draft."))])
    chosen = look.chosen or "name"
    title = _("NEW TARGET   nothing has changed yet")
    tail = paragraph("Wrong", heard(new.wrong), look.usable, tone=Tone.BAD)
    if chosen in FIELDS:
        tail += prose(_(FIELDS[chosen]), look.usable)
    return frame.Content(
        title=_("targets") + " > " + _("new target"),
        head=[text(f" {title}", Tone.STRONG)],
        ids=[*FIELDS, GO, *([CLEAR] if any(new.words.values()) else [])],
        row=lambda name: (_row(new, name),),
        tail=tail,
    )


def _row(new: NewTarget, name: str) -> Line:
    if name == GO:
        return text("   > " + _("ask the host for its certificate"))
    if name == CLEAR:
        return text("   x " + _("throw away what was filled in"))
    mark = ("X", Tone.BAD) if new.field == name else (" ", Tone.PLAIN)
    value = new.words.get(name, "")
    usual = _("(needed)") if name in NEEDED else _("(left out)")
    told = (value, Tone.STRONG) if value else (usual, Tone.PLAIN)
    return ((" ", Tone.PLAIN), mark, (f" {pad(name, 10)} ", Tone.PLAIN), told)


def trust_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page that asks; its first row, the default, changes nothing."""
    new = look.subject
    if not isinstance(new, NewTarget) or new.contact is None:
        return frame.Content(title=_("new target"), empty=[BLANK, text(_(" No draft."))])
    name = new.words.get("name", "")
    if new.added is None:
        title = _("ADD {name}   no password was sent yet", name=name)
        yes = _("Yes, the SHA-256 is the same: log in, look, and add it")
        if new.words.get("authority"):
            yes = _("Yes, log in if that authority signed it, look, and add it")
        told = certificate.lines(new.contact, look, new.words.get("authority", ""))
    else:
        title = _("ADD {name}   NOT ADDED, nothing was written", name=name)
        yes = _("Yes, add it all the same, to be mended later")
        told = _found(new.added, look)
    rows = {NO: _("No, back to what was filled in; it is kept."), YES: yes}
    chosen = look.chosen or NO
    return frame.Content(
        title=_("targets") + " > " + _("new target"),
        head=[text(f" {title}", Tone.STRONG), BLANK, *told, BLANK],
        ids=list(rows),
        row=lambda one: (text(f" ({'o' if one == chosen else ' '}) {rows[one]}"),),
    )


def _found(added: AddedView, look: Look) -> list[Line]:
    """Return what was found, what is worst first."""
    told: list[Line] = []
    for gravity, (label, tone) in _MARKS.items():
        for one in added.found:
            if one.gravity == gravity:
                said = f"{heard(one.text)} {heard(one.remedy)}".strip()
                told += paragraph(label, said, look.usable, tone=tone)
    return told


def _after(added: AddedView, width: int) -> list[Line]:
    """Return whether the engine knows the target, and what to do where it does not."""
    if added.known:
        then = _("The engine has taken it up and looks at it: Esc, then Enter on it in the list.")
        return paragraph("What now", then, width, tone=Tone.STRONG)
    then = _("{command}: the engine knows it after that. Running VMs go on.", command=AFTER)
    told = paragraph("What now", then, width, tone=Tone.STRONG)
    if added.why is not None:
        told += paragraph("Not yet", heard(added.why.text), width, tone=Tone.WARN)
    return told


def added_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return what is left to do for a target that was added."""
    new = look.subject
    if not isinstance(new, NewTarget) or new.added is None:
        return frame.Content(title=_("new target"), empty=[BLANK, text(_(" No draft."))])
    width, added = look.usable, new.added
    title = _("TARGET {name} WAS ADDED", name=new.words.get("name", ""))
    told: list[Line] = [BLANK]
    told += _after(added, width)
    told += paragraph("File", added.file, width)
    if added.share:
        mount = _(
            "Its hosts mount {share}: export that folder to them by NFSv3.", share=added.share
        )
        told += paragraph("Then", mount, width)
    found = _found(added, look) or paragraph("Found", _("nothing wrong"), width)
    told += [BLANK, *found]
    head = text(f" {title}", Tone.STRONG)
    return frame.pages(told, title=_("targets") + " > " + _("new target"), head=[head])
