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

from engine.hypervisors import rules
from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem
from engine.model.machine import Asked
from engine.model.progress import Progress
from engine.model.text import safe
from engine.ports import Report

log = logging.getLogger(__name__)

ASK_S = 900.0
"""So long a start waits for a person's answer."""

_ANSWERED = frozenset({"ConcurrentAccess", "InvalidArgument"})

KNOWN: Mapping[str, str] = {
    # The BIOS UUID is how the VM is found again, so it must stay: as for a VM that was moved.
    "msg.uuid.altered": "moved",
    "msg.uuid.moved": "moved",
    # The run folder is new with each start, so nothing of others is in its file.
    "msg.serial.file.open": "append",
}
"""Id of a question -> a word that only the right choice has."""


def known(question: Any) -> str | None:
    """Return the key of the right choice; None for a question that is the operator's."""
    ids = {str(one.id) for one in getattr(question, "message", None) or ()}
    text = str(question.text or "")
    word = next(
        (told for one, told in KNOWN.items() if one in ids or text.startswith(f"{one}:")), None
    )
    return _only(question, word) if word is not None else None


def _only(question: Any, word: str) -> str | None:
    """Return the key of the one choice that has a word; None without one, and with more."""
    fitting = [one for one in _choices(question) if word in f"{one.label} {one.summary}".lower()]
    return str(fitting[0].key) if len(fitting) == 1 else None


def read(question: Any) -> Asked:
    """Return a host's question, safe to show."""
    choices = _choices(question)
    return Asked(
        str(question.id),
        safe(" ".join(str(question.text or "").split()), 300),
        tuple(safe(str(one.summary or one.label), 60) for one in choices),
        tuple(str(one.key) for one in choices),
    )


def give(vm: str, ref: Any, asked: Asked | None, mark: str, choice: int) -> Asked:
    """Answer what a VM asks as a person said; see `Hypervisor.answer`.

    Source of the faults: `AnswerVM` of VMware's vSphere API reference: ConcurrentAccess and
    InvalidArgument mean that it was answered by somebody else.
    """
    asked = rules.chosen(vm, asked, mark, choice)
    try:
        ref.AnswerVM(asked.id, asked.keys[choice - 1])
    except faults.HostFailure as failure:
        if failure.problem.facts.get("fault") in _ANSWERED:
            raise rules.asks_otherwise(vm) from failure
        raise
    log.info("answered for %s with %d: %s", safe(vm), choice, asked)
    return asked


def _choices(question: Any) -> list[Any]:
    return list(getattr(getattr(question, "choice", None), "choiceInfo", None) or ())


class Asking:
    """Deals with what a VM asks while it starts: answers, or tells the operator."""

    def __init__(self, session: Session, ref: Any, vm: str, report: Report) -> None:
        """Look after one start of a VM, given as the API's object and by its name."""
        self._session, self._ref, self._vm, self._report = session, ref, vm, report
        self._end = time.monotonic() + ASK_S

    def look(self) -> None:
        """Look whether a question stands in the way. HostFailure when nobody answers it.

        What fails here is asked again with the next look: the start goes on meanwhile.
        """
        try:
            self._look()
        except (faults.ReplyLost, faults.LoggedOut, faults.HostBusy) as failure:
            log.info("looking whether %s asks: %s", safe(self._vm), failure)

    def _look(self) -> None:
        asked = self._session.read(self._ref, "runtime.question").get("runtime.question")
        if asked is None:
            return
        told = read(asked)
        if (choice := known(asked)) is not None:
            log.info("answering for %s: %s", safe(self._vm), told)
            self._ref.AnswerVM(str(asked.id), choice)
            return
        self._report(
            Progress(f"waits for an answer, see bootpoint answer {safe(self._vm)}: {told}", 0, None)
        )
        if time.monotonic() > self._end:
            raise faults.HostFailure(self._given_up(asked, str(told)))

    def _given_up(self, asked: Any, told: str) -> Problem:
        """Cancel the start on the host, where a choice plainly does; return what to say.

        Whoever answered later would start the VM while nobody follows it.
        """
        target = self._session.account.target
        if (cancels := _only(asked, "cancel")) is None:
            return _asks(target, self._vm, told)
        try:
            self._ref.AnswerVM(str(asked.id), cancels)
        except faults.HostFailure as failure:
            log.warning("cancelling what %s asks: %s", safe(self._vm), failure)
            return _asks(target, self._vm, told)
        log.info("cancelled for %s, nobody answered: %s", safe(self._vm), told)
        return _unanswered(target, self._vm, told)


def _unanswered(target: str, vm: str, told: str) -> Problem:
    return Problem(
        "vm.question-unanswered",
        f"VM {safe(vm)} on target {safe(target)} asked, and nobody answered for "
        f"{ASK_S / 60:.0f} minutes: {told}",
        "Its start was cancelled on the host; no disk of a boot point was changed.",
        f"Start the VM again, and answer with bootpoint answer {safe(vm)} while it waits.",
        {"vm": safe(vm)},
    )


def _asks(target: str, vm: str, told: str) -> Problem:
    return Problem(
        "vm.question",
        f"VM {safe(vm)} on target {safe(target)} waits for an answer: {told}",
        "The host goes on waiting; no disk of a boot point was changed.",
        f"Choose what cancels it with bootpoint answer {safe(vm)}, then start the VM again. Any "
        "other answer starts it on the host now, where this engine does not follow it.",
        {"vm": safe(vm)},
    )
