"""ESXi targets that are added: by the command line, or by the engine for a console.

    words ─► check ─► password there? ─► contact ─► a person compares ─► add: log in, look, write

The certificate is shown before anything is sent to the host, and pinned before the password is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from engine.config.engine import EngineConfig, TargetConfig
from engine.config.targets import check_target, write_target
from engine.hypervisors.esxi.certificate import Certificate
from engine.hypervisors.esxi.faults import how
from engine.hypervisors.esxi.trust import certificate, normal_pin
from engine.local.secret import read_secret
from engine.model.addresses import host_and_port, meant
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import Finding

log = logging.getLogger(__name__)

CONTACT_S = 15.0
_UNASKED = "No target was added; the host was not asked."
_COMPARE = (
    "Compare the fingerprint that was met with the host's own console. If it is the same, give "
    "that one as the pin. If not, somebody stands between."
)
_FIELDS: Mapping[str, str] = {"uri": "url", "store.path": "store", "file name": "name"}


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A target as somebody words it; what is empty is left out.

    Attributes:
        password: A reference, `file:PATH` or `credential:NAME`.
        pin: SHA-256 as people write it; `authority`: PEM file, instead.
        store: An absolute path.
    """

    name: str
    url: str
    user: str
    password: str
    pin: str = ""
    authority: str = ""
    transport: str = ""
    place: str = ""
    datastore: str = ""
    production: str = ""
    isolated: str = ""
    server: str = ""
    store: str = ""

    def told(self) -> dict[str, Any]:
        """Return it as a file in `targets.d` says it."""
        kept = {one.name: getattr(self, one.name) for one in fields(self)}
        own = {key: kept.pop(key) for key in ("name", "url", "store")}
        esxi = {key: told for key, told in kept.items() if told or key in ("user", "password")}
        told: dict[str, Any] = {"kind": "esxi", "uri": own["url"], "esxi": esxi}
        return told | ({"store": {"path": own["store"]}} if own["store"] else {})


@dataclass(frozen=True, slots=True)
class Contact:
    """Who answers where a target shall be: nothing was sent there yet."""

    host: str
    port: int
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding a target.

    Attributes:
        found: What one look at it found.
        file: Where it was written; empty: something stands in the way, nothing was written.
        share: The folder its hosts mount; empty with boot points on the host.
    """

    found: Sequence[Finding]
    file: str = ""
    share: str = ""


class Adding:
    """Adds targets to one configuration. Thread-safe."""

    def __init__(
        self,
        config: Callable[[], EngineConfig],
        look: Callable[[EngineConfig, TargetConfig], Sequence[Finding]],
        share: Callable[[TargetConfig], str],
    ) -> None:
        """Know how, and do nothing.

        Args:
            config: Reads the configuration as it is now.
            look: Logs in to a target that is not in it yet, and looks.
            share: Tells what the hosts of a target mount; empty for none.
        """
        self._config, self._look, self._share = config, look, share

    def contact(self, new: NewTarget) -> Contact:
        """Check the words and where the password is, then ask for the host's certificate.

        Nothing is sent to the host.

        Raises:
            WrongUse: A word is wrong, its field is among the facts; or the password is not there.
            Refused: There is a target of that name.
            Failure: The host shows no certificate.
        """
        self._checked(self._config(), new)
        return ask(new.name, *host_and_port(new.url), "No target was added.")

    def add(self, new: NewTarget, *, anyway: bool = False, actor: str = "") -> Added:
        """Log in, look, and write its file unless something stands in the way.

        Args:
            new: With the pin that a person compared, or with an authority.
            anyway: Write it although something stands in the way.
            actor: Who asked the engine for it, for its log; empty: no engine was asked.

        Raises:
            WrongUse, Refused: As for `contact`.
            HypervisorError: The host is not the trusted one, refuses us, or is away.
            Failure: The file cannot be written.
        """
        config = self._config()
        chosen = self._checked(config, new)
        try:
            found = self._look(config, chosen)
        except Failure as failure:
            problem = failure.problem
            unchanged = f"No target was added. {problem.unchanged}".rstrip()
            is_other = problem.key == "target.certificate-changed"
            remedy = _COMPARE if is_other else problem.remedy
            told = replace(problem, unchanged=unchanged, remedy=remedy)
            raise type(failure)(told) from failure
        if not anyway and any(one.gravity is Gravity.ERROR for one in found):
            return Added(found)
        file = write_target(config, new.name, replace(new, pin=pin_of(new)).told())
        if actor:
            log.info("target=%s added by=%s file=%s", new.name, actor, file)
        return Added(found, str(file), self._share(chosen))

    def _checked(self, config: EngineConfig, new: NewTarget) -> TargetConfig:
        """Return what its definition would be; a wrong word is told by its field, not by a key."""
        if new.pin and new.authority:
            raise _wrong("authority", "a pin too", "expected a pin or an authority, not both")
        if new.store and not new.store.startswith("/"):
            raise _wrong("store", safe(repr(new.store), 120), "expected an absolute path")
        told = replace(new, pin=pin_of(new)).told()
        try:
            chosen = check_target(config, new.name, told)
        except WrongUse as wrong:
            facts = wrong.problem.facts
            key = str(facts.get("key", ""))
            field = _FIELDS.get(key, key.removeprefix("esxi."))
            if field not in {one.name for one in fields(NewTarget)}:
                raise
            perhaps = safe(meant(new.url)) if field == "url" else ""
            found, expected = str(facts["found"]), str(facts["expected"])
            raise _wrong(field, found, expected, perhaps) from None
        read_secret(new.password)  # before anybody compares a fingerprint for nothing
        return chosen


def ask(target: str, host: str, port: int, unchanged: str) -> Contact:
    """Ask a host for its certificate; nothing else is sent to it.

    Args:
        target: The target's name, and `unchanged` what is as it was, for the message.
        host, port: Where it is.

    Raises:
        Failure: It shows none.
    """
    try:
        return Contact(host, port, certificate(host, port, CONTACT_S))
    except OSError as error:
        said = safe(str(error), 200) or type(error).__name__
        what, remedy = how(error, said)
        facts = {"target": target, "error": type(error).__name__}
        happened = f"{safe(host)}, port {port}, {what}: {said}."
        raise Failure(Problem("target.away", happened, unchanged, remedy, facts)) from error


def pin_of(new: NewTarget) -> str:
    """Return its pin as it is configured, empty for none. WrongUse when it is no SHA-256."""
    try:
        return normal_pin(new.pin) if new.pin else ""
    except ValueError as error:
        raise _wrong("pin", "what stands there", str(error)) from None


def _wrong(field: str, found: str, expected: str, perhaps: str = "") -> WrongUse:
    """Return what is wrong in a field; front ends say the field in their own words."""
    facts = {"field": field, "found": found, "expected": expected, "perhaps": perhaps}
    remedy = f"Perhaps: {perhaps}" if perhaps else ""
    happened = f"{field}: found {found}, {expected}."
    return WrongUse(Problem("target.word", happened, _UNASKED, remedy, facts))
