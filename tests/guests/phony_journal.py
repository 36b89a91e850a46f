"""A log of NTFS with one finished transaction that never reached its place.

    version 1:  0, 1 restart │ 2, 3 the newest page, twice   │ 4  older pages …   511
    version 2:  0, 1 restart │ 2 … 33 newest pages, by turns │ 34 older pages …   511

A record's number tells its place: how often the log went round, and the offset in it.

Source: ntfs-3g, ntfsprogs/ntfsrecover.c and include/ntfs-3g/logfile.h (2022.10), which are all
that is known of this form in public.
"""

import struct
from pathlib import Path

from tests.guests.phony_windows import MIB, leave_journal, patch

BLOCK, HEAD, RECORD_HEAD = 4096, 64, 48
BLOCKS = 2 * MIB // BLOCK
TRANSACTION = 0x18
NOOP, UPDATE_RESIDENT, FORGET = 0, 7, 27
TIME_AT, MFT = 0x18, 4
"""Offset of a file's birth in its first attribute; cluster of the file table."""


def leave_transaction(disk: Path, start: int, inode: int, time: bytes, *, version: int = 1) -> None:
    """Leave a log that gives a file another time of birth (8 bytes).

    Args:
        inode: Number of the file; its record has the first attribute at 0x38.
        version: 2 is the log of a Windows since 8 that is running.
    """
    first = 4 if version == 1 else 34
    synced = _number(2, first)
    update = _record(_number(2, first + 1) + 8, UPDATE_RESIDENT, inode=inode, change=time)
    newest = _number(2, first + 1) + 8 + len(update) // 8
    where = leave_journal(disk, start, version=version, numbers=(synced, newest))
    records = update + _record(newest, FORGET)
    pages = {block: _old(_number(1, block)) for block in range(2, BLOCKS)}
    pages[first] = _old(synced)
    pages[2] = _page((first + 1) * BLOCK if version == 1 else newest, records, newest)
    for block, content in pages.items():
        patch(disk, where + block * BLOCK, content)


def _number(turn: int, block: int) -> int:
    """Return the number of a record at the begin of a block, in units of 8 bytes."""
    return (turn << 19) + block * BLOCK // 8


def _old(number: int) -> bytes:
    """Return a page filled by one record that does nothing."""
    return _page(number, _record(number, NOOP, data=BLOCK - HEAD - 88), number)


def _page(where: int, records: bytes, last: int) -> bytes:
    """Return one page of records, its sectors protected."""
    page = bytearray(BLOCK)
    struct.pack_into("<4sHHQIHHHxxxxxxQ", page, 0, b"RCRD", 0x28, 9, where, 1, 1, 1,
                     HEAD + len(records), last)  # fmt: skip
    page[HEAD : HEAD + len(records)] = records
    for sector in range(8):
        end = 512 * sector + 510
        page[0x2A + 2 * sector : 0x2C + 2 * sector] = page[end : end + 2]
        page[end : end + 2] = b"\1\0"
    page[0x28:0x2A] = b"\1\0"
    return bytes(page)


def _record(
    number: int, operation: int, *, inode: int = 0, change: bytes = b"", data: int = 0
) -> bytes:
    """Return one record: what is to be done again, and, of the same length, what was before."""
    byte = inode * 1024
    vcn, sector = byte // BLOCK, byte % BLOCK // 512
    size = len(change)
    body = change + bytes(size) + bytes(data)
    operations = (operation, operation if size else NOOP, 0x28, size, 0x28 + size, size)
    attribute = (0x38, TIME_AT) if size else (0, 0)
    return (
        struct.pack("<QQQIIII8x", number, 0, 0, 88 - RECORD_HEAD + len(body), 0, 1, TRANSACTION)
        + struct.pack("<6HHHHHHHII", *operations, 0, 1, *attribute, sector, 0, vcn, 0)
        + struct.pack("<Q", MFT + vcn)
        + body
    )
