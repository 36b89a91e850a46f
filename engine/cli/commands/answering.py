"""`bootpoint answer`: what a VM asks before it goes on, and the answer to it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.guest_views import QuestionView
from engine.api.views import Done
from engine.cli.context import Context, wish_key
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe


def answer(context: Context, *, machine: str, choice: str) -> int:
    """Print the question and its choices; with a choice, answer it."""
    with context.client() as client:
        asked = client.call("question", list[QuestionView], machine=machine)
        if not choice:
            _show(context, machine, asked)
            return 0
        question = asked[0] if asked else None
        done = client.call(
            "answer",
            Done,
            machine=machine,
            question=question.id if question else "none",
            choice=_number(choice, question) if question else 1,
            key=wish_key(),
        )
    if context.output.as_json:
        context.output.object(machine=machine, text=done.text)
    else:
        context.output.say(done.text)
    return 0


def _show(context: Context, machine: str, asked: Sequence[QuestionView]) -> None:
    output = context.output
    question = asked[0] if asked else None
    if output.as_json:
        output.object(machine=machine, question=question)
    elif question is None:
        output.say(f"The VM of {machine} asks nothing.")
    else:
        output.say(*question_lines(machine, question))


def question_lines(machine: str, question: QuestionView) -> Sequence[str]:
    """Return what a VM asks, its choices numbered, and how to answer."""
    return [
        f"The VM of {machine} asks: {question.text}",
        *(f"  {at}  {one}" for at, one in enumerate(question.choices, 1)),
        f"Answer it: bootpoint answer {machine} NUMBER",
    ]


def _number(choice: str, question: QuestionView) -> int:
    """Return the number of a choice that was given by it, or by its words.

    Raises:
        WrongUse: There is no such choice, or more than one.
    """
    known = question.choices
    if choice.isascii() and choice.isdigit() and 1 <= int(choice[:9]) <= len(known):
        return int(choice)
    fitting = [at for at, one in enumerate(known, 1) if one.lower() == choice.strip().lower()]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(f"{at} {one}" for at, one in enumerate(known, 1))
    raise WrongUse(
        Problem(
            "vm.no-choice",
            f"{safe(choice, 60)} is no choice of this question: {question.text}",
            "Nothing was answered.",
            f"Choose one of: {listed}.",
        )
    )
