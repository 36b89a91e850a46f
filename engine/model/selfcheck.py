"""What a guest said of itself after a test start: the report of a self-check script, judged.

report (JSON, hostile) ─► SelfCheck ─► judged by what was converted ─► Verdict: facts and doubts

The scripts are run by the user inside the guest, see docs/CONVERSION.md. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.model.conversion import GuestFacts
from engine.model.errors import FormatError, Problem, WrongUse
from engine.model.guest import Family
from engine.model.text import safe

LONGEST = 256 << 10
"""Longest report in bytes."""
VERSION = 1
MOST = 64
_WORDS = 200


@dataclass(frozen=True, slots=True)
class Part:
    """A controller, with its driver, or a network card, with its address and driver."""

    name: str
    driver: str
    mac: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """One report, as text that may be shown.

    Attributes:
        is_windows: Of Windows, or of Linux.
        system: Its name, with its build or kernel.
        product: What the VM calls itself.
        offline: Numbers of disks that are off line.
        overridden: Services that a number in `StartOverride` may keep from starting.
        unfinished: Whether the first start's script has not set the set-up back.
        stops: Stop codes of the last starts, in words.
    """

    is_windows: bool
    system: str
    product: str
    controllers: tuple[Part, ...]
    cards: tuple[Part, ...]
    offline: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()
    unfinished: bool = False
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report proves, and what is not as conversion promised; sentences."""

    facts: tuple[str, ...]
    doubts: tuple[str, ...]


def read_report(data: bytes) -> SelfCheck:
    """Return what a report says. PowerShell writes UTF-16, or UTF-8 with a mark.

    Raises:
        FormatError: It is no report of a self-check script.
    """
    if len(data) > LONGEST:
        raise _no_report(f"it has more than {LONGEST >> 10} KiB")
    try:
        told = json.loads(_text(data))
    except (ValueError, RecursionError) as error:
        raise _no_report(f"it is no JSON: {safe(str(error), 100)}") from error
    if not isinstance(told, dict) or told.get("family") not in ("windows", "linux"):
        raise _no_report("it does not say of which family its system is")
    if told.get("version") != VERSION:
        raise _no_report(f"its version is {safe(str(told.get('version')), 20)}, not {VERSION}")
    return _windows(told) if told["family"] == "windows" else _linux(told)


def judge(check: SelfCheck, guest: GuestFacts, macs: Sequence[str]) -> Verdict:
    """Return what a report says about a conversion.

    Args:
        check: The report.
        guest: What inspection found in the boot point.
        macs: Addresses of the cards that the VM was given.

    Raises:
        WrongUse: The report is of another system than the boot point.
    """
    if check.is_windows != (guest.family is Family.WINDOWS):
        other = "Windows" if check.is_windows else "Linux"
        happened = f"The report is of a {other}, but the boot point holds {safe(guest.name, 80)}."
        remedy = "Import the report that the guest of this machine wrote."
        raise WrongUse(Problem("report.other", happened, "Nothing was changed.", remedy))
    return Verdict(tuple(_facts(check)), tuple(_doubts(check, macs)))


def _facts(check: SelfCheck) -> Iterator[str]:
    yield f"{check.system or 'The system'} started on {check.product or 'a machine'}."
    for one in check.controllers:
        yield f"Controller: {one.name}" + (f", driver {one.driver}." if one.driver else ".")
    for one in check.cards:
        addresses = ", ".join(one.addresses) or "no address"
        yield f"Card {one.mac or one.name}: {addresses}, driver {one.driver or 'unknown'}."


def _doubts(check: SelfCheck, macs: Sequence[str]) -> Iterator[str]:
    addresses = {one.mac: one.addresses for one in check.cards}
    for mac in map(str.lower, macs):
        if mac not in addresses:
            yield f"No active network card has the address {safe(mac, 40)} that the VM was given."
        elif not addresses[mac]:
            yield f"Card {safe(mac, 40)} has no address."
    yield from (f"Disk {number} is off line." for number in check.offline)
    for name in check.overridden:
        yield f"A StartOverride may keep the driver {name} from starting."
    if check.unfinished:
        yield "The script of the first start did not come to its end."
    yield from (f"An earlier start ended with a stop code: {stop}" for stop in check.stops)


# --- reading ----------------------------------------------------------------------------------


def _windows(told: Mapping[str, Any]) -> SelfCheck:
    cards = tuple(
        Part(
            _word(one.get("Description")),
            _word(one.get("ServiceName")),
            _mac(one.get("MACAddress")),
            tuple(_words(one.get("IPAddress"))),
        )
        for one in _tables(told.get("cards"))
    )
    controllers = tuple(
        Part(_word(one.get("Name")), _word(one.get("DriverName")))
        for one in _tables(told.get("controllers"))
    )
    disks, services = _tables(told.get("disks")), _tables(told.get("services"))
    setup = told.get("setup")
    kind = setup.get("type") if isinstance(setup, dict) else 0
    return SelfCheck(
        True,
        " ".join(part for part in (_word(told.get("system")), _word(told.get("build"))) if part),
        _word(told.get("product")),
        controllers,
        cards,
        tuple(_word(one.get("Number")) for one in disks if one.get("IsOffline") is True),
        tuple(_word(one.get("name")) for one in services if one.get("overridden") is True),
        kind not in (0, None),
        tuple(_words(told.get("stop_codes"))),
    )


def _linux(told: Mapping[str, Any]) -> SelfCheck:
    cards = tuple(
        Part(
            _word(one.get("name")),
            _word(one.get("driver")),
            _mac(one.get("mac")),
            tuple(_word(one.get("addresses")).split()),
        )
        for one in _tables(told.get("cards"))
    )
    controllers = tuple(
        Part(f"{_word(one.get('vendor'))}:{_word(one.get('device'))}", _word(one.get("driver")))
        for one in _tables(told.get("controllers"))
    )
    words = (_word(told.get("system")), _word(told.get("kernel")))
    system = " ".join(word for word in words if word)
    return SelfCheck(False, system, _word(told.get("product")), controllers, cards)


def _tables(value: object) -> Sequence[Mapping[str, Any]]:
    """Return a list of tables; PowerShell may write a list of one as that one."""
    many = value if isinstance(value, list) else [value]
    return [one for one in many[:MOST] if isinstance(one, dict)]


def _words(value: object) -> Sequence[str]:
    many = value if isinstance(value, list) else [value]
    return [_word(one) for one in many[:MOST] if isinstance(one, str) and one]


def _word(value: object) -> str:
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return safe(" ".join(str(value).split()), _WORDS) if is_plain else ""


def _mac(value: object) -> str:
    return _word(value).lower().replace("-", ":")[:17]


def _text(data: bytes) -> str:
    for mark, form in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[2:].decode(form)
    return data.decode("utf-8-sig")


def _no_report(why: str) -> FormatError:
    return FormatError(
        Problem(
            "report.form",
            f"The file is no report of a self-check script: {why}.",
            "Nothing was changed.",
            "Run the script in the guest again and import what it wrote, as it is.",
        )
    )
