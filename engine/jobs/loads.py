"""Pieces that are moved together: one question to the source, few and long writes and reads.

pieces   AAABB·CC ZZZZ DDDDDD        sorted; · is a gap, Z are zeros
loads    [A B C] [Z] [D]             at most LOAD bytes of data in each
buffer   AAABBCC                     one after another: A and B are one write, C is another
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.model.extents import Kind, Piece

LOAD = 2 << 20
"""Bytes of one load; a longer piece is one by itself."""
_HUGE = 2 << 20


class Load(NamedTuple):
    """Pieces of one kind that are moved together.

    Attributes:
        pieces: At least one, sorted; several only of DATA.
        length: Bytes of all of them.
        is_compared: All are compared with their digest on the medium; else none can be.
    """

    pieces: tuple[Piece, ...]
    length: int
    is_compared: bool

    @property
    def is_zero(self) -> bool:
        """Nothing is read for it."""
        return self.pieces[0].kind is Kind.ZERO


def loads(pieces: Iterable[Piece], size: int) -> Iterator[Load]:
    """Yield sorted pieces as loads for a device of `size` bytes; what begins past it is left out.

    A piece is compared on the medium that has a digest, and lies on the device whole.
    """
    held: list[Piece] = []
    length, is_compared = 0, False
    for piece in pieces:
        if piece.start >= size:
            break
        compared = piece.digest is not None and piece.start + piece.length <= size
        alone = piece.kind is Kind.ZERO or (held and held[0].kind is Kind.ZERO)
        if held and (alone or compared is not is_compared or length + piece.length > LOAD):
            yield Load(tuple(held), length, is_compared)
            held, length = [], 0
        held.append(piece)
        length, is_compared = length + piece.length, compared
    if held:
        yield Load(tuple(held), length, is_compared)


def runs(load: Load, buffer: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (offset on the disk, its part of `buffer`) for what lies in one row on both."""
    begin, at = 0, 0
    start = end = load.pieces[0].start
    for piece in load.pieces:
        if piece.start != end:
            yield start, buffer[begin:at]
            start, begin = piece.start, at
        at, end = at + piece.length, piece.start + piece.length
    yield start, buffer[begin:at]


class Buffers:
    """Buffers for several threads, at the start of a page: what direct I/O asks for.

    In huge pages where the system has them: it then pins one page for a load instead of 512.
    """

    def __init__(self) -> None:
        """Make none yet."""
        self._free: list[memoryview] = []

    @contextlib.contextmanager
    def lend(self, length: int) -> Iterator[memoryview]:
        """Yield `length` bytes: those that were used last, which a processor still has at hand.

        After an error they are not used again: a thread that was left behind may write there.
        """
        try:
            whole = self._free.pop()
        except IndexError:
            whole = memoryview(b"")
        if len(whole) < length:
            whole = _memory(-(-length // _HUGE) * _HUGE)
        yield whole[:length]
        self._free.append(whole)


def _memory(length: int) -> memoryview:
    memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
