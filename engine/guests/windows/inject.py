r"""Decides what makes a Windows start from a controller whose driver the user has registered.

    Choice ─┬─ disk drivers ─► System32\drivers, services, device database ─┐
            └─ all of them ──► staged folders, which pnputil installs later ┴─► Injection

The device database tells Windows which driver a device takes that it never saw: as services start,
the disk must be there. Up to Windows 7 and 2008 R2 it is `CriticalDeviceDatabase`, since Windows 8
and Server 2012 `DriverDatabase`. Pure; what is there already is not changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from engine.guests.windows.drivers.inf import Arch, Setting, number
from engine.guests.windows.drivers.package import SCSI_CLASS, Driver
from engine.guests.windows.hive import (
    BINARY,
    EXPAND_SZ,
    MULTI_SZ,
    SZ,
    Key,
    Path_,
    Value,
    dword,
    text,
)
from engine.guests.windows.system import Change, control_sets, set_value

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,99}")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._{}\\-]{0,199}")
STAGED_FILE, STAGED, STAGED_FILES = 16 << 20, 32 << 20, 200
"""Longest staged file, all files of one package, and how many."""
_DATABASE = "DriverDatabase"
_CRITICAL = ("Control", "CriticalDeviceDatabase")
_PROCESSORS = {Arch.X86: 0, Arch.AMD64: 9, Arch.ARM64: 12}
"""Numbers of processors. Source: Windows SDK, PROCESSOR_ARCHITECTURE_*."""
_MATCHES = bytes.fromhex("01ff0000")
_TYPES = {0: SZ, 1: BINARY, 0x10000: MULTI_SZ, 0x20000: EXPAND_SZ, 0x10001: 4}
"""Flags of the directive AddReg, without those that say how, as types of values."""


@dataclass(frozen=True, slots=True)
class Injection:
    r"""What is written.

    Attributes:
        changes: In the hive SYSTEM.
        files: Drivers by their names in `System32\drivers`, with the reason.
        staged: Files by their paths below the folder of staged drivers, parts divided by `/`.
        names: Roles that the guest has a driver for now.
    """

    changes: tuple[Change, ...]
    files: Mapping[str, tuple[bytes, str]]
    staged: Mapping[str, bytes]
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def wanted(drivers: Sequence[Driver]) -> Sequence[Path_]:
    """Return what of the hive SYSTEM must be known."""
    paths: list[Path_] = [("*", "Services", driver.service.name) for driver in drivers]
    for driver in drivers:
        inf, package = driver.package.name.lower(), package_name(driver)
        paths += [(_DATABASE, "DriverInfFiles", inf), (_DATABASE, "DriverPackages", package)]
        for one in driver.ids:
            bus, _, device = one.partition("\\")
            paths.append(("*", *_CRITICAL, one.replace("\\", "#")))
            paths.append((_DATABASE, "DeviceIds", bus, device))
    return list(dict.fromkeys(paths))


def inject(system: Key, drivers: Sequence[Driver], files: Mapping[str, bytes | None]) -> Injection:
    r"""Return what is written for these drivers.

    Args:
        system: What is read of the hive, see `wanted`.
        drivers: At most one for each role.
        files: The guest's own files in `System32\drivers` by the names of the drivers' files; None
            where there is none. A driver that the guest has in another version is left to it.
    """
    changes: list[Change] = []
    written: dict[str, tuple[bytes, str]] = {}
    staged: dict[str, bytes] = {}
    names: list[str] = []
    warnings: list[str] = []
    for driver in drivers:
        names.append(driver.role.name)
        if _has_its_own(system, driver, files.get(driver.file)):
            continue
        warnings += driver.doubts
        staged |= _staged(driver)
        if not driver.role.is_disk:
            continue
        if files.get(driver.file) is None:
            title = f"{driver.role.title} {driver.package.shown_version}".rstrip()
            written[driver.file] = driver.content, f"Driver of the VM's disk: {title}."
        for name in control_sets(system):
            changes += _service(system, name, driver)
        changes += _database(system, driver)
    return Injection(tuple(changes), written, staged, tuple(names), tuple(dict.fromkeys(warnings)))


def package_name(driver: Driver) -> str:
    """Return the name that a package has in the driver database."""
    inf = driver.package.name.lower()
    digest = hashlib.sha256(driver.package.files[inf]).hexdigest()[:16]
    return f"{inf}_{driver.target.arch}_{digest}"


def _has_its_own(system: Key, driver: Driver, file: bytes | None) -> bool:
    """Return whether the guest has this driver installed, in a version of its own."""
    services = [system.at((name, "Services", driver.service.name)) for name in control_sets(system)]
    is_known = any(key is not None and "imagepath" in key.values for key in services)
    return is_known and file is not None and file != driver.content


def _staged(driver: Driver) -> Mapping[str, bytes]:
    """Return the files of a package that pnputil needs: its `.inf` and what lies with it."""
    package = driver.package
    others = [name for name in package.files if name.endswith(".inf") and "/" not in name]
    needed = {
        package.name.lower(),
        *(name.lower() for name in package.inf.catalogues(driver.target)),
    }
    for section in package.inf.sections:
        if section.startswith("sourcedisksfiles"):
            needed |= {line.key.lower() for line in package.inf.sections[section]}
    needed |= {p.lower() for p in package.inf.files(driver.model.install, driver.target)}
    found: dict[str, bytes] = {}
    for name, content in sorted(package.files.items()):
        is_alone = len(others) == 1 or name in needed or name.rpartition("/")[2] in needed
        spelled = package.spelled[name]
        fits = all(map(_FILE.fullmatch, spelled.split("/"))) and len(content) <= STAGED_FILE
        if is_alone and fits and len(found) < STAGED_FILES:
            found[f"{driver.role.name}/{spelled}"] = content
    return found if sum(map(len, found.values())) <= STAGED else {}


# --- registry ---------------------------------------------------------------------------------


def _service(system: Key, control_set: str, driver: Driver) -> Iterator[Change]:
    service = driver.service
    path = (control_set, "Services", service.name)
    reason = f"The driver of {driver.role.title} starts with the system."
    image = text(rf"system32\drivers\{driver.file}", EXPAND_SZ)
    values = {
        "Type": dword(1),
        "Start": dword(0),
        "ErrorControl": dword(1),
        "Group": text(service.group or "SCSI miniport"),
        "ImagePath": image,
    }
    for name, value in values.items():
        yield from _set(system, path, name, value, reason)
    for setting in service.settings:
        made = _value(setting)
        if made is not None and (not setting.key or _KEY.fullmatch(setting.key)):
            below = tuple(part for part in setting.key.split("\\") if part)
            yield from _set(system, (*path, *below), setting.name, made, _FROM_INF)


_FROM_INF = "The driver's .inf sets this for its service."


def _value(setting: Setting) -> Value | None:
    """Return a value of the directive AddReg; None when it is of a kind that is not made here."""
    kind = _TYPES.get(setting.kind & 0xFFFF0001)
    data = list(setting.data)
    if kind is None or setting.kind & 0x10 or not setting.name or len(setting.name) > 200:
        return None
    match kind:
        case 4 if len(data) == 1:
            return dword(number(data[0]))
        case 3 if all(re.fullmatch(r"[0-9A-Fa-f]{1,2}", byte) for byte in data):
            return Value(BINARY, bytes(int(byte, 16) for byte in data))
        case 7:
            return _list(data)
        case 1 | 2 if len(data) == 1:
            return text(data[0], kind)
    return None


def _list(texts: Sequence[str]) -> Value:
    return Value(MULTI_SZ, "".join(f"{one}\0" for one in (*texts, "")).encode("utf-16-le"))


def _database(system: Key, driver: Driver) -> Iterator[Change]:
    reason = f"Windows takes this driver for {driver.role.title}, which it has never seen."
    entries = _new_entries if driver.target.has_driver_database else _old_entries
    for path, name, value in entries(system, driver):
        yield from _set(system, path, name, value, reason)


def _old_entries(system: Key, driver: Driver) -> Iterator[tuple[Path_, str, Value]]:
    """Yield values of CriticalDeviceDatabase, for Windows 7 and Server 2008 R2."""
    for control_set in control_sets(system):
        for one in driver.ids:
            path = (control_set, *_CRITICAL, one.replace("\\", "#"))
            yield path, "Service", text(driver.service.name)
            yield path, "ClassGUID", text(SCSI_CLASS)


def _new_entries(_system: Key, driver: Driver) -> Iterator[tuple[Path_, str, Value]]:
    """Yield values of DriverDatabase, for Windows 8, Server 2012 and later ones."""
    inf, package = driver.package.name.lower(), package_name(driver)
    config = driver.model.install
    files = (_DATABASE, "DriverInfFiles", inf)
    yield files, "", _list([package])
    yield files, "Active", text(package)
    yield files, "Configurations", _list([config])
    for one in driver.ids:
        bus, _, device = one.partition("\\")
        yield (_DATABASE, "DeviceIds", bus, device), inf, Value(BINARY, _MATCHES)
    here = (_DATABASE, "DriverPackages", package)
    yield here, "Version", Value(BINARY, _version(driver))
    configuration = (*here, "Configurations", config)
    yield configuration, "ConfigFlags", dword(0)
    yield configuration, "Service", text(driver.service.name)
    for one in driver.ids:
        bus, _, device = one.partition("\\")
        yield (*here, "Descriptors", bus, device), "Configuration", text(config)


def _version(driver: Driver) -> bytes:
    """Return the 48 bytes of a package's version: processor and class; no date, no version."""
    head = bytes([0, 0xFF, _PROCESSORS[driver.target.arch], 0]) + bytes(4)
    return head + UUID(SCSI_CLASS).bytes_le + bytes(24)


def _set(system: Key, path: Path_, name: str, value: Value, reason: str) -> Iterator[Change]:
    yield from set_value(system.at(path) or Key(), path, name, value, reason)
