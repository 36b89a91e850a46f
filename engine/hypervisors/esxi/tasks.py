"""Waiting for a host's tasks: progress, cancel, deadline, lost connections."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.gate import wait
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem
from engine.model.progress import Progress
from engine.model.text import safe
from engine.ports import Cancel, NeverCancelled, Report

log = logging.getLogger(__name__)

PATHS = ("info.state", "info.error", "info.result", "info.progress")
_FIRST_S, _LONGEST_S = 0.05, 2.0
_PATIENCE_S = 120.0


def _nobody(progress: Progress) -> None:
    """Report to nobody."""


def nothing() -> None:
    """Watch nothing."""


class TaskWaiter:
    """Follows one task at a time; any number of threads may use it."""

    def __init__(
        self,
        session: Session,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = wait,
    ) -> None:
        """Ask through this session.

        Args:
            monotonic, pause: Time, for tests.
        """
        self._session, self._monotonic, self._pause = session, monotonic, pause

    def result(
        self,
        task: Any,
        doing: str,
        *,
        deadline_s: float,
        cancel: Cancel | None = None,
        report: Report = _nobody,
        watch: Callable[[], None] = nothing,
        read: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> Any:
        """Return what a task came to.

        Args:
            doing: The method, for messages.
            deadline_s: After so long the operator is told; the task goes on.
            watch: Called each time the task is told not to have ended; what it raises is raised.
            read: Reads a task's `PATHS`, and whatever else in the same call.
            cancel: Ends the waiting, not the task: half a merge is worse than a whole one.

        Raises:
            HostFailure: The task failed; the class says how.
            ReplyLost: The host forgot the task, or did not tell its state for two minutes: look at
                the VM.
            Cancelled: The wait was ended.
        """
        cancel, read = cancel or NeverCancelled(), read or self._read
        began = heard = self._monotonic()
        step = _FIRST_S
        while True:
            cancel.check()
            seen, silence = self._asked(read, task, doing)
            if silence is None:
                heard = self._monotonic()
            elif self._monotonic() - heard > _PATIENCE_S:
                raise silence
            if self._is_done(seen, doing):
                return seen.get("info.result")
            if seen.get("info.progress") is not None:
                report(Progress(doing, int(seen["info.progress"]), 100))
            if silence is None:
                watch()
            if self._monotonic() - began > deadline_s:
                raise faults.HostFailure(_late(self._session, doing, deadline_s))
            self._pause(step)
            step = min(step * 2, _LONGEST_S)

    def _read(self, task: Any) -> Mapping[str, Any]:
        return self._session.read(task, *PATHS)

    def _asked(
        self, read: Callable[[Any], Mapping[str, Any]], task: Any, doing: str
    ) -> tuple[Mapping[str, Any], faults.ReplyLost | None]:
        """Return what a task says of itself, and why its state is not known, if it is not.

        Whatever becomes of the question, the task goes on: a host that is busy, or forgets the
        session twice, has said nothing of the task.
        """
        try:
            seen = read(task)
        except faults.Gone as failure:
            raise faults.ReplyLost(_forgotten(self._session, doing)) from failure
        except faults.NeedsHuman:
            raise
        except faults.HostFailure as failure:
            return {}, faults.ReplyLost(failure.problem)
        is_told = seen.get("info.state") is not None
        return seen, None if is_told else faults.ReplyLost(_untold(self._session, doing))

    def _is_done(self, seen: Mapping[str, Any], doing: str) -> bool:
        """Tell whether the task succeeded. HostFailure when it failed."""
        state = str(seen.get("info.state", ""))
        if state == "error":
            target = self._session.account.target
            raise faults.translate(seen["info.error"], target, doing)
        return state == "success"


def _forgotten(session: Session, doing: str) -> Problem:
    return Problem(
        "target.task-gone",
        f"Target {safe(session.account.target)} does not know its task {doing} any more.",
        "",
        "The VM itself is looked at next.",
    )


def _untold(session: Session, doing: str) -> Problem:
    return Problem(
        "target.task-untold",
        f"Target {safe(session.account.target)} does not tell what its task {doing} is at.",
        "Nobody knows yet whether it was done.",
        "The VM itself is looked at next.",
    )


def _late(session: Session, doing: str, seconds: float) -> Problem:
    return Problem(
        "target.task-late",
        f"Task {doing} on target {safe(session.account.target)} did not end in "
        f"{seconds / 60:.0f} minutes.",
        "It goes on; cancelling half of it could harm the VM.",
        "Look at it in the host's own task list.",
    )
