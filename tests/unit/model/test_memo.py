"""A memo gives the same answers as none, and asks less often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from engine.model.memo import HOLD, Memo

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class _Asked:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times

    def until(self, moment: datetime | None) -> tuple[int, datetime | None]:
        return self(), moment


def test_the_same_objects_are_asked_about_once() -> None:
    """An answer holds while each part is the very same object, and no longer."""
    memo, asked = Memo(), _Asked()
    part, other = (1, 2), (1, 3)
    assert [memo.of(("a", "x"), (part, None), asked) for _ in range(3)] == [1, 1, 1]
    assert memo.of(("a", "x"), (other, None), asked) == 2
    assert memo.of(("b", "x"), (other, None), asked) == 3
    memo.forget("x")
    assert memo.of(("b", "x"), (other, None), asked) == 4


def test_the_clock_has_its_say() -> None:
    """An answer that depends on the time ends when it says, at the latest after a while."""
    memo, asked = Memo(), _Asked()
    soon = NOW + timedelta(seconds=5)

    def at(moment: datetime, until: datetime | None = None) -> int:
        return memo.at(("a", "x"), (part,), moment, lambda: asked.until(until))

    part = object()
    assert at(NOW, soon) == 1
    assert at(soon - timedelta(seconds=1)) == 1
    assert at(soon) == 2
    assert at(soon + HOLD / 2) == 2
    assert at(soon + HOLD) == 3
    assert at(NOW) == 4, "a clock that was put back makes answers void"


def test_answers_that_were_given_at_once_do_not_end_at_once() -> None:
    """No turn of the loop has all of a large site to decide again."""
    memo, asked, site = Memo(), _Asked(), range(480)

    def turn(second: int) -> int:
        """Return how many are worked out in one turn."""
        before, now = asked.times, NOW + timedelta(seconds=second)
        for name in site:
            memo.at(name, (None,), now, lambda: asked.until(None))
        return asked.times - before

    assert turn(0) == len(site)
    later = [turn(second) for second in range(5, 65, 5)]
    assert max(later) <= len(site) / 5
    assert sum(later) >= len(site), "each of them again within the time"


def test_a_memo_that_keeps_nothing_asks_each_time() -> None:
    """Without a memory every answer is worked out anew."""
    memo, asked = Memo(keeps=False), _Asked()
    assert [memo.of("a", (), asked) for _ in range(2)] == [1, 2]


def test_a_round_tells_what_is_new_since_it_was_settled() -> None:
    """Other objects, keys that came and keys that went; until settled they stay new."""
    memo = Memo()
    one, other = (1, 2), (1, 3)
    names, shared = {"a": one, "b": one}, MappingProxyType({"a": other})
    assert memo.news("round", (names, shared)) == ([{"a", "b"}, {"a"}], None)
    assert memo.news("round", (names, shared)) == ([{"a", "b"}, {"a"}], None), "nobody settled it"
    memo.settle("round", (names, shared), "kept")
    assert memo.news("round", (names, shared)) == ([set(), set()], "kept")
    names["b"], names["c"] = other, one
    del names["a"]
    assert memo.news("round", (names, shared)) == ([{"a", "b", "c"}, set()], "kept")
    assert memo.news("round", (names, MappingProxyType({"a": one})))[0][1] == {"a"}
    assert memo.news("other", (names,)) == ([{"b", "c"}], None)


def test_a_memo_that_keeps_nothing_finds_all_new() -> None:
    """Each round is the first one."""
    memo = Memo(keeps=False)
    memo.settle("round", ({"a": 1},), "kept")
    assert memo.news("round", ({"a": 1},)) == ([{"a"}], None)
