"""Image files to test with, and ways to spoil them with all checksums right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import zstandard

from engine.daemon.clock import ManualClock
from engine.images.bpi import layout
from engine.images.bpi.layout import Entry, FileKind, Footer, Header
from engine.images.bpi.opening import open_file
from engine.images.bpi.verify import check_frames
from engine.images.bpi.writer import BpiWriter
from engine.images.tally import Tally
from engine.ports import NeverCancelled

GRAIN = 65536
NOW = datetime(2026, 1, 1, 3, tzinfo=UTC)


def uuid(number: int) -> UUID:
    """Return a UUID that is the same in every run."""
    return UUID(int=number + (4 << 76) + (2 << 62))


def header(size: int, **changes: object) -> Header:
    """Return the header of a full of a disk of `size` bytes."""
    plain = Header(
        kind=FileKind.FULL,
        file=uuid(1),
        set=uuid(2),
        point=uuid(3),
        machine=uuid(4),
        disk=uuid(5),
        sequence=1,
        number=0,
        taken_ns=1_767_236_400_000_000_000,
        disk_size=size,
        hints=b'{"disk":{"boot":true},"machine":{"name":"erp","memory":1024}}',
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields of Header


def write_file(
    path: Path,
    head: Header,
    pieces: Sequence[tuple[int, bytes | int]],
    replaces: Sequence[tuple[UUID, bytes]] = (),
    stored: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """Write an image file; returns its root.

    Args:
        pieces: (start, bytes) for DATA, (start, length) for ZERO.
        stored: Makes of each zstd frame what the file holds in its place.
    """
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        with closing(BpiWriter(fd, head, str(path.parent))) as writer:
            for start, what in pieces:
                if isinstance(what, int):
                    writer.zero(start, what)
                else:
                    digest = layout.h16(head.hash_alg, what)
                    frame = stored(compressor.compress(what))
                    writer.data(start, len(what), frame, digest)
            return writer.finish(head.taken_ns, replaces).root
    finally:
        os.close(fd)


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """Yield the descriptor of a file that holds `data` and has no name."""
    fd = os.memfd_create("image")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def check_whole(fd: int) -> None:
    """Open an image file and check every byte of it."""
    opened = open_file(fd, "image.bpi")
    check_frames(fd, opened, NeverCancelled(), Tally("", None, ManualClock(NOW), print_nothing))


def print_nothing(_progress: object) -> None:
    """Take a report."""


def with_right_checksums(data: bytes) -> bytes:
    """Return `data` with header hash, segment hashes, root and footer hash made right again."""
    told = bytearray(data)
    algorithm = told[29]
    told[4064:4096] = layout.h32(algorithm, bytes(told[:4064]))
    footer: Footer = layout.unpack_footer(bytes(told[-4096:])).footer
    spans = [
        span._replace(hash=layout.h32(algorithm, bytes(told[span.pos : span.pos + span.length])))
        for span in footer.spans
    ]
    header_hash = bytes(told[4064:4096])
    root = layout.root_of(algorithm, header_hash, [span.hash for span in spans])
    whole = replace(footer, spans=spans, hash_alg=algorithm, header_hash=header_hash, root=root)
    told[-4096:] = layout.pack_footer(whole)
    return bytes(told)


def entries_of(data: bytes) -> Sequence[Entry]:
    """Return the index entries of a file that opens."""
    with memory_file(data) as fd:
        return list(open_file(fd, "image.bpi").index.entries(fd))
