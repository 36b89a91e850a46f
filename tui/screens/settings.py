"""What runs, as whom, on which terminal: to read, not to change."""

from __future__ import annotations

from engine.api.views import PROTO
from tui import preferences, words
from tui.format import age, duration
from tui.look import Look
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import _


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the settings screen."""
    width, hello = look.usable, fleet.hello
    told: list[Line] = []
    if hello is not None:
        told += paragraph(
            "Engine", _("{version}, up {time}", version=hello.engine, time=age(hello.up_s)), width
        )
        told += paragraph("Site", hello.site, width)
        told += paragraph(
            "You are", _("{user}, role {role}", user=hello.user, role=hello.role), width
        )
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
    told.append(BLANK)
    signs = "ASCII" if look.glyphs.ascii else _("ASCII and lines")
    told += paragraph(
        "Terminal",
        _("{width} by {height}, signs: {signs}", width=look.width, height=look.height, signs=signs),
        width,
    )
    told += paragraph("Language", _language(), width)
    told += paragraph("Times", _("in your zone: {clock}", clock=look.clock()), width)
    told += paragraph("Read-only", _("yes") if look.read_only else _("no"), width)
    told.append(BLANK)
    told += paragraph(
        "To change",
        _(
            "engine.toml and standbys.d/ in the configuration folder; the engine reads them at its "
            "start. bootpoint standby add and remove change standbys at once."
        ),
        width,
    )
    return frame.pages(
        told, title=_("settings"), head=[text(" " + _("What is set, to read"), Tone.STRONG)]
    )


def _language() -> str:
    """Return the language spoken, and how to have another."""
    return _(
        "{language}; another: type :lang en or :lang ja, kept in {file}",
        language=words.CHOICES[words.language()],
        file=preferences.path(),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the settings screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
