"""What every state store promises."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from engine.model.images import (
    PointId,
)
from engine.model.layers import LayerName
from engine.model.points import MOVES, Stage, boot_point_id
from engine.model.work import JobId, JobKind, JobStatus, Phase, Run, Severity
from engine.ports import StateStore
from engine.state.draft import ENDED_JOBS, RETIRED_POINTS, STARTS
from tests.contract.state_stores import NOW, boot_point, job, recovery_point, save


def test_what_was_written_is_read_back_equal(store: StateStore) -> None:
    """Every field comes back, hostile names, huge numbers and microseconds included."""
    point = replace(
        boot_point(), pin="audit", ready_at=NOW, failed_at=NOW, reason="r", attempts=3, bytes=2**50
    )
    run = Run("erp", point.id, LayerName("run"), NOW)
    with store.write() as tx:
        tx.save_recovery_points([recovery_point()])
        tx.save_boot_point(point)
        added = tx.add_job(job())
        tx.save_run(run)

    state = store.read()

    assert state.recovery_points == {"r1": recovery_point()}
    assert state.boot_points == {point.id: point}
    assert state.jobs == {added.id: added}
    assert state.runs == {"erp": run}
    assert state.next_boot_point == 2


def test_lists_come_back_as_tuples(store: StateStore) -> None:
    """A scan that finds the same point again finds it equal to the stored one."""
    listed = replace(recovery_point(), disks=list(recovery_point().disks), replaces=[PointId("r0")])
    with store.write() as tx:
        tx.save_recovery_points([listed])

    assert store.read().recovery_points[PointId("r1")] == recovery_point()


def test_an_exception_undoes_the_whole_transaction(store: StateStore) -> None:
    """Nothing of a transaction that fails is seen, its journal lines included."""
    before = store.read()

    def cut_short() -> None:
        with store.write() as tx:
            tx.save_boot_point(boot_point())
            tx.add_job(job())
            tx.write_journal(NOW, Severity.INFO, "erp", "k", "text")
            raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        cut_short()

    assert store.read() == before
    assert store.journal() == ()
    assert store.job(JobId(1)) is None


def test_a_transaction_sees_its_own_changes(store: StateStore) -> None:
    """The picture inside is ahead of the one outside until the block ends."""
    with store.write() as tx:
        tx.save_boot_point(boot_point())
        assert boot_point_id(1) in tx.state().boot_points
        assert store.read().boot_points == {}
        early = tx.state()
        tx.save_boot_point(boot_point(2))
        assert len(early.boot_points) == 1
    assert len(store.read().boot_points) == 2


def test_a_picture_never_changes(store: StateStore) -> None:
    """A picture that was read stays as it was, and nobody can change it."""
    save(store, boot_point())
    before = store.read()
    save(store, boot_point(2))

    assert list(before.boot_points) == [boot_point_id(1)]
    with pytest.raises(TypeError):
        before.boot_points[boot_point_id(3)] = boot_point(3)  # type: ignore[index]  # that is it


@pytest.mark.parametrize("before", list(Stage))
@pytest.mark.parametrize("after", list(Stage))
def test_only_the_moves_of_the_model_are_taken(
    store: StateStore, before: Stage, after: Stage
) -> None:
    """Every move that `MOVES` lacks is refused and changes nothing."""
    save(store, boot_point(1, before))
    if after is before or after in MOVES[before]:
        save(store, boot_point(1, after))
        assert store.boot_point(boot_point_id(1)) == boot_point(1, after)
    else:
        with pytest.raises(ValueError, match="cannot"):
            save(store, boot_point(1, after))
        assert store.boot_point(boot_point_id(1)) == boot_point(1, before)


def test_numbers_of_boot_points_are_never_given_twice(store: StateStore) -> None:
    """Not even after the standby was forgotten: layers of the old one may still lie about."""
    save(store, boot_point(1), boot_point(7))
    with store.write() as tx:
        tx.forget_standby("erp")

    assert store.read().boot_points == {}
    assert store.read().next_boot_point == 8


def test_forgetting_a_standby_keeps_others_and_the_journal(store: StateStore) -> None:
    """Its boot points, jobs and run go; what others have and what was told stays."""
    with store.write() as tx:
        tx.save_boot_point(boot_point(1, Stage.READY))
        tx.save_boot_point(boot_point(2, Stage.READY, "web"))
        mine, _ = tx.add_job(job()), tx.add_job(job(standby="web"))
        tx.save_run(Run("erp", boot_point_id(1), LayerName("run"), NOW))
        tx.write_journal(NOW, Severity.INFO, "erp", "k", "text")
        tx.forget_standby("erp")
    with store.write() as tx:
        tx.forget_standby("web")
        assert tx.add_job(job()).id == 3
        tx.forget_standby("erp")
        tx.save_boot_point(boot_point(2, Stage.READY, "web"))
        other = tx.add_job(job(standby="web"))

    state = store.read()
    assert list(state.boot_points) == [boot_point_id(2)]
    assert list(state.jobs) == [other.id]
    assert state.runs == {}
    assert store.job(mine.id) is None
    assert store.boot_point(boot_point_id(1)) is None
    assert len(store.journal()) == 1


def test_recovery_points_in_use_are_not_forgotten(store: StateStore) -> None:
    """A point goes unless a boot point that is not retired was made of it."""
    with store.write() as tx:
        tx.save_recovery_points([recovery_point(f"r{n}") for n in (1, 2, 3)])
        tx.save_boot_point(boot_point(1, Stage.READY))
        tx.save_boot_point(boot_point(2, Stage.RETIRED))
        tx.forget_recovery_points([PointId(f"r{n}") for n in (1, 2, 3, 4)])

    assert list(store.read().recovery_points) == ["r1"]


def test_jobs_get_rising_numbers_and_can_be_changed(store: StateStore) -> None:
    """The given number is ignored; later saves change the stored job."""
    with store.write() as tx:
        first, second = tx.add_job(job()), tx.add_job(replace(job(), id=JobId(99)))
    done = replace(first, status=JobStatus.DONE, ended_at=NOW, reason="", cancel=True)
    with store.write() as tx:
        tx.save_job(done)

    assert (first.id, second.id) == (1, 2)
    assert store.job(first.id) == done
    assert [one.id for one in store.read().live_jobs()] == [second.id]


def test_pictures_hold_few_ended_jobs_and_retired_points(store: StateStore) -> None:
    """The picture stays small however long the engine lives; the store still has them all."""
    many = max(ENDED_JOBS, RETIRED_POINTS) + 5
    with store.write() as tx:
        live = tx.add_job(job())
        for number in range(1, many + 1):
            tx.add_job(replace(job(), status=JobStatus.DONE))
            tx.save_boot_point(boot_point(number, Stage.RETIRED))
        tx.save_boot_point(boot_point(many + 1, Stage.RETIRED, "web"))

    state = store.read()
    assert len(state.jobs) == ENDED_JOBS + 1
    assert live.id in state.jobs
    assert len(state.boot_points) == RETIRED_POINTS + 1
    assert boot_point_id(many) in state.boot_points
    assert store.boot_point(boot_point_id(1)) == boot_point(1, Stage.RETIRED)
    assert store.job(JobId(2)) is not None


def test_a_pictures_jobs_tell_how_long_starts_take(store: StateStore) -> None:
    """The newest starts of each standby stay, with their phases, behind any number of syncs."""
    phases = (Phase("power on", NOW), Phase("prompt", NOW + timedelta(seconds=9)))
    started = replace(job(), kind=JobKind.START, status=JobStatus.DONE, phases=phases)
    with store.write() as tx:
        starts = [tx.add_job(started) for _ in range(STARTS + 2)]
        for _ in range(ENDED_JOBS):
            tx.add_job(replace(job(), kind=JobKind.SYNC, status=JobStatus.DONE))

    found = [one for one in store.read().jobs.values() if one.kind is JobKind.START]
    assert found == starts[-STARTS:]
    assert store.job(starts[0].id) == starts[0]


def test_the_journal_gives_the_newest_lines_oldest_first(store: StateStore) -> None:
    """`after`, `before`, `limit` and `standby` cut as they say; numbers rise from 1."""
    with store.write() as tx:
        for number in range(1, 7):
            standby = "erp" if number % 2 else ""
            at = NOW + timedelta(seconds=number)
            tx.write_journal(at, Severity.WARNING, standby, "k", f"line {number}", "u", "r")

    def numbers(**cut: object) -> list[int]:
        return [line.number for line in store.journal(**cut)]  # type: ignore[arg-type]  # few

    assert numbers() == [1, 2, 3, 4, 5, 6]
    assert numbers(limit=2) == [5, 6]
    assert numbers(after=2, before=6) == [3, 4, 5]
    assert numbers(after=1, limit=2, standby="erp") == [3, 5]
    assert numbers(limit=0) == []
    last = store.journal(limit=1)[0]
    assert (last.text, last.unchanged, last.remedy) == ("line 6", "u", "r")
    assert (last.at, last.severity) == (NOW + timedelta(seconds=6), Severity.WARNING)


def test_a_run_needs_a_boot_point_that_exists(store: StateStore) -> None:
    """A run of a boot point nobody knows would hide what retention must keep."""
    with pytest.raises(ValueError, match="bp000009"), store.write() as tx:
        tx.save_run(Run("erp", boot_point_id(9), LayerName("run"), NOW))
    with store.write() as tx:
        tx.remove_run("erp")
    assert store.read().runs == {}


def test_two_writers_take_turns(store: StateStore) -> None:
    """Threads that count up in read-then-write transactions lose no step."""

    def step() -> None:
        for _ in range(10):
            with store.write() as tx:
                tx.save_boot_point(boot_point(tx.state().next_boot_point))

    threads = [threading.Thread(target=step) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.read().next_boot_point == 31
    assert len(store.read().boot_points) == 30


def test_a_second_transaction_in_the_same_thread_is_refused(store: StateStore) -> None:
    """It could only wait for itself for ever."""
    with store.write() as tx:
        tx.save_boot_point(boot_point())
        with pytest.raises(RuntimeError, match="already"), store.write():
            pass
    assert len(store.read().boot_points) == 1


def test_readers_never_see_half_a_transaction(store: StateStore) -> None:
    """While pairs are written, every picture has whole pairs."""
    stop = threading.Event()
    torn: list[int] = []

    def look() -> None:
        while not stop.is_set():
            state = store.read()
            if len(state.boot_points) != len(state.recovery_points):
                torn.append(len(state.boot_points))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 40):
        with store.write() as tx:
            tx.save_recovery_points([recovery_point(f"r{number}")])
            tx.save_boot_point(boot_point(number))
    stop.set()
    reader.join()

    assert torn == []
