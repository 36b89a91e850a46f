"""The state in SQLite: everything that only SQLite understands is here.

    writer   one connection, BEGIN IMMEDIATE, the only one that checkpoints
    readers  mode=ro, query_only, BEGIN, so that several SELECTs see one moment

The engine opens the file by no other means: closing a second descriptor would drop SQLite's
locks of this process.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry

from engine.local.durable import make_folder, sync_folder
from engine.model.errors import Failure, Problem
from engine.model.points import MOVES
from engine.model.text import safe
from engine.state import schema
from engine.state.copies import copy_before_migration
from engine.state.sql import SqlState

APPLICATION_ID = 0x62707431
"""`bpt1`: how `file` and we tell our database from any other."""

_READERS = 4
_TRUNKS, _PROOFS, _ALERTS, _ASKED, _BACKLOG, _PHASES, _MEASURING = 2, 3, 4, 5, 6, 7, 10
"""Schema versions that first knew them."""

_PRAGMAS = (
    "foreign_keys = ON",
    "busy_timeout = 5000",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)
_WRITER_PRAGMAS = (*_PRAGMAS, "synchronous = FULL")
_READER_PRAGMAS = (*_PRAGMAS, "wal_autocheckpoint = 0", "query_only = ON")


class SqliteState(SqlState):
    """Remembers in one SQLite file on a local disk."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it (mode 0600).

        Args:
            path: Of the database; `-wal` and `-shm` lie beside it.

        Raises:
            Failure: The file is damaged, of another program, or of a newer version of this one.
        """
        self.path = path
        _make_file(path)
        writer = _engine(path, "rw", 1, "BEGIN IMMEDIATE", _WRITER_PRAGMAS)
        readers = _engine(path, "ro", _READERS, "BEGIN", _READER_PRAGMAS)
        try:
            with writer.begin() as connection:
                version = _check(connection, path)
            if 0 < version < schema.VERSION:
                copy_before_migration(path, version)
            _use_wal(writer)
            with writer.begin() as connection:
                _make_tables(connection)
            super().__init__(writer, readers)
        except DatabaseError as error:
            _dispose(readers, writer)
            raise Failure(_damaged(path, str(error.orig))) from error
        except BaseException:
            _dispose(readers, writer)
            raise


def _dispose(*engines: Engine) -> None:
    for engine in engines:
        engine.dispose()


def _make_file(path: Path) -> None:
    """Make an empty file that only we may read; SQLite gives its other files the same mode."""
    make_folder(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        path.chmod(0o600)
        return
    sync_folder(path.parent.resolve())


def _engine(path: Path, mode: str, size: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
    """Return an engine whose every connection has its pragmas and opens real transactions."""
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=_opener(path, mode),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_really(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _opener(path: Path, mode: str) -> Callable[[], sqlite3.Connection]:
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"

    def opened() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    return opened


# --- the file -------------------------------------------------------------------------------


def _check(connection: Connection, path: Path) -> int:
    """Refuse a file that is not ours, is newer than this program, or damaged; return its schema."""
    owner = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if owner not in (0, APPLICATION_ID) or (owner == 0 and _has_tables(connection)):
        raise Failure(_foreign(path))
    known = version if isinstance(version, int) else 0
    if known > schema.VERSION:
        raise Failure(_newer(path, known))
    found = _pragma(connection, "quick_check")
    if found != "ok":
        raise Failure(_damaged(path, str(found)))
    return known


def _pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def _use_wal(writer: Engine) -> None:
    """Switch the file to WAL, which it remembers; not before we know that it is ours."""
    connection = writer.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _has_tables(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar())


def _make_tables(connection: Connection) -> None:
    version = _pragma(connection, "user_version")
    if version == schema.VERSION:
        return
    if isinstance(version, int) and version:
        _migrate(connection, version)
        return
    schema.metadata.create_all(connection)
    for trigger in (_moves_trigger(), *_journal_triggers()):
        connection.exec_driver_sql(trigger)
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {schema.VERSION}")


def _migrate(connection: Connection, version: int) -> None:
    """Bring the tables of an older version to ours, in the caller's transaction."""
    if version < _TRUNKS:
        _know_trunks(connection)
    if version < _PROOFS:
        connection.exec_driver_sql("ALTER TABLE boot_points ADD COLUMN proven_at TEXT")
    if version < _ALERTS:
        schema.alerts.create(connection, checkfirst=True)
    if version < _ASKED:
        for name in ("skipped", "asked"):
            column = f"{name} INTEGER NOT NULL DEFAULT 0"
            connection.exec_driver_sql(f"ALTER TABLE boot_points ADD COLUMN {column}")
    if version < _MEASURING:  # 8: jobs that arm; 9: that bring home; 10: that measure
        _renew_jobs(connection)
    if version < _BACKLOG:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS boot_points_moves")
        connection.exec_driver_sql(_moves_trigger())
    _know_phases(connection, version)
    connection.exec_driver_sql(f"PRAGMA user_version = {schema.VERSION}")


def _columns(connection: Connection, table: str) -> set[str]:
    return {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")}


def _know_phases(connection: Connection, version: int) -> None:
    """Version 7: when each step of a job began; a table of jobs made anew has them already."""
    if version < _PHASES and "phases" not in _columns(connection, "jobs"):
        connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN phases TEXT NOT NULL DEFAULT ''")


def _know_trunks(connection: Connection) -> None:
    """Version 2: trunk layers, obstacles, and jobs that convert again."""
    columns = ("has_trunk INTEGER NOT NULL DEFAULT 0", "obstacle TEXT NOT NULL DEFAULT ''")
    for column in columns:
        connection.exec_driver_sql(f"ALTER TABLE boot_points ADD COLUMN {column}")
    connection.exec_driver_sql(
        "UPDATE boot_points SET has_trunk = 1 WHERE stage IN ('ready', 'retired') OR bytes > 0"
    )
    _renew_jobs(connection)


def _renew_jobs(connection: Connection) -> None:
    """Make the table of jobs anew, so that it takes all kinds of jobs that we know."""
    for index in schema.jobs.indexes:
        connection.exec_driver_sql(f"DROP INDEX {index.name}")
    connection.exec_driver_sql("ALTER TABLE jobs RENAME TO jobs_before")
    schema.jobs.create(connection)
    known = _columns(connection, "jobs_before")
    names = ", ".join(column.name for column in schema.jobs.columns if column.name in known)
    connection.exec_driver_sql(
        f"INSERT INTO jobs ({names}) SELECT {names} FROM jobs_before"  # noqa: S608 - our own names
    )
    connection.exec_driver_sql("DROP TABLE jobs_before")


def _moves_trigger() -> str:
    """Return the trigger that lets a boot point change its stage only as `MOVES` says."""
    allowed = " OR ".join(
        f"(OLD.stage = '{before}' AND NEW.stage = '{after}')"
        for before, afters in MOVES.items()
        for after in sorted(afters)
    )
    return (
        "CREATE TRIGGER boot_points_moves BEFORE UPDATE OF stage ON boot_points "
        f"WHEN OLD.stage <> NEW.stage AND NOT ({allowed}) "
        "BEGIN SELECT RAISE(ABORT, 'a boot point cannot make this move'); END"
    )


def _journal_triggers() -> list[str]:
    return [
        f"CREATE TRIGGER journal_no_{verb.lower()} BEFORE {verb} ON journal "
        "BEGIN SELECT RAISE(ABORT, 'the journal is only ever appended to'); END"
        for verb in ("UPDATE", "DELETE")
    ]


# --- words ----------------------------------------------------------------------------------


def _foreign(path: Path) -> Problem:
    return Problem(
        "state.foreign",
        f"{safe(str(path), 200)} is a database of another program.",
        "It was not changed; the engine did not start.",
        "Give the engine a state folder of its own.",
    )


def _newer(path: Path, version: int) -> Problem:
    return Problem(
        "state.newer",
        f"{safe(str(path), 200)} was written by a newer version of this program (schema "
        f"{version}; this one knows {schema.VERSION}).",
        "It was not changed; the engine did not start.",
        "Install the newer version again, or restore the state of this version from a backup.",
        {"schema": version, "known": schema.VERSION},
    )


def _damaged(path: Path, found: str) -> Problem:
    return Problem(
        "state.damaged",
        f"The state database {safe(str(path), 200)} is damaged: {safe(found, 300)}.",
        "It was not changed, and no layer was touched; the engine did not start.",
        "Rebuild the state from the layers on the stores: bootpoint engine --rebuild-state. The "
        "damaged file is kept beside the new one; daily copies of it lie in the folder copies.",
    )
