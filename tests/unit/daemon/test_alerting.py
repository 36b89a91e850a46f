"""Alerting in a running engine: told once, over restarts; ways that hang; a state that is full."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.daemon.alerting import Alerting
from engine.daemon.clock import ManualClock
from engine.daemon.engine import Engine, Settings
from engine.jobs.power import Shape
from engine.model.alarms import Message, Rules
from engine.model.errors import Failure, NoSpace, NotFound, PartlyTold, Problem
from engine.model.images import RootView
from engine.model.retention import Retention
from engine.model.slots import Limits
from engine.model.standby import Standby
from engine.model.work import Severity
from engine.ports import StateStore
from engine.state.memory import MemoryState
from engine.state.sqlite import SqliteState
from tests.running import Files
from tests.world import MemoryImages

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
FOLDER = "/srv/replica"


class Watcher:
    """A watcher that lives while it is told to."""

    alive = True

    def is_alive(self) -> bool:
        """Tell."""
        return self.alive


@dataclass
class Way:
    """A way that keeps what it was told, fails while told to, and hangs while told to."""

    name: str = "mail"
    where: str = "somewhere"
    least: Severity = Severity.WARNING
    sent: list[Message] = field(default_factory=list)
    fails: bool = False
    refuses: bool = False
    hangs: threading.Event = field(default_factory=threading.Event)
    tries: int = 0

    def __post_init__(self) -> None:
        """Do not hang."""
        self.hangs.set()

    def send(self, message: Message) -> None:
        """Keep it."""
        self.tries += 1
        self.hangs.wait(60)
        if self.fails:
            raise Failure(Problem("alert.not-sent", "No server."))
        self.sent.append(message)
        if self.refuses:
            raise PartlyTold(Problem("alert.not-sent", "No mail for night@b.example."))

    def whats(self) -> list[tuple[str, str]]:
        """Return what it was told, in order."""
        return [(i.alert.key.partition("#")[0], i.what.value) for m in self.sent for i in m.items]


@dataclass
class Beat:
    """Somebody who counts signs of life."""

    where: str = "far"
    every_s: float = 0.01
    signs: int = 0

    def ping(self) -> None:
        """Count."""
        self.signs += 1


def make_engine(state: StateStore, clock: ManualClock) -> Engine:
    """Return an engine that is not started: no loop, no targets."""
    settings = Settings("Hamburg", (), UTC, Retention(), Limits(), Shape(1 << 30, 1))
    engine = Engine(
        settings, state, clock, MemoryImages(), {}, Files({"erp": Standby("erp", FOLDER)})
    )
    engine._watcher = Watcher()
    engine._load_standbys()
    return engine


def offline(engine: Engine, online: bool = False) -> None:
    """Let the watched folder be away, or back."""
    engine.roots[FOLDER] = RootView(FOLDER, online, "" if online else "gone", (), (), START, 0)


def wait(true: Callable[[], bool]) -> None:
    """Wait until something is true, for a minute at most."""
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


@contextmanager
def alerting(engine: Engine, *ways: Way, beats: tuple[Beat, ...] = ()) -> Iterator[Alerting]:
    """Run the threads of alerting."""
    made = Alerting(engine, ways, beats, Rules())
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_a_restart_tells_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    """What was told before the engine ended is not told after; that it is over is."""
    clock, way = ManualClock(START), Way()
    for turn in range(3):
        state = SqliteState(tmp_path / "state.db")
        engine = make_engine(state, clock)
        offline(engine, online=turn == 2)
        with alerting(engine, way) as made:
            made.look()
            clock.advance(130)
            made.look()
            wait(lambda turn=turn: len(way.sent) == (2 if turn == 2 else 1))
        left = Alerting(engine, (way,), (), Rules())
        left.look()
        assert bool(state.read().alerts) is (turn != 2)
        state.close()
    assert way.whats() == [(f"folder:{FOLDER}", "raised"), (f"folder:{FOLDER}", "cleared")]


def test_what_could_not_be_told_is_told_after_a_restart(tmp_path: Path) -> None:
    """A way that failed until the engine ended gets the alert from the next one."""
    clock, way = ManualClock(START), Way(fails=True)
    state = SqliteState(tmp_path / "state.db")
    engine = make_engine(state, clock)
    offline(engine)
    with alerting(engine, way) as made:
        made.look()
        wait(lambda: way.tries > 0)
        wait(lambda: any(line.key == "alert.not-sent" for line in state.journal()))
    state.close()
    way.fails = False
    state = SqliteState(tmp_path / "state.db")
    engine = make_engine(state, clock)
    offline(engine)
    with alerting(engine, way):
        wait(lambda: bool(way.sent))
    state.close()
    assert way.whats() == [(f"folder:{FOLDER}", "raised")]


def test_what_some_got_is_not_sent_again_for_one_who_is_refused() -> None:
    """The others hear once of the trouble, and once that somebody cannot be told."""
    way = Way(refuses=True)
    engine = make_engine(MemoryState(), ManualClock(START))
    offline(engine)
    with alerting(engine, way) as made:
        made.look()
        wait(lambda: "mail" in made.scene(START).deaf)
        made.look()
        wait(lambda: len(way.sent) == 2)
        made.look()
        threading.Event().wait(0.2)
        assert [one.problem for one in made.test()] == ["No mail for night@b.example."]
    assert way.whats() == [(f"folder:{FOLDER}", "raised"), ("way:mail", "raised")]


def test_a_way_that_hangs_holds_up_nobody() -> None:
    """Others are told, the engine goes on, and a test of the others works."""
    stuck, good = Way("stuck"), Way("good")
    stuck.hangs.clear()
    engine = make_engine(MemoryState(), ManualClock(START))
    offline(engine)
    with alerting(engine, stuck, good) as made:
        made.look()
        wait(lambda: bool(good.sent))
        wait(lambda: stuck.tries == 1)
        made.look()
        assert [one.problem for one in made.test("good")] == [""]
        stuck.hangs.set()
        wait(lambda: bool(stuck.sent))
    assert good.sent[-1].is_test


def test_a_test_tells_how_each_way_went() -> None:
    """One that fails says why; a name that is not there is told with those that are."""
    good, bad = Way("good"), Way("bad", fails=True)
    made = Alerting(make_engine(MemoryState(), ManualClock(START)), (good, bad), (), Rules())
    assert [(one.name, one.problem) for one in made.test()] == [("good", ""), ("bad", "No server.")]
    with pytest.raises(NotFound, match="good, bad"):
        made.test("worse")
    with pytest.raises(NotFound, match="nobody is told"):
        Alerting(make_engine(MemoryState(), ManualClock(START)), (), (), Rules()).test()


def test_a_state_that_cannot_be_written_is_told_and_stops_the_heart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The urgent alert leaves from memory; no sign of life is given until it works again."""
    state, way, beat = MemoryState(), Way(), Beat()
    engine = make_engine(state, ManualClock(START))
    full = NoSpace(Problem("state.full", "The disk is full."))

    def refuse() -> None:
        raise full

    with alerting(engine, way, beats=(beat,)) as made:
        wait(lambda: beat.signs > 3)
        with monkeypatch.context() as patched:
            patched.setattr(state, "write", refuse)
            made.look()
            made.look()
            wait(lambda: ("engine:state", "raised") in way.whats())
            count = beat.signs
            threading.Event().wait(0.1)
            assert beat.signs <= count + 1
        made.look()
        wait(lambda: beat.signs > count + 2)
        assert "engine:state" in state.read().alerts


def test_the_heart_stops_when_the_loop_or_the_watcher_does() -> None:
    """Health is read from the loop's last turn and from the watcher's threads."""
    clock = ManualClock(START)
    engine = make_engine(MemoryState(), clock)
    made = Alerting(engine, (), (), Rules())
    assert made.health.unwell() == {}
    clock.advance(179)
    made.look()
    assert made.health.unwell() == {}
    clock.advance(2)
    assert set(made.health.unwell()) == {"loop"}
    engine.turned = clock.monotonic()
    assert made.health.unwell() == {}
    engine._watcher.alive = False
    assert set(made.health.unwell()) == {"watcher"}


def test_an_alert_that_is_looked_after_is_kept_and_told_in_the_journal() -> None:
    """Who and why is stored; an alert that is not there is named."""
    state = MemoryState()
    engine = make_engine(state, ManualClock(START))
    offline(engine)
    made = Alerting(engine, (), (), Rules())
    made.look()
    (key,) = state.read().alerts
    made.acknowledge(key, "the share\r\nmoves", "ops")
    kept = state.read().alerts[key]
    assert (kept.acked_by, "\r" in kept.note) == ("ops", False)
    assert [line.key for line in state.journal()] == ["alert.raised", "alert.acknowledged"]
    with pytest.raises(NotFound, match="Raised are: folder"):
        made.acknowledge("rpo:erp", "", "ops")


def test_silence_and_breach_are_told_with_figures() -> None:
    """The issue's own example: no new image for 26 h, usually every hour."""
    from tests.unit.model.test_ladder import images

    clock = ManualClock(START)
    engine = make_engine(MemoryState(), clock)
    taken = [START - timedelta(hours=26 + back) for back in reversed(range(300))]
    here = [replace(one, root=FOLDER) for one in images(*taken)]
    with engine.state.write() as tx:
        tx.save_recovery_points(here)
    engine.sources["erp"] = here[0].machine_uuid
    engine.standbys["erp"] = replace(
        engine.standbys["erp"], rpo_s=3600, created_at=START - timedelta(hours=5)
    )
    offline(engine, online=True)
    made = Alerting(engine, (), (), Rules())
    made.look()
    told = {key: alert.condition for key, alert in engine.state.read().alerts.items()}
    assert told["silence:erp"].text == "erp: No new image for 26 h; usually every 60 min."
    assert told["rpo:erp"].severity is Severity.ERROR
    assert "no boot point that is ready" in told["rpo:erp"].text


def test_the_file_of_the_state_holds_the_alerts(tmp_path: Path) -> None:
    """What was told to whom is in the database, for the engine that comes after a power cut."""
    state = SqliteState(tmp_path / "state.db")
    engine = make_engine(state, ManualClock(START))
    offline(engine)
    way = Way()
    with alerting(engine, way) as made:
        made.look()
        wait(lambda: any(one.told for one in state.read().alerts.values()))
    state.close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        (body,) = connection.execute("SELECT body FROM alerts").fetchone()
    connection.close()
    assert '"mail":{"what":"raised"' in body
