"""`make bench BENCH=scale`: figures of a large site, and how they grow with its size.

    python -m tests.bench scale [--machines 500] [--small 50] [--files 100000] [--times 3]
                                [--rounds 3] [--json FILE]

Figures come from processes of their own (`tests.bench.hub`), in turns for the large and the small
site: medians of three, in some ten minutes of a processor. One run of the small site is too short
for a ratio: its figures scatter by a third. The load of the machine stands above the table; wall
times count only where it is low.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

FIGURES = {
    "plan_next_ms": ("one decision of the planner, CPU ms", "≤ 50"),
    "plan_first_ms": ("first decision after a start, CPU ms", "–"),
    "plan_points_ms": ("naming all boot points that are missing, CPU ms", "–"),
    "retain_ms": ("retention of all, slots of five kinds, CPU ms", "–"),
    "retain_next_ms": ("the same for consoles, one boot point another, CPU ms", "–"),
    "first_job_s": ("first job begins after engine start, s", "≤ 5"),
    "first_job_cpu_s": ("the same, CPU s", "–"),
    "taken_in_s": ("all waiting increments taken in and named, s; jobs run meanwhile", "–"),
    "taken_in_cpu_s": ("the same, CPU s", "–"),
    "starved_rounds": ("longest wait for a turn, rounds", "≤ 2"),
    "cpu_ms_per_job": ("processor time for each job, ms", "–"),
    "snapshot_ms": ("picture for consoles, CPU ms", "–"),
    "scrape_ms": ("metrics, each scrape but the first, CPU ms", "–"),
    "rss_busy_mib": ("memory at work, with the simulated layers, MiB", "≤ 300"),
    "rss_layers_mib": ("of which before the engine started, MiB", "–"),
    "rss_idle_mib": ("memory at rest, with the simulated layers, MiB", "≤ 300"),
    "idle_cpu_percent": ("processor at rest, % of a core", "≤ 1"),
    "scan_first_s": ("first scan, every file opened, s", "–"),
    "scan_first_cpu_s": ("the same, CPU s", "–"),
    "scan_again_s": ("rescan, s", "≤ 5"),
    "scan_again_cpu_s": ("the same, CPU s", "–"),
}


def hub(what: str, machines: int, *more: str) -> dict[str, float]:
    """Measure one thing of a site in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.hub", what, "--machines", str(machines), *more]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(told.stdout)
    return found


def site(machines: int, rounds: float, files: int) -> dict[str, float]:
    """Return all figures of a site."""
    found = hub("plan", machines)
    found |= hub("busy", machines, "--rounds", str(rounds))
    found |= hub("idle", machines)
    found |= hub("scan", machines, "--files", str(files))
    return found


def middle(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {key: median(run[key] for run in runs) for key in runs[0]}


def table(large: Mapping[str, float], small: Mapping[str, float], sizes: tuple[int, int]) -> str:
    """Return the figures as a Markdown table."""
    more = sizes[0] / sizes[1]
    lines = [
        f"| what | {sizes[0]} machines | {sizes[1]} machines | ratio (linear: {more:.0f}) | aim |",
        "|---|---:|---:|---:|---:|",
    ]
    for key, (what, aim) in FIGURES.items():
        ratio = large[key] / small[key] if small[key] else float("nan")
        lines.append(f"| {what} | {large[key]:.2f} | {small[key]:.2f} | {ratio:.1f} | {aim} |")
    return "\n".join(lines)


def load() -> float:
    """Return the load of the last minute."""
    return os.getloadavg()[0]


def main(argv: list[str]) -> int:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=scale", description=__doc__)
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--small", type=int, default=50)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=float, default=3)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    told = parser.parse_args(argv)
    sizes, began, before = (told.machines, told.small), time.monotonic(), load()
    runs: dict[int, list[dict[str, float]]] = {machines: [] for machines in sizes}
    for _ in range(told.times):
        for machines in sizes:
            files = told.files * machines // told.machines
            runs[machines].append(site(machines, told.rounds, files))
    found = [middle(runs[machines]) for machines in sizes]
    print(f"{platform.platform()}, Python {platform.python_version()}; 30 boot points and 20")
    print(f"waiting increments a machine; {told.files} files; medians of {told.times}")
    print(f"runs, which took {time.monotonic() - began:.0f} s")
    print(f"load of {os.cpu_count()} processors before {before:.1f}, afterwards {load():.1f}\n")
    print(table(found[0], found[1], sizes))
    if told.json:
        told.json.write_text(json.dumps({"large": found[0], "small": found[1]}))
    return 0
