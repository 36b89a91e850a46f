"""Answers what a VM asks: a page with its choices, a word to be sure, then the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.api.guest_views import QuestionView
from engine.api.views import Done
from tui.conditions import asked
from tui.feed import Refusal
from tui.heard import heard

if TYPE_CHECKING:
    from tui.core import Core

PLACE = "answer"


@dataclass(frozen=True, slots=True)
class Answering:
    """The verb about a question, over one console."""

    console: Core
    sure: Callable[[Callable[[], object]], None]

    def verbs(self) -> Mapping[str, Callable[[], None]]:
        """Return what the key does."""
        return {PLACE: self.open}

    def open(self) -> None:
        """Open the page with the question and its choices."""
        look = self.console.look()
        if (question := asked(self.console.fleet, look)) is not None:
            self.console.go(PLACE, look.machine, subject=question, token=uuid4().hex, chosen="1")

    def choose(self, number: str) -> None:
        """Answer with a choice, once the operator is sure."""
        spot = self.console.spot
        question = spot.subject
        if isinstance(question, QuestionView):
            params: dict[str, str | int] = {
                "machine": spot.arg,
                "question": question.id,
                "choice": int(number),
            }
            # A key keeps its answer: another choice is another wish.
            params["key"] = f"{spot.token}-{number}"
            self.sure(lambda: self.console.spawn(self._answer(params)))

    async def _answer(self, params: dict[str, str | int]) -> None:
        console = self.console
        try:
            done = await console.feed.call("answer", params, Done)
        except Refusal as refusal:
            self._leave()
            console.actions.refused(refusal)
        else:
            self._leave()
            console.note(heard(done.text))

    def _leave(self) -> None:
        if self.console.spot.place == PLACE:
            self.console.back()
