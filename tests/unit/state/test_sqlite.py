"""What only SQLite has: pragmas, triggers, the file itself."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from engine.model.alarms import Alert, Condition
from engine.model.errors import Failure, NoSpace
from engine.model.images import PointId
from engine.model.layers import LayerKind, layer_name
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.work import Job, JobId, JobKind, JobStatus, Severity
from engine.state import schema
from engine.state.sqlite import APPLICATION_ID, SqliteState
from tests.bench.largesite import recovery_points

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def boot_point(number: int = 1, reason: str = "") -> BootPoint:
    """Return a READY boot point."""
    name = boot_point_id(number)
    return BootPoint(
        name,
        "erp",
        PointId("r"),
        "set",
        None,
        number,
        NOW,
        Stage.READY,
        layer_name(name, LayerKind.REPLICA),
        layer_name(name, LayerKind.CONVERSION),
        NOW,
        reason=reason,
    )


def test_every_connection_has_its_pragmas(tmp_path: Path) -> None:
    """Each slot of both pools is set up, not only the first."""
    store = SqliteState(tmp_path / "state.db")
    wanted = {"foreign_keys": 1, "busy_timeout": 5000, "trusted_schema": 0, "cell_size_check": 1}
    writer = wanted | {"journal_mode": "wal", "synchronous": 2, "query_only": 0}
    reader = wanted | {"journal_mode": "wal", "wal_autocheckpoint": 0, "query_only": 1}
    for engine, slots, pragmas in ((store._writer, 1, writer), (store._readers, 4, reader)):
        with ExitStack() as stack:
            for _ in range(slots):
                connection = stack.enter_context(engine.connect())
                for name, value in pragmas.items():
                    assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value, name
    store.close()


def test_readers_cannot_write(tmp_path: Path) -> None:
    """A reading connection refuses to change anything."""
    store = SqliteState(tmp_path / "state.db")
    with pytest.raises(DatabaseError, match="readonly"), store._readers.begin() as connection:
        connection.execute(text("DELETE FROM counters"))
    store.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE boot_points SET stage = 'pending'", "cannot make this move"),
        ("UPDATE boot_points SET stage = 'gone'", "CHECK|cannot make this move"),
        ("UPDATE boot_points SET bytes = 'many'", "cannot store TEXT"),
        ("UPDATE journal SET text = 'nothing happened'", "only ever appended"),
        ("DELETE FROM journal", "only ever appended"),
        ("INSERT INTO runs VALUES ('erp', 'bp999999', 'run', 'now')", "FOREIGN KEY"),
    ],
)
def test_the_database_itself_refuses(tmp_path: Path, statement: str, why: str) -> None:
    """Even code that goes around the rules of the store cannot break them."""
    store = SqliteState(tmp_path / "state.db")
    with store.write() as tx:
        tx.save_boot_point(boot_point())
        tx.write_journal(NOW, Severity.INFO, "erp", "k", "text")
    with pytest.raises(IntegrityError, match=why), store._writer.begin() as connection:
        connection.execute(text(statement))
    store.close()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """Database and its side files have mode 0600, also where the file was open to all before."""
    path = tmp_path / "deep" / "state.db"
    SqliteState(path).close()
    path.chmod(0o644)
    store = SqliteState(path)
    with store.write() as tx:
        tx.save_boot_point(boot_point())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    store.close()


def test_a_path_may_hold_any_sign(tmp_path: Path) -> None:
    """Signs that mean something in a URI do not in a path."""
    path = tmp_path / "a?mode=memory#b %41" / "state.db"
    SqliteState(path).close()
    assert path.stat().st_size > 0


def test_a_newer_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    """A database of a newer version is told about, and left bit for bit."""
    path = tmp_path / "state.db"
    SqliteState(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = path.read_bytes()

    with pytest.raises(Failure, match="newer version") as told:
        SqliteState(path)

    assert told.value.problem.key == "state.newer"
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_not_changed(tmp_path: Path) -> None:
    """Somebody else's tables are not taken over."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()

    with pytest.raises(Failure, match="another program"):
        SqliteState(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("hurt", [b"no database at all" * 400, b""])
def test_what_is_no_database_is_damaged_and_what_is_empty_is_new(
    tmp_path: Path, hurt: bytes
) -> None:
    """Rubbish is refused in words; an empty file is a fresh state."""
    path = tmp_path / "state.db"
    path.write_bytes(hurt)
    if not hurt:
        SqliteState(path).close()
        return
    with pytest.raises(Failure) as told:
        SqliteState(path)
    assert told.value.problem.key == "state.damaged"
    assert path.read_bytes() == hurt


def test_damage_inside_is_found_at_the_start(tmp_path: Path) -> None:
    """A page that was overwritten stops the engine before it plans anything from it."""
    path = tmp_path / "state.db"
    store = SqliteState(path)
    with store.write() as tx:
        for number in range(1, 400):
            tx.save_boot_point(boot_point(number))
    store.close()
    data = bytearray(path.read_bytes())
    data[-3 * 4096 : -4096] = b"\xa5" * (2 * 4096)
    path.write_bytes(data)

    with pytest.raises(Failure) as told:
        SqliteState(path)
    assert told.value.problem.key == "state.damaged"


def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    """When the database cannot grow, the transaction fails whole, and later ones work again."""
    store = SqliteState(tmp_path / "state.db")
    with store.write() as tx:
        tx.save_boot_point(boot_point())
    before = store.read()
    _limit(store, 30)

    def write_much() -> None:
        with store.write() as tx:
            for number in range(2, 400):
                tx.save_boot_point(boot_point(number, "x" * 1000))

    with pytest.raises(NoSpace):
        write_much()
    assert store.read() == before
    _limit(store, 1 << 20)
    write_much()
    assert len(store.read().boot_points) == 399
    store.close()


def _limit(store: SqliteState, pages: int) -> None:
    with store._writer.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_strings_that_are_no_unicode_do_not_stop_the_engine(tmp_path: Path) -> None:
    """A reason or a line that quotes a file name of raw bytes is stored with escapes."""
    store = SqliteState(tmp_path / "state.db")
    with store.write() as tx:
        tx.save_boot_point(boot_point(reason="\udcff\0 damaged"))
        tx.write_journal(NOW, Severity.ERROR, "", "k", "\udcff")
    stored = store.boot_point(boot_point_id(1))
    assert stored is not None
    assert stored.reason == "\\udcff\\x00 damaged"
    store.close()


def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    """`file` and other programs can tell our database from any other."""
    path = tmp_path / "state.db"
    SqliteState(path).close()
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID


def test_reading_an_unchanged_state_returns_the_same_picture(tmp_path: Path) -> None:
    """Nothing is loaded again while nothing was written."""
    store = SqliteState(tmp_path / "state.db")
    assert store.read() is store.read()
    with store.write() as tx:
        tx.save_boot_point(boot_point())
    assert store.read() is store.read()
    store.close()


def test_a_state_of_version_two_learns_of_proofs(tmp_path: Path) -> None:
    """The tables of the version before keep their rows, and proofs can be stored in them."""
    path = tmp_path / "state.db"
    store = SqliteState(path)
    with store.write() as tx:
        tx.save_boot_point(boot_point())
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for column in ("proven_at", "skipped", "asked"):
            connection.execute(f"ALTER TABLE boot_points DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 2")

    store = SqliteState(path)
    (found,) = store.read().boot_points.values()
    assert found == boot_point()
    with store.write() as tx:
        tx.save_boot_point(replace(found, proven_at=NOW))
    store.close()
    again = SqliteState(path)
    assert again.boot_point(found.id) == replace(found, proven_at=NOW)
    again.close()


def test_a_state_of_version_three_learns_of_alerts(tmp_path: Path) -> None:
    """The table of alerts is made beside the rows that are there, and is used."""
    path = tmp_path / "state.db"
    state = SqliteState(path)
    with state.write() as tx:
        tx.write_journal(NOW, Severity.INFO, "", "engine.started", "The engine started.")
    state.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE alerts")
        for column in ("skipped", "asked"):
            connection.execute(f"ALTER TABLE boot_points DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 3")
        connection.commit()
    alert = Alert(Condition("rpo:erp", Severity.ERROR, "erp", "late", "Late."), NOW, NOW)
    state = SqliteState(path)
    with state.write() as tx:
        tx.save_alert(alert)
    state.close()
    state = SqliteState(path)
    assert state.read().alerts == {"rpo:erp": alert}
    assert len(state.journal()) == 1
    state.close()


def test_a_state_of_version_five_learns_of_backlogs(tmp_path: Path) -> None:
    """Jobs that apply only, and boot points that wait with their trunk layer, can be stored."""
    path = tmp_path / "state.db"
    store = SqliteState(path)
    pending = replace(boot_point(), stage=Stage.PENDING)
    applying = replace(pending, stage=Stage.APPLYING)
    with store.write() as tx:
        tx.save_boot_point(pending)
        tx.save_boot_point(applying)
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER boot_points_moves")
        connection.execute(
            "CREATE TRIGGER boot_points_moves BEFORE UPDATE OF stage ON boot_points "
            "WHEN NEW.stage = 'pending' BEGIN SELECT RAISE(ABORT, 'the move of version 5'); END"
        )
        connection.execute("PRAGMA user_version = 5")

    store = SqliteState(path)
    waiting = replace(applying, stage=Stage.PENDING, has_trunk=True)
    with store.write() as tx:
        tx.save_boot_point(waiting)
        tx.add_job(Job(JobId(0), JobKind.APPLY, "erp", waiting.id, JobStatus.QUEUED, NOW))
    store.close()
    again = SqliteState(path)
    assert again.boot_point(waiting.id) == waiting
    assert [one.kind for one in again.read().jobs.values()] == [JobKind.APPLY]
    again.close()


@pytest.mark.parametrize(("version", "kind"), [(6, JobKind.ARM), (9, JobKind.MEASURE)])
def test_a_database_of_an_older_version_knows_later_jobs(
    tmp_path: Path, version: int, kind: JobKind
) -> None:
    """Its table of jobs refused them; what was in it stays."""
    path = tmp_path / "state.db"
    store = SqliteState(path)
    with store.write() as tx:
        tx.add_job(Job(JobId(0), JobKind.STOP, "erp", None, JobStatus.QUEUED, NOW))
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'jobs'").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        old = made.replace(f"'{kind}', ", "").replace(f", '{kind}'", "")
        assert old != made
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'jobs'", (old,))
        connection.execute(f"PRAGMA user_version = {version}")
    again = SqliteState(path)
    with again.write() as tx:
        tx.add_job(Job(JobId(0), kind, "erp", None, JobStatus.QUEUED, NOW))
    assert [one.kind for one in again.read().jobs.values()] == [JobKind.STOP, kind]
    again.close()


def test_what_points_of_a_machine_have_in_common_is_read_as_one_object(tmp_path: Path) -> None:
    """A large site's state holds such texts once, not once for each point."""
    path = tmp_path / "state.db"
    store = SqliteState(path)
    with store.write() as tx:
        tx.save_recovery_points(recovery_points("erp", 5))
    store.close()
    again = SqliteState(path)
    points = list(again.read().recovery_points.values())
    again.close()
    assert points == sorted(recovery_points("erp", 5), key=lambda point: point.id)
    assert len(points) == 5
    for name in ("root", "set_id", "machine_uuid", "machine_name", "format", "hints"):
        assert len({id(getattr(point, name)) for point in points}) == 1, name
