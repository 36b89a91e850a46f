"""Commands that define standbys."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.api.definition import KEYS, OTHERS, Value, changed, read
from engine.api.definition_views import CheckView, DefinitionView, ReloadView
from engine.api.views import Done, StandbyView
from engine.cli.context import Context, wish_key
from engine.cli.editing import Editing
from engine.model.errors import NotFound, Problem, WrongUse

LABEL = 12


def add(
    context: Context,
    *,
    name: str,
    images: Path,
    rpo: int | None,
    silence: int | None,
    memory: int | None,
    blackouts: Sequence[str] | None,
    set: Sequence[tuple[str, str]] | None,  # noqa: A002 - the option's name
    dry_run: bool,
    **told: str | int | None,
) -> int:
    """Define a standby; what is None is left to the engine. `set`: further keys, as typed."""
    options: dict[str, Value | None] = {
        "images": str(images.absolute()),
        **told,
        "rpo_s": rpo,
        "silence_s": silence,
        "memory_mib": None if memory is None else memory >> 20,
        "blackouts": None if blackouts is None else list(blackouts),
        **_values(set or ()),
    }
    text = changed("", {key: value for key, value in options.items() if value is not None})
    if dry_run:
        return _review(context, name, text, new=True)
    return _put(context, name, text, base="", confirm="")


def set_keys(
    context: Context,
    *,
    name: str,
    keys: Sequence[tuple[str, str]],
    dry_run: bool,
    yes_i_mean: str,
) -> int:
    """Change some keys of a standby's definition."""
    with context.client() as client:
        view = client.call("standby.text", DefinitionView, name=name)
    try:
        text = changed(view.text, _values(keys))
    except ValueError as error:
        raise WrongUse(
            Problem(
                "config.syntax",
                f"{view.file} is not valid TOML: {error}.",
                "Nothing was changed.",
                f"Correct it first: bootpoint standby edit {name}",
            )
        ) from error
    if dry_run:
        return _review(context, name, text)
    return _put(context, name, text, base=view.digest, confirm=yes_i_mean)


def reload(context: Context) -> int:
    """Read standbys.d again; return 1 where something in it is wrong."""
    with context.client() as client:
        view = client.call("standby.reload", ReloadView)
    output = context.output
    if output.as_json:
        output.object(added=view.added, changed=view.changed, wrong=view.wrong)
        return 1 if view.wrong else 0
    for name in view.added:
        output.say(f"{name}: added.")
    for name in view.changed:
        output.say(f"{name}: changed.")
    for one in view.wrong:
        output.say(f"{one.id}: NOT TAKEN UP. {one.text}")
        output.say(*(f"  {text}" for text in (one.unchanged, one.remedy) if text))
    if not (view.added or view.changed or view.wrong):
        output.say("Nothing differs from what the engine works by.")
    return 1 if view.wrong else 0


def edit(context: Context, *, name: str, file: Path | None, dry_run: bool, yes_i_mean: str) -> int:
    """Edit a standby's definition as text; what is not taken is kept and offered again."""
    with context.client() as client:
        view = client.call("standby.text", DefinitionView, name=name)
    editing = Editing(name, view, lambda text: _check(context, name, text))
    if file is not None:
        told = sys.stdin.read() if str(file) == "-" else _read(file)
        if dry_run:
            return _review(context, name, told)
        text = editing.accept(told)
    else:
        text = editing.edit()
    if dry_run:
        return _review(context, name, text)
    if text == view.text:
        context.output.say("Nothing was changed: the text is as it was.")
        return 0
    with editing.keeping(text):
        return _put(context, name, text, base=view.digest, confirm=yes_i_mean)


def remove(context: Context, *, name: str, yes_i_mean: str, anew: bool) -> int:
    """Remove a standby; its name must be typed. `anew`: define it again with the same text."""
    with context.client() as client:
        known = [one.id for one in client.call("standby.list", list[StandbyView])]
        if name not in known:
            listed = ", ".join(known[:8]) or "none yet"
            raise NotFound(
                Problem("standby.unknown", f"There is no standby {name}.", "", f"Known: {listed}.")
            )
        text = ""
        if anew:
            text = client.call("standby.text", DefinitionView, name=name).text
            refuse(_check(context, name, text))
        question = f"Standby {name} will be forgotten and its layers set aside."
        confirm = context.typed_name(name, yes_i_mean, question)
        done = client.call("standby.remove", Done, name=name, confirm=confirm, key=wish_key())
    return _put(context, name, text, base="", confirm="") if anew else _tell(context, done, name)


def _values(keys: Sequence[tuple[str, str]]) -> Mapping[str, Value | None]:
    told: dict[str, Value | None] = {}
    for key, words in keys:
        if key not in KEYS:
            why = f": {OTHERS[key]}" if key in OTHERS else ""
            raise WrongUse(
                Problem(
                    "standby.key",
                    f"{key} cannot be set{why or ': there is no such key'}.",
                    "Nothing was changed.",
                    f"Known: {', '.join(KEYS)}.",
                    {"key": key},
                )
            )
        try:
            told[key] = read(key, words)
        except ValueError as error:
            raise WrongUse(
                Problem(
                    "standby.value",
                    f"{error}.",
                    "Nothing was changed.",
                    KEYS[key].says,
                    {"key": key, "found": words},
                )
            ) from None
    return told


def _check(context: Context, name: str, text: str, *, new: bool = False) -> CheckView:
    with context.client() as client:
        return client.call("standby.check", CheckView, name=name, text=text, new=new)


def _put(context: Context, name: str, text: str, *, base: str, confirm: str) -> int:
    review = _check(context, name, text)
    if review.new or base:  # else the name is taken, and the engine refuses it
        refuse(review)
    if review.losing:
        many = f"{len(review.losing)} boot points of {name} that stay now will be taken away"
        confirm = context.typed_name(name, confirm, f"{many}: {', '.join(review.losing[:6])}.")
    with context.client() as client:
        done = client.call(
            "standby.put", Done, name=name, text=text, base=base, confirm=confirm, key=wish_key()
        )
    return _tell(context, done, name)


def refuse(review: CheckView) -> None:
    """Raise WrongUse when something is wrong in what was reviewed, with all of it."""
    if not review.wrong:
        return
    first, *others = review.wrong
    more = "".join(f" Also: {one.text}" for one in others)
    raise WrongUse(
        Problem(
            "standby.wrong",
            first.text + more,
            "Nothing was changed.",
            first.remedy,
            {"key": first.key, "found": first.found, "expected": first.expected},
        )
    )


def _review(context: Context, name: str, text: str, *, new: bool = False) -> int:
    """Say what a definition would mean. WrongUse: something is wrong in it."""
    view = _check(context, name, text, new=new)
    refuse(view)
    if context.output.as_json:
        context.output.object(review=view)
        return 0
    say = context.output.say
    say(f"{name}: a new standby" if view.new else f"{name}: {len(view.changes)} changes")
    for change in view.changes:
        say(f"  {change}")
    for fact in view.facts:
        say(f"{'!' if fact.warns else ' '} {fact.label:<{LABEL}} {fact.text}")
    if view.role != "operator":
        say(f"! {'Role':<{LABEL}} this change needs the role {view.role}")
    say("Nothing was changed: this was a dry run. What would be written:")
    for line in view.text.splitlines():
        say(f"  {line}")
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(
            Problem("file.unreadable", f"{file} cannot be read: {error}.", "Nothing was changed.")
        ) from error


def _tell(context: Context, done: Done, name: str) -> int:
    if context.output.as_json:
        context.output.object(text=done.text, name=name)
    else:
        context.output.say(done.text)
    return 0
