"""Remembers what a pure function made of the very same objects.

    picture 1   erp (a) ── web (b)       decided: erp x, web y
    picture 2   erp (a) ── web (c)       erp: x again, without looking; web: decided anew

Pictures share what did not change (`State.by_standby`), so with 500 standbys a decision costs what
the few cost about which something changed. A memo forgets nothing but what it is asked for again;
whoever does without one gets the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import is_
from types import MappingProxyType
from typing import TypeVar, cast

HOLD = timedelta(seconds=60)
"""How long an answer holds at most that the clock has a say in, unless it says itself.

At least half as long: answers that were all given at once, as after a start, do not end at once.
"""
_SLOTS = 16

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


@dataclass(frozen=True, slots=True)
class _Round:
    told: Sequence[Mapping[str, object]]
    kept: object


class Memo:
    """What was worked out, by key. Thread-safe: at worst something is worked out twice.

    `Memo(keeps=False)` works everything out each time.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        """Know nothing."""
        self._keeps = keeps
        self._known: dict[object, _Known] = {}
        self._rounds: dict[str, _Round] = {}
        self._kept = 0

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
        work: Callable[..., tuple[_Answer, Until]],
        *told: object,
    ) -> _Answer:
        """Do the same for an answer in which the time has a say.

        Args:
            key: One entry is kept for each.
            parts: Everything else that the answer follows from.
            now: Aware. A clock that was put back makes every answer void.
            work: Pure; gives the answer, and when it may become another one (None: not known to).
            told: What `work` is called with.
        """
        found = self._same(key, parts)
        if found is not None and found.holds(now):
            return cast("_Answer", found.answer)
        answer, until = work(*told)
        self._kept = (self._kept + 1) % _SLOTS
        latest = now + HOLD - self._kept * HOLD / (2 * _SLOTS)
        self._keep(key, _Known(parts, answer, now, latest if until is None else min(until, latest)))
        return answer

    def news(
        self, key: str, told: Sequence[Mapping[str, object]]
    ) -> tuple[Sequence[set[str]], object]:
        """Return what is new since the last `settle` of a key: for rounds over many names.

        Asking 500 names one by one whether they are as before costs more than to work out the two
        that are not.

        Args:
            key: Of this round.
            told: Mappings of what the answers follow from, always of the same number.

        Returns:
            Of each mapping the keys whose values are other objects than then; and what was kept
            then, None if nothing was: then all keys are new.
        """
        last = self._rounds.get(key)
        before: Sequence[Mapping[str, object]] = ({},) * len(told) if last is None else last.told
        fresh = [_differing(old, new) for old, new in zip(before, told, strict=True)]
        return fresh, None if last is None else last.kept

    def settle(self, key: str, told: Sequence[Mapping[str, object]], kept: object) -> None:
        """Keep what a round came to, once all that was new is worked out.

        Args:
            key: Of this round.
            told: As `news` was told. Proxies are of pictures, which never change.
            kept: Given back next time; nobody changes it any more.
        """
        if self._keeps:
            self._rounds[key] = _Round([_still(one) for one in told], kept)

    def _same(self, key: object, parts: Sequence[object]) -> _Known | None:
        found = self._known.get(key)
        if found is None or len(found.parts) != len(parts):
            return None
        return found if all(map(is_, found.parts, parts)) else None

    def _keep(self, key: object, known: _Known) -> None:
        if self._keeps:
            self._known[key] = known

    def forget(self, name: str) -> None:
        """Forget all keys (kind, name) of a name."""
        for key in list(self._known):
            if isinstance(key, tuple) and key[-1] == name:
                self._known.pop(key, None)


def _still(told: Mapping[str, object]) -> Mapping[str, object]:
    """Return a mapping as it is now."""
    return told if isinstance(told, MappingProxyType) else dict(told)


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    """Return the keys that only one has, or that have another object in the other."""
    if old is new:
        return set()
    get = old.get
    return {key for key, value in new.items() if get(key) is not value} | (old.keys() - new.keys())
