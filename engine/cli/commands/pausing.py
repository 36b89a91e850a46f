"""Commands about when boot points are made: now, not for a while, again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.api.views import Done, Plan, StandbyView
from engine.cli.commands.acting import act
from engine.cli.context import Context, wish_key
from engine.model.errors import Failure, Problem, WrongUse

if TYPE_CHECKING:
    from engine.api.client import Client


def now(context: Context, *, machine: str, dry_run: bool) -> int:
    """Make a boot point now."""
    return act(context, "build", machine=machine, dry_run=dry_run)


def pause(context: Context, *, machine: str, every: bool, until: str, reason: str) -> int:
    """Stop making boot points of one machine or of all."""
    with context.client() as client:
        machines = _machines(client, machine, every=every)
        return _each(context, client, "hold", machines, until=until, reason=reason)


def resume(context: Context, *, machine: str, every: bool) -> int:
    """Undo pauses."""
    with context.client() as client:
        machines = _machines(client, machine, every=every, held=True)
        return _each(context, client, "resume", machines)


def _machines(client: Client, machine: str, *, every: bool, held: bool = False) -> Sequence[str]:
    """Return the machines that are meant; of all, only the `held` ones where that matters."""
    if bool(machine) == every:
        happened = "Name one machine, or say --all."
        raise WrongUse(Problem("use.machine", happened, "Nothing was changed."))
    if machine:
        return [machine]
    found = client.call("standby.list", list[StandbyView])
    return [one.id for one in found if one.held or not held]


def _each(
    context: Context, client: Client, action: str, machines: Sequence[str], **told: str
) -> int:
    """Do one thing to several machines, all of them even when one refuses."""
    done: list[dict[str, str]] = []
    failed: list[Failure] = []
    for machine in machines:
        try:
            plan = client.call("plan", Plan, action=action, machine=machine, **told)
            text = client.call("run", Done, plan=plan.plan, confirm="", key=wish_key()).text
        except Failure as failure:
            failed.append(failure)
            continue
        done.append({"machine": machine, "text": text})
        if not context.output.as_json:
            context.output.say(text)
    if failed:
        raise failed[0]
    if context.output.as_json:
        one = done[0] if len(done) == 1 else {}
        context.output.object(**one, items=done)
    elif not done:
        context.output.say("No machine is paused." if action == "resume" else "There is none yet.")
    return 0
