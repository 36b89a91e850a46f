"""A large site made up: its machines, what arrived of each, and what was made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from engine.model.images import (
    Arrival,
    DiskPart,
    FileMark,
    ImageSet,
    PointDisk,
    PointId,
    RecoveryPoint,
    RootView,
)
from engine.model.layers import LayerKind, layer_name
from engine.model.machine import Hints
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.standby import Standby
from engine.model.state import State

START = datetime(2026, 1, 1, tzinfo=UTC)
DISK = 1 << 20
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Site:
    """How large the site is."""

    machines: int
    points: int
    waiting: int

    def names(self) -> list[str]:
        """Return the names of all standbys."""
        return [f"m{number:04d}" for number in range(self.machines)]


def recovery_points(machine: str, number: int) -> list[RecoveryPoint]:
    """Return a full and its increments."""
    found: list[RecoveryPoint] = []
    root = f"/images/{machine}"  # one text, as a scanner gives it to all points of its folder
    for sequence in range(1, number + 1):
        ident = PointId(f"{machine}-{sequence:06d}-aaaa-4aaa-8aaa-aaaaaaaaaaaa")
        part = DiskPart(0, f"{machine}-disk", sequence == 1, DISK, "", "", 9000, data_bytes=PAGE)
        mark = FileMark(1, sequence, 9000, 0, 0)
        found.append(
            RecoveryPoint(
                id=ident,
                parent=found[-1].id if found else None,
                set_id=f"{machine}-set",
                format="memory",
                root=root,
                machine_uuid=f"{machine}-uuid",
                machine_name=machine,
                sequence=sequence,
                taken_at=START + timedelta(hours=sequence),
                arrival=Arrival.COMPLETE,
                reason="",
                disks=(PointDisk(part, f"{ident}-d00.bpi", mark),),
                hints=Hints(),
                size=9000,
            )
        )
    return found


def view(machine: str, points: Sequence[RecoveryPoint]) -> RootView:
    """Return the scan of one machine's folder."""
    one = ImageSet(f"{machine}-set", f"{machine}-uuid", machine, f"/images/{machine}", points, {})
    return RootView(f"/images/{machine}", True, "", (one,), (), START, len(points))


def made_of(points: Sequence[RecoveryPoint], first: int, standby: str) -> list[BootPoint]:
    """Return a READY boot point of each recovery point, numbered from `first`."""
    found: list[BootPoint] = []
    for number, point in enumerate(points, start=first):
        name = boot_point_id(number)
        found.append(
            BootPoint(
                id=name,
                standby=standby,
                recovery_point=point.id,
                set_id=point.set_id,
                parent=found[-1].id if found else None,
                sequence=point.sequence,
                taken_at=point.taken_at,
                stage=Stage.READY,
                replica=layer_name(name, LayerKind.REPLICA),
                boot=layer_name(name, LayerKind.CONVERSION),
                created_at=point.taken_at,
                ready_at=point.taken_at,
                bytes=PAGE,
                has_trunk=True,
            )
        )
    return found


def standbys(site: Site) -> dict[str, Standby]:
    """Return all standbys."""
    return {
        name: Standby(name=name, images=f"/images/{name}", keep=site.points)
        for name in site.names()
    }


def picture(site: Site) -> State:
    """Return the site's state: every machine has its boot points, and increments wait."""
    arrived: dict[PointId, RecoveryPoint] = {}
    made: list[BootPoint] = []
    for name in site.names():
        points = recovery_points(name, site.points + site.waiting)
        arrived.update((p.id, replace(p, arrived_at=START)) for p in points)
        made += made_of(points[: site.points], len(made) + 1, name)
    return State(arrived, {p.id: p for p in made}, next_boot_point=len(made) + 1)
