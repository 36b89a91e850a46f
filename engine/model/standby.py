"""The definition of a standby: what an operator asked for, once, for one source machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum

from engine.model.blackout import Blackout
from engine.model.conversion import ConversionMode
from engine.model.cron import Cron, daily, parse_cron
from engine.model.machine import DiskBus, Firmware
from engine.model.retention import COUNT, Retention


class TriggerKind(StrEnum):
    """When a boot point is due."""

    IMMEDIATE = "immediate"
    DAILY = "daily"
    EVERY = "every"
    CRON = "cron"


@dataclass(frozen=True, slots=True)
class Trigger:
    """When boot points are made.

    Attributes:
        at: Local time of day, for DAILY.
        count: Number of increments, for EVERY.
        cron: For CRON.
    """

    kind: TriggerKind = TriggerKind.IMMEDIATE
    at: time | None = None
    count: int | None = None
    cron: Cron | None = None

    @property
    def moments(self) -> Cron | None:
        """The moments, in the engine's zone, at which it is due; None: it goes by arrivals."""
        return self.cron if self.at is None else daily(self.at)

    def __str__(self) -> str:
        """Return the text that `parse_trigger` reads."""
        if self.kind is TriggerKind.DAILY and self.at is not None:
            return f"daily@{self.at:%H:%M}"
        if self.kind is TriggerKind.CRON and self.cron is not None:
            return f"cron:{self.cron.text}"
        return f"every:{self.count}" if self.kind is TriggerKind.EVERY else "immediate"


def parse_trigger(text: str) -> Trigger:
    """Read `immediate`, `daily@HH:MM`, `every:N` (N ≥ 1) or `cron:EXPRESSION`.

    Raises:
        ValueError: The text is none of these; the message says what is expected.
    """
    if text == "immediate":
        return Trigger()
    if found := re.fullmatch(r"daily@([01]\d|2[0-3]):([0-5]\d)", text):
        return Trigger(TriggerKind.DAILY, at=time(int(found[1]), int(found[2])))
    if found := re.fullmatch(r"every:([1-9]\d{0,3})", text):
        return Trigger(TriggerKind.EVERY, count=int(found[1]))
    if text.startswith("cron:"):
        return Trigger(TriggerKind.CRON, cron=parse_cron(text.removeprefix("cron:")))
    raise ValueError(
        "expected immediate, daily@HH:MM, every:N or cron:EXPRESSION, such as daily@22:00, "
        "every:4 or cron:0 6-20/2 * * mon-fri"
    )


class Priority(StrEnum):
    """Who goes first where slots are scarce; nobody waits for more than two rounds."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Backlog(StrEnum):
    """What becomes of increments that piled up.

    EVERY: one boot point of each, the newest first where the store allows it. NEWEST: one boot
    point of all of them.
    """

    EVERY = "every"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Standby:
    """One standby as configured in `standbys.d/NAME.toml`.

    Attributes:
        name: `[a-z0-9][a-z0-9-]*`, at most 48 characters; also the VM's name on the target.
        images: Watched folder (absolute path) that holds the image set.
        machine: Machine name or UUID inside that folder; empty: the one that is there, or the one
            whose name equals `name`.
        target: Name of a target from engine.toml.
        keep: Boot points to keep, at least 1.
        retention: What else keeps boot points, or lets them go.
        rpo_s: Goal for the age of the newest ready boot point in seconds; None: no goal.
        silence_s: Seconds without a new image after which it is silent; 0: never; None: as the
            machine's own rhythm says.
        memory, cpus, firmware: None: from the image's hints, else the default.
        bus: None: as the guest has drivers for.
        conversion: Whether its boot points are converted for new hardware.
        priority: Of its jobs, against those of other standbys.
        guard_released: When an operator last told the ransomware guard that all is well.
        backlog: What becomes of increments that piled up.
        blackouts: Windows in which no boot point is begun; None: those of the engine.
        held: Who paused the work, and why; empty when it is not paused.
        held_until: When the pause ends by itself, UTC; None: when somebody resumes it.
    """

    name: str
    images: str
    machine: str = ""
    target: str = "local"
    trigger: Trigger = field(default_factory=Trigger)
    keep: int = COUNT
    retention: Retention = field(default_factory=Retention)
    rpo_s: int | None = None
    silence_s: int | None = None
    memory: int | None = None
    cpus: int | None = None
    firmware: Firmware | None = None
    bus: DiskBus | None = None
    conversion: ConversionMode = ConversionMode.AUTO
    priority: Priority = Priority.NORMAL
    backlog: Backlog = Backlog.EVERY
    blackouts: tuple[Blackout, ...] | None = None
    guard_released: datetime | None = None
    held: str = ""
    held_until: datetime | None = None
    created_at: datetime | None = None

    def is_held(self, now: datetime) -> bool:
        """Tell whether its work is paused at a moment."""
        return bool(self.held) and (self.held_until is None or now < self.held_until)
