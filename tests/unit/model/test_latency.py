"""When a target counts as slow: by its own usual value, not at the first hiccup."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from engine.model.latency import (
    FLOOR_S,
    LEAST,
    NEW_NORMAL,
    WINDOW,
    Latency,
    Measure,
    hangs_phrase,
    measured,
    slow_phrase,
    slow_words,
)


def after(values: Iterable[float], known: Latency | None = None) -> Latency:
    """Return what is known after these measurements."""
    known = known or Latency()
    for value in values:
        known = measured(known, value)
    return known


QUICK = after([0.02] * 60)


def test_one_hiccup_is_not_slow() -> None:
    """A single long write, or two, change nothing; a minute of them does."""
    assert not after([3.0, 3.0], QUICK).is_slow
    slow = after([0.9] * 4, QUICK)
    assert slow.is_slow
    assert slow_phrase(Measure.WRITE, QUICK) == ""
    both = [slow_phrase(Measure.WRITE, slow), hangs_phrase(Measure.CALL, 42)]
    assert slow_words("nas", both) == (
        "Target nas is slow: a small durable write takes 900 ms, usually 20 ms; a small question "
        "to its hypervisor has not ended for 42 s. One job at a time is begun there until that is "
        "over."
    )


def test_it_is_over_at_half_of_what_began_it() -> None:
    """Between the two borders it stays what it was, so that nothing flaps."""
    between = FLOOR_S * 0.75
    assert not after([between] * 20, QUICK).is_slow
    slow = after([0.9] * 4, QUICK)
    assert after([between] * 20, slow).is_slow
    assert not after([0.02] * 4, slow).is_slow


def test_a_target_that_is_always_slow_is_not_called_so() -> None:
    """Usual is what the target itself does; without a history nothing is judged."""
    assert not after([0.8] * 100).is_slow
    assert not after([0.01] * (LEAST - 5) + [9.0] * 5).is_slow
    assert not after([0.8] * 40 + [2.0] * 10).is_slow
    assert after([0.8] * 40 + [4.0] * 10).is_slow


def test_what_is_slow_for_hours_becomes_usual() -> None:
    """A target that was moved to slower disks is not held back for ever."""
    slow = after([1.0] * NEW_NORMAL, QUICK)
    assert slow.is_slow
    assert slow.usual == 0.02
    used_to = after([1.0] * 10, slow)
    assert not used_to.is_slow
    assert used_to.usual == 1.0


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=400))
def test_memory_is_bounded_and_what_is_quick_is_never_slow(values: list[float]) -> None:
    """Whatever came before, five quick writes end it; no more than an hour is kept."""
    known = after(values)
    assert len(known.usual_ones) <= WINDOW
    if known.is_slow:
        assert known.now is not None
        assert known.now > FLOOR_S / 2
    assert not after([0.0] * 5, known).is_slow
