"""What a started VM shows is the proof of its boot point, or is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.daemon.milestones import note_signs, passed
from engine.model.layers import LayerKind, layer_name
from engine.model.machine import Power, Signs
from engine.model.points import BootPointId, Stage
from engine.model.work import Job, JobId, JobKind, JobStatus, Run
from engine.state.memory import MemoryState
from tests.bench.largesite import START, Site, picture

SOON = START + timedelta(seconds=60)


def started(point: int = 1) -> MemoryState:
    """Return a state with two ready boot points, of which one was started."""
    state, told = MemoryState(), picture(Site(1, 2, 0))
    name = list(told.boot_points)[point]
    with state.write() as tx:
        for one in told.boot_points.values():
            tx.save_boot_point(one)
        blank = Job(JobId(0), JobKind.START, "m0000", name, JobStatus.QUEUED, START)
        job = tx.add_job(blank)
        tx.save_job(replace(job, status=JobStatus.DONE, started_at=START, ended_at=START))
        tx.save_run(Run("m0000", name, layer_name(name, LayerKind.SCRATCH), START))
    return state


def seen(state: MemoryState, signs: Signs) -> tuple[BootPointId, str] | None:
    """Let signs be seen; return what they prove."""
    note_signs(state, "m0000", signs, SOON)
    return passed(state.read(), "m0000")


@pytest.mark.parametrize(
    ("signs", "words"),
    [
        (Signs(Power.ON, serial_tail=b"Debian 12\r\nm0000 login: "), "asked for a login"),
        (Signs(Power.ON, agent=True), "tools or agent answered"),
    ],
)
def test_a_login_prompt_or_an_agent_proves_the_boot_point_that_runs(
    signs: Signs, words: str
) -> None:
    """It is the started one, whatever is newer; and it says by what."""
    proof = seen(started(0), signs)
    assert proof is not None
    assert proof[0] == "bp000001"
    assert words in proof[1]


@pytest.mark.parametrize(
    "signs",
    [
        Signs(Power.ON),
        Signs(Power.ON, serial_tail=b"SeaBIOS\r\nBooting from Hard Disk..."),
        Signs(Power.ON, serial_tail=b"Kernel panic - not syncing"),
        Signs(Power.OFF, agent=True, serial_tail=b"login: "),
    ],
)
def test_power_and_words_alone_prove_nothing(signs: Signs) -> None:
    """A boot loader's text, a panic, or a VM without power."""
    assert seen(started(), signs) is None


def test_what_is_proven_or_not_ready_is_not_proven_again() -> None:
    """The first proof stays; a boot point that was retired meanwhile gets none."""
    state = started()
    signs = Signs(Power.ON, agent=True)
    point = state.read().boot_points[seen(state, signs)[0]]  # type: ignore[index]  # it is one
    for other in (replace(point, proven_at=SOON), replace(point, stage=Stage.RETIRED)):
        with state.write() as tx:
            tx.save_boot_point(other)
        assert seen(state, signs) is None


def test_a_later_run_of_another_boot_point_is_not_proven_by_the_start_before() -> None:
    """What a VM showed belongs to the boot point it ran from."""
    state = started(0)
    assert seen(state, Signs(Power.ON, agent=True)) is not None
    with state.write() as tx:
        other = BootPointId("bp000002")
        tx.save_run(Run("m0000", other, layer_name(other, LayerKind.SCRATCH), SOON))
    assert passed(state.read(), "m0000") is None
