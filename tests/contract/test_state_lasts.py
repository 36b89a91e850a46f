"""What every state store keeps through kills, restarts and other stores on its file."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.alarms import Alert, Condition, Told, What
from engine.model.points import boot_point_id
from engine.model.work import JobId, Severity
from engine.ports import StateStore
from engine.state.sqlite import SqliteState
from tests.contract.state_stores import NOW, PATIENCE, boot_point, job, recovery_point, save

_DIES = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_state_store import boot_point
from engine.state.sqlite import SqliteState
store = SqliteState(Path(sys.argv[1]))
with store.write() as tx:
    tx.save_boot_point(boot_point(1))
with store.write() as tx:
    for number in range(2, 300):
        tx.save_boot_point(boot_point(number))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_being_killed_inside_a_transaction_leaves_the_old_state(tmp_path: Path) -> None:
    """After SIGKILL the state is that of the last transaction that ended."""
    path = tmp_path / "state.db"
    here = str(Path(__file__).parent)
    ended = subprocess.run([sys.executable, "-c", _DIES, str(path), here], check=False)
    assert ended.returncode == -signal.SIGKILL

    store = SqliteState(path)
    assert list(store.read().boot_points) == [boot_point_id(1)]
    save(store, boot_point(2))
    store.close()


def test_a_second_store_on_the_same_file_sees_and_respects_the_first(tmp_path: Path) -> None:
    """Pictures are right, and no change is lost, although another store wrote in between."""
    one, two = SqliteState(tmp_path / "state.db"), SqliteState(tmp_path / "state.db")
    save(one, boot_point(1))
    assert two.read() == one.read()
    with two.write() as tx:
        tx.save_boot_point(boot_point(tx.state().next_boot_point))
    with one.write() as tx:
        tx.save_boot_point(boot_point(tx.state().next_boot_point))
    assert sorted(two.read().boot_points) == [boot_point_id(n) for n in (1, 2, 3)]
    assert one.read() == two.read()
    one.close()
    two.close()


def test_two_stores_on_one_file_lose_no_step(tmp_path: Path) -> None:
    """The write lock is taken before the first read, so nobody writes on an old picture."""
    stores = [SqliteState(tmp_path / "state.db") for _ in range(2)]
    failed: list[Exception] = []

    def step(store: SqliteState) -> None:
        try:
            for _ in range(15):
                with store.write() as tx:
                    tx.save_boot_point(boot_point(tx.state().next_boot_point))
        except Exception as error:  # noqa: BLE001  (handed to the test below)
            failed.append(error)

    threads = [threading.Thread(target=step, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert stores[0].read() == stores[1].read()
    assert len(stores[0].read().boot_points) == 30
    for store in stores:
        store.close()


def test_a_picture_loaded_while_another_store_writes_is_whole(tmp_path: Path) -> None:
    """Loading takes several queries; they all see one moment."""
    one, two = SqliteState(tmp_path / "state.db"), SqliteState(tmp_path / "state.db")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with one.write() as tx:
                number = tx.state().next_boot_point
                tx.save_recovery_points([recovery_point(f"r{number}")])
                tx.save_boot_point(boot_point(number))

    writer = threading.Thread(target=write)
    writer.start()
    pictures = [two.read()]
    end = time.monotonic() + PATIENCE
    while (
        pictures[-1].next_boot_point < pictures[0].next_boot_point + 20 and time.monotonic() < end
    ):
        pictures.append(two.read())
    stop.set()
    writer.join()
    one.close()
    two.close()

    assert {len(p.boot_points) - len(p.recovery_points) for p in pictures} == {0}
    assert all(p.next_boot_point == len(p.boot_points) + 1 for p in pictures)
    assert len({len(p.boot_points) for p in pictures}) > 1


def test_saving_a_job_nobody_added_changes_nothing(store: StateStore) -> None:
    """Only `add_job` gives numbers; an unknown one is refused."""
    with pytest.raises(ValueError, match="99"), store.write() as tx:
        tx.save_job(replace(job(), id=JobId(99)))
    assert store.read().jobs == {}


def test_a_reopened_store_has_the_same_picture(tmp_path: Path) -> None:
    """What was read before closing is read after opening."""
    first = SqliteState(tmp_path / "state.db")
    with first.write() as tx:
        tx.save_recovery_points([recovery_point()])
        tx.save_boot_point(boot_point(12))
        tx.add_job(job())
    before = first.read()
    first.close()

    again = SqliteState(tmp_path / "state.db")
    assert again.read() == before
    again.close()


def test_alerts_are_kept_until_they_are_forgotten(store: StateStore) -> None:
    """Every field comes back, hostile words included; saving again replaces, forgetting repeats."""
    words = Condition("image:x", Severity.WARNING, "erp", "t\udce9", "a\x00b\r\n", "remedy")
    told = {"mail": Told(What.RAISED, Severity.WARNING, NOW)}
    alert = Alert(words, NOW, NOW, NOW, NOW, NOW, "ops", "on it", told)
    before = store.read()
    with store.write() as tx:
        tx.save_alert(replace(alert, note="first"))
        tx.save_alert(alert)
        assert tx.state().alerts == {"image:x": alert}
    assert store.read().alerts == {"image:x": alert}
    assert before.alerts == {}
    with store.write() as tx:
        tx.forget_alert("image:x")
        tx.forget_alert("image:x")
    assert store.read().alerts == {}
