"""What scans brought, taken in batch by batch, so that jobs begin before all is taken in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from engine.daemon import views as viewing
from engine.daemon.clock import ManualClock
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.targets import Target
from engine.daemon.views import Views
from engine.guests.simulated import SimulatedConverter
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.jobs.power import Shape
from engine.model.errors import NoSpace, Problem
from engine.model.layers import Layer, LayerName
from engine.model.retention import Retention
from engine.model.slots import Limits
from engine.model.standby import Standby
from engine.model.work import Job, JobStatus, WantedJob
from engine.ports import Transaction
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryChain, MemoryStore
from tests.bench.largehub import Files, Folders, Images
from tests.bench.largesite import START, Site, recovery_points, standbys, view
from tests.site import wait_for

SITE = Site(machines=12, points=1, waiting=2)


def brought(views: Views) -> list[str]:
    """Take a batch and return its folders."""
    return [one.root for one in views.batch()]


def test_a_batch_is_bounded_and_whoever_waits_longest_is_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A newer view takes the place of the older one of its folder, and its turn."""
    monkeypatch.setattr(viewing, "BATCH", 5)
    views = Views()
    for name in ("m0", "m1", "m2"):
        views.put(view(name, recovery_points(name, 3)))
    newer = view("m0", recovery_points("m0", 4))
    views.put(newer)
    assert views.batch()[0] is newer
    assert brought(views) == ["/images/m2"]
    assert not views


def test_batches_double_while_more_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a decision that looks at all standbys; the first is small, so that jobs begin."""
    monkeypatch.setattr(viewing, "BATCH", 5)
    monkeypatch.setattr(viewing, "MOST", 10)
    views = Views()
    for _ in range(2):
        for number in range(12):
            views.put(view(f"m{number}", recovery_points(f"m{number}", 3)))
        assert [len(views.batch()) for _ in range(4)] == [2, 4, 4, 2]


def test_a_folder_larger_than_a_batch_is_taken_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is too large for a batch makes one of its own."""
    monkeypatch.setattr(viewing, "BATCH", 2)
    views = Views()
    views.put(view("m0", recovery_points("m0", 50)))
    views.put(view("m1", recovery_points("m1", 1)))
    assert brought(views) == ["/images/m0"]
    assert brought(views) == ["/images/m1"]


def test_what_could_not_be_taken_in_comes_back_first_unless_there_is_newer() -> None:
    """A full disk loses no arrival."""
    views = Views()
    old, other = view("m0", recovery_points("m0", 1)), view("m1", recovery_points("m1", 1))
    newer = view("m1", recovery_points("m1", 2))
    views.put(newer)
    views.back([old, other])
    assert views.batch() == [old, newer]


# --- in the engine --------------------------------------------------------------------------


class FullState(MemoryState):
    """A state whose disk is full at times."""

    is_full = False

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Refuse while the disk is full."""
        if self.is_full:
            raise NoSpace(Problem("state.full", "The disk is full."))
        with super().write() as tx:
            yield tx


def an_engine(state: MemoryState, store: MemoryStore) -> Engine:
    """Return an engine of the site, not started."""
    target = Target(
        "local",
        "simulated",
        store,
        lambda: SimulatedHypervisor("local", store.chain),
        SimulatedConverter(),
    )
    settings = Settings("test", (), UTC, Retention(), Limits(jobs=2), Shape())
    clock = ManualClock(START + timedelta(days=30))
    known = Files(standbys(SITE))
    return Engine(settings, state, clock, Images(), {"local": target}, known)


def folders(engine: Engine) -> Folders:
    """Return a watcher that brings all views at once."""
    views = {f"/images/{n}": view(n, recovery_points(n, 3)) for n in SITE.names()}
    return Folders(views, engine.on_view)


def until(engine: Engine, true: Callable[[], bool]) -> None:
    """Wait until something is true, then stop the engine."""
    try:
        wait_for(true, 60, lambda: str(engine.state.journal()))
    finally:
        engine.stop()


def test_jobs_begin_before_all_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job began while most folders waited for their turn; in the end all is taken in."""
    monkeypatch.setattr(viewing, "BATCH", 1)
    state = MemoryState()
    engine = an_engine(state, MemoryStore())
    arrived_by_then: list[int] = []
    queue = engine.queue

    def told(standby: Standby, wanted: WantedJob) -> Job:
        arrived_by_then.append(len(state.read().recovery_points))
        return queue(standby, wanted)

    monkeypatch.setattr(engine, "queue", told)
    engine.start(folders(engine))
    until(engine, lambda: len(state.read().recovery_points) == 36)
    assert arrived_by_then[0] < 36


def test_a_full_disk_loses_no_arrival() -> None:
    """What could not be stored is stored once there is room, though its folder did not change."""
    state = FullState()
    engine = an_engine(state, MemoryStore())
    engine.standbys = dict(standbys(SITE))
    for one in folders(engine).views.values():
        engine.on_view(one)
    state.is_full = True
    with pytest.raises(NoSpace):
        engine._take_views()
    state.is_full = False
    assert engine._take_views()
    assert len(state.read().recovery_points) == 36


class HangingStore(MemoryStore):
    """A store that does not tell the layers of one standby until it may."""

    def __init__(self, name: str) -> None:
        """Hang at the layers of `name`."""
        super().__init__()
        self.name, self.may = name, threading.Event()

    def chain(self, standby: str) -> MemoryChain:
        """Return a chain that hangs, or one that does not."""
        chain = super().chain(standby)
        if standby == self.name and not self.may.is_set():
            layers = chain.layers

            def hang() -> Mapping[LayerName, Layer]:
                self.may.wait(60)
                return layers()

            chain.layers = hang  # type: ignore[method-assign]  # only here
        return chain


def test_nobody_is_worked_on_before_its_layers_were_looked_at() -> None:
    """Those whose layers are known go on; the one whose store hangs waits alone."""
    state, store = MemoryState(), HangingStore("m0005")
    engine = an_engine(state, store)
    engine.start(folders(engine))

    def served() -> set[str]:
        done = (job for job in state.read().jobs.values() if job.status is JobStatus.DONE)
        return {job.standby for job in done}

    try:
        wait_for(lambda: {"m0000", "m0004"} <= served(), 60, lambda: str(state.journal()))
        assert "m0005" not in {job.standby for job in state.read().jobs.values()}
    finally:
        store.may.set()
        until(engine, lambda: served() == set(SITE.names()))


def test_only_who_follows_a_changed_folder_is_matched_again() -> None:
    """A view of one folder changes nothing about others, but of those who wait."""
    engine = an_engine(MemoryState(), MemoryStore())
    engine.standbys = dict(standbys(SITE))
    engine.sources, engine.waiting = {"m0001": "other"}, {"m0001": [], "m0002": ["it was so"]}
    engine.on_view(view("m0000", recovery_points("m0000", 1)))
    assert engine._take_views()
    assert engine.sources == {"m0000": "m0000-uuid", "m0001": "other"}
    assert engine.waiting["m0001"] == []
    assert "No image" in engine.waiting["m0002"][0]
    gone = replace(view("m0001", recovery_points("m0001", 1)), sets=())
    engine.on_view(gone)
    assert engine._take_views()
    assert "No image" in engine.waiting["m0001"][0]
