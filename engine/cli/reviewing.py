"""The review of a start as lines of text: what `start --dry-run` prints first."""

from __future__ import annotations

from datetime import datetime

from engine.api import review_words as words
from engine.api.review_views import ChoiceView, ReviewView
from engine.api.views import Plan
from engine.api.words import age, duration
from engine.cli.cells import table


def review_lines(plan: Plan, view: ReviewView) -> list[str]:
    """Return which data starts, what is lost, what the guard found, how long it takes."""
    chosen = words.choice(view, plan.point)
    told = [f"Start of {plan.machine}, isolated, from boot point {plan.point}", ""]
    if chosen is not None:
        told += [
            f"Data as of   {_clock(chosen.data_as_of)} ({age(chosen.lost_s)} ago)",
            f"You lose     what was written in the last {age(chosen.lost_s)}",
        ]
    told += [f"Not in it    {line}" for line in _missing(view)]
    told += [
        f"Guard        {words.guard(view)}",
        f"Time         {words.expected(view)}. {words.history(view)}",
    ]
    told += [f"             {line}" for line in _phases(view)]
    return [*told, "", *_choices(view, plan.point)]


def _missing(view: ReviewView) -> list[str]:
    told = [f"{_clock(one.data_as_of)}  {words.missing(one)}" for one in view.missing]
    return told + ([f"and {view.more_missing} more"] if view.more_missing else [])


def _phases(view: ReviewView) -> list[str]:
    return [f"{words.phase(one.name):<22}{duration(one.seconds)}" for one in view.usual]


def _choices(view: ReviewView, chosen: str) -> list[str]:
    rows = [
        (
            ">" if one.point == chosen else "",
            one.point,
            _clock(one.data_as_of),
            age(one.lost_s),
            _clock(one.proven_at) if one.proven_at else "not yet",
            _doubt(one),
        )
        for one in view.choices
    ]
    told = table(["", "POINT", "DATA AS OF", ">YOU LOSE", "PROVEN", "GUARD"], rows)
    if view.hidden:
        told.append(f"   {view.hidden} older ones are not listed: bootpoint points")
    if view.proposed and view.proposed != chosen:
        told.append(f"Proposed is {view.proposed}: {view.why}")
    return [*told, ""]


def _doubt(one: ChoiceView) -> str:
    if one.suspect:
        return "LOOKS ENCRYPTED"
    return "odd" if one.guard else "-"


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
