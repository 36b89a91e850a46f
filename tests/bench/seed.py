"""One seed or sync, as the engine does it, in a process of its own (for wall, CPU, peak memory).

    python -m tests.bench.seed --store DIR --kind reflink --images DIR [--upto SEQUENCE]

Makes boot points of all recovery points of the one image set below DIR that the store does not
have yet, up to a sequence number, with the state in memory and nothing converted. The last line
that it prints is JSON: `wall` and `cpu` seconds from the first look at the folder to the last boot
point that is ready, as in an engine that runs already; the interpreter's start is not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC
from pathlib import Path

from engine.daemon.clock import SystemClock
from engine.daemon.rebuild import rebuild
from engine.guests.simulated import SimulatedConverter
from engine.images.bpi import BpiFormat
from engine.images.watching.patience import PatientSource
from engine.images.watching.scan import Scanner
from engine.images.watching.source import FolderSource
from engine.jobs.sync import sync
from engine.jobs.tools import Tools
from engine.model import planner
from engine.model.conversion import ConversionMode
from engine.model.progress import Progress
from engine.model.standby import Standby
from engine.ports import Clock, Hypervisor, NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.probe import open_store


class _Steps:
    """Tells on standard output how long each step of a sync took."""

    def __init__(self, clock: Clock) -> None:
        """Start the first step."""
        self._clock, self._step, self._since = clock, "prepare", clock.monotonic()

    def take(self, progress: Progress) -> None:
        """Note a step's end when another begins."""
        if progress.step != self._step:
            self.end(progress.step)

    def end(self, following: str = "") -> None:
        """Tell the present step's time."""
        now = self._clock.monotonic()
        print(f"{self._step}: {now - self._since:.2f} s")
        self._step, self._since = following, now


def _no_hypervisor() -> Hypervisor:
    raise RuntimeError("a sync needs no hypervisor")


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--upto", type=int, default=10**9)
    told = parser.parse_args()
    clock, formats = SystemClock(), (BpiFormat(),)
    state = MemoryState()
    store = open_store(told.store, told.kind, "bench")
    rebuild(state, [store], clock.now())
    started, spent = clock.monotonic(), _cpu()
    scanner = Scanner(str(told.images), formats, quiet_s=0, monotonic=clock.monotonic)
    scanner.scan(clock.now())
    view = scanner.scan(clock.now())
    standby = Standby(name="bench", images=str(told.images), conversion=ConversionMode.NONE)
    points = [p for s in view.sets for p in s.points if p.sequence <= told.upto]
    with state.write() as tx:
        tx.save_recovery_points(points)
    source = {"bench": points[0].machine_uuid}
    fresh = planner.new_boot_points({"bench": standby}, source, state.read(), clock.now(), UTC)
    steps, source = _Steps(clock), PatientSource(FolderSource(formats), clock.monotonic)
    for point in fresh:
        with state.write() as tx:
            tx.save_boot_point(point)
        parent = state.boot_point(point.parent) if point.parent else None
        t = Tools(
            standby, state, clock, source, store.chain("bench"),
            SimulatedConverter(), _no_hypervisor, NeverCancelled(), steps.take,
        )  # fmt: skip
        sync(point, parent.replica if parent else None, planner.path_for(point, state.read()), t)
    steps.end()
    print(json.dumps({"wall": clock.monotonic() - started, "cpu": _cpu() - spent}))
    return 0


def _cpu() -> float:
    """Return the CPU seconds of this process and its ended children."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    sys.exit(main())
