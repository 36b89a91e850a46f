"""Whole reads and writes at an offset, and zeros: of files and of block devices."""

from __future__ import annotations

import ctypes
import errno
import os

from engine.local.durable import start_writing

ZEROS = memoryview(bytes(1 << 20))

_PUNCH_HOLE = 0x02 | 0x01
_MUCH = 256 << 10
"""Bytes of one write from which the medium is set going at once."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def read_all(fd: int, into: memoryview, offset: int) -> None:
    """Fill `into` from a file; what lies past its end reads as zeros."""
    while into:
        got = os.preadv(fd, [into], offset)
        if not got:
            fill_zeros(into)
            return
        into, offset = into[got:], offset + got


def write_all(fd: int, data: memoryview, offset: int, *, cached: bool = True) -> None:
    """Write all of `data` at `offset`; loops over short writes.

    Args:
        cached: Much of it is sent on its way to the medium, while others decompress.
    """
    start, length = offset, len(data)
    while data:
        put = os.pwrite(fd, data, offset)
        data, offset = data[put:], offset + put
    if cached and length >= _MUCH:
        start_writing(fd, start, length)


def fill_zeros(into: memoryview) -> None:
    """Set all bytes to zero."""
    while into:
        step = min(len(into), len(ZEROS))
        into[:step] = ZEROS[:step]
        into = into[step:]


def punch(fd: int, offset: int, length: int) -> None:
    """Make a range read as zeros, a hole where that can be; writes zeros where it cannot.

    Of a block device the range must be whole sectors. There the kernel lets only those holes
    through that read as zeros for certain (fallocate(2), FALLOC_FL_PUNCH_HOLE).
    """
    while _libc.fallocate(fd, _PUNCH_HOLE, offset, length):
        number = ctypes.get_errno()
        if number == errno.EOPNOTSUPP:
            for at in range(offset, offset + length, len(ZEROS)):
                write_all(fd, ZEROS[: offset + length - at], at)
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
