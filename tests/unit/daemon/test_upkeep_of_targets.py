"""What a target's own thread finds out: how quickly it writes, and what consolidation will copy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.api.present import Presenter
from engine.daemon.clock import ManualClock
from engine.daemon.latencies import Latencies
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.model.errors import HypervisorError, Problem
from engine.model.latency import Measure
from engine.model.retention import Retention
from engine.model.slots import Limits
from engine.model.space import Seen
from engine.stores.memory import MemoryStore
from engine.stores.probe import open_store
from tests.running import Running, running, wait
from tests.world import START, no_hypervisor


def keys(one: Running) -> list[str]:
    """Return the keys of the journal."""
    return [line.key for line in one.state.journal()]


def test_a_slow_target_gets_one_job_at_a_time_and_says_why(tmp_path: Path) -> None:
    """Begin and end are in the journal with figures; the reason stands with the target."""
    stores = {"nas": MemoryStore(), "local": MemoryStore()}
    standbys = {"erp": "nas", "web": "nas", "dc": "local"}
    with running(stores, standbys, tmp_path / "reports", Limits(jobs=9)) as one:
        latencies = one.engine.latencies
        for _ in range(30):
            latencies.take(one.engine, "nas", Measure.WRITE, 0.02)
        for _ in range(4):
            latencies.take(one.engine, "nas", Measure.WRITE, 1.2)
        slow = latencies.slow(one.engine.clock.monotonic())
        assert list(slow) == ["nas"]
        assert keys(one).count("target.slow") == 1
        views = Presenter().views(one.desk.snapshot())
        nas = next(view for view in views.targets if view.id == "nas")
        assert (nas.state, nas.latency_s, nas.usual_latency_s) == ("ready", 1.2, 0.02)
        assert nas.findings == [slow["nas"]]
        for name in standbys:
            one.arrive(name)
        one.idle()
        assert all(len(one.state.read().ready(name)) == 1 for name in standbys)
        for _ in range(4):
            latencies.take(one.engine, "nas", Measure.WRITE, 0.03)
        assert latencies.slow(one.engine.clock.monotonic()) == {}
        assert keys(one).count("target.quick") == 1
        job = one.desk.start("erp", None, "me")
        wait(lambda: one.state.job(job.id) and "erp" in one.state.read().runs)


def test_a_write_that_does_not_end_is_slow_too(tmp_path: Path) -> None:
    """While a measurement hangs, asking does not; jobs are held back all the same."""
    with running({"nas": MemoryStore()}, {"erp": "nas"}, tmp_path / "reports") as one:
        now = one.engine.clock.monotonic()
        one.engine.latencies._since["nas", Measure.WRITE] = now - 42
        assert "has not ended for 42 s" in one.engine.latencies.slow(now)["nas"]
        one.engine.latencies._since.clear()


def test_a_hypervisor_that_answers_slowly_holds_its_target_back_too(tmp_path: Path) -> None:
    """Both reasons are told in one sentence; each ends by itself, and a write is no answer."""
    with running({"nas": MemoryStore()}, {"erp": "nas"}, tmp_path / "reports") as one:
        latencies, now = one.engine.latencies, one.engine.clock.monotonic()
        for what in Measure:
            for took in [0.02] * 30 + [0.9] * 4:
                latencies.take(one.engine, "nas", what, took)
        assert "a small durable write takes 900 ms" in latencies.slow(now)["nas"]
        assert (
            "question to its hypervisor takes 900 ms, usually 20 ms" in latencies.slow(now)["nas"]
        )
        view = Presenter().views(one.desk.snapshot()).targets[0]
        assert (view.call_latency_s, view.usual_call_latency_s) == (0.9, 0.02)
        for _ in range(4):
            latencies.take(one.engine, "nas", Measure.WRITE, 0.02)
        assert "write" not in latencies.slow(now)["nas"]
        for _ in range(4):
            latencies.take(one.engine, "nas", Measure.CALL, 0.02)
        assert latencies.slow(now) == {}
        assert (keys(one).count("target.slow"), keys(one).count("target.quick")) == (2, 2)


class Late:
    """A hypervisor that takes its time, and may fail after it."""

    def __init__(self, clock: ManualClock, seconds: float, *, fails: bool = False) -> None:
        """Take so many seconds of a clock."""
        self._clock, self._seconds, self._fails = clock, seconds, fails

    def ping(self) -> None:
        """Take the time."""
        self._clock.advance(self._seconds)
        if self._fails:
            raise HypervisorError(Problem("target.lost", "It did not answer."))


@pytest.mark.parametrize(
    ("seconds", "fails", "known"),
    [(3.0, False, 3.0), (0.1, True, None), (60.0, True, 60.0)],
    ids=["late", "refused at once", "timed out"],
)
def test_what_counts_as_an_answer(seconds: float, fails: bool, known: float | None) -> None:
    """A call that times out was slow; one refused at once tells nothing about its pace."""
    clock, latencies = ManualClock(START), Latencies()
    late = Late(clock, seconds, fails=fails)
    engine: Any = SimpleNamespace(clock=clock)
    latencies.measure_call(engine, cast("Any", SimpleNamespace(name="nas", opened=lambda: late)))
    assert latencies.of("nas", Measure.CALL).now == known
    assert latencies.slow(clock.monotonic()) == {}


def test_a_target_that_is_not_open_is_not_asked() -> None:
    """Measuring opens nothing."""
    latencies = Latencies()
    target: Any = SimpleNamespace(name="nas", opened=lambda: None)
    latencies.measure_call(cast("Any", SimpleNamespace(clock=ManualClock(START))), target)
    assert latencies.of("nas", Measure.CALL).now is None


def test_room_is_kept_for_what_retention_will_fold(tmp_path: Path) -> None:
    """On qcow2 the largest pending fold is taken off the room; nothing pending takes nothing."""
    store = open_store(tmp_path / "store", "qcow2", "local")
    with running({"local": store}, {"erp": "local"}, tmp_path / "reports") as one:
        target = one.targets["local"]
        one.arrive("erp", 4)
        one.idle()
        one.engine.folds.look(one.engine, target)
        assert one.engine.folds.largest["local"] == 0
        one.desk.hold("erp", "so that nothing is folded yet", "me")
        one.desk.set_retention("erp", 1, Retention(floor=1), "me")
        one.engine.folds.look(one.engine, target)
        fold = one.engine.folds.largest["local"]
        assert fold > 0
        one.engine.rooms._looked = None
        one.engine.rooms.look(one.engine)
        room = one.engine.rooms.known["local"]
        assert (room.fold, room.usable) == (fold, max(room.free - room.reserve - fold, 0))
        view = Presenter().views(one.desk.snapshot()).targets[0]
        assert (view.fold, view.total) == (fold, room.total)
        one.desk.resume("erp", "me")
        one.idle()
        one.engine.folds.look(one.engine, target)
        assert one.engine.folds.largest["local"] == 0
    store.close()


def test_what_was_seen_of_free_space_outlives_a_restart(tmp_path: Path) -> None:
    """Looks are written beside the target's findings; a damaged file counts for nothing."""

    def target() -> Target:
        converter = SimulatedConverter()
        return Target("nas", "simulated", MemoryStore(), no_hypervisor, converter, tmp_path)

    begin, first = datetime(2026, 3, 1, tzinfo=UTC), target()
    for hours in range(72):
        now = Seen(begin + timedelta(hours=hours), 10**12 - hours * 10**9, 10**13)
        pace = first.remember(now)
    assert pace is not None
    again = target()
    assert again.remember(now) == pace
    assert abs(pace - 24 * 10**9) < 10**9
    (tmp_path / "room.json").write_text("[[1]]")
    assert target().remember(now) is None
