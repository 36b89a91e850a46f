"""Waiting for tasks, on a scripted host and a clock that jumps."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.errors import Cancelled, Problem
from engine.model.progress import Progress
from engine.ports import CancelFlag

GONE = faults.Gone(Problem("target.gone", "gone"))
LOST = faults.ReplyLost(Problem("target.away", "lost"))
DONE = {"info.state": "success", "info.result": "the VM"}


class _Host:
    """Gives one answer after another, and lets time pass while somebody waits."""

    def __init__(self, *answers: Mapping[str, Any] | Exception, forever: bool = False) -> None:
        self.account = SimpleNamespace(target="esx-01")
        self._answers, self._forever, self.at = list(answers), forever, 0.0

    def read(self, _task: object, *_paths: str) -> Mapping[str, Any]:
        answer = self._answers[0] if self._forever else self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pause(self, seconds: float) -> None:
        self.at += seconds

    def waiter(self) -> TaskWaiter:
        return TaskWaiter(self, monotonic=lambda: self.at, pause=self.pause)  # type: ignore[arg-type]  # as far as it is asked


def test_progress_is_told_until_the_result() -> None:
    """Queued, running with and without a figure, then the result."""
    host = _Host(
        {"info.state": "queued"},
        {"info.state": "running", "info.progress": 40},
        {"info.state": "running"},
        DONE,
    )
    told: list[Progress] = []
    found = host.waiter().result(None, "CreateVM_Task", deadline_s=60, report=told.append)
    assert found == "the VM"
    assert told == [Progress("CreateVM_Task", 40, 100)]


def test_a_failed_task_is_told_like_a_refused_call() -> None:
    """The fault inside a task has the same words and class as one that is raised."""
    host = _Host({"info.state": "error", "info.error": vim.fault.TooManySnapshotLevels()})
    with pytest.raises(faults.HostFailure) as failed:
        host.waiter().result(None, "CreateSnapshot_Task", deadline_s=60)
    assert failed.value.problem.key == "target.depth"


def test_lost_connections_are_waited_out() -> None:
    """The same task is read again; after two minutes without an answer the loss is told."""
    assert _Host(LOST, LOST, DONE).waiter().result(None, "X_Task", deadline_s=60) == "the VM"
    with pytest.raises(faults.ReplyLost):
        _Host(LOST, forever=True).waiter().result(None, "X_Task", deadline_s=9999)


def test_a_forgotten_task_is_a_lost_reply() -> None:
    """Hosts forget finished tasks: the caller looks at the VM."""
    with pytest.raises(faults.ReplyLost) as lost:
        _Host({"info.state": "running"}, GONE).waiter().result(None, "X_Task", deadline_s=60)
    assert lost.value.problem.key == "target.task-gone"


def test_a_task_that_does_not_tell_its_state_is_a_lost_reply() -> None:
    """Now and then left out is waited out; for two minutes on end, the VM is looked at instead."""
    assert _Host({}, {"info.progress": 7}, DONE).waiter().result(None, "X_Task", deadline_s=60)
    host = _Host({}, forever=True)
    with pytest.raises(faults.ReplyLost) as lost:
        host.waiter().result(None, "X_Task", deadline_s=1800)
    assert lost.value.problem.key == "target.task-untold"
    assert 120 < host.at < 130


def test_past_the_deadline_somebody_is_told_and_nothing_cancelled() -> None:
    """A merge that takes longer than expected goes on."""
    host = _Host({"info.state": "running"}, forever=True)
    with pytest.raises(faults.HostFailure) as late:
        host.waiter().result(None, "X_Task", deadline_s=300)
    assert late.value.problem.key == "target.task-late"
    assert 300 < host.at < 310


def test_the_wait_can_be_cancelled() -> None:
    """A cancel ends the waiting at once."""
    cancel = CancelFlag()
    cancel.set()
    with pytest.raises(Cancelled):
        _Host(DONE).waiter().result(None, "X_Task", deadline_s=60, cancel=cancel)
