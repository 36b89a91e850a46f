"""A trunk of three layers for tests of stores, and how it is looked at."""

from __future__ import annotations

from engine.model.extents import Kind
from engine.model.layers import LayerName
from tests.contract.disk_chains import Lab, grow, picture, seen

BASE, DAY1, DAY2, DAY3 = (LayerName(name) for name in ("base", "day1", "day2", "day3"))
BOOT1, RUN1 = LayerName("boot1"), LayerName("run1")
A, B, C = b"a" * 70_000, b"b" * 200_000, b"c" * 4096


def trunk(lab: Lab) -> None:
    """Make base ─ day1 ─ day2, each with other bytes."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]})
    grow(lab.chain, "day1", "base", {0: [(1000, B)]})
    grow(lab.chain, "day2", "day1", {0: [(65_536 * 3, C), (900_000, A)]})


def check_changed(lab: Lab, name: str) -> None:
    """Hold what `changed` tells of a layer against the bytes of the layer and its parent."""
    layer = lab.chain.layers()[LayerName(name)]
    now = seen(lab.chain, name)
    below = bytearray(seen(lab.chain, layer.parent) if layer.parent else bytes(len(now)))
    below = below[: len(now)] + bytes(max(0, len(now) - len(below)))
    end = 0
    for start, length, kind in lab.chain.changed(layer.name, 0):
        assert start >= end
        end = start + length
        below[start:end] = now[start:end]
        if kind is Kind.ZERO:
            assert not any(now[start:end])
    assert end <= len(now)
    assert bytes(below) == now


def picture_over(below: bytes, *parts: tuple[int, bytes]) -> bytes:
    """Return `below` with these writes in it."""
    return picture(len(below), (0, below), *parts)
