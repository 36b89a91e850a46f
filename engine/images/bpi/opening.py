"""Opening a `.bpi` file: every structure is judged before anything of it is used.

    size ─► header ─► footer ─► segments ─► root ─► index entries        no payload is read

The order and the rules are those of FORMATS.md 2.8; nothing raises but FormatError and OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.images.bpi import layout
from engine.images.bpi.index import Index
from engine.images.bpi.layout import FOOTER, HEADER, FileKind, Footer, Header, RawHeader
from engine.images.bpi.problems import NEWER, damaged, truncated, unsupported
from engine.images.bpi.segments import Replaces, read_at, read_segments
from engine.images.bpi.strictjson import parse


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file whose structure holds.

    Attributes:
        hints: What the header's JSON says; hostile, only shaped like JSON.
        replaces: (point, root) folded into this file, oldest first, its own point last.
    """

    path: str
    size: int
    header: Header
    hints: Mapping[str, object]
    footer: Footer
    index: Index
    replaces: Replaces


def open_file(fd: int, path: str) -> OpenedFile:
    """Judge header, footer, segments and index of an open file.

    Raises:
        FormatError: It is incomplete, damaged, or of a kind this version cannot read.
        OSError: The medium failed.
    """
    size = os.fstat(fd).st_size
    if size < layout.SMALLEST:
        raise truncated(path, f"it has {size} bytes, and no image file has less than 8192")
    raw = layout.unpack_header(read_at(fd, 0, HEADER, path))
    header = judge_header(raw, path)
    try:
        hints = parse(header.hints)
    except ValueError as error:
        raise damaged(path, f"the description in its header is wrong: {error}") from error
    footer = _judge_footer(fd, size, header, raw.hash, path)
    index, replaces = read_segments(fd, header, footer, path)
    return OpenedFile(path, size, header, hints, footer, index, replaces)


def judge_header(raw: RawHeader, path: str) -> Header:
    """Return the header if it may be believed."""
    header = raw.header
    if not raw.starts_well:
        raise damaged(path, "it does not begin like an image file")
    for holds, what in _version_rules(header):
        if not holds:
            raise unsupported(path, what, NEWER)
    if raw.hash != raw.hash_told:
        raise damaged(path, "the checksum of its header is wrong")
    for holds, what in _header_rules(header, raw.hints_length):
        if not holds:
            raise damaged(path, f"its header is wrong: {what}")
    return header


def _version_rules(header: Header) -> Iterator[tuple[bool, str]]:
    yield header.major == layout.MAJOR, f"it has format version {header.major}"
    later = header.incompatible & ~layout.ENCRYPTED
    yield not later, "it uses features of a later format version"
    known = header.hash_alg in (layout.SHA256, layout.BLAKE3)
    yield known, f"it uses hash algorithm {header.hash_alg}"
    yield header.codec == 1, f"it uses compression {header.codec}"
    yield header.cipher == int(header.encrypted), f"it uses cipher {header.cipher}"


def _header_rules(header: Header, hints_length: int) -> Iterator[tuple[bool, str]]:
    grain, kinds = header.granularity, [kind.value for kind in FileKind]
    is_base, lonely = header.is_base, header.parent == layout.NO_UUID
    identities = (header.file, header.set, header.point, header.machine, header.disk)
    yield header.kind in kinds, "kind"
    yield layout.NO_UUID not in identities, "identity"
    yield is_base == lonely and is_base == (header.parent_root == bytes(32)), "parent"
    yield header.parent != header.point, "it is its own parent"
    yield header.sequence >= 1, "sequence"
    yield header.number < 64, "disk number"
    yield 0 < header.disk_size <= layout.LARGEST_DISK, "disk size"
    yield header.logical_sector in (512, 4096), "sector size"
    yield 4096 <= grain <= 4 << 20 and not grain & (grain - 1), "granularity"
    yield 0 < header.longest_data <= layout.LARGEST_DATA, "frame length"
    yield 0 < header.longest_zero <= layout.LARGEST_ZERO, "frame length"
    yield header.key_slots <= 8, "key slots"
    yield hints_length <= layout.HINTS, "length of the description"


def _judge_footer(fd: int, size: int, header: Header, header_hash: bytes, path: str) -> Footer:
    raw = layout.unpack_footer(read_at(fd, size - FOOTER, FOOTER, path))
    footer = raw.footer
    if not (raw.starts_well and raw.ends_well):
        raise truncated(path, "its end mark is missing")
    if raw.hash != raw.hash_told:
        raise damaged(path, "the checksum of its end mark is wrong")
    same = (
        (footer.file_size, size),
        (footer.file, header.file),
        (footer.set, header.set),
        (footer.point, header.point),
        (footer.disk, header.disk),
        (footer.header_hash, header_hash),
        (footer.hash_alg, header.hash_alg),
        (footer.major, header.major),
    )
    if any(one != other for one, other in same) or raw.segments > layout.SEGMENTS:
        raise damaged(path, "its end mark does not belong to its header")
    return footer
