"""Commands that add and check targets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.cli.context import Context
from engine.cli.output import Output, note
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.text import safe

if TYPE_CHECKING:
    from engine.config.engine import EngineConfig, TargetConfig
    from engine.ports import Finding

CONTACT_S = 15.0
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
    anyway: bool,
    **more: str | None,
) -> int:
    """Add an ESXi host or vCenter: compare its certificate, log in, look, write its file.

    Where something stands in the way, nothing is written, 1 is returned, and `--anyway` helps: a
    wrong word would stay in the file otherwise.
    """
    from engine.config.engine import load_engine
    from engine.config.targets import check_target, write_target

    config = load_engine(context.config)
    esxi: dict[str, Any] = {"user": user, "password": password}
    esxi |= {key: value for key, value in more.items() if value}
    told: dict[str, Any] = {"kind": "esxi", "uri": url, "esxi": esxi}
    check_target(config, name, told)
    if authority is not None:
        esxi["authority"] = str(authority.absolute())
    else:
        esxi["pin"] = _given(pin) if pin else _first_contact(context, name, url)
    chosen = check_target(config, name, told)
    found = _preflight(config, chosen)
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
    return int(refused)


def check(context: Context, *, name: str) -> int:
    """Look at a target now; 1 when something stands in the way."""
    from engine.config.engine import load_engine

    config = load_engine(context.config)
    one = config.targets.get(name)
    if one is None:
        raise _unknown(name, config)
    if one.kind != "esxi":
        return _as_the_engine_sees_it(context, name)
    found = [*_preflight(config, one), *_store_of(context, name)]
    _tell(context.output, found, name=name)
    return int(_stands_in_the_way(found))


def _store_of(context: Context, name: str) -> Sequence[Finding]:
    """Return what a running engine, which alone may open it, finds wrong with a target's store."""
    from engine.api.errors import EngineAway
    from engine.api.views import TargetView
    from engine.model.machine import Gravity
    from engine.ports import Finding

    try:
        with context.client() as client:
            found = client.call("target.check", TargetView, target=name)
    except (EngineAway, NotFound):
        return ()
    return [Finding(Gravity.ERROR, "store", found.away)] if found.away else ()


def selftest(context: Context, *, name: str) -> int:
    """Try on a host what only a real one can show, and print a report; 1 when a check failed."""
    from engine import __version__
    from engine.app import esxi_selftest
    from engine.config.engine import load_engine
    from engine.model.selftests import Outcome

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
                output.say(f"{mark} {check.key}: {check.claim}", f"    {check.said}")
    count = {outcome: sum(one.outcome is outcome for one in done) for outcome in Outcome}
    if output.as_json:
        items = [msgspec.to_builtins(check) for check in done]
        output.object(program=__version__, kind=one.kind, items=items)
    else:
        told = ", ".join(f"{number} {outcome}" for outcome, number in count.items())
        output.say(f"{told}. The report names no host, user or network of yours; please send it:")
        output.say(f"    bootpoint target selftest {name} --json > report.json")
    return int(count[Outcome.FAILED] > 0)


def _preflight(config: EngineConfig, one: TargetConfig) -> Sequence[Finding]:
    """Log in and look. Failure when that is not possible; then there is one reason, told so."""
    from engine.app import esxi_findings

    return esxi_findings(config, one, CONTACT_S)


def _as_the_engine_sees_it(context: Context, name: str) -> int:
    """Let the engine look at a target of another kind, and tell what it finds."""
    from engine.api.views import TargetView

    with context.client() as client:
        one = client.call("target.check", TargetView, target=name)
    lost = one.state == "lost"
    if context.output.as_json:
        context.output.object(
            name=name,
            items=[
                {
                    "gravity": "error" if lost and not number else "warning",
                    "key": "",
                    "text": text,
                    "remedy": "",
                }
                for number, text in enumerate(one.findings)
            ],
        )
    else:
        for number, text in enumerate(one.findings):
            context.output.say(f"{'X' if lost and not number else '!'} {text}")
        if not one.findings:
            context.output.say(f"Nothing stands in the way of target {name}.")
    return int(lost)


# --- the certificate --------------------------------------------------------------------------


def _given(pin: str) -> str:
    from engine.hypervisors.esxi.trust import normal_pin

    try:
        return normal_pin(pin)
    except ValueError as error:
        raise WrongUse(
            Problem("use.wrong", f"--pin: {error}.", "", "See: bootpoint target add --help")
        ) from None


def _first_contact(context: Context, name: str, url: str) -> str:
    """Show the certificate's fingerprint and let a person compare it; nothing else is sent."""
    from engine.hypervisors.esxi.trust import fingerprint, shown_pin
    from engine.model.addresses import host_and_port

    host, port = host_and_port(url)
    try:
        pin = fingerprint(host, port, CONTACT_S)
    except OSError as error:
        raise Failure(
            Problem(
                "target.away",
                f"{safe(host)}, port {port}, does not answer with TLS: {safe(str(error), 200)}.",
                "No target was added.",
                "Check the address, and that the host runs.",
            )
        ) from error
    shown = (
        f"{safe(host)} shows a certificate with the SHA-256 fingerprint",
        f"    {shown_pin(pin)}",
        "Compare it with the host's own console, not with anything that came over this network.",
    )
    if context.output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            Problem(
                "target.first-contact",
                f"The certificate of {safe(host)} is not known yet. Its SHA-256 is "
                f"{shown_pin(pin)}.",
                "No target was added; nothing was sent to the host, no password either.",
                "Compare it on the host's own console, then add: --pin SHA256",
                {"target": name, "sha256": pin},
            )
        )
    note("\n".join(shown))
    sys.stderr.write("Type yes if they are the same: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Refused(
            Problem("target.not-trusted", "The certificate was not confirmed.", "Nothing was sent.")
        )
    return pin


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
