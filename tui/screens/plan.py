"""The second screen of every change: what will happen, what is lost; and refusals."""

from __future__ import annotations

from engine.api import review_words
from engine.api.views import Plan
from tui.format import age, duration, moment
from tui.look import Look, Parts
from tui.rows import BLANK, Line, clip, paragraph, spread, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone

TITLES = {
    "start": "EMERGENCY START, ISOLATED",
    "stop": "STOP",
    "build": "MAKE A BOOT POINT NOW",
    "hold": "PAUSE",
    "resume": "RESUME",
    "cancel": "CANCEL A JOB",
    "convert": "CONVERT A BOOT POINT AGAIN",
}
YES = {
    "start": "Yes, start it",
    "stop": "Yes, stop it and drop what it wrote",
    "build": "Yes, make it",
    "hold": "Yes, pause it",
    "resume": "Yes, resume it",
    "cancel": "Yes, cancel the job",
    "convert": "Yes, convert it",
}


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of a plan; its first row, the default, changes nothing."""
    plan = look.subject
    if not isinstance(plan, Plan):
        return frame.Content(title="plan", empty=[BLANK, text(" No plan.")])
    rows = {
        "no": " ( ) No, leave. Nothing has changed.",
        "yes": f" ( ) {YES.get(plan.action, 'Yes')}"
        + ("  .. asks for the name" * bool(plan.confirm)),
    }
    chosen = look.chosen or "no"
    return frame.Content(
        title=f"{plan.machine} > {plan.action}",
        head=_head(fleet, look, plan),
        ids=list(rows),
        row=lambda name: (text(rows[name].replace("( )", "(o)" if name == chosen else "( )")),),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page of a plan, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _head(fleet: Fleet, look: Look, plan: Plan) -> list[Line]:
    width = look.usable
    what = f" {TITLES.get(plan.action, plan.action.upper())}   {plan.machine}"
    told = [spread(text(what, Tone.STRONG), text("nothing has changed yet"), width), BLANK]
    if plan.action == "start":
        told += _data(fleet, look, plan)
    took = f"   about {duration(plan.expected_s)} in all" if plan.expected_s is not None else ""
    told.append(text(f" What will happen{took}", Tone.HEAD))
    for number, step in enumerate(plan.steps, start=1):
        seconds = "" if step.expected_s is None else f"about {duration(step.expected_s)}"
        told.append(spread(text(f"   {number}  {step.text}"), text(seconds), width))
    for check in plan.checks:
        told += paragraph("Note", check, width, tone=Tone.WARN)
    command = _command(plan)
    if command and look.height >= 20:
        told += [BLANK, text(f" Command:  {command}")]
    return told


def _data(fleet: Fleet, look: Look, plan: Plan) -> list[Line]:
    detail = fleet.details.get(plan.machine)
    machine = fleet.machines.get(plan.machine)
    points = detail.points if detail else []
    point = next((one for one in points if one.id == plan.point), None)
    at = point.data_as_of if point else (machine.data_as_of if machine else None)
    lost = look.age(at) if at else plan.lost_s
    width = look.usable
    told = paragraph("Boot point", plan.point or "the newest that is ready", width)
    if at is not None:
        data = f"{moment(at, look.zone)}, {age(lost)} old"
        told += paragraph("Data as of", data, width, tone=Tone.STRONG)
    if lost is not None:
        words = f"what was written on the source in the last {age(lost)}"
        told += paragraph("You lose", words, width)
    if plan.review is not None:
        took = f"{review_words.expected(plan.review)}. {review_words.history(plan.review)}"
        told += clip(paragraph("Time", took, width), 2, width)
    return [*told, BLANK]


def _command(plan: Plan) -> str:
    if plan.action == "start":
        return f"bootpoint start {plan.machine}" + (f" --point {plan.point}" * bool(plan.point))
    if plan.action == "convert":
        return f"bootpoint convert {plan.machine} --point {plan.point} --again"
    if plan.action in ("stop", "build", "resume"):
        return f"bootpoint {plan.action} {plan.machine}"
    return ""


def refused_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of a refusal: what happened, what was not changed, what now."""
    parts = look.subject if isinstance(look.subject, Parts) else Parts("Nothing was refused.")
    width = look.usable
    told = [BLANK, *paragraph("Happened", parts.happened, width, tone=Tone.STRONG)]
    told += paragraph("Not changed", parts.unchanged, width)
    told += paragraph("What now", parts.remedy, width)
    told += [BLANK, text(" Enter or Esc goes back.")]
    return frame.pages(told, title="refused", head=[text(" X It was not done", Tone.BAD)])


def refused_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page of a refusal, line by line."""
    return list(frame.draw(refused_content(fleet, look), fleet, look).lines)
