"""Who waits although there is something to do, and what for. Pure, derived each time.

its own VM ─ target away ─ no space ─ slots of engine, target, datastore ─ a slow target
─ a blackout window
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.model.points import BootPoint, Stage
from engine.model.work import Job


class Bound(StrEnum):
    """What is waited for."""

    ENGINE = "engine"
    TARGET = "target"
    DATASTORE = "datastore"
    SLOW = "slow"
    AWAY = "away"
    SPACE = "space"
    VM = "vm"
    BLACKOUT = "blackout"


@dataclass(frozen=True, slots=True)
class Wait:
    """Why the next job of a standby does not run now.

    Attributes:
        bound: What holds it up.
        text: A sentence.
        until: When that ends, where the clock says it.
    """

    bound: Bound
    text: str
    until: datetime | None = None


def waits(
    made: Sequence[BootPoint], job: Job | None, slot: Wait | None, closed: datetime | None
) -> Wait | None:
    """Return what a standby waits for; None: it does not.

    Args:
        made: Its boot points.
        job: Its live job.
        slot: Why its next job got no slot, as `slots.choose` said.
        closed: End of the window in which nothing is begun; None: none is open.
    """
    pending = [point for point in made if point.stage is Stage.PENDING]
    if job is not None:
        others = [point for point in pending if point.id != job.boot_point]
        if not others:
            return None
        what = f"{len(others)} boot points wait" if len(others) > 1 else "A boot point waits"
        return Wait(Bound.VM, f"{what} for job {job.id} ({job.kind}): a machine has one at a time.")
    if slot is not None:
        return slot
    if closed is not None and any(not point.asked for point in pending):
        return Wait(Bound.BLACKOUT, "No boot point is begun in this blackout window.", closed)
    return None
