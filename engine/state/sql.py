"""The state store in SQL that any database takes; opening one is that database's module.

    write  one at a time: BEGIN ─ changes ─ counter + 1 ─ COMMIT ─ show the new picture
    read   counter as shown? ─ yes: the picture at hand
                             ─ as the writer of this process will show it: that picture
                             ─ no: load everything in one transaction

The counter lives in the database, so a picture is right even if another process wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from engine.model.alarms import Alert
from engine.model.errors import Failure, NoSpace, Problem
from engine.model.images import PointId, RecoveryPoint
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.state import State
from engine.model.work import LIVE, Job, JobId, JobKind, JournalLine, Run, Severity
from engine.ports import Transaction
from engine.state import alerts, codec, schema
from engine.state.draft import ENDED_JOBS, RETIRED_POINTS, STARTS, Draft, picture
from engine.state.gate import Gate


@dataclass(frozen=True, slots=True)
class _Shown:
    """The newest picture and the value of the change counter it belongs to."""

    state: State
    changes: int


class SqlState:
    """Remembers in a database: one writing engine, one reading engine."""

    def __init__(self, writer: Engine, readers: Engine) -> None:
        """Take over two engines on one database that has the tables."""
        self._writer, self._readers = writer, readers
        self._gate = Gate()
        self._coming: _Shown | None = None
        with self._reading() as connection:
            self._shown = _Shown(_load(connection), _changes(connection))

    def read(self) -> State:
        """Return one consistent, immutable picture."""
        shown = self._shown
        with self._reading() as connection:
            changes, coming = _changes(connection), self._coming
            if coming is not None and coming.changes == changes:
                return coming.state  # committed, and shown in a moment
            if changes <= self._shown.changes:
                return self._shown.state  # as new as asked for, or newer
            if changes != shown.changes:
                shown = _Shown(_load(connection), changes)
                self._show(shown)
        return shown.state

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open the one writing transaction; blocks while another is open.

        Raises:
            ValueError: A change that the rules forbid.
            NoSpace: The disk is full; nothing was changed.
            Failure: The database failed; nothing was changed.
        """
        with self._gate:
            try:
                with _told(), self._writer.begin() as connection:
                    shown, changes = self._shown, _changes(connection)
                    base = shown.state if shown.changes == changes else _load(connection)
                    tx = _SqlTransaction(connection, Draft(base))
                    yield tx
                    tx.flush()
                    _count(connection, schema.CHANGES, changes + 1)
                    after = tx.state()
                    if after.next_boot_point != base.next_boot_point:
                        _count(connection, schema.NEXT_BOOT_POINT, after.next_boot_point)
                    self._coming = _Shown(after, changes + 1)
                self._show(self._coming)
            finally:
                self._coming = None

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return lines with `after` < number (< `before`), the newest `limit`, oldest first."""
        number = schema.journal.c.number
        query = select(schema.journal).where(number > after).order_by(number.desc())
        if before is not None:
            query = query.where(number < before)
        if standby:
            query = query.where(schema.journal.c.standby == standby)
        with self._reading() as connection:
            rows = connection.execute(query.limit(max(limit, 0))).mappings().all()
        return tuple(codec.line_in(row) for row in reversed(rows))

    def job(self, number: JobId) -> Job | None:
        """Return a job, ended ones included."""
        with self._reading() as connection:
            query = select(schema.jobs).where(schema.jobs.c.id == number)
            row = connection.execute(query).mappings().first()
        return None if row is None else codec.job_in(row)

    def boot_point(self, point: BootPointId) -> BootPoint | None:
        """Return a boot point, retired ones included."""
        with self._reading() as connection:
            return _boot_point(connection, point)

    def close(self) -> None:
        """Close all connections, the writer's last: it is the one that tidies up."""
        self._readers.dispose()
        self._writer.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _told(), self._readers.begin() as connection:
            yield connection

    def _show(self, fresh: _Shown) -> None:
        """Make a picture the newest, unless a newer one is shown already.

        Two threads may race here; the loser's older picture is found out by the next `read`.
        """
        if fresh.changes > self._shown.changes:
            self._shown = fresh


class _SqlTransaction:
    """The open transaction: each change goes to the draft, which checks it, and to the tables.

    New boot points and journal lines wait for one another and go in together, at the latest when
    another statement is due: one statement for 10,000 rows costs a fiftieth of 10,000.
    """

    def __init__(self, connection: Connection, draft: Draft) -> None:
        self._connected, self._draft = connection, draft
        self._waiting: dict[Table, list[dict[str, object]]] = {}

    @property
    def _connection(self) -> Connection:
        """The connection, with all that waited carried out."""
        self.flush()
        return self._connected

    def flush(self) -> None:
        """Carry out what waits."""
        waiting, self._waiting = self._waiting, {}
        for table, rows in waiting.items():
            self._connected.execute(insert(table), rows)

    def state(self) -> State:
        return self._draft.state()

    def save_recovery_points(self, points: Sequence[RecoveryPoint]) -> None:
        kept = {point.id: codec.frozen(point) for point in points}
        known = self._draft.known_recovery_points(kept)
        rows = {key: codec.recovery_point_out(point) for key, point in kept.items()}
        self._update(schema.recovery_points, [rows[key] for key in rows if key in known], "id")
        self._insert(schema.recovery_points, [rows[key] for key in rows if key not in known])
        self._draft.save_recovery_points(list(kept.values()))

    def forget_recovery_points(self, ids: Sequence[PointId]) -> None:
        for gone in self._draft.forget_recovery_points(ids):
            table = schema.recovery_points
            self._connection.execute(delete(table).where(table.c.id == gone))

    def save_boot_point(self, point: BootPoint) -> None:
        before = self._draft.boot_point(point.id)
        if before is None and not self._draft.is_new(point.id):
            before = _boot_point(self._connection, point.id)
        self._draft.save_boot_point(point, before)
        row = codec.boot_point_out(point)
        if before is None:
            self._waiting.setdefault(schema.boot_points, []).append(row)
        else:
            self._update(schema.boot_points, [row], "id")

    def add_job(self, job: Job) -> Job:
        result = self._connection.execute(insert(schema.jobs), codec.job_out(job))
        key = result.inserted_primary_key
        added = replace(job, id=JobId(key[0] if key else 0))
        self._draft.put_job(added)
        return added

    def save_job(self, job: Job) -> None:
        if self._update(schema.jobs, [codec.job_out(job) | {"id": job.id}], "id") == 0:
            raise ValueError(f"job {job.id} was never added")
        self._draft.put_job(job)

    def save_run(self, run: Run) -> None:
        known = self._draft.has_run(run.standby)
        self._draft.save_run(run)
        if known:
            self._update(schema.runs, [codec.run_out(run)], "standby")
        else:
            self._insert(schema.runs, [codec.run_out(run)])

    def remove_run(self, standby: str) -> None:
        self._draft.remove_run(standby)
        self._connection.execute(delete(schema.runs).where(schema.runs.c.standby == standby))

    def save_alert(self, alert: Alert) -> None:
        known = self._draft.has_alert(alert.key)
        kept = alerts.alert_in(row := alerts.alert_out(alert))
        if known:
            self._update(schema.alerts, [row], "key")
        else:
            self._insert(schema.alerts, [row])
        self._draft.save_alert(kept)

    def forget_alert(self, key: str) -> None:
        self._draft.forget_alert(key)
        self._connection.execute(delete(schema.alerts).where(schema.alerts.c.key == key))

    def forget_standby(self, standby: str) -> None:
        self._draft.forget_standby(standby)
        for table in (schema.runs, schema.jobs, schema.boot_points):
            self._connection.execute(delete(table).where(table.c.standby == standby))

    def write_journal(
        self,
        at: datetime,
        severity: Severity,
        standby: str,
        key: str,
        text: str,
        unchanged: str = "",
        remedy: str = "",
    ) -> None:
        row: dict[str, object] = {
            "at": codec.time_out(at),
            "severity": str(severity),
            "standby": standby,
            "key": key,
            "text": codec.plain(text),
            "unchanged": codec.plain(unchanged),
            "remedy": codec.plain(remedy),
        }
        self._waiting.setdefault(schema.journal, []).append(row)

    def _insert(self, table: Table, rows: Sequence[dict[str, object]]) -> None:
        if rows:
            self._connection.execute(insert(table), rows)

    def _update(self, table: Table, rows: Sequence[dict[str, object]], key: str) -> int:
        """Update all other columns of the rows that have these keys; return how many did."""
        if not rows:
            return 0
        columns: dict[str, object] = {name: bindparam(name) for name in rows[0] if name != key}
        statement = update(table).where(table.c[key] == bindparam("this")).values(columns)
        told = [row | {"this": row[key]} for row in rows]
        return self._connection.execute(statement, told).rowcount


# --- loading --------------------------------------------------------------------------------


def _load(connection: Connection) -> State:
    """Read the whole picture; the caller's transaction makes it one moment's."""
    arrived = schema.recovery_points
    bodies = connection.execute(select(arrived.c.body).order_by(arrived.c.id)).scalars()
    made = connection.execute(_newest_boot_points())
    columns = tuple(made.keys())
    work = connection.execute(_newest_jobs()).mappings()
    started = connection.execute(select(schema.runs)).mappings()
    raised = connection.execute(select(schema.alerts).order_by(schema.alerts.c.key)).mappings()
    return picture(
        [codec.recovery_point_in(body) for body in bodies.all()],
        [codec.boot_point_in(dict(zip(columns, row, strict=True))) for row in made.all()],
        [codec.job_in(row) for row in work],
        [codec.run_in(row) for row in started],
        _counted(connection, schema.NEXT_BOOT_POINT, 1),
        [alerts.alert_in(dict(row)) for row in raised],
    )


def _newest_boot_points() -> Select[tuple[object, ...]]:
    """Ask for all boot points in use, and the newest retired ones of each standby."""
    table = schema.boot_points
    newest_first = (func.length(table.c.id).desc(), table.c.id.desc())
    place = func.row_number().over(
        partition_by=(table.c.standby, table.c.stage), order_by=newest_first
    )
    ranked = select(table, place.label("place")).subquery()
    wanted = [column for column in ranked.c if column.name != "place"]
    shown = (ranked.c.stage != str(Stage.RETIRED)) | (ranked.c.place <= RETIRED_POINTS)
    return select(*wanted).where(shown).order_by(func.length(ranked.c.id), ranked.c.id)


def _newest_jobs() -> Select[tuple[object, ...]]:
    """Ask for all live jobs, the newest ended ones, and each standby's newest job and starts."""
    table = schema.jobs
    live = table.c.status.in_([str(status) for status in LIVE])
    ended = select(table.c.id).where(~live).order_by(table.c.id.desc()).limit(ENDED_JOBS)
    newest = select(func.max(table.c.id)).group_by(table.c.standby)
    place = func.row_number().over(partition_by=table.c.standby, order_by=table.c.id.desc())
    started = ~live & (table.c.kind == str(JobKind.START))
    starts = select(table.c.id, place.label("place")).where(started).subquery()
    newest_starts = select(starts.c.id).where(starts.c.place <= STARTS)
    wanted = live | table.c.id.in_(ended) | table.c.id.in_(newest) | table.c.id.in_(newest_starts)
    return select(table).where(wanted).order_by(table.c.id)


def _boot_point(connection: Connection, point: BootPointId) -> BootPoint | None:
    query = select(schema.boot_points).where(schema.boot_points.c.id == point)
    row = connection.execute(query).mappings().first()
    return None if row is None else codec.boot_point_in(dict(row))


def _changes(connection: Connection) -> int:
    return _counted(connection, schema.CHANGES, 0)


def _counted(connection: Connection, name: str, start: int) -> int:
    query = select(schema.counters.c.value).where(schema.counters.c.name == name)
    found = connection.execute(query).scalar()
    return start if found is None else int(found)


def _count(connection: Connection, name: str, value: int) -> None:
    table = schema.counters
    changed = connection.execute(update(table).where(table.c.name == name).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(table), {"name": name, "value": value})


# --- errors ---------------------------------------------------------------------------------


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the database says into what an operator can act on."""
    try:
        yield
    except IntegrityError as error:
        raise ValueError(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise failure(error) from error


def failure(error: SQLAlchemyError) -> Failure:
    """Return a database error in words."""
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if "full" in said:
        return NoSpace(
            Problem(
                "state.full",
                "The disk that holds the engine's state is full.",
                "Nothing was changed; ready boot points can be started.",
                "Free space on it; the work goes on by itself.",
                {"database": said},
            )
        )
    return Failure(
        Problem(
            "state.failed",
            f"The engine's state could not be read or written: {said}.",
            "Nothing was changed; ready boot points are not touched.",
            "Check the disk that holds the state, and that no other engine uses it.",
            {"database": said},
        )
    )
