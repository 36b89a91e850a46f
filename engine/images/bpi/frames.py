"""One frame, decoded and checked. The only place that decompresses.

Source: FORMATS.md 1.5 (three pitfalls of zstandard and the one safe call).
"""

from __future__ import annotations

import os

import zstandard

from engine.images.bpi import layout
from engine.images.bpi.layout import RECORD, Entry
from engine.images.bpi.problems import corrupt

_UNUSED_BITS = 0x18
"""Bits of the frame header descriptor that a decoder ignores."""
_WINDOW = 8 << 20


class Frames:
    """Reads the frames of one open file; for one thread."""

    def __init__(self, fd: int, path: str, hash_alg: int) -> None:
        """Read from `fd`, which stays the caller's."""
        self._fd, self._path, self._hash_alg = fd, path, hash_alg
        self._decompressor = zstandard.ZstdDecompressor()

    def plain(self, entry: Entry) -> bytes:
        """Return the bytes of a DATA frame, its record, zstd frame and hash checked.

        Raises:
            ImageCorrupt: Something does not match.
            OSError: The medium failed.
        """
        plain = self._decode(self.stored(entry), entry)
        if layout.h16(self._hash_alg, plain) != entry.digest:
            raise self.wrong(entry, "its checksum is wrong")
        return plain

    def stored(self, entry: Entry) -> memoryview:
        """Return a frame as it is stored, its local record checked."""
        data = os.pread(self._fd, RECORD + entry.stored, entry.pos - RECORD)
        if len(data) != RECORD + entry.stored:
            raise self.wrong(entry, "the file became shorter while it was being read")
        if data[:RECORD] != layout.pack_record(entry):
            raise self.wrong(entry, "the record before it differs from the index")
        return memoryview(data)[RECORD:]

    def wrong(self, entry: Entry, why: str) -> Exception:
        """Return the error for a frame that does not hold."""
        where = f"{entry.length} bytes at disk offset {entry.start}"
        return corrupt(self._path, f"the frame of {where}, stored at {entry.pos}: {why}")

    def _decode(self, stored: memoryview, entry: Entry) -> bytes:
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
            plain = self._decompressor.decompress(
                stored, max_output_size=entry.length, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise self.wrong(entry, "zstd cannot decode it") from error
        if len(plain) != entry.length:
            raise self.wrong(entry, "it has another length than the index tells")
        return plain
