"""Which boot points of a machine stay, which go, why, and how much room comes back."""

from __future__ import annotations

from engine.api.changes import Kind, Words
from engine.api.keeping_views import RetentionView, room, settings_words
from tui.format import moment
from tui.look import Look, Report
from tui.rows import BLANK, Line, text
from tui.screens import frame
from tui.screens.reports import laid_out, refused
from tui.state import Fleet
from tui.tones import Tone


def content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page: text that moves below its answer."""
    told = look.subject if isinstance(look.subject, Report) else Report()
    title = f"{look.machine} > retention"
    head: list[Line] = [text(" RETENTION: which boot points stay, and why", Tone.STRONG)]
    if told.failed is not None:
        return frame.pages(refused(look, told.failed), title=title, head=head)
    if not told.asked:
        asking = text(" The engine looks at the store; this takes a moment. It is safe to leave.")
        return frame.Content(title=title, head=head, empty=[BLANK, asking])
    head += laid_out(told.head, look)
    return frame.pages(laid_out(told.lines, look) or [BLANK], title=title, head=head)


def report(view: RetentionView, look: Look) -> Report:
    """Return the page's text."""
    head = [Words(f"{view.stay} stay, {view.go} go; {room(view)}."), Words(settings_words(view))]
    if view.most is not None:
        head.append(Words(f"The target can hold {view.most} boot points of one chain."))
    if view.hold:
        head.append(Words(f"ON HOLD, nothing is taken away: {view.hold}", Kind.WARNING))
    lines = [
        Words(
            f"{'+' if one.keep else '-'} {one.id}  {moment(one.data_as_of, look.zone)}  "
            f"{'stays' if one.keep else 'goes '}  {one.reason}",
            Kind.PLAIN if one.keep else Kind.WARNING,
        )
        for one in reversed(view.points)
    ]
    if view.hidden:
        lines.append(Words(f"{view.hidden} older ones are not shown."))
    return Report(tuple(head), tuple(lines), asked=True)


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)
