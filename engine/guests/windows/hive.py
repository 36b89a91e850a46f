"""The registry: libhivex in a sandbox of its own, one throw-away process for each request.

    hive ─► read ─► Key (a tree of names and values) ─► decision ─► Step… ─► edit ─► new hive

Names are found in any case, as Windows finds them.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.guests.backends import cage
from engine.guests.windows.version import HiveDamaged, is_dirty
from engine.local.tools import ToolFailed, run_tool
from engine.model.errors import Failure, Problem

HIVE = 256 << 20
"""Longest hive in bytes that is edited."""
SZ, EXPAND_SZ, BINARY, DWORD, MULTI_SZ = 1, 2, 3, 4, 7
TYPES = {SZ: "REG_SZ", EXPAND_SZ: "REG_EXPAND_SZ", BINARY: "REG_BINARY", DWORD: "REG_DWORD",
         MULTI_SZ: "REG_MULTI_SZ"}  # fmt: skip
_PAGE = 4096
_INSIDE = Path(__file__).with_name("hive_inside.py")

_FOREIGN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What comes of an answer in another form: a hive that took libhivex over writes it."""

Path_ = tuple[str, ...]
"""Components of a key's path."""


@dataclass(frozen=True, slots=True)
class Value:
    """Type and raw bytes of a value; texts are UTF-16LE with a terminator."""

    type: int
    data: bytes

    @property
    def text(self) -> str:
        """Return a text without its terminator; of a list the first one."""
        return self.texts[0] if self.texts else ""

    @property
    def texts(self) -> Sequence[str]:
        """Return the texts of a list that are not empty."""
        whole = self.data.decode("utf-16-le", "replace")
        return [text for text in whole.split("\0") if text]

    @property
    def number(self) -> int | None:
        """Return a DWORD; None when it is something else."""
        is_number = self.type == DWORD and len(self.data) == 4
        return int.from_bytes(self.data, "little") if is_number else None

    @property
    def words(self) -> str:
        """Return how it is shown."""
        if self.number is not None:
            return str(self.number)
        if self.type in (SZ, EXPAND_SZ, MULTI_SZ):
            return " | ".join(self.texts)
        return self.data.hex(" ")


def dword(number: int) -> Value:
    """Return a number as a value."""
    return Value(DWORD, struct.pack("<I", number))


def text(string: str, kind: int = SZ) -> Value:
    """Return a text as a value."""
    return Value(kind, string.encode("utf-16-le") + b"\0\0")


@dataclass(frozen=True, slots=True)
class Key:
    """A key: values and keys by their names in lower case."""

    values: Mapping[str, Value] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)

    def at(self, path: Sequence[str]) -> Key | None:
        """Return the key at a path; None when there is none."""
        here: Key | None = self
        for part in path:
            here = here.keys.get(part.lower()) if here else None
        return here


@dataclass(frozen=True, slots=True)
class Step:
    """One change: a value that is set, or (`value` None) a key that is deleted."""

    path: Sequence[str]
    name: str
    value: Value | None


def read(hive: bytes, wanted: Sequence[Path_]) -> Key:
    """Return what a hive has at these paths and below; a component may be `*`.

    Raises:
        HiveDamaged: It is no hive, not fully written, or damaged.
        Failure: libhivex is missing.
    """
    answer = _ask(hive, {"read": [list(path) for path in wanted]})
    root: dict[str, Any] = {"values": {}, "keys": {}}
    try:
        for path, tree in json.loads(answer):
            here = root
            for part in path[:-1]:
                here = here["keys"].setdefault(part, {"values": {}, "keys": {}})
            here["keys"][path[-1]] = tree
        return _key(root)
    except _FOREIGN as odd:
        raise HiveDamaged from odd


def edit(hive: bytes, steps: Sequence[Step]) -> bytes:
    """Return a hive with changes made, in their order.

    Raises:
        HiveDamaged: It is no hive, not fully written, or damaged.
        Failure: libhivex is missing.
    """
    told = [
        {
            "path": list(step.path),
            "name": step.name,
            "type": step.value.type if step.value else 0,
            "data": step.value.data.hex() if step.value else None,
        }
        for step in steps
    ]
    head, _, pages = _ask(hive, {"edit": told}).partition(b"\n")
    try:
        size = int(json.loads(head)["size"])
    except _FOREIGN as odd:
        raise HiveDamaged from odd
    if not 0 < size <= HIVE or len(pages) % (_PAGE + 4):
        raise HiveDamaged
    new = bytearray(hive[:size].ljust(size, b"\0"))
    for at in range(0, len(pages), _PAGE + 4):
        where = int.from_bytes(pages[at : at + 4], "little") * _PAGE
        if where + _PAGE > size:
            raise HiveDamaged
        new[where : where + _PAGE] = pages[at + 4 : at + 4 + _PAGE]
    return bytes(new)


def _key(raw: Mapping[str, Any]) -> Key:
    values = {
        name.lower(): Value(kind, bytes.fromhex(data))
        for name, (kind, data) in raw["values"].items()
    }
    return Key(values, {name.lower(): _key(key) for name, key in raw["keys"].items()})


def _ask(hive: bytes, request: object) -> bytes:
    """Return the answer of a process that sees nothing but the hive and the request."""
    if len(hive) > HIVE or is_dirty(hive[:512]):
        raise HiveDamaged
    with tempfile.TemporaryDirectory(prefix="bootpoint-hive-") as name:
        folder = Path(name)
        (folder / "hive").write_bytes(hive)
        (folder / "request").write_text(json.dumps(request), "utf-8")
        try:
            return run_tool(_command(folder), cpu_s=30, memory=2 << 30, timeout_s=60)
        except ToolFailed as failure:
            if "libhivex" in failure.problem.happened:
                raise _missing() from failure
            raise HiveDamaged from failure


def _command(folder: Path) -> Sequence[str]:
    python = [str(Path(sys.executable).resolve()), "-I", "-S", "-X", "utf8"]
    if not cage.is_available():
        # Another path than the sandbox's would be one more thing to test.
        raise Failure(
            Problem(
                "guest.no_sandbox",
                "The registry of Windows is only read in a sandbox, and bubblewrap does not work.",
                remedy="Install bubblewrap, or let this user make name spaces.",
            )
        )
    shared = ["--ro-bind", str(folder), "/tmp/in"]  # noqa: S108 - the sandbox's own
    shared += ["--ro-bind", str(_INSIDE), "/tmp/inside.py"]  # noqa: S108 - the same
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        shared += ["--ro-bind", str(prefix), str(prefix)]
    files = ["/tmp/inside.py", "/tmp/in/hive", "/tmp/in/request"]  # noqa: S108 - the same
    return [*cage.WALLS, *shared, "--", *python, *files]


def _missing() -> Failure:
    return Failure(
        Problem(
            "guest.no_libhivex",
            "The library that edits the registry of Windows (libhivex) is not installed.",
            remedy="Install the package libhivex0.",
        )
    )
