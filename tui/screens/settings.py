"""What runs, as whom, on which terminal: to read, not to change."""

from __future__ import annotations

from engine.api.views import PROTO
from tui.format import age, duration
from tui.look import Look
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the settings screen."""
    width, hello = look.usable, fleet.hello
    told: list[Line] = []
    if hello is not None:
        told += paragraph("Engine", f"{hello.engine}, up {age(hello.up_s)}", width)
        told += paragraph("Site", hello.site, width)
        told += paragraph("You are", f"{hello.user}, role {hello.role}", width)
        told += paragraph("Protocol", f"{hello.proto} (this console speaks {PROTO})", width)
        skew = fleet.skew.total_seconds()
        if abs(skew) >= 2:
            told += paragraph(
                "Clocks", f"engine and console differ by {duration(abs(skew))}", width
            )
    told += paragraph("Socket", look.socket, width)
    told.append(BLANK)
    signs = "ASCII" if look.glyphs.ascii else "ASCII and lines"
    told += paragraph("Terminal", f"{look.width} by {look.height}, signs: {signs}", width)
    told += paragraph("Times", f"in your zone: {look.clock()}", width)
    told += paragraph("Read-only", "yes" if look.read_only else "no", width)
    told.append(BLANK)
    told += paragraph(
        "To change",
        "engine.toml and standbys.d/ in the configuration folder; the engine reads them at its "
        "start. bootpoint standby add and remove change standbys at once.",
        width,
    )
    return frame.pages(told, title="settings", head=[text(" What is set, to read", Tone.STRONG)])


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the settings screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
