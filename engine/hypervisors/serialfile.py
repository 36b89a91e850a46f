"""What a guest prints on its serial console, in a file that grows without harm.

    offset 0 ........ hole ........ │ the last 8 MiB or more │ ◄── QEMU appends

Everything in it is hostile. Offsets never change their meaning while a VM runs: old text becomes
a hole in the file instead of being cut off.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from engine.local.durable import remove_tree

TAIL = 64 << 10
"""Most bytes that one reading returns."""
KEPT = 8 << 20
"""Bytes at the end that stay readable, at least."""
_PUNCH = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_PAGE = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def read_tail(path: Path) -> bytes:
    """Return the last bytes of the file, at most 64 KiB; empty without a file."""
    return _read(path, None)[0]


def read_from(path: Path, after: int) -> tuple[bytes, int]:
    """Return what the file holds from an offset on, at most 64 KiB, and the offset after it.

    An offset past the end (of an earlier run), or of text that is gone, is moved to where text is.
    """
    return _read(path, after)


def begin(path: Path) -> None:
    """Start an empty file for a new run."""
    remove_tree(path)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _read(path: Path, after: int | None) -> tuple[bytes, int]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b"", 0
    try:
        size = os.fstat(fd).st_size
        _forget(fd, size)
        start = max(0, size - TAIL) if after is None else after
        if not 0 <= start <= size:
            start = 0
        data = os.pread(fd, TAIL, max(start, size - KEPT))
        return data, max(start, size - KEPT) + len(data)
    finally:
        os.close(fd)


def _forget(fd: int, size: int) -> None:
    """Give the room of old text back, once there is twice as much as is kept."""
    if os.fstat(fd).st_blocks * 512 > 2 * KEPT:
        # Where the file system cannot do it, the text simply stays.
        _libc.fallocate(fd, _PUNCH, 0, (size - KEPT) // _PAGE * _PAGE)
