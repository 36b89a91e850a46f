"""Compressed bytes from guests, unpacked within bounds.

Every stream is taken piece by piece: nothing that a guest holds decides how much memory is used.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import zstandard

from engine.guests.cpio import Damaged, Unsupported

UNPACKED = 2 << 30
"""Most bytes that are unpacked of one initrd; the largest seen were 0.6 GB."""
_MEMORY = 192 << 20
_PIECE = 1 << 18
_ZSTD_BITE = 1 << 10
"""zstd makes up to 128 KiB of 4 bytes and takes no bound: at most 32 MiB a bite."""
_LZ4_BLOCK = 8 << 20
_LZO_MAGIC = b"\x89LZO"
_LZ4_MAGIC = b"\x02\x21\x4c\x18"
_LZ4_FRAME = b"\x04\x22\x4d\x18"


@dataclass(slots=True)
class Plain:
    """Bytes taken one after the other from a buffer, from `at` on."""

    data: memoryview
    at: int = 0

    def take(self, size: int) -> bytes:
        """Return exactly the next `size` bytes; Damaged when there are fewer."""
        self.skip(size)
        return bytes(self.data[self.at - size : self.at])

    def skip(self, size: int) -> None:
        """Pass over `size` bytes; Damaged when there are fewer."""
        if size > len(self.data) - self.at:
            raise Damaged("it ends in the middle of an entry")
        self.at += size


@dataclass(slots=True)
class Unpacking:
    """Bytes taken one after the other from one compressed stream of a buffer.

    Attributes:
        end: Where the stream ended in the buffer; known when everything was taken.
        limit: Most bytes that may come out.
    """

    data: memoryview
    at: int
    limit: int = UNPACKED
    end: int = 0
    _pieces: Iterator[bytes] = field(init=False)
    _ready: bytearray = field(default_factory=bytearray)
    _made: int = 0

    def __post_init__(self) -> None:
        """Choose the decoder by the first bytes. Damaged when they tell of none."""
        start = bytes(self.data[self.at : self.at + 6])
        for magic, decode in {
            b"\x1f\x8b": self._gzip,
            b"\xfd7zXZ\0": self._xz,
            b"\x5d\0\0": self._xz,
            b"\x28\xb5\x2f\xfd": self._zstd,
            b"BZh": self._bzip2,
            _LZ4_MAGIC: self._lz4,
        }.items():
            if start.startswith(magic):
                self._pieces = decode()
                return
        if start.startswith(_LZO_MAGIC):
            raise Unsupported("it is packed with lzo, which is not supported")
        if start.startswith(_LZ4_FRAME):
            raise Unsupported("it is packed with lz4 in a form that no kernel reads (not lz4 -l)")
        raise Damaged(f"bytes {start.hex()} are no compression that is known here")

    def take(self, size: int) -> bytes:
        """Return exactly the next `size` bytes; Damaged when there are fewer."""
        while len(self._ready) < size:
            self._ready += self._more()
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def skip(self, size: int) -> None:
        """Pass over `size` bytes; Damaged when there are fewer."""
        while len(self._ready) < size:
            size -= len(self._ready)
            self._ready = bytearray(self._more())
        del self._ready[:size]

    def rest(self) -> bytes:
        """Return everything that is left."""
        while piece := self._next():
            self._ready += piece
        return bytes(self._ready)

    def is_over(self) -> bool:
        """Pass over zeros, and return whether nothing else is left."""
        while not (kept := self._ready.lstrip(b"\0")):
            if not (piece := self._next()):
                return True
            self._ready = bytearray(piece)
        self._ready = bytearray(kept)
        return False

    def _more(self) -> bytes:
        if piece := self._next():
            return piece
        raise Damaged("it ends in the middle of an entry")

    def _next(self) -> bytes:
        """Return the next bytes, none at the end."""
        try:
            piece = next(self._pieces, b"")
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError) as error:
            raise Damaged(f"it cannot be unpacked: {error}") from error
        self._made += len(piece)
        if self._made > self.limit:
            raise Damaged(f"it unpacks to more than {self.limit >> 20} MiB")
        return piece

    def _fed(self, size: int = _PIECE) -> bytes:
        """Return the next compressed bytes. Damaged when there are none."""
        piece = bytes(self.data[self.at : self.at + size])
        if not piece:
            raise Damaged("its compressed bytes end too early")
        self.at += len(piece)
        return piece

    def _gzip(self) -> Iterator[bytes]:
        decoder = zlib.decompressobj(31)
        while not decoder.eof:
            if piece := decoder.decompress(decoder.unconsumed_tail or self._fed(), _PIECE):
                yield piece
        self.end = self.at - len(decoder.unused_data)

    def _xz(self) -> Iterator[bytes]:
        return self._bounded(lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MEMORY))

    def _bzip2(self) -> Iterator[bytes]:
        return self._bounded(bz2.BZ2Decompressor())

    def _bounded(self, decoder: lzma.LZMADecompressor | bz2.BZ2Decompressor) -> Iterator[bytes]:
        while not decoder.eof:
            if piece := decoder.decompress(self._fed() if decoder.needs_input else b"", _PIECE):
                yield piece
        self.end = self.at - len(decoder.unused_data)

    def _zstd(self) -> Iterator[bytes]:
        decoder = zstandard.ZstdDecompressor(max_window_size=_MEMORY).decompressobj()
        while not decoder.eof:
            if piece := decoder.decompress(self._fed(_ZSTD_BITE)):
                yield piece
        self.end = self.at - len(decoder.unused_data)

    def _lz4(self) -> Iterator[bytes]:
        """Unpack what `lz4 -l` makes: blocks with their sizes in front, to the buffer's end."""
        while size := int.from_bytes(self.data[self.at : self.at + 4], "little"):
            self.at += 4
            if size == int.from_bytes(_LZ4_MAGIC, "little"):
                continue
            if size > _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16 or size > len(self.data) - self.at:
                raise Damaged("one of its blocks is longer than it may be")
            if piece := _lz4_block(self._fed(size)):
                yield piece
        self.end = self.at


def is_lz4(data: memoryview, at: int) -> bool:
    """Return whether an lz4 stream begins there: nothing in it tells where it ends."""
    return bytes(data[at : at + 4]) == _LZ4_MAGIC


def _lz4_block(data: bytes) -> bytes:
    """Unpack one block.

    Source:
        LZ4, doc/lz4_Block_format.md: token, literals, offset, length of the match, again.
    """
    out = bytearray()
    at, end = 0, len(data)
    try:
        while True:
            token = data[at]
            literals, at = _lz4_length(data, at + 1, token >> 4)
            out += data[at : at + literals]
            at += literals
            if at >= end:
                return bytes(out)
            distance = data[at] | data[at + 1] << 8
            length, at = _lz4_length(data, at + 2, token & 15)
            length += 4
            start = len(out) - distance
            if not 0 <= start < len(out) or len(out) + length > _LZ4_BLOCK:
                raise Damaged("one of its blocks points outside itself")
            if distance >= length:
                out += out[start : start + length]
            else:  # A match may overlap what it makes: a pattern that repeats.
                out += (out[start:] * (length // distance + 1))[:length]
    except IndexError:
        raise Damaged("one of its blocks ends too early") from None


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while (more := data[at]) == 255:
            length, at = length + 255, at + 1
        length, at = length + more, at + 1
    return length, at
