"""Pieces are put together to loads, and lie in a buffer one after another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.loads import LOAD, Buffers, loads, runs
from engine.model.extents import Kind, Piece

KIB, MIB = 1 << 10, 1 << 20
DIGEST = bytes(16)


def data(start: int, length: int, digest: bytes | None = DIGEST) -> Piece:
    """Return a DATA piece."""
    return Piece(start, length, Kind.DATA, digest)


@st.composite
def layers(draw: st.DrawFn) -> Sequence[Piece]:
    """Return sorted pieces, some beside one another."""
    found, at = list[Piece](), 0
    for _ in range(draw(st.integers(0, 30))):
        at += draw(st.sampled_from([0, 0, 4 * KIB, 3 * MIB]))
        length = draw(st.sampled_from([512, 4 * KIB, 64 * KIB, MIB, 4 * MIB]))
        kind = draw(st.sampled_from([Kind.DATA, Kind.DATA, Kind.DATA, Kind.ZERO]))
        digest = draw(st.sampled_from([DIGEST, DIGEST, None])) if kind is Kind.DATA else DIGEST
        found.append(Piece(at, length, kind, digest))
        at += length
    return found


@given(layers(), st.integers(1, 60 * MIB))
def test_every_piece_is_in_one_load_with_its_like(pieces: Sequence[Piece], size: int) -> None:
    """None is lost, and a load is of one kind, of one sort of check, and not too long."""
    found = list(loads(pieces, size))

    assert [one for load in found for one in load.pieces] == [p for p in pieces if p.start < size]
    for load in found:
        assert load.length == sum(piece.length for piece in load.pieces)
        assert load.length <= LOAD or len(load.pieces) == 1
        assert not load.is_zero or len(load.pieces) == 1
        for piece in load.pieces:
            assert (piece.kind is Kind.ZERO) is load.is_zero
            whole = piece.digest is not None and piece.start + piece.length <= size
            assert whole is load.is_compared


@given(layers())
def test_what_lies_in_one_row_is_one_run(pieces: Sequence[Piece]) -> None:
    """Runs fill the buffer without a gap, and no two of them touch on the disk."""
    for load in loads(pieces, 1 << 40):
        buffer = memoryview(bytearray(load.length))
        found = list(runs(load, buffer))
        covered = [(start, len(part)) for start, part in found]
        assert sum(length for _, length in covered) == load.length
        for piece in load.pieces:
            assert any(
                start <= piece.start and piece.start + piece.length <= start + length
                for start, length in covered
            )
        for (start, length), (following, _) in itertools.pairwise(covered):
            assert start + length < following


def test_small_changes_far_apart_are_one_question_and_several_writes() -> None:
    """The bytes of each are where its turn is."""
    (load,) = loads([data(0, KIB), data(KIB, KIB), data(MIB, KIB)], 1 << 30)

    found = runs(load, memoryview(bytes(2 * KIB) + b"x" * KIB))

    assert [(start, bytes(part)) for start, part in found] == [
        (0, bytes(2 * KIB)),
        (MIB, b"x" * KIB),
    ]


def test_a_piece_longer_than_a_load_has_room() -> None:
    """A buffer is as long as what is asked for."""
    buffers = Buffers()
    for length in (LOAD, 2 * LOAD, KIB):
        with buffers.lend(length) as view:
            assert len(view) == length


def test_a_buffer_is_used_again_but_not_after_an_error() -> None:
    """A thread that nobody waits for any more may still write into it."""
    buffers = Buffers()

    def fail() -> None:
        with buffers.lend(LOAD) as view:
            view[:3] = b"who"
            raise OSError(5, "Input/output error")

    with buffers.lend(LOAD) as view:
        view[:3] = b"one"
    with buffers.lend(LOAD) as first, buffers.lend(LOAD) as second:
        assert bytes(first[:3]) == b"one"
        assert bytes(second[:3]) == bytes(3)
    with pytest.raises(OSError, match="Input/output"):
        fail()
    with buffers.lend(LOAD) as first, buffers.lend(LOAD) as second:
        assert b"who" not in {bytes(first[:3]), bytes(second[:3])}
