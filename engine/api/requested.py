"""A standby as somebody asked for it in a call's words: read, or refused word by word."""

from __future__ import annotations

from engine.api import asks
from engine.model.conversion import ConversionMode
from engine.model.errors import Problem, WrongUse
from engine.model.machine import Firmware
from engine.model.standby import Backlog, Standby, parse_trigger
from engine.model.text import safe


def read_standby(ask: asks.StandbyAsk) -> Standby:
    """Return a definition. WrongUse names the value and what is expected."""
    try:
        trigger = parse_trigger(ask.trigger)
    except ValueError as error:
        raise WrongUse(
            Problem(
                "standby.trigger",
                f"The trigger {safe(ask.trigger)} cannot be read: {error}.",
                "No standby was added.",
            )
        ) from None
    if ask.conversion not in tuple(ConversionMode):
        raise WrongUse(
            Problem(
                "standby.conversion",
                f"The conversion {safe(ask.conversion)} is not known: expected auto or none.",
                "No standby was added.",
            )
        )
    if ask.backlog not in tuple(Backlog):
        raise WrongUse(
            Problem(
                "standby.backlog",
                f"The backlog {safe(ask.backlog)} is not known: expected every or newest.",
                "No standby was added.",
            )
        )
    if ask.firmware not in ("", *Firmware):
        raise WrongUse(
            Problem(
                "standby.firmware",
                f"The firmware {safe(ask.firmware)} is not known: expected bios or uefi.",
                "No standby was added.",
            )
        )
    return Standby(
        name=ask.name,
        images=ask.images,
        machine=ask.machine,
        target=ask.target,
        trigger=trigger,
        keep=ask.keep,
        rpo_s=ask.rpo_s,
        silence_s=ask.silence_s,
        memory=ask.memory,
        cpus=ask.cpus,
        firmware=Firmware(ask.firmware) if ask.firmware else None,
        conversion=ConversionMode(ask.conversion),
        backlog=Backlog(ask.backlog),
    )
