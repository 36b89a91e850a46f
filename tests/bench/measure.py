"""Runs programs side by side and measures what they took."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took: wall and CPU seconds (with children), peak resident bytes."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a piece of work.

    Attributes:
        prepare: Called before each run, not measured.
        stdout: File for the program's output; None discards it.
    """

    name: str
    argv: Sequence[str]
    prepare: Callable[[], None]
    stdout: Path | None = None


def run_once(contender: Contender) -> Taken:
    """Run a program once. RuntimeError when it fails."""
    contender.prepare()
    os.sync()
    target = contender.stdout.open("wb") if contender.stdout else subprocess.DEVNULL
    started = time.perf_counter()
    with subprocess.Popen(
        contender.argv, stdout=target, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        _, errors = b"", child.stderr.read() if child.stderr else b""
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if contender.stdout:
        target.close()  # type: ignore[union-attr]  # a file here
    if child.returncode:
        raise RuntimeError(f"{contender.name}: exit {child.returncode}: {errors[-2000:]!r}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def side_by_side(contenders: Sequence[Contender], rounds: int) -> dict[str, Taken]:
    """Run all contenders in turn, `rounds` times; return each one's median wall, CPU and peak."""
    taken: dict[str, list[Taken]] = {c.name: [] for c in contenders}
    for _ in range(rounds):
        for contender in contenders:
            taken[contender.name].append(run_once(contender))
    return {
        name: Taken(
            statistics.median(t.wall for t in all_taken),
            statistics.median(t.cpu for t in all_taken),
            max(t.peak for t in all_taken),
        )
        for name, all_taken in taken.items()
    }
