"""Disks to measure on: sparse, mixed compressible, the same for the same seed."""

from __future__ import annotations

import random
from pathlib import Path

MIB = 1 << 20
_WORDS = [b"the", b"disk", b"of", b"a", b"server", b"holds", b"text,", b"logs", b"and", b"noise"]


def _chunk(rnd: random.Random, kind: int) -> bytes:
    """Return 1 MiB: noise, text, or a mix like a database page file."""
    if kind == 0:
        return rnd.randbytes(MIB)
    text = b" ".join(rnd.choices(_WORDS, k=4096)) + b"%d" % rnd.getrandbits(32)
    text = (text * (MIB // len(text) + 1))[:MIB]
    if kind == 1:
        return text
    noise = rnd.randbytes(MIB // 2)
    pages = [noise[i : i + 4096] + text[i : i + 4096] for i in range(0, MIB // 2, 4096)]
    return b"".join(pages)


def make_disk(path: Path, size: int, data: int, seed: int = 1) -> None:
    """Write a sparse raw disk of `size` bytes with `data` bytes in runs of 1 to 16 MiB."""
    rnd = random.Random(seed)
    with path.open("wb") as disk:
        disk.truncate(size)
    scatter(path, size, data, rnd)


def change_disk(path: Path, amount: int, seed: int) -> None:
    """Overwrite `amount` bytes of a disk in runs of 1 to 16 MiB."""
    scatter(path, path.stat().st_size, amount, random.Random(seed))


def scatter(path: Path, size: int, amount: int, rnd: random.Random) -> None:
    """Write `amount` bytes in runs of 1 to 16 MiB at places that do not overlap."""
    slots = list(range(size // (16 * MIB)))
    rnd.shuffle(slots)
    left = amount
    with path.open("r+b") as disk:
        for slot in slots:
            run = min(left, rnd.randint(4, 16) * MIB)
            disk.seek(slot * 16 * MIB)
            for _ in range(run // MIB):
                disk.write(_chunk(rnd, rnd.randrange(3)))
            left -= run // MIB * MIB
            if left < MIB:
                return
    raise ValueError(f"a disk of {size} bytes has no room for {amount}")
