"""What is asked of the engine for a page, while the operator stays or leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from tui.errand import Errands
from tui.feed import Refusal


class Console:
    """As much of a console as an errand needs; it answers when the test says so."""

    def __init__(self, answer: object) -> None:
        self.spot: object = "the page"
        self.told: list[object] = []
        self.asked: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.over = asyncio.Event()
        self._answer = answer
        self.feed = self.actions = self

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin it."""
        self.tasks.append(asyncio.create_task(work))

    async def call(self, method: str, *_more: object) -> object:
        """Answer, or refuse, once the test lets it."""
        self.asked.append(method)
        await self.over.wait()
        if isinstance(self._answer, Refusal):
            raise self._answer
        return self._answer

    def back(self) -> None:
        """Remember it."""
        self.told.append("back")

    def refused(self, _refusal: Refusal) -> None:
        """Remember it."""
        self.told.append("refused")

    async def end(self) -> list[object]:
        """Let the answer come; return what was done with it."""
        await asyncio.sleep(0)
        self.over.set()
        await asyncio.gather(*self.tasks)
        return self.told


def run(answer: object, *, stays: bool = True, **more: Any) -> list[object]:
    """Ask for something and return what came of it."""

    async def whole() -> list[object]:
        console = Console(answer)
        errands = Errands(cast("Any", console))
        errands.ask("a", {}, str, lambda told, here: console.told.append((told, here)), **more)
        errands.ask("b", {}, str, lambda told, here: console.told.append((told, here)))
        assert errands.busy
        await asyncio.sleep(0)
        if not stays:
            console.spot = "another page"
        told = await console.end()
        assert (console.asked, errands.busy) == (["a"], False)
        return told

    return asyncio.run(whole())


def test_an_answer_says_whether_its_page_is_still_open() -> None:
    """Whoever left is not pulled to another page; a second question meanwhile is not asked."""
    assert run("yes") == [("yes", True)]
    assert run("yes", stays=False) == [("yes", False)]


def test_a_refusal_closes_the_page_that_asked_where_it_shall() -> None:
    """Nobody is asked again what was refused; whoever left meanwhile is told nothing."""
    refusal = Refusal("No.", "Nothing was changed.")
    assert run(refusal) == ["refused"]
    assert run(refusal, leaves=True) == ["back", "refused"]
    assert run(refusal, stays=False, leaves=True) == []
