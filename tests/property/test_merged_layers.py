"""Several image layers written over one another read like one layer."""

from __future__ import annotations

from itertools import pairwise

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.copying import merged
from engine.model.extents import Kind, Piece

SIZE = 64


@st.composite
def layers(draw: st.DrawFn) -> list[Piece]:
    """Draw sorted pieces that do not overlap, dense enough to collide with other layers."""
    cuts = sorted(draw(st.sets(st.integers(0, SIZE), min_size=2, max_size=12)))
    pieces = []
    for start, end in pairwise(cuts):
        kind = draw(st.sampled_from([None, Kind.DATA, Kind.DATA, Kind.ZERO]))
        if kind is not None:
            pieces.append(Piece(start, end - start, kind, None))
    return pieces


def _write(disk: bytearray, number: int, pieces: list[Piece]) -> list[Piece]:
    told = []
    for piece in pieces:
        fill = number if piece.kind is Kind.DATA else 0
        disk[piece.start : piece.start + piece.length] = bytes([fill]) * piece.length
        digest = _hash(disk, piece.start, piece.length) if fill else bytes(16)
        told.append(piece._replace(digest=digest))
    return told


def _hash(disk: bytearray, start: int, length: int) -> bytes:
    return blake3(bytes(disk[start : start + length])).digest(length=16)


@given(st.lists(layers(), min_size=1, max_size=4))
def test_what_the_layer_holds_is_what_the_disk_shows(drawn: list[list[Piece]]) -> None:
    """Each merged piece's digest is that of the disk, and all that was written is covered."""
    disk = bytearray(SIZE)
    told = [_write(disk, number + 1, pieces) for number, pieces in enumerate(drawn)]

    found = list(merged(told, lambda start, length: _hash(disk, start, length)))

    covered: set[int] = set()
    for piece in found:
        span = set(range(piece.start, piece.start + piece.length))
        assert not covered & span
        covered |= span
        if piece.kind is Kind.DATA:
            assert piece.digest == _hash(disk, piece.start, piece.length)
        else:
            assert not any(disk[piece.start : piece.start + piece.length])
    assert covered == {
        b for p in drawn for one in p for b in range(one.start, one.start + one.length)
    }
