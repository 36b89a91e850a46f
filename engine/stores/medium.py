"""A file whose bulk goes past the page cache, where the file system lets that be.

write   much, aligned: past the cache, which is not filled with what nobody reads again; a flush
        finds little left to do. Else through it.
read    after `evict`: past the cache, so that what comes surely was on the medium.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from engine.local.whole import read_all, write_all

BLOCK = 4096
_MUCH = 256 << 10
"""Bytes of one write from which the way past the cache is the shorter one."""


class Medium:
    """An open file; several threads may use it. `fd` goes through the cache."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Open the file; only one that is written to has a way past the cache."""
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        self._evicted = False
        self._direct = -1
        self.fd = os.open(path, flags)
        if not writable:
            return
        try:
            self._direct = os.open(path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:  # tmpfs, for one, has no other way than its cache
                os.close(self.fd)
                raise

    def read(self, into: memoryview, offset: int) -> None:
        """Fill `into`; what lies past the file's end reads as zeros."""
        if self._evicted and self._is_direct(into, offset, BLOCK):
            try:
                read_all(self._direct, into, offset)
            except OSError as error:
                _unless_refused(error)
            else:
                return
        read_all(self.fd, into, offset)

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data`; it is durable after an `os.fsync` of `fd`."""
        if self._is_direct(data, offset, _MUCH):
            # No reading ahead from now on: it makes pages that reach into their neighbours' range,
            # and one that is changed during a write past the cache can fail the next flush.
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)
            try:
                write_all(self._direct, data, offset, cached=False)
            except OSError as error:
                _unless_refused(error)
            else:
                return
        write_all(self.fd, data, offset)

    def evict(self) -> None:
        """Forget cached pages; from now on read past the cache where that can be."""
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self._evicted = True

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)
        if self._direct >= 0:
            os.close(self._direct)

    def _is_direct(self, data: memoryview, offset: int, least: int) -> bool:
        whole = not offset % BLOCK and not len(data) % BLOCK
        return whole and self._direct >= 0 and len(data) >= least


def _unless_refused(error: OSError) -> None:
    """Raise an error, unless it only says that range or buffer are not aligned as it must be."""
    if error.errno != errno.EINVAL:
        raise error
