"""What a VM asks before it goes on, and which answers are ours to give.

A question stops the VM's task until somebody answers. Known ones have one right answer here; all
others are for the operator, who gets the words and the choices.

Source of the ids: VMware's vSphere API reference, `VirtualMachineQuestionInfo`, and the messages
of its clients (`msg.uuid.altered`: moved or copied); not seen on a real host yet.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem
from engine.model.progress import Progress
from engine.model.text import safe
from engine.ports import Report

log = logging.getLogger(__name__)

ASK_S = 900.0
"""So long a start waits for a person's answer."""

KNOWN: Mapping[str, str] = {
    # The BIOS UUID is how the VM is found again, so it must stay: as for a VM that was moved.
    "msg.uuid.altered": "moved",
    "msg.uuid.moved": "moved",
    # The run folder is new with each start, so nothing of others is in its file.
    "msg.serial.file.open": "append",
}
"""Id of a question -> a word that only the right choice has."""


def answer(question: Any) -> str | None:
    """Return the key of the right choice; None for a question that is the operator's."""
    ids = {str(one.id) for one in getattr(question, "message", None) or ()}
    text = str(question.text or "")
    word = next(
        (told for one, told in KNOWN.items() if one in ids or text.startswith(f"{one}:")), None
    )
    if word is None:
        return None
    fitting = [one for one in _choices(question) if word in f"{one.label} {one.summary}".lower()]
    return str(fitting[0].key) if len(fitting) == 1 else None


def words(question: Any) -> str:
    """Return a question and its choices in one line, safe to show."""
    text = " ".join(str(question.text or "").split())
    choices = ", ".join(safe(str(one.summary or one.label), 60) for one in _choices(question))
    return f"{safe(text, 300)} (choices: {choices or 'none'})"


def _choices(question: Any) -> list[Any]:
    return list(getattr(getattr(question, "choice", None), "choiceInfo", None) or ())


class Asking:
    """Deals with what a VM asks while it starts: answers, or tells the operator."""

    def __init__(self, session: Session, ref: Any, vm: str, report: Report) -> None:
        """Look after one start of a VM, given as the API's object and by its name."""
        self._session, self._ref, self._vm, self._report = session, ref, vm, report
        self._end = time.monotonic() + ASK_S

    def look(self) -> None:
        """Look whether a question stands in the way. HostFailure when nobody answers it."""
        asked = self._session.read(self._ref, "runtime.question").get("runtime.question")
        if asked is None:
            return
        told = words(asked)
        if (choice := answer(asked)) is not None:
            log.info("answering for %s: %s", safe(self._vm), told)
            self._ref.AnswerVM(str(asked.id), choice)
            return
        self._report(Progress(f"waits for an answer in the vSphere client: {told}", 0, None))
        if time.monotonic() > self._end:
            raise faults.HostFailure(_asks(self._session.account.target, self._vm, told))


def _asks(target: str, vm: str, told: str) -> Problem:
    return Problem(
        "vm.question",
        f"VM {safe(vm)} on target {safe(target)} waits for an answer: {told}",
        "The host goes on waiting; no disk of a boot point was changed.",
        "Answer it in the vSphere client, then stop the VM here and start it again.",
        {"vm": safe(vm)},
    )
