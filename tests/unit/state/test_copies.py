"""Copies of the state database: daily, checked, never pushed out by a damaged one."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from engine.model.errors import Failure
from engine.model.work import Severity
from engine.state.copies import KEPT, copies_in, copies_of, copy_state, is_due, surplus
from engine.state.sqlite import SqliteState

TODAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of a state with a journal line, closed."""
    path = tmp_path / "state.db"
    state = SqliteState(path)
    with state.write() as tx:
        tx.write_journal(NOW, Severity.INFO, "erp", "test", "A line.")
    state.close()
    return path


def test_a_copy_is_a_state_that_opens(database: Path) -> None:
    """It holds what the original holds, and only we may read it."""
    copy = copy_state(database, TODAY)
    assert copy.name == "state-2026-03-01.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    opened = SqliteState(copy)
    assert [line.text for line in opened.journal()] == ["A line."]
    opened.close()


def test_it_is_made_while_others_write(tmp_path: Path) -> None:
    """The engine's own connection stays open and in the middle of its work."""
    state = SqliteState(tmp_path / "state.db")
    with state.write() as tx:
        tx.write_journal(NOW, Severity.INFO, "", "test", "Before.")
        copy_state(tmp_path / "state.db", TODAY)
        tx.write_journal(NOW, Severity.INFO, "", "test", "After.")
    assert [line.text for line in state.journal()] == ["Before.", "After."]
    state.close()


def test_a_damaged_database_pushes_out_no_copy(database: Path) -> None:
    """It is told in words, and what was copied while it was whole stays."""
    folder = copies_of(database)
    for back in range(KEPT):
        copy_state(database, TODAY - timedelta(days=back + 1))
    before = copies_in(folder)
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(Failure) as told:
        copy_state(database, TODAY)
    assert told.value.problem.key == "state.copy"
    assert copies_in(folder) == before
    assert sorted(folder.iterdir()) == sorted(before)


def test_the_newest_seven_stay(database: Path) -> None:
    """The eighth drops the oldest; a draft that a crash left goes as well."""
    folder = copies_of(database)
    folder.mkdir()
    (folder / "state-2026-02-01.db.draft").write_bytes(b"half")
    for day in range(KEPT + 1):
        copy_state(database, TODAY + timedelta(days=day))
    days = [TODAY + timedelta(days=day) for day in range(1, KEPT + 1)]
    assert [p.name for p in sorted(folder.iterdir())] == [f"state-{d.isoformat()}.db" for d in days]


def test_a_wrong_clock_puts_no_copy_off() -> None:
    """Copies of the year 2099 do not count as today's, and never push out real ones."""
    wrong = [Path(f"state-2099-01-{day:02}.db") for day in range(1, 8)]
    assert is_due(wrong, TODAY)
    real = [Path("state-2026-02-28.db"), Path("state-2026-03-01.db")]
    assert not is_due([*wrong, *real], TODAY)
    assert surplus([*wrong, *real], TODAY) == wrong[:2]


def test_files_of_others_are_left(tmp_path: Path) -> None:
    """What is not named like a copy is none."""
    (tmp_path / "state-old.db").touch()
    (tmp_path / "notes.txt").touch()
    assert copies_in(tmp_path) == []


def test_a_copy_is_any_sqlite_file(database: Path) -> None:
    """People can look into it with the usual program."""
    copy = copy_state(database, TODAY)
    with sqlite3.connect(copy) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
