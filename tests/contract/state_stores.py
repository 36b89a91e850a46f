"""State stores of each kind for tests, and what is put into them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.model.images import (
    Arrival,
    DiskPart,
    FileMark,
    PointDisk,
    PointId,
    RecoveryPoint,
)
from engine.model.layers import LayerKind, layer_name
from engine.model.machine import Firmware, Hints, Nic
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.work import Job, JobId, JobKind, JobStatus
from engine.ports import StateStore
from engine.state.memory import MemoryState
from engine.state.sqlite import SqliteState

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
PATIENCE = 60.0
"""Seconds a thread of a test is waited for; long, because machines are busy."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    """Each implementation, empty."""
    made: StateStore = (
        MemoryState() if request.param == "memory" else SqliteState(tmp_path / "state.db")
    )
    yield made
    made.close()


def recovery_point(name: str = "r1", parent: str | None = None) -> RecoveryPoint:
    """Return a point that uses every field, hostile file name included."""
    part = DiskPart(0, "disk-uuid", parent is None, 1 << 40, "aa", "bb", 77, "n", 5, 6, True, 4096)
    nic = Nic("eth0", "52:54:00:11:22:33", ("10.0.0.1/24",))
    return RecoveryPoint(
        id=PointId(name),
        parent=None if parent is None else PointId(parent),
        set_id="set",
        format="bpi",
        root="/srv/replica",
        machine_uuid="machine",
        machine_name="erp\udcff\x1b[2J",
        sequence=2**64 - 1,
        taken_at=NOW,
        arrival=Arrival.COMPLETE,
        reason="",
        disks=(
            PointDisk(part, "erp/\udce9.bpi", FileMark(1, 2**63, 3, 4, 5)),
            PointDisk(part, "", None),
        ),
        hints=Hints("linux", Firmware.UEFI, True, 2, 1 << 30, (nic,)),
        size=77,
        replaces=(PointId("r0"),),
        arrived_at=NOW,
    )


def boot_point(number: int = 1, stage: Stage = Stage.PENDING, standby: str = "erp") -> BootPoint:
    """Return a boot point."""
    name = boot_point_id(number)
    return BootPoint(
        id=name,
        standby=standby,
        recovery_point=PointId(f"r{number}"),
        set_id="set",
        parent=None,
        sequence=number,
        taken_at=NOW,
        stage=stage,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=NOW,
    )


def job(kind: JobKind = JobKind.SYNC, standby: str = "erp") -> Job:
    """Return a queued job."""
    return Job(JobId(0), kind, standby, boot_point_id(1), JobStatus.QUEUED, NOW)


def save(store: StateStore, *points: BootPoint) -> None:
    """Store boot points in one transaction."""
    with store.write() as tx:
        for point in points:
            tx.save_boot_point(point)
