"""Commands that add and check targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.cli.commands.contact import CONTACT_S, first_contact, given_pin
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
    from engine.app import esxi_wishes
    from engine.config.engine import load_engine
    from engine.config.targets import write_target
    from engine.local.secret import read_secret

    context.may_change("target add")
    config = load_engine(context.config)
    esxi: dict[str, Any] = {"user": user, "password": password}
    esxi |= {key: value for key, value in more.items() if value}
    told: dict[str, Any] = {"kind": "esxi", "uri": url, "esxi": esxi}
    if store is not None:
        told["store"] = {"path": str(store.absolute())}
    if pin and authority is not None:
        raise _wrong("--pin and --authority are two ways to trust a host: give one of them.")
    _as_given(config, name, told)
    read_secret(password)  # before anybody compares a fingerprint for nothing
    if authority is not None:
        esxi["authority"] = str(authority.absolute())
    else:
        esxi["pin"] = given_pin(pin) if pin else first_contact(context, name, url)
    chosen = _as_given(config, name, told)
    try:
        found = _preflight(config, chosen)
    except Failure as failure:
        problem = failure.problem
        unchanged = f"No target was added. {problem.unchanged}".rstrip()
        raise type(failure)(replace(problem, unchanged=unchanged)) from failure
    refused = not anyway and _stands_in_the_way(found)
    file = "" if refused else str(write_target(config, name, told))
    _tell(context.output, found, name=name, file=file)
    if not context.output.as_json:
        context.output.say(
            f"Target {name} was not added; nothing was written. Mend what is marked X, or say"
            " --anyway to mend it later."
            if refused
            else f"Target {name} was added ({file}). A running engine knows it after its next"
            " start."
        )
        if not refused and chosen.esxi is not None and chosen.store.kind == "reflink":
            share = esxi_wishes(chosen, chosen.esxi).share
            context.output.say(f"Its hosts mount {share}: export that folder to them by NFSv3.")
    return int(refused)


_OPTIONS: Mapping[str, str] = {
    "uri": "--url",
    "store.path": "--store",
    "file name": "NAME",
    **{
        f"esxi.{one}": f"--{one}"
        for one in (
            *("user", "password", "pin", "authority", "transport"),
            *("place", "datastore", "production", "isolated", "server"),
        )
    },
}


def _as_given(config: EngineConfig, name: str, told: Mapping[str, Any]) -> TargetConfig:
    """Return what a definition would be. WrongUse names the option: there is no file yet."""
    from engine.config.targets import check_target
    from engine.model.addresses import meant

    try:
        return check_target(config, name, told)
    except WrongUse as wrong:
        facts = wrong.problem.facts
        option = _OPTIONS.get(str(facts.get("key", "")))
        if option is None:
            raise
        remedy = ""
        if option == "--url" and (perhaps := meant(told["uri"])):
            remedy = f"Perhaps: --url {safe(perhaps)}"
        raise _wrong(f"{option}: found {facts['found']}, {facts['expected']}.", remedy) from None


def _wrong(happened: str, remedy: str = "") -> WrongUse:
    unchanged = "No target was added; the host was not asked."
    remedy = remedy or "See: bootpoint target add --help"
    return WrongUse(Problem("use.wrong", happened, unchanged, remedy))


def check(context: Context, *, name: str) -> int:
    """Look at a target now; 1 when something stands in the way.

    The running engine looks, so that it knows too; where none runs, or it was started with another
    definition, this program does.
    """
    from engine.config.engine import load_engine

    config = load_engine(context.config)
    one = config.targets.get(name)
    if one is None:
        raise _unknown(name, config)
    found = _by_engine(context, one) if one.kind != "esxi" else _found(context, config, one)
    _tell(context.output, found, name=name)
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
    from engine.api.target_views import CheckedView
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
    from engine.app import esxi_selftest
    from engine.config.engine import load_engine
    from engine.model.selftests import Outcome

    context.may_change("target selftest")
    config = load_engine(context.config)
    one = config.targets.get(name)
    if one is None:
        raise _unknown(name, config)
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
    from engine.app import esxi_findings

    return esxi_findings(config, one, CONTACT_S)


# --- telling ----------------------------------------------------------------------------------


def _tell(output: Output, found: Sequence[Finding], **facts: str) -> None:
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


def _unknown(name: str, config: EngineConfig) -> NotFound:
    known = ", ".join(sorted(config.targets))
    return NotFound(
        Problem("target.unknown", f"There is no target {safe(name)}.", "", f"Known: {known}.")
    )
