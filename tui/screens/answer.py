"""What a VM asks before it goes on, and its choices."""

from __future__ import annotations

from engine.api.guest_views import QuestionView
from tui.look import Look
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import _


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of a question; its rows are the choices, named by their numbers."""
    asked = look.subject
    if not isinstance(asked, QuestionView):
        return frame.Content(title=_("answer"), empty=[BLANK, text(" " + _("Nothing is asked."))])
    choices = {str(number): one for number, one in enumerate(asked.choices, 1)}

    def row(name: str) -> tuple[Line]:
        mark = "(o)" if name == (look.chosen or "1") else "( )"
        return (text(f" {mark} {name}  {choices[name]}"),)

    waits = _("The VM of {machine} waits for an answer", machine=look.arg)
    head = [text(f" {waits}", Tone.STRONG)]
    head += [BLANK, *paragraph("It asks", asked.text, look.usable), BLANK]
    return frame.Content(
        title=f"{look.arg} > " + _("answer"), head=head, ids=list(choices), row=row
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page of a question, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
