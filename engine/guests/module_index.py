"""`modules.dep.bin`: the index in which modprobe finds a module's line by its name.

header │ nodes, children before their parents │ … the root is the last one

Source: kmod, libkmod/libkmod-index.c (the comment on the file format) and tools/depmod.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from engine.guests.modules import name_of

_HEADER = struct.Struct(">III")
_MAGIC = 0xB007F457
_VERSION = 0x00020001
_PREFIX, _VALUES, _CHILDREN = 0x80000000, 0x40000000, 0x20000000


@dataclass(slots=True)
class _Node:
    """A name's next byte leads to a child; a value belongs to the name that ends here."""

    values: list[tuple[int, bytes]] = field(default_factory=list)
    children: dict[int, _Node] = field(default_factory=dict)


def dependency_index(text: bytes) -> bytes:
    """Return `modules.dep.bin` for the content of `modules.dep`, as depmod makes it."""
    root = _Node()
    for priority, line in enumerate(text.splitlines()):
        _insert(root, name_of(line.split(b":")[0]), priority, line)
    out = bytearray(_HEADER.size)
    offset = _write(root, out)
    _HEADER.pack_into(out, 0, _MAGIC, _VERSION, offset)
    return bytes(out)


def _insert(root: _Node, name: bytes, priority: int, line: bytes) -> None:
    node = root
    for byte in name:
        node = node.children.setdefault(byte, _Node())
    node.values.append((priority, line))


def _write(node: _Node, out: bytearray) -> int:
    """Append a node and all below it; return its offset with its flags."""
    prefix = bytearray()
    while not node.values and len(node.children) == 1:
        ((byte, node),) = node.children.items()
        prefix.append(byte)
    places = {byte: _write(child, out) for byte, child in sorted(node.children.items())}
    offset = len(out)
    if prefix:
        offset |= _PREFIX
        out += prefix + b"\0"
    if places:
        first, last = min(places), max(places)
        offset |= _CHILDREN
        out += bytes((first, last))
        for byte in range(first, last + 1):
            out += struct.pack(">I", places.get(byte, 0))
    if node.values:
        offset |= _VALUES
        out += struct.pack(">I", len(node.values))
        for priority, line in node.values:
            out += struct.pack(">I", priority) + line + b"\0"
    return offset
