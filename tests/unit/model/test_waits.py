"""Who waits and what for; who goes first; what an absent file is called."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.model.filenames import likely_names
from engine.model.images import RecoveryPoint
from engine.model.points import Stage
from engine.model.slots import Limits, choose, in_turn
from engine.model.standby import Priority, Standby
from engine.model.state import State
from engine.model.waits import Bound, Wait, waits
from engine.model.work import Job, JobId, JobKind, JobStatus, WantedJob
from tests.scripted import NOW, boot_point, recovery_point

END = datetime(2026, 3, 2, 18, tzinfo=UTC)
SLOT = Wait(Bound.ENGINE, "All 2 slots of the engine are taken.")
PENDING = boot_point(7, recovery_point("erp", 7, NOW), stage=Stage.PENDING)


def running(number: int) -> Job:
    """Return a job that runs on boot point `number`."""
    made = boot_point(number, recovery_point("erp", number, NOW))
    return Job(JobId(3), JobKind.RETIRE, "erp", made.id, JobStatus.RUNNING, NOW)


def test_what_holds_a_machine_up_is_told_once() -> None:
    """Its own job before a slot, a slot before a window; nobody waits without something to do."""
    assert waits([], None, None, END) is None
    assert waits([PENDING], None, None, None) is None
    assert waits([PENDING], None, SLOT, END) == SLOT
    assert waits([PENDING], running(7), None, None) is None
    held = waits([PENDING], running(1), SLOT, None)
    assert held is not None
    assert (held.bound, held.text) == (
        Bound.VM,
        "A boot point waits for job 3 (retire): a machine has one at a time.",
    )
    window = waits([PENDING], None, None, END)
    assert window is not None
    assert (window.bound, window.until) == (Bound.BLACKOUT, END)
    assert waits([replace(PENDING, asked=True)], None, None, END) is None


def test_what_is_asked_for_by_hand_goes_first() -> None:
    """Before high priority, and before whoever was not served for a round."""
    standbys = {
        "a": Standby("a", "/a", priority=Priority.HIGH),
        "b": Standby("b", "/b"),
        "c": Standby("c", "/c", priority=Priority.LOW),
    }
    wanted = [WantedJob(JobKind.SYNC, name, None, "") for name in ("a", "b")]
    mine = WantedJob(JobKind.SYNC, "c", None, "", asked=True)
    done = [
        Job(JobId(n), JobKind.SYNC, "c", None, JobStatus.DONE, NOW) for n in range(1, 9)
    ]  # c alone was served lately, so the others are overdue
    assert in_turn([*wanted, mine], standbys, done)[0] == mine
    state = State(jobs={job.id: job for job in done})
    choice = choose([*wanted, mine], standbys, state, Limits(jobs=1))
    assert choice.jobs == [mine]
    assert choice.waiting["a"] == Wait(Bound.ENGINE, "The one slot of the engine is taken.")


def test_a_target_that_is_away_holds_up_its_own_only() -> None:
    """Nothing is begun on it, not even what is asked for; it says why."""
    standbys = {"a": Standby("a", "/a", target="away"), "b": Standby("b", "/b")}
    wanted = [WantedJob(JobKind.SYNC, name, None, "", asked=True) for name in standbys]
    choice = choose(wanted, standbys, State(), Limits(away={"away": "It is not there."}))
    assert [one.standby for one in choice.jobs] == ["b"]
    assert choice.waiting == {"a": Wait(Bound.AWAY, "It is not there.")}


def named(sequence: int, *files: str) -> RecoveryPoint:
    """Return a recovery point whose disks lie in these files."""
    point = recovery_point("erp", sequence, NOW + timedelta(hours=sequence))
    return replace(point, disks=tuple(replace(point.disks[0], path=f"erp/{f}") for f in files))


@pytest.mark.parametrize(
    ("other", "near", "names"),
    [
        ("erp-i012.bpi", "erp-i014.bpi", ["erp-i013.bpi"]),
        ("p000012-20260227T030000Z-d00.bpi", "p000014-20260301T040000Z-d00.bpi",
         ["p000013-*Z-d00.bpi"]),
        ("x-12-a1b2.img", "x-14-c3d4.img", []),  # letters that differ: it is no pattern
        ("x-112.img", "x-114.img", []),  # the number is another one
        ("12.img", "backup-14.img", []),
    ],
)  # fmt: skip
def test_an_absent_file_is_named_by_its_neighbours(other: str, near: str, names: list[str]) -> None:
    """Only where two names and their numbers agree; what differs between them is left open."""
    mine, theirs = named(14, near), named(12, other)
    assert list(likely_names(13, mine, [theirs, mine])) == names
    assert likely_names(13, mine, [mine]) == ()


def test_each_disk_of_an_absent_point_has_its_name() -> None:
    """Disks are compared one by one; a name with an escape sequence is made harmless."""
    mine = named(14, "a-14-d0.bpi", "a-14-d1\x1b[2J.bpi")
    theirs = named(12, "a-12-d0.bpi", "a-12-d1\x1b[2J.bpi")
    told = likely_names(13, mine, [theirs, mine])
    assert told[0] == "a-13-d0.bpi"
    assert "\x1b" not in told[1]
