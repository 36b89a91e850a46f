"""Registry hives made of nothing: an empty one, filled by our own editor."""

import struct
from collections.abc import Mapping, Sequence

from engine.guests.windows.hive import Step, Value, dword, edit, text

Tree = Mapping[str, "Tree | Value | str | int"]
_NONE = 0xFFFFFFFF


def empty_hive() -> bytes:
    """Return a hive with nothing but its root key and an access right.

    Source: Windows registry file format specification (M. Suhanov).
    """
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
    right = struct.pack("<i2sHIIII", -48, b"sk", 0, 0x78, 0x78, 1, len(descriptor)) + descriptor
    root = struct.pack("<i2sHQIIIIIIIIII", -88, b"nk", 0x2C, 0, 0, 0, 0, 0, _NONE, _NONE, 0, _NONE,
                       0x78, _NONE)  # fmt: skip
    root += struct.pack("<5IHH", 0, 0, 0, 0, 0, 4, 0) + b"ROOT"
    cells = struct.pack("<4sII8xQI", b"hbin", 0, 4096, 0, 0)
    cells += root.ljust(88, b"\0") + right.ljust(48, b"\0")
    rest = 4096 - len(cells)
    cells += struct.pack("<i", rest).ljust(rest, b"\0")
    head = bytearray(4096)
    struct.pack_into("<4sIIQIIIIIII", head, 0, b"regf", 1, 1, 0, 1, 5, 0, 1, 0x20, 4096, 1)
    total = 0
    for word in struct.unpack_from("<127I", head):
        total ^= word
    struct.pack_into("<I", head, 508, {0: 1, _NONE: _NONE - 1}.get(total, total))
    return bytes(head) + cells


def steps(tree: Tree, path: tuple[str, ...] = ()) -> Sequence[Step]:
    """Return what fills an empty hive: mappings are keys, texts REG_SZ, numbers REG_DWORD."""
    found: list[Step] = []
    for name, what in tree.items():
        match what:
            case Value():
                found.append(Step(path, name, what))
            case int():
                found.append(Step(path, name, dword(what)))
            case str():
                found.append(Step(path, name, text(what)))
            case _:
                found += steps(what, (*path, name))
    return found


def hive(tree: Tree) -> bytes:
    """Return a hive; each key must have a value in it or below it."""
    return edit(empty_hive(), steps(tree))


def control_set(*, start: int = 3, fillers: int = 100) -> Tree:
    """Return a control set of a machine with a RAID controller of its own."""
    off = {"Start": start, "Type": 1, "StartOverride": {"0": 3}}
    services: dict[str, Tree] = {f"Filler{number:03}": {"Start": 3} for number in range(fillers)}
    services |= {"storahci": off, "stornvme": off, "LSI_SAS": off, "megasas": {"Start": 0}}
    services["partmgr"] = {"Start": 0, "Parameters": {"SanPolicy": 3}}
    return {
        "Services": services,
        "Control": {
            "Session Manager": {"Power": {"HiberbootEnabled": 1}},
            "CrashControl": {"AutoReboot": 1},
            "TimeZoneInformation": {"Bias": 300, "ActiveTimeBias": 240},
        },
    }


def system_hive(*, current: int = 1, default: int = 1, sets: Sequence[int] = (1,)) -> bytes:
    """Return a SYSTEM hive."""
    tree: dict[str, Tree] = {"Select": {"Current": current, "Default": default, "LastKnownGood": 2}}
    tree["Setup"] = {"SetupType": 0, "CmdLine": ""}
    tree |= {f"ControlSet{number:03}": control_set() for number in sets}
    return hive(tree)
