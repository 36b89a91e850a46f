r"""Reads and edits one registry hive with libhivex; runs in a sandbox, see `hive.py`.

    hive_inside.py HIVE REQUEST     answer on standard output

libhivex is C and a hive is hostile: this process is thrown away after one request. The answer is
a line of JSON; after an edit the pages of 4 KiB that changed follow, each behind its number.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any

PAGE = 4096
KEYS, VALUES, DATA, DEPTH = 20000, 2000, 1 << 16, 12
_WRITE = 4
_NEW = "/tmp/new"  # noqa: S108 - the sandbox's own


class _SetValue(ctypes.Structure):
    _fields_ = (("key", c_char_p), ("t", c_int), ("len", c_size_t), ("value", c_char_p))


_hivex = ctypes.CDLL("libhivex.so.0", use_errno=True)
_libc = ctypes.CDLL(None)
_libc.free.argtypes = [c_void_p]
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "hivex_open": (c_void_p, [c_char_p, c_int]),
    "hivex_root": (c_size_t, [c_void_p]),
    "hivex_node_name": (c_void_p, [c_void_p, c_size_t]),
    "hivex_node_children": (POINTER(c_size_t), [c_void_p, c_size_t]),
    "hivex_node_get_child": (c_size_t, [c_void_p, c_size_t, c_char_p]),
    "hivex_node_values": (POINTER(c_size_t), [c_void_p, c_size_t]),
    "hivex_value_key": (c_void_p, [c_void_p, c_size_t]),
    "hivex_value_type": (c_int, [c_void_p, c_size_t, POINTER(c_int), POINTER(c_size_t)]),
    "hivex_value_value": (
        c_void_p,
        [c_void_p, c_size_t, POINTER(c_int), POINTER(c_size_t)],
    ),
    "hivex_node_add_child": (c_size_t, [c_void_p, c_size_t, c_char_p]),
    "hivex_node_delete_child": (c_int, [c_void_p, c_size_t]),
    "hivex_node_set_value": (c_int, [c_void_p, c_size_t, POINTER(_SetValue), c_int]),
    "hivex_commit": (c_int, [c_void_p, c_char_p, c_int]),
}
for _name, (_result, _arguments) in _SIGNATURES.items():
    _function = getattr(_hivex, _name)
    _function.restype, _function.argtypes = _result, _arguments


class Hive:
    """One open hive; every call that fails ends the process with words."""

    def __init__(self, path: str, *, is_writing: bool) -> None:
        """Open a hive."""
        self.left = KEYS
        self._hive = _hivex.hivex_open(path.encode(), _WRITE if is_writing else 0)
        if not self._hive:
            fail("cannot be opened")

    def tree(self, node: int, depth: int) -> dict[str, Any]:
        """Return values and keys below a node: {values: {name: [type, hex]}, keys: {name: …}}."""
        self.left -= 1
        if self.left < 0 or depth > DEPTH:
            fail("has more keys than are read")
        keys = {
            self._text("hivex_node_name", c): self.tree(c, depth + 1) for c in self._nodes(node)
        }
        return {"values": self._values(node), "keys": keys}

    def find(self, path: list[str]) -> list[tuple[list[str], int]]:
        """Return every key that fits a path, of which a component may be `*`."""
        found: list[tuple[list[str], int]] = [([], _hivex.hivex_root(self._hive))]
        for part in path:
            below = []
            for at, node in found:
                if part == "*":
                    names = [(self._text("hivex_node_name", c), c) for c in self._nodes(node)]
                else:
                    child = _hivex.hivex_node_get_child(self._hive, node, part.encode())
                    names = [(part, child)] if child else []
                below += [([*at, name], child) for name, child in names]
            found = below
        return found

    def set(self, path: list[str], name: str, kind: int, data: bytes) -> None:
        """Set a value; keys that are missing are made."""
        node = _hivex.hivex_root(self._hive)
        for part in path:
            child = _hivex.hivex_node_get_child(self._hive, node, part.encode())
            node = child or _hivex.hivex_node_add_child(self._hive, node, part.encode())
            if not node:
                fail("takes no new key")
        value = _SetValue(name.encode(), kind, len(data), data)
        if _hivex.hivex_node_set_value(self._hive, node, byref(value), 0):
            fail("takes no value")

    def delete(self, path: list[str]) -> None:
        """Delete a key with all that is below it."""
        for _, node in self.find(path):
            if _hivex.hivex_node_delete_child(self._hive, node):
                fail("lets no key be deleted")

    def commit(self) -> bytes:
        """Return the hive with the changes."""
        if _hivex.hivex_commit(self._hive, _NEW.encode(), 0):
            fail("cannot be written")
        return Path(_NEW).read_bytes()

    def _values(self, node: int) -> dict[str, Any]:
        values = {}
        for value in self._list("hivex_node_values", node)[:VALUES]:
            kind, size = c_int(), c_size_t()
            if _hivex.hivex_value_type(self._hive, value, byref(kind), byref(size)):
                fail("has a damaged value")
            if size.value > DATA:
                continue
            raw = _hivex.hivex_value_value(self._hive, value, byref(kind), byref(size))
            if not raw:
                fail("has a damaged value")
            data = ctypes.string_at(raw, size.value)
            _libc.free(raw)
            values[self._text("hivex_value_key", value)] = [kind.value, data.hex()]
        return values

    def _nodes(self, node: int) -> list[int]:
        return self._list("hivex_node_children", node)

    def _list(self, call: str, node: int) -> list[int]:
        found = getattr(_hivex, call)(self._hive, node)
        if not found:
            fail("has a damaged key")
        numbers: list[int] = []
        while found[len(numbers)]:
            numbers.append(found[len(numbers)])
        _libc.free(ctypes.cast(found, c_void_p))
        return numbers

    def _text(self, call: str, where: int) -> str:
        raw = getattr(_hivex, call)(self._hive, where)
        if not raw:
            fail("has a damaged name")
        text = ctypes.string_at(raw).decode("utf-8", "replace")
        _libc.free(raw)
        return text


def fail(why: str) -> None:
    """End with words."""
    sys.exit(f"the hive {why}")


def main() -> None:
    """Serve one request."""
    place, request = sys.argv[1], json.loads(Path(sys.argv[2]).read_text("utf-8"))
    out = sys.stdout.buffer
    if "read" in request:
        hive = Hive(place, is_writing=False)
        found = [[at, hive.tree(n, 0)] for path in request["read"] for at, n in hive.find(path)]
        out.write(json.dumps(found).encode())
        return
    hive = Hive(place, is_writing=True)
    for step in request["edit"]:
        if step["data"] is None:
            hive.delete(step["path"])
        else:
            hive.set(step["path"], step["name"], step["type"], bytes.fromhex(step["data"]))
    old, new = Path(place).read_bytes(), hive.commit()
    out.write(json.dumps({"size": len(new)}).encode() + b"\n")
    for at in range(0, len(new), PAGE):
        page = new[at : at + PAGE]
        if page != old[at : at + PAGE]:
            out.write(struct.pack("<I", at // PAGE) + page)


if __name__ == "__main__":
    main()
