r"""Decides what changes in the hive SYSTEM, so that Windows starts on new controllers.

    Select ─► control sets ─► services, SanPolicy, power, stop codes ─► Change…

Windows has the drivers for AHCI, NVMe and LSI SAS in the box and switched off what the machine did
not need. Pure: a tree of keys comes in, changes go out; on what it has changed it changes nothing.
Source of the clock's value: winreg-kb, "Time zones".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.guests.windows.hive import TYPES, Key, Path_, Step, Value, dword, text
from engine.model.guest import RegistryEdit
from engine.model.text import safe

IN_BOX = ("storahci", "stornvme", "LSI_SAS", "msahci", "atapi", "intelide", "pciide")
INSTALLED = ("pvscsi", "viostor", "vioscsi")
"""Drivers of virtual controllers that somebody may have installed."""
CARDS = {"netkvm": "netkvm", "vmxnet3ndis6": "vmxnet3", "vmxnet3": "vmxnet3"}
"""Services of virtual network cards that somebody may have installed, and what they drive."""
_CARD_FILES = {"vmxnet3ndis6": ("vmxnet3.sys", "vmxnet3n61x64.sys", "vmxnet3n61x86.sys")}
_POWER = ("Control", "Session Manager", "Power")
_CRASH = ("Control", "CrashControl")
_ZONE = ("Control", "TimeZoneInformation")
_PARTITIONS = ("Services", "partmgr", "Parameters")
_OVERRIDE = "StartOverride"
_WORDS = 1000
DEFAULT = "(Default)"
"""How a key's value without a name is shown."""

WANTED: Sequence[Path_] = (
    ("Select",),
    *(("*", "Services", name) for name in (*IN_BOX, *INSTALLED, *CARDS)),
    *(("*", *path) for path in (_PARTITIONS, _POWER, _CRASH, _ZONE)),
)
"""What is read of the hive."""


@dataclass(frozen=True, slots=True)
class Change:
    """A step for the editor, and how the ledger shows it."""

    step: Step
    shown: RegistryEdit


@dataclass(frozen=True, slots=True)
class Decision:
    """All changes, sorted by key; `drivers`: what can start the system afterwards."""

    changes: Sequence[Change]
    drivers: Sequence[str]
    warnings: Sequence[str]


def control_sets(system: Key) -> Sequence[str]:
    r"""Return the control sets that `Select\Current` and `Select\Default` name and that exist."""
    select = system.at(("Select",)) or Key()
    numbers = [select.values[name].number for name in ("current", "default")
               if name in select.values]  # fmt: skip
    names = {f"ControlSet{number:03}" for number in numbers if number is not None}
    return sorted(name for name in names if system.at((name,)) is not None)


def decide(system: Key, files: frozenset[str]) -> Decision:
    r"""Return what changes.

    Args:
        system: What is read of the hive, see `WANTED`.
        files: Names in `System32\drivers` in lower case. A boot driver whose file is missing
            stops Windows, so nothing is switched on without it.
    """
    changes: list[Change] = []
    drivers: dict[str, None] = {}
    warnings: dict[str, None] = {}
    for name in control_sets(system):
        there = system.at((name,)) or Key()
        for driver in (*IN_BOX, *INSTALLED):
            service = there.at(("Services", driver))
            if service is None:
                continue
            if f"{driver.lower()}.sys" not in files:
                sentence = f"Driver {driver} is registered but its file is missing; it stays off."
                warnings[sentence] = None
                continue
            drivers[driver] = None
            changes += _switched_on(service, (name, "Services", driver))
        drivers |= dict.fromkeys(_cards(there, files))
        changes += _settings(there, name)
    changes.sort(key=lambda change: (change.shown.key, change.shown.value))
    return Decision(tuple(changes), tuple(drivers), tuple(warnings))


def is_disk(driver: str) -> bool:
    """Return whether a driver of a decision is for disks."""
    return driver in (*IN_BOX, *INSTALLED)


def fits_a_vm(drivers: Sequence[str]) -> bool:
    """Return whether one of the drivers is for a controller that a VM is given by itself."""
    return not {"storahci", "msahci", *INSTALLED}.isdisjoint(drivers)


def starts_once(system: Key, command: str, kept: str) -> Sequence[Change] | None:
    r"""Return what lets `Setup\\CmdLine` start a command once; None while a set-up goes on.

    Args:
        system: The hive, with `Setup` in it.
        command: What is started.
        kept: Name of the value that keeps the old command, for the script to set back.
    """
    setup = system.at(("Setup",)) or Key()
    old = setup.values.get("cmdline", text(""))
    if old.text == command:
        return ()
    state = setup.values.get("setuptype")
    if state is not None and state.number != 0:
        return None
    reason = "The first start installs drivers and gives static addresses to the VM's cards."
    changes: list[Change] = []
    for name, value in ((kept, old), ("CmdLine", text(command)), ("SetupType", dword(2))):
        changes += set_value(setup, ("Setup",), name, value, reason)
    return changes


def _cards(there: Key, files: frozenset[str]) -> Iterator[str]:
    """Yield the virtual network cards that are driven already."""
    for service, card in CARDS.items():
        names = (f"{service}.sys", *_CARD_FILES.get(service, ()))
        if there.at(("Services", service)) is not None and not files.isdisjoint(names):
            yield card


def _switched_on(service: Key, path: Path_) -> Iterator[Change]:
    if _OVERRIDE.lower() in service.keys:
        shown = RegistryEdit(
            "SYSTEM",
            "\\".join((*path, _OVERRIDE)),
            "",
            "key",
            "present",
            None,
            "A number in it would keep the driver from starting with the system.",
        )
        yield Change(Step((*path, _OVERRIDE), "", None), shown)
    reason = "The driver starts with the system, for the disk is behind its controller now."
    yield from set_value(service, path, "Start", dword(0), reason)


def _settings(there: Key, name: str) -> Iterator[Change]:
    partitions = there.at(_PARTITIONS) or Key()
    reason = "Data disks come on line although their controller is another one."
    yield from set_value(partitions, (name, *_PARTITIONS), "SanPolicy", dword(1), reason)
    power = there.at(_POWER)
    if power is not None and "hiberbootenabled" in power.values:
        reason = "The next shutdown is a real one, which leaves a clean file system."
        yield from set_value(power, (name, *_POWER), "HiberbootEnabled", dword(0), reason)
    crash = there.at(_CRASH)
    if crash is not None:
        reason = "A stop code stays on the screen in a test start."
        yield from set_value(crash, (name, *_CRASH), "AutoReboot", dword(0), reason)
    zone = there.at(_ZONE)
    if zone is not None:
        reason = "The clock of a VM runs in UTC; a machine's runs in local time."
        yield from set_value(zone, (name, *_ZONE), "RealTimeIsUniversal", dword(1), reason)


def set_value(key: Key, path: Path_, name: str, value: Value, reason: str) -> Iterator[Change]:
    """Yield the change of a value, unless it is as it should be."""
    old = key.values.get(name.lower())
    if old == value:
        return
    shown = RegistryEdit(
        "SYSTEM",
        "\\".join(path),
        name or DEFAULT,
        TYPES.get(value.type, str(value.type)),
        None if old is None else safe(old.words, _WORDS),
        value.words,
        reason,
    )
    yield Change(Step(path, name, value), shown)
