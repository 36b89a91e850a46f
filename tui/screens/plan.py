"""The second screen of every change: what will happen, what is lost; and refusals."""

from __future__ import annotations

from engine.api import review_words
from engine.api.views import Plan
from tui.format import age, duration, moment
from tui.heard import heard
from tui.look import Look, Parts
from tui.rows import BLANK, Line, clip, paragraph, spread, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

TITLES = {
    "start": N_("EMERGENCY START, ISOLATED"),
    "stop": N_("STOP"),
    "home": N_("BRING HOME"),
    "build": N_("MAKE A BOOT POINT NOW"),
    "hold": N_("PAUSE"),
    "resume": N_("RESUME"),
    "cancel": N_("CANCEL A JOB"),
    "convert": N_("CONVERT A BOOT POINT AGAIN"),
}
YES = {
    "start": N_("Yes, start it"),
    "stop": N_("Yes, stop it and drop what it wrote"),
    "build": N_("Yes, make it"),
    "home": N_("Yes, bring it home"),
    "hold": N_("Yes, pause it"),
    "resume": N_("Yes, resume it"),
    "cancel": N_("Yes, cancel the job"),
    "convert": N_("Yes, convert it"),
}


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of a plan; its first row, the default, changes nothing."""
    plan = look.subject
    if not isinstance(plan, Plan):
        return frame.Content(title=_("plan"), empty=[BLANK, text(" " + _("No plan."))])
    yes = _(YES.get(plan.action, N_("Yes")))
    rows = {
        "no": " ( ) " + _("No, leave. Nothing has changed."),
        "yes": " ( ) " + (_("{yes}  .. asks for the name", yes=yes) if plan.confirm else yes),
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
    what = f" {_(TITLES.get(plan.action, plan.action.upper()))}   {plan.machine}"
    told = [spread(text(what, Tone.STRONG), text(_("nothing has changed yet")), width), BLANK]
    if plan.action == "start":
        told += _data(fleet, look, plan)
    happens = _("What will happen")
    if plan.expected_s is not None:
        happens = _("What will happen   about {time} in all", time=duration(plan.expected_s))
    told.append(text(f" {happens}", Tone.HEAD))
    for number, step in enumerate(plan.steps, start=1):
        seconds = ""
        if step.expected_s is not None:
            seconds = _("about {time}", time=duration(step.expected_s))
        told.append(spread(text(f"   {number}  {heard(step.text)}"), text(seconds), width))
    for check in plan.checks:
        told += paragraph("Note", heard(check), width, tone=Tone.WARN)
    command = _command(plan)
    if command and look.height >= 20:
        told += [BLANK, text(" " + _("Command:  {command}", command=command))]
    return told


def _data(fleet: Fleet, look: Look, plan: Plan) -> list[Line]:
    detail = fleet.details.get(plan.machine)
    machine = fleet.machines.get(plan.machine)
    points = detail.points if detail else []
    point = next((one for one in points if one.id == plan.point), None)
    at = point.data_as_of if point else (machine.data_as_of if machine else None)
    lost = look.age(at) if at else plan.lost_s
    width = look.usable
    told = paragraph("Boot point", plan.point or _("the newest that is ready"), width)
    if at is not None:
        data = _("{when}, {age} old", when=moment(at, look.zone), age=age(lost))
        told += paragraph("Data as of", data, width, tone=Tone.STRONG)
    if lost is not None:
        words = _("what was written on the source in the last {time}", time=age(lost))
        told += paragraph("You lose", words, width)
    if plan.review is not None:
        took = _(
            "{time}. {history}",
            time=heard(review_words.expected(plan.review)),
            history=heard(review_words.history(plan.review)),
        )
        told += clip(paragraph("Time", took, width), 2, width)
    return [*told, BLANK]


def _command(plan: Plan) -> str:
    if plan.action == "start":
        return f"bootpoint start {plan.machine}" + (f" --point {plan.point}" * bool(plan.point))
    if plan.action == "convert":
        return f"bootpoint convert {plan.machine} --point {plan.point} --again"
    if plan.action == "build":
        return f"bootpoint now {plan.machine}"
    if plan.action in ("stop", "home", "resume"):
        return f"bootpoint {plan.action} {plan.machine}"
    return ""


def refused_content(_fleet: Fleet, look: Look) -> frame.Content:
    """Return the page of a refusal: what happened, what was not changed, what now."""
    parts = look.subject if isinstance(look.subject, Parts) else Parts(_("Nothing was refused."))
    width = look.usable
    told = [BLANK, *paragraph("Happened", heard(parts.happened), width, tone=Tone.STRONG)]
    told += paragraph("Not changed", heard(parts.unchanged), width)
    told += paragraph("What now", heard(parts.remedy), width)
    told += [BLANK, text(" " + _("Enter or Esc goes back."))]
    return frame.pages(
        told, title=_("refused"), head=[text(" X " + _("It was not done"), Tone.BAD)]
    )


def refused_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the page of a refusal, line by line."""
    return list(frame.draw(refused_content(fleet, look), fleet, look).lines)
