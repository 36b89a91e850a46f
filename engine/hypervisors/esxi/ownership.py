"""Which of a host's tasks are ours: a lost reply takes a task's name along, not the task."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.session import Session

log = logging.getLogger(__name__)

_UNFINISHED = frozenset({"running", "queued"})


def only_own(session: Session, tasks: Sequence[Any], followed: Collection[str]) -> Any:
    """Return the one unfinished task that our own user began; None where it may be another's.

    Args:
        followed: Ids of tasks that are somebody's in this process.
    """
    user = session.need(session.content.sessionManager, "currentSession")["currentSession"].userName
    found = [
        task
        for task, seen in session.read_each(tasks, "info.state", "info.reason")
        if str(seen.get("info.state")) in _UNFINISHED
        and getattr(seen.get("info.reason"), "userName", None) == user
        and ref_id(task) not in followed
    ]
    if len(found) == 1:
        return found[0]
    log.warning("%d tasks may be the one whose reply was lost; none is ended", len(found))
    return None
