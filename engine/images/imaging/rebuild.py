"""A lost hash map, made again from the images of the newest point and all it continues."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from engine.images.bpi import layout
from engine.images.bpi.chains import ChainBroken, in_order
from engine.images.bpi.manifest import DiskLine
from engine.images.bpi.opening import OpenedFile, open_file
from engine.images.bpi.reader import Readers
from engine.images.imaging.folder import Published
from engine.images.imaging.hashmap import MapDraft, digests_of
from engine.images.tally import Tally
from engine.local.parallel import run
from engine.model.errors import FormatError, ImageCorrupt
from engine.model.extents import Kind, Piece
from engine.ports import Cancel, Clock, Report

GRAIN = layout.GRANULARITY


def rebuild_map(
    points: Mapping[UUID, Published],
    newest: Published,
    disk: UUID,
    draft: MapDraft,
    cancel: Cancel,
    clock: Clock,
    report: Report,
) -> bool:
    """Fill `draft` with what the disk was at the newest point.

    Args:
        points: All points of the set by UUID.

    Returns:
        False when the images do not tell: a file is missing, damaged, encrypted, or of another
        granularity. Then only a full helps.
    """
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(_opened(path)) for path in _chain(points, newest, disk)]
            line = in_order([opened for _, opened in files])
            fds = {opened.path: fd for fd, opened in files}
            if any(one.header.encrypted or one.header.granularity % GRAIN for one in line):
                return False
            total = sum(one.footer.data_bytes for one in line)
            tally = Tally("read back", total, clock, report)
            for one in line:
                _take(fds[one.path], one, draft, cancel, tally)
        except (ChainBroken, FormatError, ImageCorrupt, LookupError, OSError):
            return False
    return True


def _chain(points: Mapping[UUID, Published], newest: Published, disk: UUID) -> Iterator[Path]:
    """Yield the disk's files from the newest point back to a base. LookupError on a gap."""
    seen: set[UUID] = set()
    at = newest
    while True:
        line = _line(at, disk)
        yield at.path.parent / line.file
        parent = at.manifest.parent
        if line.is_base:
            return
        if parent is None or parent in seen:
            raise LookupError(parent)
        seen.add(parent)
        at = points[parent]


def _line(point: Published, disk: UUID) -> DiskLine:
    for line in point.manifest.disks:
        if line.uuid == disk:
            return line
    raise LookupError(disk)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[int, OpenedFile]]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield fd, open_file(fd, str(path))
    finally:
        os.close(fd)


def _take(fd: int, opened: OpenedFile, draft: MapDraft, cancel: Cancel, tally: Tally) -> None:
    """Write what one file holds into the draft; what lies past the disk's end is left out."""
    size = draft.disk_size

    def work(piece: Piece) -> None:
        length = min(piece.length, size - piece.start)
        if piece.kind is Kind.ZERO:
            draft.write(piece.start, bytes(16 * -(-length // GRAIN)))
            return
        draft.write(piece.start, digests_of(readers.plain(piece)[:length]))
        tally.add(piece.length)

    with Readers(fd, opened) as readers:
        run((p for p in readers.pieces() if p.start < size), work, cancel=cancel)
