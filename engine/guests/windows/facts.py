r"""What a Windows says of itself that decides which drivers it can have.

hive SYSTEM, System32 ─► processor, version, kind of product ─► Target
└► which drivers have their file
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.guests.backend import Reading, Type
from engine.guests.windows import system
from engine.guests.windows.drivers.inf import Arch, Target
from engine.guests.windows.drivers.package import SYS
from engine.guests.windows.drivers.pe import MACHINES
from engine.guests.windows.hive import Key, Path_
from engine.guests.windows.inspect import processor, spelled
from engine.model.guest import Guest, Volume

_ENVIRONMENT = ("Control", "Session Manager", "Environment")
_PRODUCT = ("Control", "ProductOptions")
WANTED: Sequence[Path_] = (("*", *_ENVIRONMENT), ("*", *_PRODUCT))
"""What is read of the hive SYSTEM."""
_DRIVERS = b"/Windows/System32/drivers"
_WOW = b"/Windows/SysWOW64"
_PRODUCTS = {"winnt": 1, "lanmannt": 2, "servernt": 3}
_ROOTS = ("\\systemroot\\", "%systemroot%\\", "\\??\\c:\\windows\\", "c:\\windows\\")
_DEEPEST = 8


def target_of(reading: Reading, volume: Volume, guest: Guest, hive: Key) -> Target | None:
    """Return what drivers are looked for; None when the processor or version cannot be told."""
    arch = _arch(reading, volume, hive)
    numbers = [int(part) for part in guest.version.split(".") if part.isdigit()]
    if arch is None or len(numbers) < 3:
        return None
    major, minor, build = numbers[:3]
    return Target(arch, major, minor, build, _product(guest, hive))


def driver_files(reading: Reading, volume: Volume, hive: Key) -> frozenset[str]:
    r"""Return names in `System32\drivers` in lower case.

    `NAME.sys` is among them for each service whose driver lies elsewhere, as in the driver store.
    """
    path = spelled(reading, volume, _DRIVERS)
    names = reading.list(volume.id, path) if path else ()
    found = {name.decode("utf-8", "replace").lower() for name in names}
    for service, image in _images(hive):
        place = _place(image)
        if place and spelled(reading, volume, place) is not None:
            found.add(f"{service}.sys")
    return frozenset(found)


def driver_file(reading: Reading, volume: Volume, name: str) -> bytes | None:
    r"""Return a file in `System32\drivers`; None when there is none, empty when it is too long."""
    path = spelled(reading, volume, _DRIVERS + b"/" + name.encode())
    stat = reading.stat(volume.id, path) if path else None
    if path is None or stat is None or stat.type is not Type.FILE:
        return None
    return reading.read(volume.id, path, SYS) if stat.size <= SYS else b""


def _images(hive: Key) -> Iterator[tuple[str, str]]:
    for name in system.control_sets(hive):
        for service in (*system.INSTALLED, *system.CARDS):
            key = hive.at((name, "Services", service))
            if key is not None and "imagepath" in key.values:
                yield service.lower(), key.values["imagepath"].text


def _place(image: str) -> bytes | None:
    r"""Return where a service's `ImagePath` leads; None when it is not below `Windows`."""
    low = image.lower().replace("/", "\\")
    below = next((low[len(root) :] for root in _ROOTS if low.startswith(root)), low)
    parts = below.split("\\")
    if parts[0] != "system32" or len(parts) > _DEEPEST or {"", ".", ".."} & set(parts):
        return None
    return b"/Windows/" + "/".join(parts).encode("utf-8", "replace")


def _product(guest: Guest, hive: Key) -> int:
    for name in system.control_sets(hive):
        key = hive.at((name, *_PRODUCT)) or Key()
        told = key.values.get("producttype")
        if told is not None and told.text.lower() in _PRODUCTS:
            return _PRODUCTS[told.text.lower()]
    return 3 if "server" in guest.name.lower() else 1


def _arch(reading: Reading, volume: Volume, hive: Key) -> Arch | None:
    """Return the processor: as the registry says, else the kernel's file, else the folders."""
    for name in system.control_sets(hive):
        key = hive.at((name, *_ENVIRONMENT)) or Key()
        told = key.values.get("processor_architecture")
        if told is not None and told.text.lower() in list(Arch):
            return Arch(told.text.lower())
    found = MACHINES.get(processor(reading, volume), "")
    if found:
        return Arch(found)
    return Arch.AMD64 if spelled(reading, volume, _WOW) is not None else None
