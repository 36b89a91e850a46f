"""Commands that add, check and try targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.cli.commands.contact import first_contact
from engine.cli.commands.removing import let_know
from engine.cli.context import Context
from engine.cli.output import Output
from engine.model.errors import Failure, NotFound, Problem, Refused, StoreAway, WrongUse
from engine.model.text import safe

if TYPE_CHECKING:
    from engine.config.engine import EngineConfig, TargetConfig
    from engine.ports import Finding

_TRIED = {"passed": "+", "failed": "X", "not tried": "-"}
_MARKS = {"error": "X", "warning": "!", "note": " "}


def add(
    context: Context,
    *,
    name: str,
    url: str,
    user: str,
    password: str,
    pin: str | None,
    authority: Path | None,
    store: Path | None,
    anyway: bool,
    **more: str | None,
) -> int:
    """Add an ESXi host or vCenter: compare its certificate, log in, look, write its file.

    Where something stands in the way, nothing is written, 1 is returned, and `--anyway` helps: a
    wrong word would stay in the file otherwise.
    """
    from engine.api.target_views import contact_view
    from engine.daemon.adding import NewTarget
    from engine.esxi import esxi_adding

    context.may_change("target add")
    if pin and authority is not None:
        happened = "--pin and --authority are two ways to trust a host: give one of them."
        unchanged = "No target was added; the host was not asked."
        raise WrongUse(
            Problem("use.wrong", happened, unchanged, "See: bootpoint target add --help")
        )
    adding = esxi_adding(context.config)
    new = NewTarget(
        name,
        url,
        user,
        password,
        pin=pin or "",
        authority=str(authority.absolute()) if authority is not None else "",
        store=str(store.absolute()) if store is not None else "",
        **{key: value for key, value in more.items() if value},
    )
    try:
        if not new.pin and not new.authority:
            seen = contact_view(name, adding.contact(new))
            new = replace(new, pin=first_contact(context, name, seen, "No target was added."))
        added = adding.add(new, anyway=anyway)
    except WrongUse as wrong:
        raise _by_option(wrong) from None
    known, how = _let_know(context, name) if added.file else (False, "")
    _tell(context.output, added.found, name=name, file=added.file, known=known)
    if not context.output.as_json:
        context.output.say(
            f"Target {name} was added ({added.file}). {how}"
            if added.file
            else f"Target {name} was not added; nothing was written. Mend what is marked X, or say"
            " --anyway to mend it later."
        )
        if added.share:
            share = added.share
            context.output.say(f"Its hosts mount {share}: export that folder to them by NFSv3.")
    return int(not added.file)


def _let_know(context: Context, name: str) -> tuple[bool, str]:
    from engine.config.engine import load_engine
    from engine.config.targets import digest

    return let_know(context, name, digest(load_engine(context.config).targets[name]))


def _by_option(wrong: WrongUse) -> WrongUse:
    """Return a wrong word as it was given: by its option. There is no file yet."""
    problem = wrong.problem
    if problem.key != "target.word":
        return wrong
    facts = problem.facts
    option = "NAME" if facts["field"] == "name" else f"--{facts['field']}"
    remedy = "See: bootpoint target add --help"
    if facts["perhaps"]:
        remedy = f"Perhaps: {option} {facts['perhaps']}"
    happened = f"{option}: found {facts['found']}, {facts['expected']}."
    return WrongUse(Problem("use.wrong", happened, problem.unchanged, remedy))


def check(context: Context, *, name: str) -> int:
    """Look at a target now; 1 when something stands in the way."""
    return looked(context, name)


def looked(context: Context, name: str, **facts: str | bool) -> int:
    """Look at a target now, and tell a program these facts of it too; 1 as for `check`.

    The running engine looks, so that it knows too; where none runs, or it was started with another
    definition, this program does.
    """
    from engine.config.engine import load_engine
    from engine.config.targets import configured

    config = load_engine(context.config)
    one = configured(config, name, "")
    found = _by_engine(context, one) if one.kind != "esxi" else _found(context, config, one)
    _tell(context.output, found, name=name, **facts)
    return int(_stands_in_the_way(found))


def _found(context: Context, config: EngineConfig, one: TargetConfig) -> Sequence[Finding]:
    """Return what one look at an ESXi target finds, by whoever can do it."""
    from engine.api.errors import EngineAway
    from engine.model.machine import Gravity
    from engine.ports import Finding

    if context.read_only:  # the engine's look is for operators
        return _preflight(config, one)
    try:
        return _by_engine(context, one)
    except EngineAway:
        return _preflight(config, one)
    except (NotFound, Refused) as refused:
        known = ("target.not-running", "target.other-definition")
        if refused.problem.key not in known:
            return _preflight(config, one)
        problem = refused.problem
        differs = Finding(Gravity.WARNING, problem.key, problem.happened, problem.remedy)
        return [*_preflight(config, one), differs]
    except StoreAway as away:
        problem = away.problem
        store = Finding(Gravity.ERROR, problem.key, problem.happened, problem.remedy)
        return [store, *_preflight(config, one)]


def _by_engine(context: Context, one: TargetConfig) -> Sequence[Finding]:
    """Let the running engine look, and return what it found.

    Raises:
        EngineAway: None runs.
        NotFound, Refused: It has no such target, or another definition of it.
        StoreAway: Its store is not there, so an ESXi host was not looked at.
        Failure: The host cannot be used; told as where this program looks itself.
    """
    from engine.api.contact_views import CheckedView
    from engine.config.targets import digest
    from engine.model.machine import Gravity
    from engine.ports import Finding

    definition = digest(one) if one.kind == "esxi" else ""  # nobody else can look at the others
    with context.client() as client:
        seen = client.call("target.check", CheckedView, target=one.name, definition=definition)
    found = [Finding(Gravity(f.gravity), f.id, f.text, f.remedy) for f in seen.found]
    if (why := seen.trouble) is None:
        return found
    if one.kind != "esxi":
        return [Finding(Gravity.ERROR, why.id, why.text, why.remedy), *found]
    problem = Problem(why.id, why.text, why.unchanged, why.remedy)
    raise StoreAway(problem) if seen.away else Failure(problem)


def selftest(context: Context, *, name: str) -> int:
    """Try on a host what only a real one can show, and print a report; 1 when a check failed."""
    from engine import __version__
    from engine.config.engine import load_engine
    from engine.config.targets import configured
    from engine.esxi import esxi_selftest
    from engine.model.selftests import Outcome

    context.may_change("target selftest")
    config = load_engine(context.config)
    one = configured(config, name, "")
    if one.kind != "esxi":
        raise WrongUse(
            Problem(
                "target.no-selftest",
                f"Target {safe(name)} is {one.kind}; only ESXi and vCenter have a self-test.",
                "Nothing was tried.",
                f"Try: bootpoint target check {safe(name)}",
            )
        )
    output, done = context.output, []
    with esxi_selftest(config, one) as test:
        for check in test.run():
            done.append(check)
            if not output.as_json:
                mark = _TRIED[check.outcome.value]
                numbers = ", ".join(str(number) for number in check.items)
                about = f" (item {numbers})" if numbers else ""
                output.say(f"{mark} {check.key}: {check.claim}{about}", f"    {check.said}")
    count = {outcome: sum(one.outcome is outcome for one in done) for outcome in Outcome}
    if output.as_json:
        items = [msgspec.to_builtins(check) for check in done]
        output.object(program=__version__, kind=one.kind, items=items)
    else:
        output.say("Items are those of the list at the end of docs/ESXI.md.")
        told = ", ".join(f"{number} {outcome}" for outcome, number in count.items())
        output.say(f"{told}. The report names no host, user or network of yours; please send it:")
        output.say(f"    bootpoint target selftest {name} --json > report.json")
    return int(count[Outcome.FAILED] > 0)


def _preflight(config: EngineConfig, one: TargetConfig) -> Sequence[Finding]:
    """Log in and look. Failure when that is not possible; then there is one reason, told so."""
    from engine.daemon.adding import CONTACT_S
    from engine.esxi import esxi_findings

    return esxi_findings(config, one, CONTACT_S)


# --- telling ----------------------------------------------------------------------------------


def _tell(output: Output, found: Sequence[Finding], **facts: str | bool) -> None:
    if output.as_json:
        items = [
            {"gravity": one.gravity.value, "key": one.key, "text": one.text, "remedy": one.remedy}
            for one in found
        ]
        output.object(**facts, items=items)
        return
    for one in found:
        output.say(f"{_MARKS[one.gravity.value]} {one.text}")
        if one.remedy:
            output.say(f"    {one.remedy}")
    if not _stands_in_the_way(found):
        output.say(f"Nothing stands in the way of target {facts['name']}.")


def _stands_in_the_way(found: Sequence[Finding]) -> bool:
    return any(one.gravity.value == "error" for one in found)
