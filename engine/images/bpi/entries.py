"""Index entries, judged column by column: a million in well under a second.

The frames fill the file from 4096 to the first segment, and lie on the disk in order.
"""

from __future__ import annotations

from engine.images.bpi import layout
from engine.images.bpi.index import Columns
from engine.images.bpi.layout import RECORD, RECORD_START, Footer, Header
from engine.images.bpi.problems import damaged


class EntryJudge:
    """Walks the segments of an index in order and keeps the sums."""

    def __init__(self, header: Header, path: str) -> None:
        """Start before the first entry."""
        self.frames = 0
        self._header, self._path = header, path
        self._position = RECORD_START
        self._end = 0
        self._frames = {layout.DATA: 0, layout.ZERO: 0}
        self._bytes = {layout.DATA: 0, layout.ZERO: 0}
        self._stored = 0

    def take(self, columns: Columns) -> None:
        """Judge the entries of the next segment. FormatError when one is wrong."""
        self._judge_positions(columns)
        self._judge_places(columns)
        self._judge_frames(columns)
        self.frames += len(columns)

    def finish(self, footer: Footer) -> None:
        """Compare the sums with the footer. FormatError when they differ."""
        first_segment = footer.spans[0].pos if footer.spans else footer.file_size - layout.FOOTER
        told = (footer.data_frames, footer.zero_frames, footer.data_bytes, footer.zero_bytes)
        if told != (*self._frames.values(), *self._bytes.values()) or footer.stored != self._stored:
            raise damaged(self._path, "its index and its end mark count different frames")
        if self._position != first_segment:
            raise damaged(self._path, "there are bytes in it that nothing accounts for")
        if self._header.is_base and self._end != self._header.disk_size:
            raise damaged(self._path, "it is a full image and does not cover its whole disk")

    def _judge_positions(self, columns: Columns) -> None:
        position = self._position
        for pos, stored in zip(columns.positions, columns.stored, strict=True):
            if pos != position + RECORD:
                raise damaged(self._path, "its index points between frames")
            position = pos + stored
        self._position = position

    def _judge_places(self, columns: Columns) -> None:
        end, size, uneven = self._end, self._header.disk_size, self._header.granularity - 1
        complete = self._header.is_base
        for start, length in zip(columns.starts, columns.lengths, strict=True):
            if start < end or not length or (complete and start != end):
                raise damaged(self._path, "the frames in its index overlap or leave gaps")
            end = start + length
            if start & uneven or (end != size and (length & uneven or end > size)):
                raise damaged(self._path, "a frame in its index does not fit the disk")
        self._end = end

    def _judge_frames(self, columns: Columns) -> None:
        frames = zip(columns.kinds, columns.lengths, columns.stored, strict=True)
        if layout.ZERO in columns.kinds:
            self._judge_zero_digests(columns)
        for kind, length, stored in frames:
            if not self._fits(kind, length, stored):
                raise damaged(self._path, "a frame in its index has an impossible kind or length")
            self._frames[kind] += 1
            self._bytes[kind] += length
            if kind == layout.DATA:
                self._stored += stored

    def _fits(self, kind: int, length: int, stored: int) -> bool:
        header = self._header
        if kind == layout.DATA:
            most = layout.stored_most(length, encrypted=header.encrypted)
            return length <= header.longest_data and 0 < stored <= most
        if kind == layout.ZERO:
            told = 8 if header.encrypted else layout.zero_stored(length)
            return length <= header.longest_zero and stored == told
        return False

    def _judge_zero_digests(self, columns: Columns) -> None:
        digests = columns.digests
        for at, kind in enumerate(columns.kinds):
            if kind == layout.ZERO and digests[16 * at : 16 * at + 16] != layout.NO_DIGEST:
                raise damaged(self._path, "a frame of zeros in its index has a checksum")
