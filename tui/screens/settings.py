"""What the operator chooses for the console; below it what runs, as whom, on which terminal."""

from __future__ import annotations

from engine.api.views import PROTO
from tui import preferences, words
from tui.format import age, duration, pad
from tui.look import Look
from tui.rows import Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

CHOOSES = {
    "zone": N_("Times"),
    "lang": N_("Language"),
    "colours": N_("Colours"),
    "signs": N_("Signs"),
    "confirm": N_("Confirm"),
}
"""Rows that can be changed -> their label."""
SHOWS = {
    preferences.FILE: (N_("engine.toml"), N_("Enter shows the engine's own file")),
    preferences.WHO: (N_("Connected"), N_("Enter shows who is connected to the engine")),
}
"""Rows that open a page -> their label, and what Enter does."""


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the settings screen."""
    return frame.Content(
        title=_("settings"),
        head=[
            text(" " + _("Yours, kept in {file}", file=preferences.path()), Tone.STRONG),
        ],
        ids=[*CHOOSES, *SHOWS],
        row=lambda name: _row(name, look),
        tail=_facts(fleet, look),
    )


def _row(name: str, look: Look) -> list[Line]:
    """Return one choice: what it is, what was chosen, what that gives here."""
    if name in SHOWS:
        label, shows = SHOWS[name]
        return [text(f"   {pad(_(label), 12)} {_(shows)}")]
    chosen = look.choices.get(name, preferences.USUAL)
    line = f"   {pad(_(CHOOSES[name]), 12)} {pad(chosen, 14)} {_gives(name, chosen, look)}"
    return [text(line)]


def _gives(name: str, chosen: str, look: Look) -> str:
    match name:
        case "zone":
            return _("now {clock}", clock=look.clock())
        case "lang":
            return words.CHOICES[words.language()]
        case "colours" if look.name == "plain":
            return _("none: lines only")
        case "colours":
            return _("sixteen colours") if look.colours else _("no colours: bold and reverse")
        case "signs":
            return "ASCII" if look.glyphs.ascii else _("ASCII and lines")
    if chosen == "name":
        return _("the machine's name for every change")
    return _("the name to start or stop, yes for the rest")


def _facts(fleet: Fleet, look: Look) -> list[Line]:
    width, hello = look.usable, fleet.hello
    told: list[Line] = []
    if hello is not None:
        told += paragraph(
            "Engine", _("{version}, up {time}", version=hello.engine, time=age(hello.up_s)), width
        )
        who = _("{user}, role {role}", user=hello.user, role=hello.role)
        told += paragraph("You are", who, width)
        if fleet.role == "viewer":
            told += paragraph("Read-only", _why_so_low(look), width)
        told += paragraph(
            "Protocol",
            _("{engine} (this console speaks {console})", engine=hello.proto, console=PROTO),
            width,
        )
        skew = fleet.skew.total_seconds()
        if abs(skew) >= 2:
            told += paragraph(
                "Clocks", _("engine and console differ by {time}", time=duration(abs(skew))), width
            )
    told += paragraph("Socket", look.socket, width)
    size = _("{width} by {height}", width=look.width, height=look.height)
    told += paragraph("Terminal", f"{size}  {look.name}".rstrip(), width)
    told += paragraph(
        "To change",
        _(
            "engine.toml with an editor; the engine reads it at its start, and its log names file, "
            "key and reason where something is wrong. Standbys change at once by e on a machine, "
            "or by bootpoint standby edit."
        ),
        width,
    )
    return told


def _why_so_low(look: Look) -> str:
    """Return why this console only looks."""
    if look.read_only:
        return _("This console was opened read-only: it only looks.")
    return _("Changes are for members of the group bootpoint-operators.")


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the settings screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
