"""Runs programs side by side and measures what they took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
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
        tells: The last line of its output is JSON with the `wall` and `cpu` seconds that count,
            instead of those of the whole process.
    """

    name: str
    argv: Sequence[str]
    prepare: Callable[[], None]
    stdout: Path | None = None
    tells: bool = False


def run_once(contender: Contender) -> Taken:
    """Run a program once. RuntimeError when it fails."""
    contender.prepare()
    os.sync()
    with (
        contender.stdout.open("w+b") if contender.stdout else tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        started = time.perf_counter()
        with subprocess.Popen(
            contender.argv, stdout=output, stderr=errors, start_new_session=True
        ) as child:
            _pid, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if child.returncode:
            errors.seek(0)
            said = errors.read()[-2000:]
            raise RuntimeError(f"{contender.name}: exit {child.returncode}: {said!r}")
        cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
        if not contender.tells:
            return Taken(wall, cpu, peak)
        output.seek(0)
        told = json.loads(output.read().splitlines()[-1])
        return Taken(told["wall"], told["cpu"], peak)


def side_by_side(contenders: Sequence[Contender], rounds: int) -> dict[str, Taken]:
    """Run all contenders in turn, `rounds` times; return each one's median wall, CPU and peak.

    Their order turns round each time: a medium is still busy with what the one before wrote, and
    nobody always comes after the same one.
    """
    taken: dict[str, list[Taken]] = {c.name: [] for c in contenders}
    for number in range(rounds):
        for contender in reversed(contenders) if number % 2 else contenders:
            taken[contender.name].append(run_once(contender))
    return {
        name: Taken(
            statistics.median(t.wall for t in all_taken),
            statistics.median(t.cpu for t in all_taken),
            max(t.peak for t in all_taken),
        )
        for name, all_taken in taken.items()
    }
