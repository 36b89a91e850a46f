"""A standby's definition step by step: what is set, what is wrong with it, what it will mean. Pure.

images ─► target ─► when ─► keep ─► machine ─► checks ─► review     each can be left at any time
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.api.definition import KEYS, value_words, values
from engine.api.definition_views import CheckView, FactView, WrongView
from engine.local.drafts import Draft
from tui.format import pad
from tui.heard import heard
from tui.look import Form, Look
from tui.rows import BLANK, Line, cells, paragraph, prose, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

NAME = "name"
NEXT, BACK, TEXT, NO, YES = "next", "before", "text", "no", "yes"
REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its title, its keys, and the facts of the review that are about it."""

    id: str
    title: str
    fields: Sequence[str]
    facts: Sequence[str] = ()


FIRST = ("Space", "Time")
"""What a review says first, after what warns."""
STEPS = (
    Step("source", N_("images"), (NAME, "images", "machine"), ("Images", "Also")),
    Step("target", N_("target"), ("target",), ("Target", "Space")),
    Step("when", N_("when"), ("trigger", "backlog", "blackouts", "priority"), ("When",)),
    Step(
        "keep",
        N_("keep"),
        ("keep", *(key for key in KEYS if key.startswith("retention."))),
        ("Keeps", "Lost", "Space"),
    ),
    Step("network", N_("machine"), ("memory_mib", "cpus", "firmware", "bus"), ("Network",)),
    Step("checks", N_("checks"), ("rpo_s", "silence_s", "conversion"), ("Conversion", "Time")),
    Step(REVIEW, N_("review"), ()),
)
BY_ID = {step.id: step for step in STEPS}
IDS = tuple(BY_ID)


def step_of(draft: Draft) -> Step:
    """Return the step a draft stands at."""
    return BY_ID.get(draft.step, STEPS[0])


def beside(draft: Draft, way: int) -> str:
    """Return the step after (1) or before (-1) the present one; the same at the ends."""
    at = IDS.index(step_of(draft).id) + way
    return IDS[max(0, min(at, len(IDS) - 1))]


def shown(draft: Draft, field: str) -> str:
    """Return a field's value as it is typed; empty when it is left out."""
    if field == NAME:
        return draft.name
    try:
        told = values(draft.text)
    except ValueError:
        return ""
    return value_words(field, told[field]) if field in told else ""


def wrong_here(review: CheckView | None, step: Step) -> list[WrongView]:
    """Return what is wrong at a step; at the review everything."""
    if review is None:
        return []
    if step.id == REVIEW:
        return review.wrong
    return [
        one
        for one in review.wrong
        if not one.key or any(one.key == key or one.key.startswith(key) for key in step.fields)
    ]


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of one step."""
    form = look.subject
    if not isinstance(form, Form):
        return frame.Content(title=_("new standby"), empty=[BLANK, text(_(" No draft."))])
    step = step_of(form.draft)
    fields = [key for key in step.fields if key != NAME or form.draft.new]
    return frame.Content(
        title=_("new standby") if form.draft.new else f"{form.draft.name} > edit",
        head=_head(form, step, look),
        ids=[*fields, *_ways(step, form)],
        row=lambda name: (_row(form, name, look),),
        tail=_tail(fleet, form, step, look),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _ways(step: Step, form: Form) -> list[str]:
    if step.id == REVIEW:
        ready = form.review is not None and not form.review.wrong
        return [NO, *([YES] if ready else []), BACK, TEXT]
    return [NEXT, *([BACK] if step is not STEPS[0] else []), TEXT]


def _row(form: Form, name: str, look: Look) -> Line:
    if name in KEYS or name == NAME:
        value = shown(form.draft, name)
        label = _(KEYS[name].label) if name in KEYS else "Name"
        wrong = any(one.key == name for one in wrong_here(form.review, step_of(form.draft)))
        usual = f"({heard(KEYS[name].usual)})" if name in KEYS else ""
        mark = ("X", Tone.BAD) if wrong else (" ", Tone.PLAIN)
        told = (value, Tone.STRONG) if value else (usual, Tone.PLAIN)
        return ((" ", Tone.PLAIN), mark, (f" {pad(label, 14)} ", Tone.PLAIN), told)
    change = _("Yes, protect this machine") if form.draft.new else _("Yes, change it")
    words = {
        NEXT: _("next step"),
        BACK: _("the step before"),
        TEXT: _("edit all of it as text"),
        NO: _("No, leave. Nothing has changed; the draft is kept."),
        YES: change,
    }[name]
    sign = {NEXT: ">", BACK: "<", TEXT: "e"}.get(name, f"({'o' if name == look.chosen else ' '})")
    return text(f"   {sign} {words}")


def _head(form: Form, step: Step, look: Look) -> list[Line]:
    width, draft = look.usable, form.draft
    title = _("NEW STANDBY") if draft.new else _("EDIT")
    told = [text(f" {title} {draft.name}   " + _("nothing has changed yet"), Tone.STRONG)]
    told.append(_steps(step, width))
    if draft.why:
        told += paragraph("Not taken", draft.why, width, tone=Tone.WARN)
    if step.id == REVIEW:
        told += _review(form, look)
    return told


def _steps(step: Step, width: int) -> Line:
    """Return the steps in a line, the present one in brackets; alone where all do not fit."""
    every: Line = tuple(
        (f" [{_(one.title)}]", Tone.STRONG) if one is step else (f"  {_(one.title)} ", Tone.PLAIN)
        for one in STEPS
    )
    if cells(every) <= width:
        return every
    return text(f" {STEPS.index(step) + 1}/{len(STEPS)} [{_(step.title)}]", Tone.STRONG)


def _review(form: Form, look: Look) -> list[Line]:
    """Return everything a definition means, what warns first: a low screen cuts the rest."""
    width, review = look.usable, form.review
    if review is None:
        return [BLANK, text(_(" Asking the engine .."))]
    told: list[Line] = []
    for one in review.wrong:
        told += paragraph("Wrong", _wrong(one), width, tone=Tone.BAD)
    for change in review.changes:
        told += paragraph("Changes", change, width, tone=Tone.STRONG)
    for fact in sorted(review.facts, key=lambda one: (not one.warns, one.label not in FIRST)):
        told += _fact(fact, width)
    if review.role != "operator":
        needs = _("this change lets boot points go or swaps their source: it needs an admin")
        told += paragraph("Role", needs, width)
    return told


def _wrong(one: WrongView) -> str:
    return f"{heard(one.text)} {heard(one.remedy)}".strip()


def _fact(fact: FactView, width: int) -> list[Line]:
    tone = Tone.WARN if fact.warns else Tone.PLAIN
    return paragraph(fact.label, heard(fact.text), width, tone=tone)


def _tail(fleet: Fleet, form: Form, step: Step, look: Look) -> list[Line]:
    width = look.usable
    if step.id == REVIEW:
        return _last(form, width)
    told: list[Line] = []
    for one in wrong_here(form.review, step):
        told += paragraph("Wrong", _wrong(one), width, tone=Tone.BAD)
    told += _explained(fleet, look.chosen or next(iter(step.fields), ""), width)
    for fact in form.review.facts if form.review is not None else ():
        if fact.label in step.facts:
            told += _fact(fact, width)
    return told


def _explained(fleet: Fleet, chosen: str, width: int) -> list[Line]:
    """Return what the field under the cursor means."""
    if chosen == NAME:
        words = _("Small letters, digits and hyphens, at most 48; the VM is called so too.")
        return prose(words, width)
    if chosen not in KEYS:
        return []
    key = KEYS[chosen]
    told = prose(f"{heard(key.says)} " + _("Left out: {usual}.", usual=heard(key.usual)), width)
    if choices := choices_of(fleet, chosen):
        told += prose(_("Enter takes the next of: {all}", all=", ".join(choices)), width)
    return told


def _last(form: Form, width: int) -> list[Line]:
    """Return what is said once more before a definition is handed in."""
    told: list[Line] = []
    if form.draft.new:
        then = _(
            "Yes writes its file; the full image is copied at once, then one boot point after "
            "another. The image files and the source machine are not touched."
        )
        told += prose(then, width)
    return told


def choices_of(fleet: Fleet, field: str) -> Sequence[str]:
    """Return all values of a field, empty when it is typed."""
    return sorted(fleet.targets) if field == "target" else KEYS[field].choices
