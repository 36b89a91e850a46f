"""A start is gone on with when the engine ended in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.jobs.power import scratch_of
from engine.model.errors import Refused
from engine.model.layers import LayerKind
from engine.model.machine import Power, VMRef
from engine.model.points import BootPoint
from engine.model.work import Job, JobId, JobKind, JobStatus, Run
from engine.stores.memory import MemoryStore
from tests.running import Running, running, wait

VM = VMRef("erp")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Running]:
    """Give a machine with a boot point."""
    with running({"local": MemoryStore()}, {"erp": "local"}, tmp_path / "reports") as made:
        made.arrive("erp")
        made.idle()
        yield made


def point(one: Running) -> BootPoint:
    """Return its boot point."""
    return one.state.read().ready("erp")[-1]


def power(one: Running) -> Power:
    """Return what its VM does."""
    return one.targets["local"].hypervisor().signs_of_life(VM).power


def starts(one: Running) -> list[JobStatus]:
    """Return how each start of it went, oldest first."""
    jobs = sorted(one.state.read().jobs.values(), key=lambda job: job.id)
    return [job.status for job in jobs if job.kind is JobKind.START]


def cut(one: Running, *, ago: timedelta = timedelta(0), run: bool = True) -> Callable[[], None]:
    """Return what leaves a start behind as an engine does that was killed."""

    def leave() -> None:
        now = one.engine.clock.now() - ago
        job = Job(JobId(0), JobKind.START, "erp", point(one).id, JobStatus.RUNNING, now)
        with one.state.write() as tx:
            tx.add_job(replace(job, started_at=now, reason="root asked for it"))
            if run:
                tx.save_run(Run("erp", point(one).id, scratch_of(point(one)), now))

    return leave


def begin(one: Running) -> None:
    """Do what a start does to store and target."""
    chain, scratch = one.targets["local"].chain("erp"), scratch_of(point(one))
    sizes = chain.layers()[point(one).boot].disk_sizes
    chain.add(scratch, point(one).boot, LayerKind.SCRATCH, sizes)


def write(one: Running) -> None:
    """Write to the scratch layer, as its VM does."""
    with one.targets["local"].chain("erp").open(scratch_of(point(one)), 0) as device:
        device.write(0, memoryview(bytes([7]) * 4096))


@pytest.mark.parametrize("run", [True, False])
def test_a_start_that_was_cut_short_is_gone_on_with(one: Running, *, run: bool) -> None:
    """Whether it had come as far as to be noted, or was waiting still."""
    one.restart(cut(one, run=run))
    wait(lambda: starts(one) == [JobStatus.FAILED, JobStatus.DONE])
    assert power(one) is Power.ON
    assert list(one.state.read().runs) == ["erp"]


def test_a_vm_that_had_started_is_left_running(one: Running) -> None:
    """Its scratch is the one that it runs on, with all that it wrote."""
    one.desk.start("erp", None, "root")
    wait(lambda: starts(one) == [JobStatus.DONE])
    write(one)

    def unended() -> None:
        (job,) = [job for job in one.state.read().jobs.values() if job.kind is JobKind.START]
        with one.state.write() as tx:
            tx.save_job(replace(job, status=JobStatus.RUNNING, ended_at=None))

    one.restart(unended)
    wait(lambda: starts(one) == [JobStatus.FAILED, JobStatus.DONE])
    assert power(one) is Power.ON
    with one.targets["local"].chain("erp").open(scratch_of(point(one)), 0) as device:
        seen = bytearray(1)
        device.read(0, memoryview(seen))
    assert seen[0] == 7


def test_what_a_vm_wrote_that_is_off_is_not_thrown_away(one: Running) -> None:
    """It ran, so it is somebody's to look at; a stop throws it away, then it starts."""

    def ran() -> None:
        cut(one)()
        begin(one)
        write(one)

    one.restart(ran)
    wait(lambda: starts(one) == [JobStatus.FAILED, JobStatus.FAILED])
    assert power(one) is Power.OFF
    assert next(iter(one.targets["local"].chain("erp").changed(scratch_of(point(one)), 0)))
    assert "vm.ran" in [line.key for line in one.state.journal()]
    stop = one.desk.stop("erp", "root")
    wait(lambda: not one.state.read().jobs[stop.id].is_live)
    one.desk.start("erp", None, "root")
    wait(lambda: power(one) is Power.ON)


def test_an_old_start_waits_until_it_is_asked_for_again(one: Running) -> None:
    """Nobody expects a VM to start when the appliance comes back the day after."""
    one.restart(cut(one, ago=timedelta(days=1)))
    one.idle()
    assert starts(one) == [JobStatus.FAILED]
    assert power(one) is Power.OFF
    one.desk.start("erp", None, "root")
    wait(lambda: starts(one) == [JobStatus.FAILED, JobStatus.DONE])
    assert power(one) is Power.ON
    with pytest.raises(Refused, match="runs already"):
        one.desk.start("erp", None, "root")


def test_a_start_that_somebody_cancelled_is_not_gone_on_with(one: Running) -> None:
    """They asked for its end."""

    def cancelled() -> None:
        cut(one)()
        with one.state.write() as tx:
            for job in tx.state().live_jobs():
                tx.save_job(replace(job, cancel=True))

    one.restart(cancelled)
    one.idle()
    assert starts(one) == [JobStatus.FAILED]
