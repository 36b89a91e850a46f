"""A real engine, its loop turning, over machines whose images are in memory.

with running({"local": store}, {"erp": "local", "web": "rehearsal"}) as one:
    one.arrive("erp", 2)            a full and an increment
    one.idle()                      until nothing is due
    one.engine, one.desk, one.state
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from engine.daemon.clock import SystemClock
from engine.daemon.desk import Desk
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.reports import Reports
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.jobs.power import Shape
from engine.model.errors import Problem
from engine.model.images import ImageSet, RecoveryPoint, RootView
from engine.model.planner import Limits
from engine.model.retention import Retention
from engine.model.standby import Standby
from engine.ports import NEVER, Cancel, Hypervisor, PointReader, Store
from engine.state.memory import MemoryState
from tests.world import START, MemoryDisk, MemoryImages, data

PATIENCE_S = 60.0


class Files:
    """`standbys.d` in memory."""

    def __init__(self, known: Mapping[str, Standby]) -> None:
        """Keep the standbys."""
        self.known = dict(known)

    def load(self) -> tuple[dict[str, Standby], dict[str, Problem]]:
        """Return them."""
        return dict(self.known), {}

    def marks(self) -> Mapping[str, object]:
        """Return each."""
        return dict(self.known)

    def write(self, standby: Standby) -> str:
        """Keep one."""
        self.known[standby.name] = standby
        return self.path(standby.name)

    def remove(self, name: str) -> None:
        """Forget one."""
        del self.known[name]

    def path(self, name: str) -> str:
        """Return a name for it."""
        return f"/standbys.d/{name}.toml"


class Folders:
    """A `Watcher` that is told what it sees."""

    def add_root(self, root: str) -> None:
        """See nothing yet."""

    def remove_root(self, root: str) -> None:
        """Do nothing."""

    def settled(self) -> bool:
        """Tell that all was scanned."""
        return True

    def is_alive(self) -> bool:
        """Tell that it lives."""
        return True

    def stop(self) -> None:
        """Do nothing."""


class Running:
    """The engine, and the images of its machines."""

    def __init__(
        self,
        stores: Mapping[str, Store],
        standbys: Mapping[str, Standby],
        limits: Limits,
        reports: Path,
    ) -> None:
        """Wire it."""
        self.images = {
            name: MemoryImages(machine=str(uuid5(NAMESPACE_DNS, name)), name=name)
            for name in standbys
        }
        self.newest: dict[str, RecoveryPoint] = {}
        self._reports = reports
        self.state, self.files = MemoryState(), Files(standbys)
        self.targets = {
            name: Target(name, "simulated", store, self._opener(name, store), SimulatedConverter())
            for name, store in stores.items()
        }
        self._settings = Settings("test", (), UTC, Retention(), limits, Shape())
        self.wire()

    def _opener(self, name: str, store: Store) -> Callable[[], Hypervisor]:
        vms = self._reports.with_name(f"vms-{name}")
        return lambda: SimulatedHypervisor(name, store.chain, vms)

    def wire(self) -> None:
        """Make an engine that is not started, over the state that there is."""
        clock, files = SystemClock(), self.files
        self.engine = Engine(self._settings, self.state, clock, self, self.targets, files)
        reports = Reports(self._reports, self.engine.clock.now, lambda *_: None)
        self.desk = Desk(self.engine, reports)

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """End the engine, do something, and start another one."""
        self.engine.stop()
        meanwhile()
        self.wire()
        self.engine.start(Folders())

    def open(
        self, point: RecoveryPoint, cancel: Cancel = NEVER
    ) -> AbstractContextManager[PointReader]:
        """Open a point of any machine."""
        return self.images[point.machine_name].open(point, cancel)

    def arrive(self, name: str, count: int = 1) -> None:
        """Let so many images of a machine arrive, the first ever a full."""
        images = self.images[name]
        for _ in range(count):
            before = self.newest.get(name)
            number = before.sequence + 1 if before else 1
            content = bytes([number % 251]) * 4096
            disk = MemoryDisk(4 << 20, [data(65536 * number, content)])
            self.newest[name] = images.add([disk], before, number)
        points = tuple(point for point, _ in images.points.values())
        family = ImageSet(points[0].set_id, images.machine, name, points[0].root, points, {})
        view = RootView(points[0].root, True, "", (family,), (), START, len(points))
        self.engine.on_view(view)

    def idle(self) -> None:
        """Wait until nothing is due."""
        self.engine._quiet_turns = 0
        ended = threading.Thread(target=self.engine.wait_idle, daemon=True)
        ended.start()
        ended.join(PATIENCE_S)
        assert not ended.is_alive()


def wait(true: Callable[[], object]) -> None:
    """Wait until something is true, for a minute at most."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


@contextmanager
def running(
    stores: Mapping[str, Store],
    standbys: Mapping[str, str],
    reports: Path,
    limits: Limits | None = None,
) -> Iterator[Running]:
    """Start an engine.

    Args:
        stores: Of each target.
        standbys: Name -> its target.
        reports: A folder that need not exist.
        limits: How much at once.
    """
    known = {
        name: Standby(name, "/images" if name == "erp" else f"/images/{name}", target=target)
        for name, target in standbys.items()
    }
    one = Running(stores, known, limits or Limits(), reports)
    one.engine.start(Folders())
    try:
        yield one
    finally:
        one.engine.stop()
