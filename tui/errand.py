"""Something asked of the engine for a page: its answer counts while that page is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tui.feed import CALL_S, Refusal

if TYPE_CHECKING:
    from tui.core import Core

T = TypeVar("T")


class Errands:
    """Asks the engine one thing at a time, over one console; meanwhile the page can be left."""

    def __init__(self, console: Core) -> None:
        """Have asked nothing."""
        self._console = console
        self.busy = False

    def ask(
        self,
        method: str,
        params: Mapping[str, Any],
        kind: type[T],
        then: Callable[[T, bool], object],
        *,
        refused: Callable[[Refusal], object] | None = None,
        leaves: bool = False,
        timeout_s: float = CALL_S,
    ) -> None:
        """Ask, and go on with the answer; nothing is asked while another answer is waited for.

        Args:
            method, params, kind: The call, and what its answer is.
            then: Gets the answer, and whether the operator still is on the page that asked.
            refused: Gets a refusal where that page is still open; None: it is told on a page.
            leaves: A refusal closes the page that asked.
            timeout_s: How long the answer may take.
        """
        if self.busy:
            return
        self.busy = True
        told = refused or (self._leave if leaves else self._console.actions.refused)
        self._console.spawn(self._ask((method, params, kind, timeout_s), then, told))

    def _leave(self, refusal: Refusal) -> None:
        self._console.back()
        self._console.actions.refused(refusal)

    async def _ask(
        self,
        call: tuple[str, Mapping[str, Any], type[T], float],
        then: Callable[[T, bool], object],
        refused: Callable[[Refusal], object],
    ) -> None:
        console, spot = self._console, self._console.spot
        method, params, kind, timeout_s = call
        try:
            told = await console.feed.call(method, dict(params), kind, timeout_s)
        except Refusal as refusal:
            if console.spot is spot:
                refused(refusal)
            return
        finally:
            self.busy = False
        then(told, console.spot is spot)
