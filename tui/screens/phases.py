"""How far a start is: its phases with what they took, beside what they usually take."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import review_words as words
from engine.api.review_views import PhaseView, UsualView
from engine.api.views import JobView
from tui.format import duration, pad
from tui.heard import heard
from tui.look import Look
from tui.rows import Line, Span, paragraph, text
from tui.tones import Tone
from tui.words import _

TABLE_FROM = 20
"""From this height on each phase has a line of its own."""
WATCHED_S = 600.0
"""So long after power on signs of life are waited for on lines of their own."""
NAME, FIGURE = 24, 9
ENDED_BADLY = ("failed", "cancelled")


def lines(look: Look, job: JobView, usual: Sequence[UsualView]) -> list[Line]:
    """Return the phases of a start or stop."""
    known = {one.name: one for one in job.phases}
    expected = {one.name: one.seconds for one in usual}
    names = [*known, *(name for name in _to_come(job, expected) if name not in known)]
    if not names:
        return []
    old = job.ended_at is not None and (look.age(job.ended_at) or 0.0) > WATCHED_S
    if look.height < TABLE_FROM or old:
        return _short(look, job)
    head = "   " + pad(_("PHASE"), NAME) + pad(_("TOOK"), FIGURE, right=True)
    if expected:
        head += pad(_("USUALLY"), FIGURE + 2, right=True)
    return [
        text(head, Tone.HEAD),
        *(_row(look, job, name, known.get(name), expected) for name in names),
    ]


def _to_come(job: JobView, expected: dict[str, float]) -> list[str]:
    """Return the phases that a start goes through: its own steps, and signs that were seen before.

    A guest that never showed a login prompt is not said to be late with one.
    """
    if job.kind != "start" or job.status in ENDED_BADLY:
        return []
    signs = [name for name in words.SIGNS if name in expected] or list(words.SIGNS[:1])
    return [*(words.START if job.status != "done" else ()), *signs]


def _row(
    look: Look, job: JobView, name: str, phase: PhaseView | None, expected: dict[str, float]
) -> Line:
    waits = phase is None and job.status == "done"
    took = _took(look, job, phase, waits=waits)
    mark: Span = (" + ", Tone.PLAIN)
    if waits or (phase is not None and phase.seconds is None):
        mark = (" > ", Tone.NOTE)
    elif phase is None:
        mark = (" . ", Tone.PLAIN)
    elif job.status in ENDED_BADLY and phase is job.phases[-1]:
        mark = (" X ", Tone.BAD)
    line = f"{pad(heard(words.phase(name)), NAME)}{pad(took, FIGURE, right=True)}"
    if name in expected:
        line += pad(duration(expected[name]), FIGURE + 2, right=True)
    return (mark, (line, Tone.PLAIN))


def _took(look: Look, job: JobView, phase: PhaseView | None, *, waits: bool) -> str:
    if waits:
        return f"{duration(look.age(job.ended_at))} .."
    if phase is None:
        return "-"
    if phase.seconds is None:
        return f"{duration(look.age(phase.at))} .."
    return duration(phase.seconds)


def _short(look: Look, job: JobView) -> list[Line]:
    told = [
        f"{heard(words.phase(one.name))} "
        + (duration(one.seconds) if one.seconds is not None else f"{duration(look.age(one.at))} ..")
        for one in job.phases
    ]
    return paragraph("Phases", ", ".join(told), look.usable)
