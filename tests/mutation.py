"""Bytes that are almost right: the same damage for the same seed."""

from __future__ import annotations

import random

EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
)


def mutated(content: bytes, seed: int) -> bytes:
    """Return a content with one to eight changes: bits, numbers, pieces moved, cut or repeated."""
    chance = random.Random(seed)
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        if not data:
            break
        at = chance.randrange(len(data))
        way = chance.randrange(7)
        if way == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif way in (1, 2):
            width = chance.choice((1, 2, 4, 8))
            at -= at % width
            number = chance.choice((*EXTREMES, chance.getrandbits(64), len(data), at))
            data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
        elif way == 3:
            piece = data[at : at + chance.choice((1, 4, 16, 512))]
            there = chance.randrange(len(data))
            data[there : there + len(piece)] = piece
        elif way == 4:
            del data[at : at + chance.choice((1, 4, 64, len(data)))]
        elif way == 5:
            data[at:at] = data[at : at + chance.choice((1, 8, 64))] * chance.choice((1, 2, 20))
        else:
            data[at : at + 16] = bytes(chance.getrandbits(8) for _ in range(16))
    return bytes(data)
