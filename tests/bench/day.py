"""`make bench BENCH=day`: a console after 24 hours, with the clock and the engine simulated.

    python -m tests.bench day [--hours 24]

86,400 changes, a frame every fifth, 2,300 changes of page; memory after the first tenth, when all
that fills up is full, against the end.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.tui import day

WALK_S = 450
"""A walk over all pages each so many seconds."""


def resident() -> int:
    """Return resident bytes of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(hours: float, *, traced: bool) -> tuple[int, int]:
    """Return bytes after a tenth and at the end: Python's own when traced, else resident ones."""
    seconds, look = int(hours * 3600), day.held if traced else resident
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        async with day.opened(patch, Path(folder)) as (one, pilot):
            await day.pass_time(one, pilot, seconds // 10, WALK_S)
            before = look()
            await day.pass_time(one, pilot, seconds - seconds // 10, WALK_S)
            return before, look()


def main(argv: list[str]) -> int:
    """Let a day pass twice: as it is, and with each allocation watched for a tenth of it."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=day", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    told = parser.parse_args(argv)
    began = time.monotonic()
    before, after = asyncio.run(measure(told.hours, traced=False))
    print(f"{told.hours:.1f} hours in {time.monotonic() - began:.0f} s")
    print(f"resident: {before / 2**20:.1f} MiB after a tenth, {after / 2**20:.1f} MiB at the end")
    tracemalloc.start()
    before, after = asyncio.run(measure(told.hours / 10, traced=True))
    print(
        f"held by Python, a tenth of the time: {before / 2**20:.2f} MiB, {after / 2**20:.2f} MiB at"
        " the end"
    )
    return 0
