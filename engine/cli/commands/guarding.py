"""The command of the ransomware guard."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.guarding import GuardView, IncrementView
from engine.api.words import moment, size
from engine.cli.commands.acting import act
from engine.cli.context import Context
from engine.model.errors import Problem, WrongUse


def guard(context: Context, *, words: Sequence[str], note: str) -> int:
    """Print what the guard thinks of a machine, or release its hold.

    Args:
        context: Of the program.
        words: The machine; or `release` and the machine.
        note: Why it is released.
    """
    match list(words):
        case [machine]:
            return _show(context, machine)
        case ["release", machine]:
            return act(context, "release-guard", machine=machine, reason=note)
    raise WrongUse(
        Problem(
            "guard.words",
            f"'{' '.join(words)}' names no machine.",
            "Nothing was changed.",
            "Write: bootpoint guard MACHINE, or bootpoint guard release MACHINE",
        )
    )


def _show(context: Context, machine: str) -> int:
    with context.client() as client:
        view = client.call("guard", GuardView, machine=machine)
        now = client.hello.now
    if context.output.as_json:
        context.output.object(guard=view, items=view.increments)
        return 0
    say = context.output.say
    say(f"GUARD of {view.id}: {'RETENTION IS ON HOLD' if view.frozen else 'all is usual'}")
    if view.reason and not view.frozen:
        say(f"It would hold the retention: {view.reason}")
    if view.hold:
        say(f"Hold: {view.hold}")
    if view.released_at is not None:
        say(f"Released: {moment(view.released_at, now)}")
    if view.increments:
        heads = [">SEQ", "DATA AS OF", ">CHANGED", ">OF DISK", ">USUAL", ">DENSE", ">USUAL", "SIGN"]
        rows = [
            [
                str(one.sequence),
                moment(one.data_as_of, now),
                size(one.changed),
                f"{one.rate * 100:.2f} %",
                f"{one.usual_rate * 100:.2f} %",
                f"{one.density * 100:.0f} %",
                f"{one.usual_density * 100:.0f} %",
                _sign(one),
            ]
            for one in reversed(view.increments)
        ]
        context.output.table(heads, rows)
    say(f"{view.judged} increments were judged.")
    if view.frozen:
        say(f"If all is well with the machine: bootpoint guard release {view.id} --note TEXT")
    return 0


def _sign(one: IncrementView) -> str:
    return "known" if one.known else "!" * one.evidence
