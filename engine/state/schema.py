"""The tables. Portable: what only one database understands is in that database's module.

    changes, next numbers ─ counters
    recovery_points         what arrived            body: JSON by `codec`
    boot_points             what is made of it      stage moves are checked by a trigger too
    jobs, runs              work, started VMs
    alerts                  what is wrong, and what each way out was told of it (body: JSON)
    journal                 the operator's history  appended only, a trigger refuses anything else

Times are text, ISO 8601 UTC with microseconds and `Z`: they sort, and are read by people.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.schema import SchemaItem

from engine.model.images import Arrival
from engine.model.points import Stage
from engine.model.work import JobKind, JobStatus, Severity

VERSION = 10
"""Raised with each change of the tables."""

CHANGES = "changes"
NEXT_BOOT_POINT = "next_boot_point"

metadata = MetaData()

_Number = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _table(name: str, *parts: SchemaItem, counts: bool = False) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True, sqlite_autoincrement=counts)


counters = _table(
    "counters",
    Column("name", Text, primary_key=True),
    Column("value", _Number, nullable=False),
)

recovery_points = _table(
    "recovery_points",
    Column("id", Text, primary_key=True),
    Column("set_id", Text, nullable=False),
    Column("machine_uuid", Text, nullable=False),
    Column("sequence", _Number, nullable=False),
    Column("arrival", Text, nullable=False),
    Column("body", Text, nullable=False),
    _one_of("arrival", Arrival),
)

boot_points = _table(
    "boot_points",
    Column("id", Text, primary_key=True),
    Column("standby", Text, nullable=False, index=True),
    Column("recovery_point", Text, nullable=False),
    Column("set_id", Text, nullable=False),
    Column("parent", Text),
    Column("sequence", _Number, nullable=False),
    Column("taken_at", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("replica", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("ready_at", Text),
    Column("failed_at", Text),
    Column("reason", Text, nullable=False),
    Column("attempts", _Number, nullable=False),
    Column("bytes", _Number, nullable=False),
    Column("pin", Text, nullable=False),
    Column("has_trunk", Integer, nullable=False, server_default="0"),
    Column("obstacle", Text, nullable=False, server_default=""),
    Column("proven_at", Text),
    Column("skipped", _Number, nullable=False, server_default="0"),
    Column("asked", Integer, nullable=False, server_default="0"),
    _one_of("stage", Stage),
)

jobs = _table(
    "jobs",
    Column("id", _Number, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("standby", Text, nullable=False, index=True),
    Column("boot_point", Text),
    Column("status", Text, nullable=False, index=True),
    Column("queued_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Column("reason", Text, nullable=False),
    Column("cancel", Integer, nullable=False),
    Column("phases", Text, nullable=False, server_default=""),
    Column("destination", Text, nullable=False, server_default=""),
    _one_of("kind", JobKind),
    _one_of("status", JobStatus),
    counts=True,
)

runs = _table(
    "runs",
    Column("standby", Text, primary_key=True),
    Column("boot_point", Text, ForeignKey("boot_points.id"), nullable=False),
    Column("scratch", Text, nullable=False),
    Column("started_at", Text, nullable=False),
)

journal = _table(
    "journal",
    Column("number", _Number, primary_key=True),
    Column("at", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("standby", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("unchanged", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    _one_of("severity", Severity),
    counts=True,
)

alerts = _table(
    "alerts",
    Column("key", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
