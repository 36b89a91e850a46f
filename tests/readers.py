"""Disks of images whose bytes a test knows, all of them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from engine.model.extents import Piece


class KnownDisk:
    """What a `DiskReader` does beside telling its pieces; `content` tells their bytes."""

    def content(self, piece: Piece) -> bytes:
        """Return the bytes of a piece."""
        raise NotImplementedError

    def read(
        self, pieces: Sequence[Piece], into: memoryview, *, hashed: bool = True, wait: bool = True
    ) -> None:
        """Fill `into`; nothing is stored that could be wrong, or waited for."""
        del hashed, wait
        into[:] = b"".join(self.content(piece) for piece in pieces)

    def clone(self) -> Self:
        """Return itself: nothing is shared that changes."""
        return self

    def close(self) -> None:
        """Do nothing."""
