"""A new certificate of a known host: shown beside the pinned one, compared, then pinned.

    meet: what is pinned, what the host shows ─► a person compares ─► trust: shown again? ─► file

Hosts get new certificates: by their owners, by their vCenter, by a new installation. Until a person
has compared one, nothing is sent to the host. One place of the file changes: remarks in it stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.engine import EngineConfig, TargetConfig
from engine.config.esxi import EsxiConfig
from engine.config.targets import configured, own_file, write_pin
from engine.daemon.adding import Contact, ask
from engine.hypervisors.esxi.trust import normal_pin, shown_pin
from engine.model.addresses import host_and_port
from engine.model.errors import Problem, Refused, WrongUse
from engine.model.text import safe

_UNCHANGED = "Its pin was left as it was; nothing was sent to the host, no password either."


@dataclass(frozen=True, slots=True)
class Met:
    """A known host, and the certificate that it shows now.

    Attributes:
        pin: SHA-256 that its definition pins, 64 hex digits.
    """

    one: TargetConfig
    pin: str
    contact: Contact

    @property
    def is_pinned(self) -> bool:
        """Tell whether it shows the pinned one."""
        return self.contact.certificate.sha256 == self.pin


def meet(told: EngineConfig, name: str) -> Met:
    """Ask a target's host for its certificate; nothing else is sent to it.

    Args:
        told: The configuration as it is now.
        name: The target.

    Raises:
        NotFound: There is none of that name.
        Refused: It is not trusted by a pin.
        Failure: The host shows no certificate.
    """
    one = configured(told, name, "Nothing was changed.")
    pin = _pinning(one).pin
    return Met(one, pin, ask(name, *host_and_port(one.uri), _UNCHANGED))


def trust(told: EngineConfig, name: str, pin: str) -> Met:
    """Pin the certificate that a person has compared, if the host still shows it.

    Args:
        told: The configuration as it is now.
        name: The target.
        pin: SHA-256 of that certificate, as people write it.

    Raises:
        WrongUse: The pin is none.
        NotFound, Refused, Failure: As for `meet`; or the host shows another one, or the target is
            not in a file of its own, or that cannot be written. Nothing was changed.
    """
    try:
        pin = normal_pin(pin)
    except ValueError as error:
        what = f"The pin is none: {error}."
        raise WrongUse(Problem("use.wrong", what, _UNCHANGED)) from None
    met = meet(told, name)
    seen = met.contact.certificate.sha256
    if seen != pin:
        raise Refused(_another(met, pin))
    if met.is_pinned:
        return met
    if (file := own_file(told, met.one)) is None:
        raise Refused(_elsewhere(met))
    write_pin(file, met.pin, pin)
    return met


def _pinning(one: TargetConfig) -> EsxiConfig:
    """Return what is special of an ESXi target that pins a certificate; Refused for others."""
    if one.esxi is None:
        why = f"Target {safe(one.name)} is {one.kind}: no certificate is pinned for it."
        raise Refused(Problem("target.no-pin", why, "Nothing was changed."))
    if not one.esxi.pin:
        who = safe(str(one.esxi.authority or "the system's own authorities"), 200)
        why = f"Target {safe(one.name)} pins no certificate; it trusts who signed it: {who}."
        remedy = "Give the host a certificate that is signed so, or write esxi.pin instead."
        raise Refused(Problem("target.no-pin", why, "Nothing was changed.", remedy))
    return one.esxi


def _another(met: Met, pin: str) -> Problem:
    seen = met.contact.certificate.sha256
    name = safe(met.one.name)
    return Problem(
        "target.another-certificate",
        f"The host of target {name} shows a certificate with the SHA-256 {shown_pin(seen)}, not "
        f"{shown_pin(pin)}.",
        _UNCHANGED,
        "Compare it with the host's own console. If both of these are certificates that you do not "
        "know, somebody stands between.",
        {"target": name, "expected": pin, "seen": seen},
    )


def _elsewhere(met: Met) -> Problem:
    name, file = safe(met.one.name), safe(str(met.one.file), 200)
    return Problem(
        "target.in-engine-toml",
        f"Target {name} is defined in {file} itself. That file is yours: no command writes it.",
        _UNCHANGED,
        f'Write there, as what you have just compared: pin = "{met.contact.certificate.sha256}". '
        f"Then, for the running engine: bootpoint target trust {name}",
        {"target": name, "file": file},
    )
