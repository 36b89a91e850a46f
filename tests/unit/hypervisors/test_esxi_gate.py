"""How much may happen at once on a host, on a clock that the test turns."""

from __future__ import annotations

import itertools
import threading

import pytest

from engine.hypervisors.esxi.gate import QUIET_S, Gate, pauses
from engine.model.errors import Cancelled
from engine.ports import CancelFlag, NeverCancelled


class _Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_trouble_halves_and_quiet_time_gives_back() -> None:
    """One slot returns per ten quiet minutes; one is always left."""
    clock = _Clock()
    gate = Gate(4, clock)
    gate.trouble()
    assert gate.open == 2
    gate.latency(3.0)
    gate.trouble()
    assert gate.open == 1
    clock.at += QUIET_S - 1
    assert gate.open == 1
    clock.at += 1
    assert gate.open == 2
    clock.at += 10 * QUIET_S
    assert gate.open == 4
    gate.latency(0.1)
    assert gate.open == 4


def test_no_more_than_the_slots_work_at_once() -> None:
    """A third heavy operation waits until one of two is over, and can be cancelled meanwhile."""
    gate = Gate(2)
    with gate.heavy(NeverCancelled()), gate.heavy(NeverCancelled()):
        cancel = CancelFlag()
        cancel.set()
        with pytest.raises(Cancelled), gate.heavy(cancel):
            pytest.fail("there was no third slot")
    with gate.heavy(cancel):
        pass


def test_a_datastore_consolidates_once_at_a_time() -> None:
    """Two datastores consolidate at once, one datastore does not."""
    gate = Gate(3)
    cancel = CancelFlag()
    cancel.set()
    with gate.consolidation("a", NeverCancelled()), gate.consolidation("b", NeverCancelled()):
        with pytest.raises(Cancelled), gate.consolidation("a", cancel):
            pytest.fail("the datastore was busy")
        with gate.heavy(cancel):
            pass


def test_one_thread_changes_a_vm() -> None:
    """Changes of one VM come one after another; another VM does not wait."""
    gate, order = Gate(), []
    inside = threading.Event()

    def second() -> None:
        inside.set()
        with gate.vm("a"):
            order.append("second")

    with gate.vm("a"):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait(10)
        with gate.vm("b"):
            order.append("other")
    thread.join()
    assert order == ["other", "second"]


def test_whoever_waits_for_a_vm_can_be_told_to_stop() -> None:
    """Within a second, while somebody else has the VM; who has it may take it again."""
    gate, cancel, told = Gate(), CancelFlag(), threading.Event()

    def second() -> None:
        with pytest.raises(Cancelled), gate.vm("a", cancel):
            pytest.fail("the VM was taken")
        told.set()

    with gate.vm("a"), gate.vm("a", cancel):
        thread = threading.Thread(target=second)
        thread.start()
        assert not told.wait(0.3)
        cancel.set()
        assert told.wait(1)
    thread.join()


def test_pauses_double_to_ten_minutes() -> None:
    """5 s, 10 s and so on; the jitter moves each by at most half."""
    middle = list(itertools.islice(pauses(lambda: 0.5), 9))
    assert middle == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    low = list(itertools.islice(pauses(lambda: 0.0), 8))
    high = list(itertools.islice(pauses(lambda: 1.0), 8))
    assert [one * 2 for one in low] == middle[:8]
    assert high == [one * 1.5 for one in middle[:8]]
