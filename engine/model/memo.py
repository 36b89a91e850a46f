"""Remembers what a pure function made of the very same objects.

    picture 1   erp (a) ── web (b)       decided: erp x, web y
    picture 2   erp (a) ── web (c)       erp: x again, without looking; web: decided anew

Pictures share what did not change (`State.by_standby`), so with 500 standbys a decision costs what
the few cost about which something changed. A memo forgets nothing but what it is asked for again;
whoever does without one gets the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar, cast

HOLD = timedelta(seconds=60)
"""How long an answer holds that the clock has a say in, unless it says itself."""

_Answer = TypeVar("_Answer")
Until = datetime | None


@dataclass(frozen=True, slots=True)
class _Known:
    parts: Sequence[object]
    answer: object
    since: datetime | None
    until: datetime | None

    def holds(self, now: datetime) -> bool:
        return self.since is not None and self.until is not None and self.since <= now < self.until


class Memo:
    """What was worked out, by key. Thread-safe: at worst something is worked out twice.

    `Memo(keeps=False)` works everything out each time.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        """Know nothing."""
        self._keeps = keeps
        self._known: dict[object, _Known] = {}

    def of(self, key: object, parts: Sequence[object], work: Callable[[], _Answer]) -> _Answer:
        """Return what `work` gives, again without asking while all `parts` are the same objects.

        Args:
            key: One entry is kept for each.
            parts: Everything the answer follows from; the time has no say.
            work: Pure.
        """
        found = self._same(key, parts)
        if found is not None:
            return cast("_Answer", found.answer)
        answer = work()
        self._keep(key, _Known(parts, answer, None, None))
        return answer

    def at(
        self,
        key: object,
        parts: Sequence[object],
        now: datetime,
        work: Callable[[], tuple[_Answer, Until]],
    ) -> _Answer:
        """Do the same for an answer in which the time has a say.

        Args:
            key: One entry is kept for each.
            parts: Everything else that the answer follows from.
            now: Aware. A clock that was put back makes every answer void.
            work: Pure; gives the answer, and when it may become another one (None: not known to).
        """
        found = self._same(key, parts)
        if found is not None and found.holds(now):
            return cast("_Answer", found.answer)
        answer, until = work()
        latest = now + HOLD
        self._keep(key, _Known(parts, answer, now, latest if until is None else min(until, latest)))
        return answer

    def _same(self, key: object, parts: Sequence[object]) -> _Known | None:
        found = self._known.get(key)
        if found is None or len(found.parts) != len(parts):
            return None
        for one, other in zip(found.parts, parts, strict=True):
            if one is not other:
                return None
        return found

    def _keep(self, key: object, known: _Known) -> None:
        if self._keeps:
            self._known[key] = known

    def forget(self, name: str) -> None:
        """Forget all keys (kind, name) of a name."""
        for key in list(self._known):
            if isinstance(key, tuple) and key[-1] == name:
                self._known.pop(key, None)
