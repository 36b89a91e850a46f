"""What the next engine does after one that was killed, and after one that said goodbye."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.hypervisors.esxi.lastlife import QUIET_S, LastLife, gate_of
from engine.model.errors import Cancelled
from engine.ports import CancelFlag


class _Time:
    """A clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        """Return it."""
        return self.at

    def wait(self, seconds: float) -> None:
        """Let it pass."""
        self.at += seconds


@pytest.fixture
def time() -> _Time:
    """Return a clock."""
    return _Time()


def _life(folder: Path, time: _Time) -> LastLife:
    return LastLife(folder, monotonic=time.now, pause=time.wait)


def test_the_first_engine_and_one_after_a_goodbye_wait_for_nothing(
    tmp_path: Path, time: _Time
) -> None:
    """A target's first life has none before it."""
    for _ in range(2):
        life = _life(tmp_path / "new", time)
        life.settle()
        life.end()
    assert time.at == 100.0


def test_after_a_killed_engine_a_vm_is_changed_some_seconds_later(
    tmp_path: Path, time: _Time
) -> None:
    """Counted from the beginning of the life, and once only."""
    _life(tmp_path, time)
    gate = gate_of(_life(tmp_path, time))
    time.wait(2.0)
    with gate.vm("a"):
        assert time.at == pytest.approx(100.0 + QUIET_S)
    with gate.vm("b"):
        assert time.at == pytest.approx(100.0 + QUIET_S)


def test_the_wait_hears_a_cancel(tmp_path: Path, time: _Time) -> None:
    """It ends at once, and the VM is free again."""
    _life(tmp_path, time)
    gate, cancel = gate_of(_life(tmp_path, time)), CancelFlag()
    cancel.set()
    with pytest.raises(Cancelled), gate.vm("a", cancel):
        pytest.fail("it had to wait")
    assert gate.is_idle


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, time: _Time) -> None:
    """A start in an emergency goes on on a full or read-only disk."""
    (tmp_path / "file").write_bytes(b"")
    life = _life(tmp_path / "file" / "below", time)
    life.settle()
    life.end()
    assert time.at == 100.0


def test_gates_tell_whether_somebody_is_inside(tmp_path: Path, time: _Time) -> None:
    """Whoever closes a target with a change under way says no goodbye."""
    gate = gate_of(_life(tmp_path, time))
    with gate.vm("a"), gate.vm("a"):
        assert not gate.is_idle
    assert gate.is_idle
