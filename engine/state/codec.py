"""Rows and what they mean: the model on one side, text and numbers on the other.

Bodies are JSON in ASCII: names of files may hold bytes that are no UTF-8 (as surrogates), which
neither SQLite nor PostgreSQL would take.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from engine.model.images import (
    Arrival,
    DiskPart,
    FileMark,
    PointDisk,
    PointId,
    RecoveryPoint,
)
from engine.model.layers import LayerName
from engine.model.machine import Firmware, Hints, Nic
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.work import (
    Job,
    JobId,
    JobKind,
    JobStatus,
    JournalLine,
    Phase,
    Run,
    Severity,
)

_BIGGEST = 2**63 - 1
_BOOT_POINT = tuple(field.name for field in fields(BootPoint))
_MAYBE = ("ready_at", "failed_at", "proven_at")
_STAGES = {stage.value: stage for stage in Stage}
_ALIKE = ("set_id", "format", "root", "machine_uuid", "machine_name")
"""What all points of a machine have in common: one text in memory, not one for each point."""
_QUICK = msgspec.json.Decoder(RecoveryPoint)


def time_out(moment: datetime) -> str:
    """Return an aware moment as text that sorts. ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a stored time must know its zone")
    told = moment.astimezone(UTC).replace(tzinfo=None)
    return told.isoformat(timespec="microseconds") + "Z"


def time_in(text: str) -> datetime:
    """Read what `time_out` wrote."""
    return datetime.fromisoformat(text)


def _maybe_out(moment: datetime | None) -> str | None:
    return None if moment is None else time_out(moment)


def _maybe_in(text: str | None) -> datetime | None:
    return None if text is None else time_in(text)


def plain(text: str) -> str:
    """Return text that every database takes: what is no Unicode becomes an escape."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _number(value: int) -> int:
    """Return a number from outside as one that a 64-bit column takes."""
    return max(-_BIGGEST, min(value, _BIGGEST))


# --- recovery points ------------------------------------------------------------------------


def frozen(point: RecoveryPoint) -> RecoveryPoint:
    """Return the point with tuples for all its sequences, as a store gives it back."""
    if _is_frozen(point):
        return point
    nics = tuple(replace(nic, addresses=tuple(nic.addresses)) for nic in point.hints.nics)
    return replace(
        point,
        disks=tuple(point.disks),
        replaces=tuple(point.replaces),
        hints=replace(point.hints, nics=nics),
    )


def _is_frozen(point: RecoveryPoint) -> bool:
    nics = point.hints.nics
    own = (point.disks, point.replaces, nics, *(nic.addresses for nic in nics))
    return all(isinstance(one, tuple) for one in own)


def recovery_point_out(point: RecoveryPoint) -> dict[str, object]:
    """Return the row of a recovery point."""
    # Not `asdict`: it copies deeply, which at 10,000 arrivals costs more than all the rest.
    body = msgspec.to_builtins(point, builtin_types=(datetime,))
    body["taken_at"] = time_out(point.taken_at)
    body["arrived_at"] = _maybe_out(point.arrived_at)
    return {
        "id": point.id,
        "set_id": point.set_id,
        "machine_uuid": point.machine_uuid,
        "sequence": _number(point.sequence),
        "arrival": str(point.arrival),
        "body": json.dumps(body, separators=(",", ":")),
    }


def recovery_point_in(body: str) -> RecoveryPoint:
    """Read the body of a recovery point's row.

    At 15,000 points the quick way is a sixth of the slow one, which takes all that was ever stored:
    surrogates (file names that are no UTF-8) among it.
    """
    try:
        point = _QUICK.decode(body)
    except msgspec.MsgspecError:
        return _slowly(body)
    # Nobody else has the point yet; `replace` would cost as much again as reading it.
    put = object.__setattr__
    put(point, "disks", tuple(point.disks))
    put(point, "replaces", tuple(point.replaces))
    for name in _ALIKE:
        put(point, name, intern(getattr(point, name)))
    nics = tuple(replace(nic, addresses=tuple(nic.addresses)) for nic in point.hints.nics)
    put(point.hints, "nics", nics)
    put(point, "hints", _one(point.hints))
    return point


@lru_cache(maxsize=4096)
def _one(hints: Hints) -> Hints:
    """Return one object for what is equal: the points of a machine say the same of it."""
    return hints


def _slowly(body: str) -> RecoveryPoint:
    told = json.loads(body)
    told["parent"] = None if told["parent"] is None else PointId(told["parent"])
    told["taken_at"] = time_in(told["taken_at"])
    told["arrived_at"] = _maybe_in(told["arrived_at"])
    told["arrival"] = Arrival(told["arrival"])
    told["disks"] = tuple(_disk(one) for one in told["disks"])
    told["replaces"] = tuple(told["replaces"])
    told["hints"] = _hints(told["hints"])
    return RecoveryPoint(**told)


def _disk(told: dict[str, Any]) -> PointDisk:
    mark = told["mark"]
    return PointDisk(
        DiskPart(**told["part"]), told["path"], None if mark is None else FileMark(**mark)
    )


def _hints(told: dict[str, Any]) -> Hints:
    nics = told.pop("nics")
    firmware = told.pop("firmware")
    drivers = tuple(told.pop("drivers", ()))
    return Hints(
        **told,
        drivers=drivers,
        firmware=None if firmware is None else Firmware(firmware),
        nics=tuple(Nic(one["name"], one["mac"], tuple(one["addresses"])) for one in nics),
    )


# --- boot points, jobs, runs, journal -------------------------------------------------------


def boot_point_out(point: BootPoint) -> dict[str, object]:
    """Return the row of a boot point."""
    row: dict[str, object] = {name: getattr(point, name) for name in _BOOT_POINT}
    return row | {
        "sequence": _number(point.sequence),
        "stage": str(point.stage),
        "taken_at": time_out(point.taken_at),
        "created_at": time_out(point.created_at),
        "ready_at": _maybe_out(point.ready_at),
        "failed_at": _maybe_out(point.failed_at),
        "proven_at": _maybe_out(point.proven_at),
        "reason": plain(point.reason),
        "pin": plain(point.pin),
        "has_trunk": int(point.has_trunk),
        "skipped": _number(point.skipped),
        "asked": int(point.asked),
    }


def boot_point_in(row: Mapping[str, Any]) -> BootPoint:
    """Read the row of a boot point, by the names of the columns."""
    told = dict(row)
    told["stage"] = _STAGES[told["stage"]]
    told["taken_at"] = time_in(told["taken_at"])
    told["created_at"] = time_in(told["created_at"])
    for key in _MAYBE:
        if told[key] is not None:
            told[key] = time_in(told[key])
    told["has_trunk"] = bool(told["has_trunk"])
    told["asked"] = bool(told["asked"])
    return BootPoint(**told)


def job_out(job: Job) -> dict[str, object]:
    """Return the row of a job, without its id."""
    return {
        "kind": str(job.kind),
        "standby": job.standby,
        "boot_point": job.boot_point,
        "status": str(job.status),
        "queued_at": time_out(job.queued_at),
        "started_at": _maybe_out(job.started_at),
        "ended_at": _maybe_out(job.ended_at),
        "reason": plain(job.reason),
        "cancel": int(job.cancel),
        "phases": ";".join(f"{time_out(one.at)} {_word(one.name)}" for one in job.phases),
        "destination": plain(job.to),
    }


def job_in(row: RowMapping) -> Job:
    """Read the row of a job."""
    point = row["boot_point"]
    return Job(
        id=JobId(row["id"]),
        kind=JobKind(row["kind"]),
        standby=row["standby"],
        boot_point=None if point is None else BootPointId(point),
        status=JobStatus(row["status"]),
        queued_at=time_in(row["queued_at"]),
        started_at=_maybe_in(row["started_at"]),
        ended_at=_maybe_in(row["ended_at"]),
        reason=row["reason"],
        cancel=bool(row["cancel"]),
        phases=tuple(_phase(text) for text in row["phases"].split(";") if text),
        to=row["destination"],
    )


def _word(name: str) -> str:
    return plain(name).replace(";", ",")


def _phase(text: str) -> Phase:
    at, _, name = text.partition(" ")
    return Phase(name, time_in(at))


def run_out(run: Run) -> dict[str, object]:
    """Return the row of a run."""
    return {
        "standby": run.standby,
        "boot_point": run.boot_point,
        "scratch": run.scratch,
        "started_at": time_out(run.started_at),
    }


def run_in(row: RowMapping) -> Run:
    """Read the row of a run."""
    return Run(
        standby=row["standby"],
        boot_point=BootPointId(row["boot_point"]),
        scratch=LayerName(row["scratch"]),
        started_at=time_in(row["started_at"]),
    )


def line_in(row: RowMapping) -> JournalLine:
    """Read a row of the journal."""
    told = dict(row)
    return JournalLine(**told | {"at": time_in(row["at"]), "severity": Severity(row["severity"])})
