"""How long a start takes, by what earlier starts took."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.model.machine import Power, Signs
from engine.model.pace import Pace, last_start, lasted, pace, with_signs
from engine.model.points import boot_point_id
from engine.model.work import Job, JobId, JobKind, JobStatus, Phase, Run

T0 = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return a moment so many seconds after the beginning."""
    return T0 + timedelta(seconds=seconds)


def start(number: int = 1, name: str = "erp", power_s: float = 4.0, **more: object) -> Job:
    """Return a start: 1 s of waiting, 2 s of scratch, 1 s of defining, then power on."""
    steps = (("scratch", 1.0), ("define", 3.0), ("power on", 4.0))
    job = Job(
        JobId(number),
        JobKind.START,
        name,
        boot_point_id(7),
        JobStatus.DONE,
        T0,
        at(1),
        at(4 + power_s),
        phases=tuple(Phase(step, at(seconds)) for step, seconds in steps),
    )
    return replace(job, **more)  # type: ignore[arg-type]


def run_of(job: Job) -> Run:
    """Return the VM that a start left."""
    assert job.boot_point is not None
    return Run(job.standby, job.boot_point, "scratch", at(1))  # type: ignore[arg-type]


def test_each_phase_lasts_until_the_next_begins() -> None:
    """The turn is what passed before the job began; the last step ends with the job."""
    told = [(one.name, one.seconds) for one in lasted(start())]
    assert told == [("turn", 1.0), ("scratch", 2.0), ("define", 1.0), ("power on", 4.0)]


def test_the_phase_under_way_has_no_end() -> None:
    """Of a live job the newest phase lasts; one that waits is in its turn."""
    live = start(status=JobStatus.RUNNING, ended_at=None)
    assert [one.seconds for one in lasted(live)] == [1.0, 2.0, 1.0, None]
    waiting = start(status=JobStatus.QUEUED, started_at=None, ended_at=None, phases=())
    assert [(one.name, one.seconds) for one in lasted(waiting)] == [("turn", None)]


def test_a_guests_signs_are_noted_once_and_counted_from_power_on() -> None:
    """First words, a login prompt, an agent: when each was first seen, whatever comes later."""
    job = start()
    quiet = with_signs(job, run_of(job), Signs(Power.ON), at(9))
    assert quiet is job
    spoke = with_signs(job, run_of(job), Signs(Power.ON, serial_tail=b"Linux"), at(10))
    again = with_signs(spoke, run_of(job), Signs(Power.ON, serial_tail=b"Linux .."), at(12))
    assert again is spoke
    asks = Signs(Power.ON, agent=True, serial_tail=b"..\r\nerp login: ")
    done = with_signs(again, run_of(job), asks, at(50))
    told = {one.name: one.seconds for one in lasted(done)}
    assert (told["words"], told["prompt"], told["agent"]) == (2.0, 42.0, 42.0)
    assert told["power on"] == 4.0


def test_signs_of_another_run_or_of_long_ago_are_not_noted() -> None:
    """A VM that was started by a later job, is off, or runs for hours tells nothing of a start."""
    job, told = start(), Signs(Power.ON, serial_tail=b"login: ")
    other = replace(run_of(job), started_at=at(99))
    assert with_signs(job, other, told, at(100)) is job
    assert with_signs(job, run_of(job), replace(told, power=Power.OFF), at(10)) is job
    assert with_signs(job, run_of(job), told, at(9999)) is job
    assert with_signs(replace(job, ended_at=None), run_of(job), told, at(10)) == replace(
        job, ended_at=None
    )


def test_the_median_of_the_machines_own_starts_counts() -> None:
    """Own history wins over the neighbours', and failed starts are none."""
    own = [start(number, power_s=seconds) for number, seconds in ((1, 2.0), (2, 6.0), (3, 4.0))]
    near = [start(4, "web", power_s=99.0), start(5, power_s=77.0, status=JobStatus.FAILED)]
    told = pace([*own, *near], "erp", {"erp", "web"})
    assert (told.whose, told.starts, told.power_s, told.guest_s) == ("machine", 3, 8.0, None)
    assert {one.name: one.seconds for one in told.phases}["power on"] == 4.0


def test_without_own_history_the_targets_counts_else_none() -> None:
    """A machine that was never started is told what its neighbours took, and that it is theirs."""
    near = start(4, "web", phases=(*start().phases, Phase("prompt", at(48))))
    told = pace([near, start(5, "far")], "erp", {"erp", "web"})
    assert (told.whose, told.starts, told.power_s, told.guest_s) == ("target", 1, 8.0, 48.0)
    assert pace([start(5, "far")], "erp", {"erp"}) == Pace()


def test_the_newest_start_that_was_done_is_the_one_that_runs() -> None:
    """Later stops and failed starts are passed over."""
    jobs = [start(1), start(2), start(3, status=JobStatus.FAILED), start(4, kind=JobKind.STOP)]
    found = last_start(jobs, "erp")
    assert found is not None
    assert found.id == 2
    assert last_start(jobs, "web") is None
