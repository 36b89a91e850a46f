"""A log of NTFS with one finished transaction that never reached its place.

    blocks of 4 KiB:  0, 1 restart │ 2, 3 newest records │ 4 older records … 511 oldest

Source: ntfs-3g, ntfsprogs/ntfsrecover.c and include/ntfs-3g/logfile.h (2022.10), which are all
that is known of this form in public.
"""

import struct
from pathlib import Path

from tests.guests.phony_windows import MIB, leave_journal, patch

BLOCK, HEAD, RECORD_HEAD = 4096, 64, 48
SYNCED = 0x100000
"""Number of the last record that reached its place."""
TRANSACTION = 0x18
NOOP, UPDATE_RESIDENT, FORGET = 0, 7, 27
TIME_AT, MFT = 0x18, 4
"""Offset of a file's birth in its first attribute; cluster of the file table."""


def leave_transaction(disk: Path, start: int, inode: int, time: bytes) -> int:
    """Leave a log that gives a file another time of birth (8 bytes); return where it lies.

    Args:
        inode: Number of the file; its record has the first attribute at 0x38.
    """
    where = leave_journal(disk, start)
    filler = _record(SYNCED, NOOP, data=BLOCK - HEAD - 88)
    update = _record(SYNCED + 1, UPDATE_RESIDENT, inode=inode, change=time)
    forget = _record(SYNCED + 2, FORGET)
    blocks = {
        2: _page(5 * BLOCK, update + forget, SYNCED + 2),
        3: _page(4 * BLOCK, filler, SYNCED - 1),
        4: _page(SYNCED, filler, SYNCED),
        511: _page(SYNCED - 1, filler, SYNCED - 1),
    }
    assert 2 * MIB == 512 * BLOCK
    for number, content in blocks.items():
        patch(disk, where + number * BLOCK, content)
    return where


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
