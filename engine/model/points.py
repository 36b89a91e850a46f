"""Boot points: recovery points on their way to being startable, and the moves they may make.

PENDING → APPLYING → CONVERTING → READY → RETIRED
   ▲         ├───────────┴→ FAILED → APPLYING (again, after a pause)
   └─────────┘ its trunk layer is there; conversion waits for that of a newer one
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from engine.model.images import PointId
from engine.model.layers import LayerName

BootPointId = NewType("BootPointId", str)
"""`bp000042`: unique in the engine, so layer names are too."""


class Stage(StrEnum):
    """How far a boot point has come."""

    PENDING = "pending"
    APPLYING = "applying"
    CONVERTING = "converting"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.PENDING: frozenset({Stage.APPLYING, Stage.FAILED, Stage.RETIRED}),
    Stage.APPLYING: frozenset({Stage.CONVERTING, Stage.PENDING, Stage.FAILED}),
    Stage.CONVERTING: frozenset({Stage.READY, Stage.FAILED}),
    Stage.READY: frozenset({Stage.RETIRED, Stage.FAILED}),
    Stage.FAILED: frozenset({Stage.APPLYING, Stage.RETIRED}),
    Stage.RETIRED: frozenset(),
}

WORKING = frozenset({Stage.APPLYING, Stage.CONVERTING})
UNMADE = frozenset({Stage.PENDING, Stage.FAILED})
UNREADY = UNMADE | WORKING


def boot_point_id(number: int) -> BootPointId:
    """Return the id of the `number`-th boot point the engine ever made, from 1."""
    return BootPointId(f"bp{number:06d}")


def in_order(point: BootPointId) -> tuple[int, str]:
    """Return a sort key: the order in which boot points were planned, beyond six digits too."""
    return len(point), point


@dataclass(frozen=True, slots=True)
class BootPoint:
    """A recovery point made, or being made, bootable on a target.

    Attributes:
        parent: Boot point whose trunk layer this one's layer is a child of; None for a seed.
        replica, boot: Names of its layers on the target: the trunk layer, and the layer a VM starts
            from (the twig, or the trunk layer itself while nothing is converted). `replica` also
            tells where a retired trunk layer still lives while others need it.
        reason: Why FAILED, a paragraph; empty otherwise.
        attempts: Tries so far; failed_at: of the newest one that failed.
        bytes: Bytes applied.
        has_trunk: Its trunk layer is sealed: what comes after can be made from it, and it needs
            no images any more, whatever becomes of its twig.
        obstacle: Why no VM could start from it (`Obstacle.key`): FAILED, and not tried again by
            the clock; empty otherwise.
        pin: Note of the operator who pinned it; empty when not pinned.
        skipped: Recovery points between it and the boot point before that got none of their own.
        asked: An operator asked for it by hand: it waits for no window.
        proven_at: When a test boot of it passed; None: it never did.
    """

    id: BootPointId
    standby: str
    recovery_point: PointId
    set_id: str
    parent: BootPointId | None
    sequence: int
    taken_at: datetime
    stage: Stage
    replica: LayerName
    boot: LayerName
    created_at: datetime
    ready_at: datetime | None = None
    failed_at: datetime | None = None
    reason: str = ""
    attempts: int = 0
    bytes: int = 0
    pin: str = ""
    has_trunk: bool = False
    obstacle: str = ""
    proven_at: datetime | None = None
    skipped: int = 0
    asked: bool = False
