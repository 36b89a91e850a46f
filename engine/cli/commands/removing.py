"""The command that removes a target, and letting the running engine know an added one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.api.contact_views import RemovalView
from engine.api.errors import EngineAway
from engine.api.views import Done
from engine.cli.context import Context, wish_key
from engine.cli.output import note
from engine.model.errors import Failure
from engine.model.text import safe

if TYPE_CHECKING:
    from engine.daemon.removing import Removal


def remove(context: Context, *, name: str, yes_i_mean: str, dry_run: bool) -> int:
    """Remove a target, after its name was typed; say what stays.

    The running engine does it, so that it lets go of it at once; where none runs, this program
    does, and keeps one from starting meanwhile.
    """
    context.may_change("target remove")
    try:
        with context.client() as client:
            going = client.call("target.removal", RemovalView, target=name)
    except EngineAway:
        return _alone(context, name, yes_i_mean, dry_run=dry_run)
    if dry_run:
        return _tell(context, going, "")
    confirm = _typed(context, going, yes_i_mean)
    with context.client() as client:
        done = client.call("target.remove", RemovalView, name=name, confirm=confirm, key=wish_key())
    return _tell(context, done, "The running engine has let go of it.")


def _alone(context: Context, name: str, typed: str, *, dry_run: bool) -> int:
    from engine.api.plans import check_name
    from engine.config.engine import load_engine
    from engine.daemon.removing import removal, remove_alone

    told = load_engine(context.config)
    going = removal(told, name)
    view = _view(going)
    if dry_run:
        return _tell(context, view, "")
    check_name(_typed(context, view, typed), name)
    remove_alone(told, going)
    return _tell(context, view, "No engine answers here; one that starts does not know it.")


def _view(going: Removal) -> RemovalView:
    from engine.api.target_views import removal_view

    return removal_view(going)


def _typed(context: Context, going: RemovalView, given: str) -> str:
    if not given and not context.output.as_json:
        for text in going.stays:
            note(text)
    question = f"Target {going.id} will be forgotten, and {going.file} moved aside."
    return context.typed_name(going.id, given, question)


def _tell(context: Context, going: RemovalView, how: str) -> int:
    """Tell what was done, or with `how` empty what would be."""
    output = context.output
    if output.as_json:
        output.object(
            name=going.id,
            removed=bool(how),
            file=going.file,
            aside=going.aside,
            store=going.store,
            stays=going.stays,
        )
    elif how:
        output.say(f"Target {going.id} was removed. {how}")
        output.say(f"Its file is {going.aside} now; nobody reads that.", *going.stays)
    else:
        output.say(
            f"Target {going.id} can be removed. {going.file} would be moved to {going.aside}.",
            *going.stays,
            "Nothing was changed.",
        )
    return 0


def let_know(context: Context, name: str, definition: str) -> tuple[bool, str]:
    """Let the running engine take up an added target.

    Returns:
        Whether it has, and what is to be told of it, a sentence or more.
    """
    try:
        with context.client() as client:
            client.call("target.take", Done, target=name, definition=definition)
    except EngineAway:
        return False, "No engine answers here; it knows the target when it starts."
    except Failure as failure:
        return False, untold(failure.problem.happened, failure.problem.remedy)
    return True, "The running engine has taken it up."


def untold(happened: str, remedy: str) -> str:
    """Return that the running engine does not go by what was written, and why."""
    why = safe(f"{happened} {remedy}".strip(), 600)
    return f"The running engine knows it after its next start: {why}"
