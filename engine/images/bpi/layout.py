"""The bytes of a `.bpi` file: constants and fixed structures, packed and unpacked.

    header 4096 │ { local record 36 │ frame } … │ INDEX … REPLACES │ footer 4096

Every structure is a skippable frame of zstandard, so the file is a plain zstd stream; numbers are
little-endian. Nothing here trusts anything: `opening` judges what was unpacked.

Source: FORMATS.md 2.2-2.6.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Protocol
from uuid import UUID

from blake3 import blake3

HEADER = RECORD_START = 4096
FOOTER = 4096
SMALLEST = HEADER + FOOTER
RECORD = 36
SEGMENT_HEAD = 40
ENTRY = 45
REPLACED = 48
ENTRIES = 1 << 20
"""Index entries in each segment but the last."""

MAGIC_HEADER, MAGIC_RECORD, MAGIC_SEGMENT, MAGIC_FOOTER = range(0x184D2A50, 0x184D2A54)
HEADER_START = struct.pack("<II8s", MAGIC_HEADER, HEADER - 8, b"BPI-HEAD")
FOOTER_START = struct.pack("<II8s", MAGIC_FOOTER, FOOTER - 8, b"BPI-FOOT")
RECORD_HEAD = struct.pack("<II", MAGIC_RECORD, RECORD - 8)
END = b"BPI-END\n"
ZSTD = b"\x28\xb5\x2f\xfd"

MAJOR = 1
GRANULARITY = 65536
DATA_MOST = 1 << 20
ZERO_MOST = 1 << 30
LARGEST_DISK = 64 << 40
LARGEST_DATA = 4 << 20
LARGEST_ZERO = 1 << 30
SEGMENTS = 72
REPLACES_MOST = 4096
HINTS = 2784
SHA256, BLAKE3 = 1, 2
ENCRYPTED = 1
INDEX, REPLACES = 1, 2
OPTIONAL = 0x8000
"""Segment types from here on may be skipped by who does not know them."""
DATA, ZERO = 1, 2
NO_DIGEST = bytes(16)
NO_UUID = UUID(int=0)

_HEADER = struct.Struct("<II8sHHIIBBBB16s16s16s16s32s16s16sIHBBqQIIIIIII44x1024x2784s")
_FOOTER = struct.Struct("<II8s16sQQQQQQqIBB2x32s32s16x16s32x16s16s")
_RECORD = struct.Struct("<IIQIB3xI8s")
_SEGMENT = struct.Struct("<II8sHHIQQ")
_SPAN = struct.Struct("<QQ32s")


class FileKind(IntEnum):
    """What a file holds of its disk."""

    FULL = 1
    INCREMENT = 2
    SYNTHETIC = 3
    CONSOLIDATED = 4

    @property
    def is_base(self) -> bool:
        """True when the file covers the whole disk and needs no parent."""
        return self in (FileKind.FULL, FileKind.SYNTHETIC)


class Consistency(IntEnum):
    """How the source was held still while it was imaged."""

    UNKNOWN = 0
    CRASH = 1
    FILESYSTEM = 2
    APPLICATION = 3


class ChangeSource(IntEnum):
    """Who told what changed."""

    FULL_SCAN = 0
    HASH_COMPARE = 1


class Hasher(Protocol):
    """An incremental hash, as `hash_for` makes one."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """Return 32 bytes."""


def hash_for(algorithm: int) -> Hasher:
    """Return a fresh H of the file's `hash_alg`."""
    return hashlib.sha256() if algorithm == SHA256 else blake3()


def h32(algorithm: int, *parts: bytes | memoryview) -> bytes:
    """Return H32 of the parts laid end to end."""
    hasher = hash_for(algorithm)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def h16(algorithm: int, data: bytes | memoryview) -> bytes:
    """Return H16 of `data`: the hash of a frame or of a granule."""
    if algorithm == SHA256:
        return hashlib.sha256(data).digest()[:16]
    return blake3(data).digest(length=16)


def root_of(algorithm: int, header_hash: bytes, segment_hashes: Sequence[bytes]) -> bytes:
    """Return the content hash of a file: it covers the header and every frame hash."""
    return h32(algorithm, b"BPI-ROOT", header_hash, *segment_hashes)


@dataclass(frozen=True, slots=True)
class Header:
    """The first 4096 bytes. Times in nanoseconds since 1970, sizes in bytes.

    Attributes:
        parent, parent_root: Zeros for a base.
        consistency, change_source: Plain numbers: later versions may know more.
        hints: JSON object as bytes.
        incompatible: Flags; bit 0: encrypted.
    """

    kind: int
    file: UUID
    set: UUID
    point: UUID
    machine: UUID
    disk: UUID
    sequence: int
    number: int
    taken_ns: int
    disk_size: int
    parent: UUID = NO_UUID
    parent_root: bytes = bytes(32)
    consistency: int = Consistency.UNKNOWN
    change_source: int = ChangeSource.FULL_SCAN
    logical_sector: int = 512
    physical_sector: int = 0
    granularity: int = GRANULARITY
    longest_data: int = DATA_MOST
    longest_zero: int = ZERO_MOST
    hints: bytes = b"{}"
    hash_alg: int = BLAKE3
    codec: int = 1
    cipher: int = 0
    incompatible: int = 0
    key_slots: int = 0
    major: int = MAJOR
    minor: int = 0

    @property
    def is_base(self) -> bool:
        """True when the file covers the whole disk and needs no parent."""
        return self.kind in (FileKind.FULL, FileKind.SYNTHETIC)

    @property
    def encrypted(self) -> bool:
        """True when frames can be decoded with a key only."""
        return bool(self.incompatible & ENCRYPTED)


def pack_header(header: Header) -> bytes:
    """Return the 4096 bytes of a header, its hash included.

    Raises:
        ValueError: The hints do not fit.
    """
    if len(header.hints) > HINTS:
        raise ValueError("hints of a header are limited to 2784 bytes")
    body = _HEADER.pack(
        MAGIC_HEADER, HEADER - 8, b"BPI-HEAD", header.major, header.minor, header.incompatible, 0,
        header.kind, header.hash_alg, header.codec, header.cipher,
        header.file.bytes, header.set.bytes, header.point.bytes, header.parent.bytes,
        header.parent_root, header.machine.bytes, header.disk.bytes,
        header.sequence, header.number, header.consistency, header.change_source,
        header.taken_ns, header.disk_size, header.logical_sector, header.physical_sector,
        header.granularity, header.longest_data, header.longest_zero, header.key_slots,
        len(header.hints), header.hints,
    )  # fmt: skip
    return body + h32(header.hash_alg, body)


class RawHeader(NamedTuple):
    """A header as it stands in the file, with what is needed to judge it."""

    header: Header
    starts_well: bool
    hints_length: int
    hash: bytes
    hash_told: bytes


def unpack_header(data: bytes) -> RawHeader:
    """Take 4096 bytes apart; believes nothing, raises nothing."""
    (
        magic, length, name, major, minor, incompatible, _compatible,
        kind, hash_alg, codec, cipher,
        file, set_, point, parent, parent_root, machine, disk,
        sequence, number, consistency, change_source, taken_ns, disk_size,
        logical, physical, granularity, longest_data, longest_zero, key_slots,
        hints_length, hints,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    header = Header(
        kind=kind, file=UUID(bytes=file), set=UUID(bytes=set_), point=UUID(bytes=point),
        machine=UUID(bytes=machine), disk=UUID(bytes=disk), sequence=sequence, number=number,
        taken_ns=taken_ns, disk_size=disk_size, parent=UUID(bytes=parent), parent_root=parent_root,
        consistency=consistency, change_source=change_source, logical_sector=logical,
        physical_sector=physical, granularity=granularity, longest_data=longest_data,
        longest_zero=longest_zero, hints=hints[:hints_length], hash_alg=hash_alg, codec=codec,
        cipher=cipher, incompatible=incompatible, key_slots=key_slots, major=major, minor=minor,
    )  # fmt: skip
    starts_well = (magic, length, name) == (MAGIC_HEADER, HEADER - 8, b"BPI-HEAD")
    told = data[HEADER - 32 : HEADER]
    return RawHeader(header, starts_well, hints_length, h32(hash_alg, data[: HEADER - 32]), told)


class Span(NamedTuple):
    """A segment's place in the file: position, total length, and H32 of all of it."""

    pos: int
    length: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Footer:
    """The last 4096 bytes.

    Attributes:
        stored: Stored bytes of DATA frames.
        finished_ns: When the file was finished; not covered by the root.
    """

    file: UUID
    file_size: int
    data_frames: int
    zero_frames: int
    data_bytes: int
    zero_bytes: int
    stored: int
    finished_ns: int
    spans: Sequence[Span]
    hash_alg: int
    major: int
    root: bytes
    header_hash: bytes
    point: UUID
    set: UUID
    disk: UUID


def pack_footer(footer: Footer) -> bytes:
    """Return the 4096 bytes of a footer."""
    head = _FOOTER.pack(
        MAGIC_FOOTER, FOOTER - 8, b"BPI-FOOT", footer.file.bytes, footer.file_size,
        footer.data_frames, footer.zero_frames, footer.data_bytes, footer.zero_bytes,
        footer.stored, footer.finished_ns, len(footer.spans), footer.hash_alg, footer.major,
        footer.root, footer.header_hash, footer.point.bytes, footer.set.bytes, footer.disk.bytes,
    )  # fmt: skip
    table = b"".join(_SPAN.pack(*span) for span in footer.spans)
    body = (head + table).ljust(FOOTER - 40, b"\0")
    return body + h32(footer.hash_alg, body) + END


class RawFooter(NamedTuple):
    """A footer as it stands in the file, with what is needed to judge it."""

    footer: Footer
    starts_well: bool
    ends_well: bool
    segments: int
    hash: bytes
    hash_told: bytes


def unpack_footer(data: bytes) -> RawFooter:
    """Take 4096 bytes apart; believes nothing, raises nothing."""
    (
        magic, length, name, file, size, data_frames, zero_frames, data_bytes, zero_bytes,
        stored, finished, segments, hash_alg, major, root, header_hash, point, set_, disk,
    ) = _FOOTER.unpack_from(data)  # fmt: skip
    table = data[_FOOTER.size : _FOOTER.size + min(segments, SEGMENTS) * _SPAN.size]
    footer = Footer(
        file=UUID(bytes=file), file_size=size, data_frames=data_frames, zero_frames=zero_frames,
        data_bytes=data_bytes, zero_bytes=zero_bytes, stored=stored, finished_ns=finished,
        spans=tuple(Span(*span) for span in _SPAN.iter_unpack(table)), hash_alg=hash_alg,
        major=major, root=root, header_hash=header_hash, point=UUID(bytes=point),
        set=UUID(bytes=set_), disk=UUID(bytes=disk),
    )  # fmt: skip
    return RawFooter(
        footer,
        (magic, length, name) == (MAGIC_FOOTER, FOOTER - 8, b"BPI-FOOT"),
        data[-len(END) :] == END,
        segments,
        h32(hash_alg, data[: FOOTER - 40]),
        data[FOOTER - 40 : FOOTER - 8],
    )


class Entry(NamedTuple):
    """One frame: `pos` and `stored` in the file, `start` and `length` on the disk."""

    start: int
    length: int
    pos: int
    stored: int
    kind: int
    digest: bytes


def pack_record(entry: Entry) -> bytes:
    """Return the local record before a frame."""
    return _RECORD.pack(
        MAGIC_RECORD, RECORD - 8, entry.start, entry.length, entry.kind, entry.stored,
        entry.digest[:8],
    )  # fmt: skip


def unpack_record(data: bytes, pos: int) -> Entry | None:
    """Take the local record before the frame at `pos` apart; None when it is no record.

    The digest is only its first 8 bytes.
    """
    if len(data) < RECORD or data[:8] != RECORD_HEAD:
        return None
    _, _, start, length, kind, stored, digest = _RECORD.unpack_from(data)
    return Entry(start, length, pos, stored, kind, digest)


class SegmentHead(NamedTuple):
    """The first 40 bytes of a segment, skippable frame header included."""

    magic: int
    payload: int
    name: bytes
    type: int
    number: int
    entries: int
    first: int
    reserved: int


def pack_segment_head(type_: int, number: int, entries: int, first: int, payload: int) -> bytes:
    """Return the 40 bytes before a segment's `payload` bytes of entries."""
    length = SEGMENT_HEAD - 8 + payload
    return _SEGMENT.pack(MAGIC_SEGMENT, length, b"BPI-SEGM", type_, number, entries, first, 0)


def unpack_segment_head(data: bytes | memoryview) -> SegmentHead:
    """Take 40 bytes apart."""
    return SegmentHead(*_SEGMENT.unpack_from(data))


def zero_stored(length: int) -> int:
    """Return the stored bytes of a ZERO frame of `length` bytes."""
    return 10 + 4 * -(-length // 131072)


@lru_cache(maxsize=8)
def zero_frame(length: int) -> bytes:
    """Return the one zstd frame that decodes to `length` zeros: blocks of repeated bytes.

    Args:
        length: 1 byte to 1 GiB.
    """
    full, rest = divmod(length - 1, 131072)
    block = (131072 << 3 | 2).to_bytes(3, "little") + b"\0"
    last = ((rest + 1) << 3 | 3).to_bytes(3, "little") + b"\0"
    return ZSTD + b"\x80\x38" + length.to_bytes(4, "little") + block * full + last


def stored_most(length: int, *, encrypted: bool) -> int:
    """Return the most bytes a DATA frame of `length` raw bytes may take."""
    return length + length // 256 + 64 + (24 if encrypted else 0)
