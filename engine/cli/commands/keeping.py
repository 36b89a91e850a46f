"""Commands about what stays: retention, pins, holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from engine.api.keeping_views import RetentionView, VerdictView, coming, room, settings_words
from engine.api.views import Done
from engine.api.words import age, moment
from engine.cli.cells import shared
from engine.cli.commands.acting import act, point_id
from engine.cli.context import Context, wish_key
from engine.model.errors import Problem, WrongUse

PATIENCE_S = 120.0
"""What comes back is told by a look at each file of the store."""


def retention(
    context: Context,
    *,
    machine: str,
    preview: bool,
    hold: str | None,
    release: bool,
    yes_i_mean: str,
    **asked: int | Sequence[tuple[str, int | None]] | None,
) -> int:
    """Print what stays and what goes, or change what decides it.

    Args:
        context: Of the program.
        machine: The standby.
        preview: Say what would go.
        hold: Why nothing shall go; None: leave the hold as it is.
        release: End a hold.
        yes_i_mean: The name, typed.
        asked: `set`: settings to write; the others: settings to look at.
    """
    written = asked.pop("set")
    settings = {key: value for key, value in asked.items() if isinstance(value, int)}
    if sum((written is not None, hold is not None, release, preview or bool(settings))) > 1:
        raise WrongUse(
            Problem(
                "retention.options",
                "Only one of a preview, --set, --hold and --release can be done at a time.",
                "Nothing was changed.",
            )
        )
    if hold is not None:
        return act(context, "hold-retention", machine=machine, reason=hold)
    if release:
        return act(context, "release-retention", machine=machine)
    if written is not None and not isinstance(written, int):
        return _set(context, machine, dict(written), yes_i_mean)
    with context.client(timeout_s=PATIENCE_S) as client:
        view = client.call("retention", RetentionView, machine=machine, settings=settings)
        now = client.hello.now
    if context.output.as_json:
        context.output.object(retention=view, items=view.points)
    else:
        _show(context, view, now, only_going=preview and not view.proposed)
    return 0


def _set(context: Context, machine: str, settings: Mapping[str, int | None], typed: str) -> int:
    with context.client(timeout_s=PATIENCE_S) as client:
        view = client.call("retention", RetentionView, machine=machine, settings=settings)
        losing = [one.id for one in view.points if one.now and not one.keep]
        confirm = ""
        if losing:
            confirm = context.typed_name(machine, typed, _losing(machine, losing, view))
        done = client.call(
            "retention.set",
            Done,
            machine=machine,
            settings=settings,
            confirm=confirm,
            key=wish_key(),
        )
    if context.output.as_json:
        context.output.object(text=done.text, retention=view, items=view.points)
    else:
        context.output.say(done.text)
    return 0


def _losing(machine: str, losing: Sequence[str], view: RetentionView) -> str:
    listed = ", ".join(losing[:6]) + (" …" if len(losing) > 6 else "")
    return (
        f"{len(losing)} boot points of {machine} that stay now will be taken away: {listed} "
        f"({room(view)})."
    )


def _show(context: Context, view: RetentionView, now: datetime, *, only_going: bool) -> None:
    say = context.output.say
    say(f"RETENTION of {view.id}: {view.stay} stay, {view.go} go" + _how(view))
    say(f"Judged by: {settings_words(view)}")
    if view.most is not None:
        now_there = f"; {view.next.depth} are there" if view.next and view.next.depth else ""
        say(f"The target can hold {view.most} boot points of one chain{now_there}.")
    if view.hold:
        say(f"ON HOLD, nothing is taken away: {view.hold}")
    shown = [one for one in view.points if not one.keep] if only_going else view.points
    if shown:
        heads = ["", "POINT", "DATA AS OF", ">AGE", "STAGE", "", "BECAUSE"]
        newest_first = list(reversed(shown))
        reasons, once = shared([one.reason for one in newest_first])
        rows = [_row(one, why, now) for one, why in zip(newest_first, reasons, strict=True)]
        context.output.table(heads, rows)
        say(*once)
    if view.hidden:
        say(f"{view.hidden} older ones are not shown.")
    say(f"{room(view)[:1].upper()}{room(view)[1:]}.")
    if told := coming(view):
        say(told)
    if view.proposed:
        say("Nothing was changed: this was a preview. To set it: --set KEY=N …")


def _how(view: RetentionView) -> str:
    if not view.proposed:
        return ""
    more = sum(one.now and not one.keep for one in view.points)
    less = sum(one.keep and not one.now for one in view.points)
    changes = [f"{more} that stay now" if more else "", f"{less} that go now stay" if less else ""]
    told = "; ".join(one for one in changes if one) or "as now"
    return f" with these settings ({told})"


def _row(one: VerdictView, why: str, now: datetime) -> list[str]:
    mark = "" if one.keep == one.now else "*"
    return [
        "+" if one.keep else "-",
        one.id,
        moment(one.data_as_of, now),
        age((now - one.data_as_of).total_seconds()),
        one.stage,
        ("stays" if one.keep else "goes") + mark,
        why,
    ]


def pin(context: Context, *, machine: str, point: str, note: str) -> int:
    """Pin a boot point."""
    return act(context, "pin", machine=machine, point=point_id(point), reason=note)


def unpin(context: Context, *, machine: str, point: str) -> int:
    """Take a pin off."""
    return act(context, "unpin", machine=machine, point=point_id(point))
