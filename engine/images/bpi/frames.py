"""One frame, decoded and checked. The only place that decompresses.

Source: FORMATS.md 1.5 (three pitfalls of zstandard and the one safe call).
"""

from __future__ import annotations

import errno
import os

import zstandard

from engine.images.bpi import layout
from engine.images.bpi.layout import RECORD, Entry
from engine.images.bpi.problems import corrupt

_UNUSED_BITS = 0x18
"""Bits of the frame header descriptor that a decoder ignores."""
_HAS_CHECKSUM = 0x04
_WINDOW = 8 << 20
_BLOCK_HEAD, _CHECKSUM = 3, 4
_RLE = 1


class Frames:
    """Reads the frames of one open file; for one thread.

    It decodes from and into memory that is used again: fresh memory for each frame, which the
    kernel has to clear first, costs more than decoding.
    """

    def __init__(self, fd: int, path: str, hash_alg: int) -> None:
        """Read from `fd`, which stays the caller's."""
        self._fd, self._path, self._hash_alg = fd, path, hash_alg
        self._decompressor = zstandard.ZstdDecompressor()
        self._packed, self._plain = bytearray(), bytearray()

    def plain(self, entry: Entry) -> memoryview:
        """Return the bytes of a DATA frame, checked as by `read`; good until the next call."""
        if len(self._plain) < entry.length:
            self._plain = bytearray(entry.length)
        into = memoryview(self._plain)[: entry.length]
        self.read(entry, into)
        return into

    def read(
        self, entry: Entry, into: memoryview, *, hashed: bool = True, wait: bool = True
    ) -> None:
        """Fill `into` with a DATA frame of its length; its record, zstd frame and hash are checked.

        Args:
            entry: The frame.
            into: Where its bytes go.
            hashed: Check the hash and zstd's own checksum. Not where the caller compares what
                `into` holds with the hash later: without, 256 MiB take 50 ms, not 80.
            wait: As in `stored`.

        Raises:
            ImageCorrupt: Something does not match; what `into` holds is of no use.
            OSError: The medium failed.
            BlockingIOError: As in `stored`.
        """
        self._decode(self.stored(entry, wait=wait), entry, into, summed=hashed)
        if hashed and layout.h16(self._hash_alg, into) != entry.digest:
            raise self.wrong(entry, "its checksum is wrong")

    def stored(self, entry: Entry, *, wait: bool = True) -> memoryview:
        """Return a frame as it is stored, its local record checked; good until the next call.

        Args:
            entry: The frame.
            wait: Wait for the medium.

        Raises:
            ImageCorrupt: Something does not match.
            OSError: The medium failed.
            BlockingIOError: Not `wait`, and not all of it is in the system's memory.
        """
        length = RECORD + entry.stored
        if len(self._packed) < length:
            self._packed = bytearray(length)
        data = memoryview(self._packed)[:length]
        if not wait:
            self._read_at_once(data, entry.pos - RECORD)
        elif os.preadv(self._fd, [data], entry.pos - RECORD) != length:
            raise self.wrong(entry, "the file became shorter while it was being read")
        if data[:RECORD] != layout.pack_record(entry):
            raise self.wrong(entry, "the record before it differs from the index")
        return data[RECORD:]

    def _read_at_once(self, into: memoryview, pos: int) -> None:
        try:
            length = os.preadv(self._fd, [into], pos, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # a share, for one
                raise BlockingIOError from error
            raise
        if length != len(into):
            raise BlockingIOError

    def wrong(self, entry: Entry, why: str) -> Exception:
        """Return the error for a frame that does not hold."""
        where = f"{entry.length} bytes at disk offset {entry.start}"
        return corrupt(self._path, f"the frame of {where}, stored at {entry.pos}: {why}")

    def _decode(self, stored: memoryview, entry: Entry, into: memoryview, *, summed: bool) -> None:
        if stored[:4] != layout.ZSTD or len(stored) < 6 or stored[4] & _UNUSED_BITS:
            raise self.wrong(entry, "it is no zstd frame")
        try:
            told = zstandard.get_frame_parameters(stored)
            if (
                told.content_size != entry.length
                or told.dict_id
                or told.window_size > _WINDOW
                or not told.has_checksum
            ):
                raise self.wrong(entry, "its zstd header disagrees with the index")
            # A stream ends a short frame silently, and passes over what follows one.
            if _end(stored) != len(stored):
                raise self.wrong(entry, "its zstd frame does not end where the index says")
            if not summed:
                stored[4] &= ~_HAS_CHECKSUM
                stored = stored[:-_CHECKSUM]
            with self._decompressor.stream_reader(stored) as stream:
                length = stream.readinto(into)
        except zstandard.ZstdError as error:
            raise self.wrong(entry, "zstd cannot decode it") from error
        if length != entry.length:
            raise self.wrong(entry, "it has another length than the index tells")


def _end(frame: memoryview) -> int:
    """Return where a zstd frame with a checksum ends by its blocks' headers; -1 past its bytes.

    Source: RFC 8878, 3.1.1.2.
    """
    at, last = zstandard.frame_header_size(frame), len(frame) - _BLOCK_HEAD
    while at <= last:
        head = frame[at] | frame[at + 1] << 8 | frame[at + 2] << 16
        at += _BLOCK_HEAD + (1 if head >> 1 & 3 == _RLE else head >> 3)
        if head & 1:
            return at + _CHECKSUM
    return -1
