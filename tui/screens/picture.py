"""What a guest shows on its screen, drawn with characters."""

from __future__ import annotations

from tui.format import clock
from tui.heard import heard
from tui.look import Look, Picture
from tui.picture import drawn
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import _

WIDE = 120
"""Windows of so many columns show a guest's screen beside its serial line."""


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the picture screen."""
    shown = look.subject if isinstance(look.subject, Picture) else Picture()
    title = f"{look.arg} > " + _("screen")
    if shown.failed is not None:
        told = [BLANK, *paragraph("Happened", heard(shown.failed.happened), look.usable)]
        told += paragraph("What now", heard(shown.failed.remedy), look.usable)
        return frame.Content(title=title, empty=told)
    if shown.view is None:
        return frame.Content(title=title, empty=[BLANK, text(" " + _("The engine asks the VM .."))])
    told = [((" ", Tone.PLAIN), *line) for line in drawn(shown.view, blocks=look.blocks)]
    return frame.pages(told, title=title, head=[_head(look, shown)])


def _head(look: Look, shown: Picture) -> Line:
    size = f"{shown.view.width} x {shown.view.height}" if shown.view else ""
    told = _("SCREEN of {machine}   {size}", machine=look.arg, size=size)
    if shown.at:
        told = _(
            "SCREEN of {machine}   {size}, as of {when}",
            machine=look.arg,
            size=size,
            when=clock(shown.at, look.zone),
        )
    return text(f" {told}", Tone.STRONG)


def room(look: Look) -> tuple[int, int]:
    """Return the columns and rows of cells that a picture may fill."""
    return max(20, min(look.usable - 2, 200)), max(6, min(look.height - 5, 100))


def side(look: Look) -> tuple[int, int]:
    """Return the columns and rows of a picture that stands beside the serial line."""
    return min(80, look.usable // 2 - 2), max(6, min(look.height - 16, 40))


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the picture screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
