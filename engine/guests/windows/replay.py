"""Finishes the write of a registry hive that a running Windows had begun: from its logs.

    hive (sequence numbers differ) + LOG1, LOG2 ─► entries in unbroken order ─► clean hive
                                                └► pages marked DIRT, bins whole ─► clean hive

Since Windows 8.1 a hive on the disk of a running machine is nearly always behind its logs. Of such
logs an entry is replayed only if both of its hashes are right, and only if none is missing from
the hive's own number on. Before, a log held the pages of one write and no hash: it is replayed only
if it was begun at the hive's own time and every bin of what comes out is whole. What is left over
is refused, not guessed. Pure.

Source: Windows registry file format specification (M. Suhanov), "Format of transaction log files",
"Multiple transaction log files".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.guests.windows.version import BASE, checksum

LOG = 64 << 20
"""Longest log in bytes."""
_LONGEST = 256 << 20
_HEAD, _ENTRY, _SECTOR, _PAGE = 512, 40, 512, 4096
_NEW_FORM, _OLD_FORMS = 6, (1, 2)
_SEED = 0x82EF4D887A4E55C5
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Entry:
    """One write: pages by their offsets in the hive, and the length of all of its bins."""

    number: int
    bins: int
    pages: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A clean hive, and how many writes it was behind."""

    hive: bytes
    count: int


def replay(hive: bytes, logs: Sequence[bytes]) -> Replayed | None:
    """Return a dirty hive with its writes finished.

    Args:
        hive: Whole, with a base block whose checksum is right.
        logs: LOG1 and LOG2, in any order; empty ones do not count.

    Returns:
        None when it cannot be done without guessing: a damaged base block, logs of another hive
        or another write, with a gap, or with pages that are no bins.
    """
    head = hive[:_HEAD]
    if len(head) < _HEAD or head[:4] != b"regf":
        return None
    if checksum(head) != struct.unpack_from("<I", head, 508)[0]:
        return None
    entries: dict[int, _Entry] = {}
    for log in logs:
        for entry in _entries(log):
            entries.setdefault(entry.number, entry)
    first = int(struct.unpack_from("<I", head, 8)[0])
    chain = list(_chain(entries, first))
    if chain:
        return Replayed(_written(hive, chain), len(chain))
    # The newest first: of two, the second repeats what could not be written from the first.
    old = sorted((log for log in logs if _is_old(log, head)), key=_number, reverse=True)
    finished = next((made for log in old if (made := _finished(hive, log))), None)
    return Replayed(finished, 1) if finished is not None else None


def marvin32(data: bytes, seed: int = _SEED) -> int:
    """Return the hash that log entries carry: Marvin32, 64 bits, with the registry's own seed."""
    low, high = seed & _MASK, seed >> 32
    whole = len(data) - len(data) % 4
    tail = int.from_bytes(data[whole:] + b"\x80", "little")
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        low, high = _mixed(low + word & _MASK, high)
    low, high = _mixed(low + tail & _MASK, high)
    low, high = _mixed(low, high)
    return high << 32 | low


def _mixed(low: int, high: int) -> tuple[int, int]:
    high ^= low
    low = (low << 20 | low >> 12) + high & _MASK
    high = (high << 9 | high >> 23) & _MASK ^ low
    low = (low << 27 | low >> 5) + high & _MASK
    return low, (high << 19 | high >> 13) & _MASK


def _entries(log: bytes) -> Iterator[_Entry]:
    """Yield the entries of one log up to the first that is not whole."""
    if len(log) < _HEAD or len(log) > LOG or log[:4] != b"regf":
        return
    if struct.unpack_from("<I", log, 28)[0] != _NEW_FORM:
        return
    at, before = _HEAD, None
    while (entry := _entry(log, at)) is not None:
        if before is not None and entry.number != (before + 1) & _MASK:
            return  # what follows was left by an earlier round
        yield entry
        before = entry.number
        at += int(struct.unpack_from("<I", log, at + 4)[0])


def _entry(log: bytes, at: int) -> _Entry | None:
    if log[at : at + 4] != b"HvLE" or len(log) < at + _ENTRY:
        return None
    size, _flags, number, bins, count, body, head = struct.unpack_from("<IIIIIQQ", log, at + 4)
    whole = log[at : at + size]
    if size < _ENTRY or size % _SECTOR or len(whole) != size:
        return None
    if marvin32(whole[:32]) != head or marvin32(whole[_ENTRY:]) != body:
        return None
    pages = _pages(whole, count, bins)
    is_possible = 0 < bins <= _LONGEST and not bins % _PAGE
    return _Entry(number, bins, pages) if pages is not None and is_possible else None


def _pages(entry: bytes, count: int, bins: int) -> tuple[tuple[int, bytes], ...] | None:
    """Return the pages of an entry; None when one leads out of the entry or of the hive."""
    content = _ENTRY + 8 * count
    if content > len(entry):
        return None
    found = []
    for offset, size in struct.iter_unpack("<II", entry[_ENTRY:content]):
        page = entry[content : content + size]
        if len(page) != size or offset + size > bins:
            return None
        found.append((BASE + offset, page))
        content += size
    return tuple(found)


def _chain(entries: Mapping[int, _Entry], first: int) -> Iterator[_Entry]:
    """Yield entries from a number on, as long as none is missing."""
    while (entry := entries.get(first)) is not None:
        yield entry
        first = (first + 1) & _MASK


def _written(hive: bytes, chain: Sequence[_Entry]) -> bytes:
    """Return the hive with all writes made and its base block clean."""
    last = chain[-1]
    new = bytearray(hive.ljust(BASE + max(entry.bins for entry in chain), b"\0"))
    for entry in chain:
        for offset, page in entry.pages:
            new[offset : offset + len(page)] = page
    del new[BASE + last.bins :]
    number = (last.number + 1) & _MASK
    struct.pack_into("<II", new, 4, number, number)
    struct.pack_into("<I", new, 40, last.bins)
    struct.pack_into("<I", new, 508, checksum(bytes(new[:_HEAD])))
    return bytes(new)


def _number(log: bytes) -> int:
    return int(struct.unpack_from("<I", log, 4)[0])


def _is_old(log: bytes, head: bytes) -> bool:
    """Return whether a log has the old form, is whole, and was begun at the hive's own time."""
    if not _HEAD + _SECTOR <= len(log) <= LOG or log[:4] != b"regf":
        return False
    first, second = struct.unpack_from("<II", log, 4)
    is_whole = first == second and checksum(log[:_HEAD]) == struct.unpack_from("<I", log, 508)[0]
    is_of_form = struct.unpack_from("<I", log, 28)[0] in _OLD_FORMS
    return is_whole and is_of_form and log[12:20] == head[12:20]


def _finished(hive: bytes, log: bytes) -> bytes | None:
    """Return the hive with the marked pages of 512 bytes; None when a page or a bin is not whole.

    A bitmap with one bit a page follows the mark; the pages that it names follow one another.
    """
    bins = int(struct.unpack_from("<I", log, 40)[0])
    marks = log[_HEAD + 4 : _HEAD + 4 + bins // _PAGE]
    at = _HEAD + -(-(4 + bins // _PAGE) // _SECTOR) * _SECTOR
    if log[_HEAD : _HEAD + 4] != b"DIRT" or not 0 < bins <= _LONGEST or bins % _PAGE:
        return None
    pages = [
        8 * byte + bit for byte, mark in enumerate(marks) for bit in range(8) if mark >> bit & 1
    ]
    if not pages or at + len(pages) * _SECTOR > len(log):
        return None
    new = bytearray(hive[: BASE + bins].ljust(BASE + bins, b"\0"))
    for number, page in enumerate(pages):
        place = at + number * _SECTOR
        new[BASE + page * _SECTOR : BASE + (page + 1) * _SECTOR] = log[place : place + _SECTOR]
    number = max(_number(log), _number(hive))
    struct.pack_into("<II", new, 4, number, number)
    new[36:44] = log[36:44]  # the root key, and the length of all bins
    struct.pack_into("<I", new, 508, checksum(bytes(new[:_HEAD])))
    return bytes(new) if _is_whole(new) else None


def _is_whole(hive: bytearray) -> bool:
    """Return whether a hive is bins from its begin to its end, each with its own offset."""
    at = BASE
    while at < len(hive):
        mark, offset, size = struct.unpack_from("<4sII", hive, at)
        if mark != b"hbin" or offset != at - BASE or not size or size % _PAGE:
            return False
        at += int(size)
    return at == len(hive)
