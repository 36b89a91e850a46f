"""The ransomware guard in the engine: the hold it sets, and its release by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

from engine.daemon import guarding
from engine.daemon.clock import ManualClock
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.jobs.power import Shape
from engine.model.guard import GUARD
from engine.model.images import RecoveryPoint
from engine.model.retention import Retention
from engine.model.slots import Limits
from engine.state.memory import MemoryState
from tests.bench.largehub import Files, Images
from tests.bench.largesite import DISK, START, Site, recovery_points, standbys


def sized(point: RecoveryPoint, rate: float, density: float) -> RecoveryPoint:
    """Return a point of a 64 GiB disk of which `rate` changed."""
    part = point.disks[0].part
    changed = int(rate * DISK * 65536)
    part = replace(part, size=DISK * 65536, data_bytes=changed, file_size=int(changed * density))
    disks = (replace(point.disks[0], part=part),)
    return replace(point, disks=disks, arrived_at=point.taken_at)


def engine_with(attacked: int) -> tuple[Engine, Files]:
    """Return an engine, not started, whose machine has 20 usual increments and some attacked."""
    known = standbys(Site(1, 30, 0))
    state, files = MemoryState(), Files(known)
    clock = ManualClock(START + timedelta(days=30))
    settings = Settings("test", (), UTC, Retention(), Limits(), Shape())
    engine = Engine(settings, state, clock, Images(), {}, files)
    engine.standbys, engine.sources = known, {"m0000": "m0000-uuid"}
    points = recovery_points("m0000", 21 + attacked)
    usual = [sized(point, 0.01, 0.4) for point in points[:21]]
    odd = [sized(point, 0.3, 1.0) for point in points[21:]]
    with state.write() as tx:
        tx.save_recovery_points([*usual, *odd])
    return engine, files


def test_usual_increments_set_no_hold() -> None:
    """A quiet machine's retention works on."""
    engine, _files = engine_with(0)
    assert not guarding.watch_all(engine, engine.state.read())
    assert engine.standbys["m0000"].retention.hold == ""


def test_an_attack_puts_retention_on_hold_once_and_says_why() -> None:
    """The hold is in memory and in the standby's file, the journal has one line with figures."""
    engine, files = engine_with(1)
    assert guarding.watch_all(engine, engine.state.read())
    assert not guarding.watch_all(engine, engine.state.read())
    assert engine.standbys["m0000"].retention.hold.startswith(GUARD)
    assert files.load()[0]["m0000"].retention.hold.startswith(GUARD)
    lines = [line for line in engine.state.journal() if line.key == "guard.frozen"]
    assert len(lines) == 1
    assert "changed 30.0 % of the disks" in lines[0].text


def test_release_by_hand_lets_retention_work_and_stays_released() -> None:
    """What had arrived when it was released raises no second alarm; the next attack does."""
    engine, files = engine_with(1)
    guarding.watch_all(engine, engine.state.read())
    guarding.release(engine, engine.standbys["m0000"], "an archive was copied", "anna")
    assert not guarding.watch_all(engine, engine.state.read())
    told = files.load()[0]["m0000"]
    assert (told.retention.hold, told.guard_released) == ("", engine.clock.now())
    assert "an archive was copied" in engine.state.journal()[-1].text


def test_a_hold_by_an_operator_is_left_alone() -> None:
    """The guard neither replaces nor releases what a person set."""
    engine, _files = engine_with(1)
    mine = replace(engine.standbys["m0000"], retention=Retention(hold="anna: audit"))
    engine.standbys["m0000"] = mine
    assert not guarding.watch_all(engine, engine.state.read())
    guarding.release(engine, mine, "", "ben")
    assert engine.standbys["m0000"].retention.hold == "anna: audit"
