"""The segments between the last frame and the footer, judged: index entries and REPLACES."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from uuid import UUID

from engine.images.bpi import layout
from engine.images.bpi.entries import EntryJudge
from engine.images.bpi.index import Index, columns_of
from engine.images.bpi.layout import (
    ENTRIES,
    ENTRY,
    FOOTER,
    HEADER,
    REPLACED,
    SEGMENT_HEAD,
    FileKind,
    Footer,
    Header,
    SegmentHead,
    Span,
)
from engine.images.bpi.problems import NEWER, damaged, truncated, unsupported

_STEP = 1 << 20

Replaces = tuple[tuple[UUID, bytes], ...]
"""(point, root) of files folded into one, oldest first, its own point last."""


def read_at(fd: int, pos: int, length: int, path: str) -> bytes:
    """Read exactly `length` bytes at `pos`. FormatError where the file is shorter."""
    parts = []
    while length:
        part = os.pread(fd, length, pos)
        if not part:
            raise truncated(path, "it became shorter while it was being read")
        parts.append(part)
        pos, length = pos + len(part), length - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_segments(fd: int, header: Header, footer: Footer, path: str) -> tuple[Index, Replaces]:
    """Judge all segments, the index entries in them, and the root over them.

    Raises:
        FormatError: Something does not hold.
        OSError: The medium failed.
    """
    _judge_spans(footer, path)
    judge, replaces = EntryJudge(header, path), list[tuple[UUID, bytes]]()
    index: list[tuple[Span, int]] = []
    for number, span in enumerate(footer.spans):
        head = _read_head(fd, span, number, path)
        if head.type == layout.INDEX:
            _judge_index_head(head, span, len(index), judge.frames, path)
            columns = columns_of(_read_checked(fd, span, footer.hash_alg, path))
            judge.take(columns)
            index.append((span, columns.starts[0]))
        elif head.type == layout.REPLACES:
            replaces += _read_replaces(fd, head, span, footer.hash_alg, path)
        elif head.type >= layout.OPTIONAL:
            _check_hash(fd, span, footer.hash_alg, path)
        else:
            raise unsupported(path, f"it holds a structure of unknown type {head.type}", NEWER)
    judge.finish(footer)
    _judge_root(footer, path)
    _judge_replaces(header, replaces, path)
    spans, firsts = [span for span, _ in index], [first for _, first in index]
    return Index(path, footer.hash_alg, spans, firsts), tuple(replaces)


def _judge_spans(footer: Footer, path: str) -> None:
    """Check that the segments fill the file from the last frame to the footer."""
    end = footer.file_size - FOOTER
    at = footer.spans[0].pos if footer.spans else HEADER
    for span in footer.spans:
        if not HEADER <= span.pos == at or not SEGMENT_HEAD <= span.length <= end - at:
            raise damaged(path, "the table of its index is wrong")
        at += span.length
    if at != end:
        raise damaged(path, "there are bytes in it that nothing accounts for")


def _read_head(fd: int, span: Span, number: int, path: str) -> SegmentHead:
    head = layout.unpack_segment_head(read_at(fd, span.pos, SEGMENT_HEAD, path))
    told = (head.magic, head.payload, head.name, head.number)
    if told != (layout.MAGIC_SEGMENT, span.length - 8, b"BPI-SEGM", number):
        raise damaged(path, f"segment {number} of its index is wrong")
    return head


def _judge_index_head(head: SegmentHead, span: Span, before: int, frames: int, path: str) -> None:
    """Check one INDEX segment's head; INDEX segments stand first, all but the last are full."""
    holds = (
        head.number == before,
        1 <= head.entries <= ENTRIES,
        span.length == SEGMENT_HEAD + ENTRY * head.entries,
        head.first == frames == before * ENTRIES,
    )
    if not all(holds):
        raise damaged(path, f"segment {head.number} of its index is wrong")


def _read_checked(fd: int, span: Span, hash_alg: int, path: str) -> bytes:
    data = read_at(fd, span.pos, span.length, path)
    if layout.h32(hash_alg, data) != span.hash:
        raise damaged(path, "the checksum of its index is wrong")
    return data


def _check_hash(fd: int, span: Span, hash_alg: int, path: str) -> None:
    hasher = layout.hash_for(hash_alg)
    for pos in range(span.pos, span.pos + span.length, _STEP):
        hasher.update(read_at(fd, pos, min(_STEP, span.pos + span.length - pos), path))
    if hasher.digest() != span.hash:
        raise damaged(path, "the checksum of a part of it is wrong")


def _read_replaces(
    fd: int, head: SegmentHead, span: Span, hash_alg: int, path: str
) -> Sequence[tuple[UUID, bytes]]:
    if head.entries > layout.REPLACES_MOST or span.length != SEGMENT_HEAD + REPLACED * head.entries:
        raise damaged(path, "its list of replaced points is wrong")
    data = _read_checked(fd, span, hash_alg, path)
    return [
        (UUID(bytes=point), root)
        for point, root in struct.iter_unpack("16s32s", data[SEGMENT_HEAD:])
    ]


def _judge_root(footer: Footer, path: str) -> None:
    hashes = [span.hash for span in footer.spans]
    if layout.root_of(footer.hash_alg, footer.header_hash, hashes) != footer.root:
        raise damaged(path, "its content hash is wrong")


def _judge_replaces(header: Header, replaces: Sequence[tuple[UUID, bytes]], path: str) -> None:
    folded = header.kind in (FileKind.SYNTHETIC, FileKind.CONSOLIDATED)
    last = replaces[-1][0] if replaces else None
    if len(replaces) > layout.REPLACES_MOST or last != (header.point if folded else None):
        raise damaged(path, "its list of replaced points is wrong")
