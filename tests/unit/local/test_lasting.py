"""What lived through a full collection is not looked through again before the next day."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.local.lasting import Lasting

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = 50_000


@pytest.fixture
def lasting() -> Iterator[Lasting]:
    """At work during one test."""
    made = Lasting()
    yield made
    made.stop()
    gc.unfreeze()


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


def _looked_through() -> int:
    """Return how many objects a full collection would look through now."""
    return len(gc.get_objects())


def test_a_full_collection_costs_what_was_made_since_the_last_one(lasting: Lasting) -> None:
    """An object is looked through once."""
    state = [[number] for number in range(MANY)]
    gc.collect()
    assert gc.get_freeze_count() > MANY
    assert _looked_through() < MANY / 10
    more = [[number] for number in range(MANY // 5)]
    assert _looked_through() < MANY / 2
    gc.collect()
    assert _looked_through() < MANY / 10
    assert gc.get_freeze_count() > len(state) + len(more)


def test_fresh_garbage_in_a_ring_goes(lasting: Lasting) -> None:
    """What died before a full collection is gone after it."""
    gc.collect()
    ring = Ring()
    seen = weakref.ref(ring)
    del ring
    gc.collect()
    assert seen() is None


def test_a_ring_that_dies_later_goes_with_the_next_day(lasting: Lasting) -> None:
    """Nothing is kept for longer than a day."""
    lasting.daily(NOON)
    ring = Ring()
    seen = weakref.ref(ring)
    gc.collect()
    del ring
    gc.collect()
    lasting.daily(NOON + timedelta(hours=11))
    assert seen() is not None, "it was put aside"
    lasting.daily(NOON + timedelta(hours=12))
    assert seen() is None
    assert _looked_through() < gc.get_freeze_count(), "what lives was put aside again"


def test_after_the_end_nothing_is_put_aside(lasting: Lasting) -> None:
    """It ends, and can be ended twice."""
    lasting.stop()
    lasting.stop()
    before = gc.get_freeze_count()
    state = [[number] for number in range(MANY)]
    gc.collect()
    assert gc.get_freeze_count() == before
    assert len(state) == MANY
