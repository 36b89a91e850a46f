"""One seed or sync, as the engine does it, in a process of its own (for wall, CPU, peak memory).

    python -m tests.bench.seed --store DIR --kind reflink --images DIR [--upto SEQUENCE]

Makes boot points of all recovery points of the one image set below DIR that the store does not
have yet, up to a sequence number, with the state in memory.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC
from pathlib import Path

from engine.daemon.clock import SystemClock
from engine.daemon.rebuild import rebuild
from engine.images.bpi import BpiFormat
from engine.images.watching.scan import Scanner
from engine.images.watching.source import FolderSource
from engine.jobs.sync import sync
from engine.jobs.tools import Tools
from engine.model import planner
from engine.model.standby import Standby
from engine.ports import Hypervisor, NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.probe import open_store


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
    scanner = Scanner(str(told.images), formats, quiet_s=0, monotonic=clock.monotonic)
    scanner.scan(clock.now())
    view = scanner.scan(clock.now())
    standby = Standby(name="bench", images=str(told.images))
    state = MemoryState()
    store = open_store(told.store, told.kind, "bench")
    rebuild(state, [store], clock.now())
    points = [p for s in view.sets for p in s.points if p.sequence <= told.upto]
    with state.write() as tx:
        tx.save_recovery_points(points)
    source = {"bench": points[0].machine_uuid}
    fresh = planner.new_boot_points({"bench": standby}, source, state.read(), clock.now(), UTC)
    for point in fresh:
        with state.write() as tx:
            tx.save_boot_point(point)
        parent = state.boot_point(point.parent) if point.parent else None
        t = Tools(
            standby, state, clock, FolderSource(formats), store.chain("bench"),
            _no_hypervisor, NeverCancelled(), lambda _progress: None,
        )  # fmt: skip
        sync(point, parent.replica if parent else None, planner.path_for(point, state.read()), t)
    return 0


if __name__ == "__main__":
    sys.exit(main())
