"""The engine of a large site in this process: targets simulated, layers in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from blake3 import blake3

from engine.daemon.clock import SystemClock
from engine.daemon.desk import Desk
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.reports import Reports
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.jobs.power import Shape
from engine.model import planner
from engine.model.extents import Kind, Piece
from engine.model.images import RecoveryPoint, RootView
from engine.model.layers import DiskManifest, LayerKind, LayerManifest, LayerName, layer_name
from engine.model.points import boot_point_id
from engine.model.retention import Retention
from engine.ports import NEVER, Cancel, DiskReader, PointReader
from engine.state.sqlite import SqliteState
from engine.stores.memory import MemoryStore
from tests.bench.largesite import DISK, PAGE, Site, picture, recovery_points, standbys, view
from tests.readers import KnownDisk
from tests.running import Files

_CONTENT = bytes(range(256)) * (PAGE // 256)
_DIGEST = blake3(_CONTENT).digest(length=16)


class OnePage(KnownDisk):
    """A `DiskReader` whose layer is one page."""

    size = DISK

    def pieces(self) -> Iterator[Piece]:
        """Yield the page."""
        yield Piece(0, PAGE, Kind.DATA, _DIGEST)

    def content(self, piece: Piece) -> bytes:
        """Return as much of it."""
        return _CONTENT[: piece.length]


class OnePoint:
    """A `PointReader` of one small disk."""

    disks: Sequence[DiskReader] = (OnePage(),)

    def unchanged(self) -> None:
        """Memory does not change."""


class Images:
    """An `ImageSource` that opens every point."""

    @contextmanager
    def open(
        self,
        point: RecoveryPoint,  # noqa: ARG002 - all are alike
        cancel: Cancel = NEVER,  # noqa: ARG002 - DiskReader answers
    ) -> Iterator[PointReader]:
        """Open a point."""
        yield OnePoint()


class Folders:
    """A `Watcher` that finds all images at once."""

    def __init__(self, views: Mapping[str, RootView], on_view: Callable[[RootView], None]) -> None:
        """Keep the views."""
        self.views, self._on_view = views, on_view

    def add_root(self, root: str) -> None:
        """Tell at once what is there."""
        self._on_view(self.views[root])

    def remove_root(self, root: str) -> None:
        """Do nothing."""

    def settled(self) -> bool:
        """Tell that all was scanned."""
        return True

    def is_alive(self) -> bool:
        """Tell that nothing hangs."""
        return True

    def stop(self) -> None:
        """Do nothing."""


def fill(store: MemoryStore, site: Site) -> None:
    """Make the sealed layers of all boot points that are there."""
    number = 0
    for name in site.names():
        chain, parent = store.chain(name), None
        for point in recovery_points(name, site.points):
            number += 1
            ident = boot_point_id(number)
            replica = layer_name(ident, LayerKind.REPLICA)
            for kind, below in ((LayerKind.REPLICA, parent), (LayerKind.CONVERSION, replica)):
                made = _manifest(point, name, ident, kind, below)
                chain.add(made.layer, below, kind, [DISK])
                chain.seal(made.layer, made)
            parent = replica


def _manifest(
    point: RecoveryPoint, standby: str, ident: str, kind: LayerKind, parent: LayerName | None
) -> LayerManifest:
    disk = DiskManifest(DISK, f"{standby}-disk", digest=blake3(b"").hexdigest())
    return LayerManifest(
        layer=layer_name(ident, kind),
        parent=parent,
        kind=kind,
        standby=standby,
        boot_point=ident,
        recovery_point=point.id,
        set_id=point.set_id,
        machine=standby,
        machine_uuid=point.machine_uuid,
        sequence=point.sequence,
        taken_at=point.taken_at,
        sealed_at=point.taken_at,
        disks=[disk],
    )


def remember(path: Path, site: Site) -> None:
    """Write the state's file: what an engine of a full site left when it ended."""
    state = SqliteState(path)
    told = picture(replace(site, waiting=0))
    with state.write() as tx:
        tx.save_recovery_points(list(told.recovery_points.values()))
        for point in told.boot_points.values():
            tx.save_boot_point(point)
    state.close()


class Hub:
    """The engine of a simulated site, and when it began to be made."""

    def __init__(self, site: Site, path: Path, waiting: int) -> None:
        """Make what an engine finds, and then the engine.

        Args:
            site: Its layers are there, as they are on a real store.
            path: Of the state's file.
            waiting: Increments of each machine that have arrived meanwhile.
        """
        store, known = MemoryStore(), standbys(site)
        fill(store, site)
        views = {}
        for name in site.names():
            points = recovery_points(name, site.points + waiting)
            views[f"/images/{name}"] = view(name, points)
        self.began, self.cpu = time.perf_counter(), time.process_time()
        self.state = SqliteState(path)
        target = Target(
            "local",
            "simulated",
            store,
            lambda: SimulatedHypervisor("local", store.chain),
            SimulatedConverter(),
        )
        settings = Settings("hub", (), UTC, Retention(), planner.Limits(jobs=2), Shape())
        self.engine = Engine(
            settings, self.state, SystemClock(), Images(), {"local": target}, Files(known)
        )
        reports = Reports(path.parent / "reports", self.engine.clock.now, lambda *_: None)
        self.desk = Desk(self.engine, reports)
        self.engine.start(Folders(views, self.engine.on_view))

    def passed(self) -> tuple[float, float]:
        """Return wall and processor seconds since it began to be made."""
        return time.perf_counter() - self.began, time.process_time() - self.cpu

    def stop(self) -> None:
        """Stop it."""
        self.engine.stop()
        self.state.close()
