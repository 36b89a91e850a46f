"""Commands that define standbys."""

from __future__ import annotations

from pathlib import Path

from engine.api.views import Done, StandbyView
from engine.cli.context import Context, wish_key
from engine.model.errors import NotFound, Problem


def add(
    context: Context,
    *,
    name: str,
    images: Path,
    machine: str | None,
    target: str | None,
    trigger: str | None,
    keep: int | None,
    rpo: int | None,
    silence: int | None,
    memory: int | None,
    cpus: int | None,
    firmware: str | None,
    conversion: str | None,
    backlog: str | None,
) -> int:
    """Define a standby; what is None is left to the engine."""
    options: dict[str, object] = {
        "machine": machine,
        "target": target,
        "trigger": trigger,
        "keep": keep,
        "rpo_s": rpo,
        "silence_s": silence,
        "memory": memory,
        "cpus": cpus,
        "firmware": firmware,
        "conversion": conversion,
        "backlog": backlog,
    }
    told = {key: value for key, value in options.items() if value is not None}
    with context.client() as client:
        done = client.call(
            "standby.add", Done, name=name, images=str(images.absolute()), key=wish_key(), **told
        )
    return _tell(context, done, name)


def remove(context: Context, *, name: str, yes_i_mean: str) -> int:
    """Remove a standby; its name must be typed."""
    with context.client() as client:
        known = [one.id for one in client.call("standby.list", list[StandbyView])]
        if name not in known:
            listed = ", ".join(known[:8]) or "none yet"
            raise NotFound(
                Problem("standby.unknown", f"There is no standby {name}.", "", f"Known: {listed}.")
            )
        question = f"Standby {name} will be forgotten and its layers set aside."
        confirm = context.typed_name(name, yes_i_mean, question)
        done = client.call("standby.remove", Done, name=name, confirm=confirm, key=wish_key())
    return _tell(context, done, name)


def _tell(context: Context, done: Done, name: str) -> int:
    if context.output.as_json:
        context.output.object(text=done.text, name=name)
    else:
        context.output.say(done.text)
    return 0
