"""netplan (Ubuntu): `match: macaddress:` binds a block to a card, `set-name:` names it.

Source: netplan-yaml(5), "Properties for physical device types". Only the indentation of YAML is
read: no reader of YAML is needed to see keys, and none could write the file back byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.guests.linux.network.stack import Card, Stack, card

_LINE = re.compile(rb"([ ]*)([\"']?[^\s#:\"'][^:\"']*[\"']?):[ \t]*(.*)")
_BLOCK = re.compile(rb"(?m)^( *)(match:)[ \t]*\n((?:\1 +[^\n]*(?:\n|$))+)")
_DRIVER = re.compile(rb"(?m)^( *)(driver:[^\n]*(?:\n\1 *-[^\n]*)*)")
_SHORT = re.compile(rb"(?m)^ *match: *\{[^{}\n]*?\b(driver[\"']?:[^,{}\n]*)[^{}\n]*\}")
_PAIR = re.compile(rb"\b(name|macaddress|driver)[\"']?[ \t]*:([^,{}]+)")
_FLOW = re.compile(rb"\bethernets[\"']?[ \t]*:[ \t]*\{")
_TOLD = re.compile(rb"\b(set-name|macaddress|name|driver)[\"']?[ \t]*:[ \t]*([^,{}\s]+)")
_LONGEST = 1 << 16
"""Bytes in braces that are looked at."""
_KEY = re.compile(rb"\bmacaddress[\"']?[ \t]*:")


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    """Return the blocks under `ethernets:` with their addresses."""
    found: list[dict[bytes, bytes]] = []
    top = deep = -1
    for text in content.split(b"\n"):
        match = _LINE.match(text)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2].strip(b"\"'"), match[3].strip()
        if key == b"ethernets":
            top, deep = indent, -1
        elif top >= 0 and indent <= top:
            top = -1
        elif top >= 0 and (deep < 0 or indent == deep):
            deep = indent
            found.append({b"key": key, **_told(value)})
        elif top >= 0 and found:
            _note(found[-1], key, value)
    found += _flow(content)
    return [each for block in found for each in _card(block)]


def _flow(content: bytes) -> Iterator[dict[bytes, bytes]]:
    """Yield the blocks of `ethernets: {eno1: {…}, …}`, which may span lines."""
    at = 0
    while match := _FLOW.search(content, at):
        deep, begin = 0, match.end()
        for at, byte in enumerate(content[begin : begin + _LONGEST], begin):
            deep += (byte in b"{[") - (byte in b"}]")
            if deep < 0 or (byte in b"," and not deep):
                key, colon, value = content[begin:at].partition(b":")
                if colon:
                    yield {b"key": key.strip().strip(b"\"'"), **_told(value)}
                begin = at + 1
            if deep < 0:
                break
        at = max(at, match.end())


def _told(value: bytes) -> dict[bytes, bytes]:
    """Return what a block in braces says of its card."""
    pairs = _TOLD.findall(value) if value.lstrip().startswith(b"{") else []
    return {key: told.strip(b"\"'") for key, told in pairs}


def _note(block: dict[bytes, bytes], key: bytes, value: bytes) -> None:
    """Keep what tells which card a block is for."""
    pairs = [(key, value)]
    if key == b"match" and value.startswith(b"{"):
        pairs = [(pair[1], pair[2].strip()) for pair in _PAIR.finditer(value)]
    for name, told in pairs:
        if name in (b"macaddress", b"set-name", b"name", b"driver"):
            block.setdefault(name, told)


def _card(block: dict[bytes, bytes]) -> Sequence[Card]:
    # The key of a block that matches by something else is no name of a card.
    own = b"" if b"driver" in block and b"macaddress" not in block else block[b"key"]
    name = block.get(b"set-name") or block.get(b"name") or own
    return card(name, block.get(b"macaddress", b""))


def _unbind(_path: bytes, content: bytes, mac: bytes) -> bytes:
    """Match by address what was matched by the old card's driver alone; one block for each call."""
    match = _BLOCK.search(content) if mac else None
    while match is not None and (_KEY.search(match[3]) or not _DRIVER.search(match[3])):
        match = _BLOCK.search(content, match.end())
    if match is None:
        return _unbind_short(content, mac) if mac else content
    new = _DRIVER.sub(rb'\1# bootpoint: \2\n\1macaddress: "' + mac + b'"', match[3], count=1)
    return content[: match.start(3)] + new + content[match.end(3) :]


def _unbind_short(content: bytes, mac: bytes) -> bytes:
    for match in _SHORT.finditer(content):
        if not _KEY.search(match[0]):
            new = b'macaddress: "' + mac + b'"'
            return content[: match.start(1)] + new + content[match.end(1) :]
    return content


STACK = Stack(
    "netplan",
    ((b"/etc/netplan", re.compile(rb".+\.ya?ml")),),
    _KEY,
    _cards,
    unbind=_unbind,
)
