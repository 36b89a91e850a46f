"""Writes one `.bpi` file: header, frames in disk order, index, footer.

    header ─► { record, frame } … ─► INDEX segments ─► REPLACES ─► footer

Frames come compressed; runs of zeros are joined here into ZERO frames as long as allowed. Nothing
already written is touched again, so the SHA-256 of the whole file comes for free of reading.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Protocol
from uuid import UUID

from engine.images.bpi import layout
from engine.images.bpi.index import IndexBuilder
from engine.images.bpi.layout import Entry, Footer, Header, Span
from engine.local.durable import start_writing

_COPY = 1 << 20
_BEHIND = 16 << 20
"""Bytes after which the system is asked to start writing them out: else fsync waits for all."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a finished file is.

    Attributes:
        size: Bytes of the file.
        data_bytes, zero_bytes: Raw bytes of DATA and ZERO frames; stored: of DATA as stored.
        sha256: Hex, of the whole file.
    """

    root: bytes
    size: int
    data_bytes: int
    zero_bytes: int
    stored: int
    frames: int
    sha256: str


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class BpiWriter:
    """Writes to an open, empty file that stays the caller's; for one thread.

    The index of a very large file goes through an unnamed file in `folder`, not through memory.
    """

    def __init__(self, fd: int, header: Header, folder: str) -> None:
        """Write the header.

        Args:
            folder: Where an unnamed file may be made; on the same kind of medium as the image.
        """
        self._fd, self._header = fd, header
        self._at = self._flushed = 0
        self._whole: _Hash = hashlib.sha256()
        self._index = IndexBuilder()
        self._spill: IO[bytes] | None = None
        self._folder = folder
        self._zero = (0, 0)
        self._frames = {layout.DATA: 0, layout.ZERO: 0}
        self._bytes = {layout.DATA: 0, layout.ZERO: 0}
        self._stored = 0
        self._spans: list[Span] = []
        packed = layout.pack_header(header)
        self._header_hash = packed[-32:]
        self._write(packed)

    def data(self, start: int, length: int, frame: bytes, digest: bytes) -> None:
        """Append a DATA frame: `frame` is one zstd frame of `length` raw bytes with that H16."""
        self._flush_zero()
        self._frame(Entry(start, length, 0, len(frame), layout.DATA, digest), frame)
        self._stored += len(frame)

    def zero(self, start: int, length: int) -> None:
        """Append a run of zeros; joined with the run before when they touch."""
        begin, end = self._zero
        if end != start or begin == end:
            self._flush_zero()
            begin = start
        self._zero = (begin, start + length)

    def finish(self, finished_ns: int, replaces: Sequence[tuple[UUID, bytes]] = ()) -> Sealed:
        """Write index and footer; the caller makes the file durable.

        Args:
            replaces: (point, root) folded into this file, oldest first, its own point last.
        """
        self._flush_zero()
        if self._header.is_base and sum(self._bytes.values()) != self._header.disk_size:
            raise ValueError("a full image must cover its whole disk")
        self._write_index()
        if replaces:
            self._write_replaces(replaces)
        header = self._header
        root = layout.root_of(header.hash_alg, self._header_hash, [s.hash for s in self._spans])
        footer = Footer(
            file=header.file, file_size=self._at + layout.FOOTER,
            data_frames=self._frames[layout.DATA], zero_frames=self._frames[layout.ZERO],
            data_bytes=self._bytes[layout.DATA], zero_bytes=self._bytes[layout.ZERO],
            stored=self._stored, finished_ns=finished_ns, spans=self._spans,
            hash_alg=header.hash_alg, major=header.major, root=root, header_hash=self._header_hash,
            point=header.point, set=header.set, disk=header.disk,
        )  # fmt: skip
        self._write(layout.pack_footer(footer))
        return Sealed(
            root, self._at, footer.data_bytes, footer.zero_bytes, self._stored,
            self._index.frames, self._whole.hexdigest(),
        )  # fmt: skip

    def close(self) -> None:
        """Release what the writer holds; repeatable. The file stays the caller's."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None

    def _flush_zero(self) -> None:
        begin, end = self._zero
        self._zero = (end, end)
        longest = self._header.longest_zero
        for start in range(begin, end, longest):
            length = min(longest, end - start)
            frame = layout.zero_frame(length)
            entry = Entry(start, length, 0, len(frame), layout.ZERO, layout.NO_DIGEST)
            self._frame(entry, frame)

    def _frame(self, entry: Entry, frame: bytes) -> None:
        self._frames[entry.kind] += 1
        self._bytes[entry.kind] += entry.length
        entry = entry._replace(pos=self._at + layout.RECORD)
        self._write(layout.pack_record(entry), frame)
        segment = self._index.add(entry)
        if segment is not None:
            if self._spill is None:
                self._spill = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
            self._spill.write(segment)
            self._note(segment, 0)

    def _note(self, segment: bytes, pos: int) -> None:
        digest = layout.h32(self._header.hash_alg, segment)
        self._spans.append(Span(pos, len(segment), digest))
        if len(self._spans) > layout.SEGMENTS:
            raise ValueError("an image file is limited to 72 * 2**20 frames")

    def _write_index(self) -> None:
        full, self._spans = self._spans, []
        for span in full:
            self._spans.append(span._replace(pos=self._at + sum(s.length for s in self._spans)))
        if self._spill is not None:
            self._spill.seek(0)
            while part := self._spill.read(_COPY):
                self._write(part)
        rest = self._index.rest()
        if rest is not None:
            self._note(rest, self._at)
            self._write(rest)

    def _write_replaces(self, replaces: Sequence[tuple[UUID, bytes]]) -> None:
        payload = b"".join(point.bytes + root for point, root in replaces)
        number = len(self._spans)
        head = layout.pack_segment_head(
            layout.REPLACES, number, len(replaces), 0, layout.REPLACED * len(replaces)
        )
        self._note(head + payload, self._at)
        self._write(head + payload)

    def _write(self, *parts: bytes) -> None:
        """Write all parts, in one call where the system takes them so."""
        for part in parts:
            self._whole.update(part)
        length = sum(len(part) for part in parts)
        written = os.writev(self._fd, parts)
        rest = memoryview(b"".join(parts))[written:] if written < length else None
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._at += length
        if self._at - self._flushed >= _BEHIND:
            start_writing(self._fd, self._flushed, self._at - self._flushed)
            self._flushed = self._at
