"""One figure or a few of a large site, measured in this process: one JSON object.

    python -m tests.bench.hub WHAT --machines 500 [--points 30] [--waiting 20] [--rounds 4]
                              [--files 100000]

Targets are simulated and layers lie in memory; planner, loop, runner, jobs and the state in SQLite
are the product's own. See `tests/bench/scale.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from engine.api.metrics import Meter
from engine.daemon.desk import Desk
from engine.local.lasting import Lasting
from engine.model.work import Job, JobId, JobKind
from engine.state.sqlite import SqliteState
from tests.bench.deciding import plan
from tests.bench.largehub import Hub, remember
from tests.bench.largesite import Site
from tests.bench.scanning import scans


def ended(state: SqliteState, count: int) -> list[Job]:
    """Return the first `count` jobs, in the order in which they began."""
    found = (state.job(number) for number in range(1, count + 1))  # type: ignore[arg-type]  # JobId
    return sorted((j for j in found if j is not None), key=lambda j: (j.queued_at, j.id))


def wait(true: Callable[[], bool], seconds: float) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError
        threading.Event().wait(0.05)


def busy(site: Site, path: Path, rounds: float) -> dict[str, float]:
    """Return how a site with waiting increments does: first job, fairness, pace, memory."""
    hub = Hub(site, path, site.waiting)
    base = _rss()

    def jobs() -> Mapping[JobId, Job]:
        return hub.state.read().jobs

    wait(lambda: any(j.started_at for j in jobs().values()), 600)
    first, first_cpu = hub.passed()
    named = site.machines * (site.points + site.waiting)
    wait(lambda: hub.state.read().next_boot_point > named, 600)
    taken, taken_cpu = hub.passed()
    target = int(rounds * site.machines)
    began, cpu, before = time.perf_counter(), time.process_time(), max(jobs())
    wait(lambda: max(jobs(), default=0) >= target, 3600)
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    snapshot_ms = _snapshot_ms(hub.desk)
    hub.engine.stop()
    told = ended(hub.state, target)
    hub.state.close()
    return {
        "first_job_s": first,
        "first_job_cpu_s": first_cpu,
        "taken_in_s": taken,
        "taken_in_cpu_s": taken_cpu,
        "starved_rounds": starved(told, site),
        "jobs_per_s": (target - before) / wall,
        "cpu_ms_per_job": spent / (target - before) * 1000,
        "snapshot_ms": snapshot_ms,
        "rss_busy_mib": _rss(),
        "rss_layers_mib": base,
    }


def _snapshot_ms(desk: Desk) -> float:
    return _median_ms(desk.snapshot)


def _scrape_ms(desk: Desk) -> float:
    meter = Meter(desk)
    meter.told()
    return _median_ms(meter.told)


def _median_ms(work: Callable[[], object]) -> float:
    """Return what some work costs: the median of five times, milliseconds of this thread."""
    took = []
    for _ in range(5):
        began = time.thread_time()
        work()
        took.append((time.thread_time() - began) * 1000)
    return median(took)


def starved(told: Sequence[Job], site: Site) -> float:
    """Return the longest time a standby waited for its turn, in rounds of one job for each."""
    syncs = [job for job in told if job.kind in (JobKind.SYNC, JobKind.APPLY, JobKind.RETIRE)]
    served = dict.fromkeys(site.names(), -1)
    longest = 0
    for number, job in enumerate(syncs):
        longest = max(longest, number - served[job.standby])
        served[job.standby] = number
    longest = max([longest, *(len(syncs) - at for at in served.values())])
    return longest / site.machines


def idle(site: Site, path: Path, seconds: float) -> dict[str, float]:
    """Return what an engine with nothing to do costs: processor and memory."""
    hub = Hub(site, path, 0)
    wait(lambda: hub.engine.sources.keys() == hub.engine.standbys.keys(), 60)
    threading.Event().wait(6)
    cpu, began = time.process_time(), time.perf_counter()
    threading.Event().wait(seconds)
    used, wall = time.process_time() - cpu, time.perf_counter() - began
    rss, scrape_ms = _rss(), _scrape_ms(hub.desk)
    hub.stop()
    return {"idle_cpu_percent": used / wall * 100, "rss_idle_mib": rss, "scrape_ms": scrape_ms}


def _rss() -> float:
    """Return the highest resident memory so far, in MiB.

    Not `ru_maxrss`: it begins with what the process that started this one had.
    """
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> int:
    """Measure one thing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("plan", "busy", "idle", "scan"))
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--waiting", type=int, default=20)
    parser.add_argument("--rounds", type=float, default=4)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--files", type=int, default=0)
    told = parser.parse_args()
    Lasting()  # as `engine.app` does
    site = Site(told.machines, told.points, told.waiting)
    if told.what == "plan":
        figures = plan(site, 20)
    elif told.what == "scan":
        figures = scans(told.files, told.machines)
    else:
        with tempfile.TemporaryDirectory(prefix="bench-hub-") as folder:
            path = Path(folder) / "state.db"
            remember(path, site)
            if told.what == "busy":
                figures = busy(site, path, told.rounds)
            else:
                figures = idle(site, path, told.seconds)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
