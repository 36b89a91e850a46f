"""How long a start takes, phase by phase, by what earlier starts took. Pure.

queued ─ turn ─► started ─ scratch ─ define ─ power on ─► ended ─ words ─ prompt ─ agent
         the job's own steps, one after the other           │
                                              signs of life, each counted from the end
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from engine.model.machine import Power, Signs
from engine.model.work import Job, JobKind, JobStatus, Phase, Run

TURN = "turn"
WORDS, PROMPT, AGENT = "words", "prompt", "agent"
SIGNS = (WORDS, PROMPT, AGENT)
"""The guest wrote on its serial line, asks for a login there, its tools or agent answer."""

_ASKING = (b"login:", b"password:")
_TAIL = 400
"""Bytes at the end of the serial text that a prompt is looked for in."""
_LONGEST_S = 3600.0
"""After this a sign of life says nothing any more about how long a start takes."""


@dataclass(frozen=True, slots=True)
class Lasted:
    """One phase of one job.

    Attributes:
        began_at: When it began; of a sign of life: when the VM had power.
        seconds: How long it took; None while it lasts.
    """

    name: str
    began_at: datetime
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Usual:
    """How long a phase usually takes: the median of so many starts."""

    name: str
    seconds: float
    starts: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of how long a start takes.

    Attributes:
        phases: In order; signs of life last, each counted from power on.
        whose: `machine`: its own starts; `target`: those of its neighbours; empty: none yet.
        starts: How many.
        power_s: From asking to power on; None without history.
        guest_s: From asking to the last sign of life of the guest; None where none was ever seen.
    """

    phases: Sequence[Usual] = ()
    whose: str = ""
    starts: int = 0
    power_s: float | None = None
    guest_s: float | None = None


def lasted(job: Job) -> list[Lasted]:
    """Return the phases of a start or stop; its turn first."""
    end = job.ended_at
    steps = [one for one in job.phases if one.name not in SIGNS]
    marks = [(TURN, job.queued_at), *((one.name, one.at) for one in steps)]
    ends = [job.started_at, *(one.at for one in steps[1:]), end]
    if not steps:
        ends = [job.started_at or end]
    told = [
        Lasted(name, began, None if until is None else max(0.0, (until - began).total_seconds()))
        for (name, began), until in zip(marks, ends, strict=True)
    ]
    if end is None:
        return told
    seen = [one for one in job.phases if one.name in SIGNS]
    return told + [Lasted(one.name, end, max(0.0, (one.at - end).total_seconds())) for one in seen]


def pace(jobs: Iterable[Job], standby: str, neighbours: Collection[str]) -> Pace:
    """Return how long starts take: of this machine, else of its neighbours, else nothing.

    Args:
        neighbours: Machines on the same target.
    """
    done = [job for job in jobs if job.kind is JobKind.START and job.status is JobStatus.DONE]
    own = [job for job in done if job.standby == standby]
    if own:
        return _pace(own, "machine")
    near = [job for job in done if job.standby in neighbours]
    return _pace(near, "target") if near else Pace()


def _pace(jobs: Sequence[Job], whose: str) -> Pace:
    took: dict[str, list[float]] = {}
    for job in jobs:
        for phase in lasted(job):
            if phase.seconds is not None:
                took.setdefault(phase.name, []).append(phase.seconds)
    names = [name for name in took if name not in SIGNS] + [n for n in SIGNS if n in took]
    phases = tuple(Usual(name, statistics.median(took[name]), len(took[name])) for name in names)
    whole = [(job.ended_at - job.queued_at).total_seconds() for job in jobs if job.ended_at]
    power = statistics.median(whole) if whole else None
    seen = [one.seconds for one in phases if one.name in SIGNS]
    guest = power + max(seen) if power is not None and seen else None
    return Pace(phases, whose, len(jobs), power, guest)


def last_start(jobs: Iterable[Job], standby: str) -> Job | None:
    """Return the newest start of a machine that was done."""
    mine = (
        job
        for job in jobs
        if job.standby == standby and job.kind is JobKind.START and job.status is JobStatus.DONE
    )
    return max(mine, key=lambda job: job.id, default=None)


def with_signs(job: Job, run: Run, signs: Signs, now: datetime) -> Job:
    """Return the start with those signs of life noted that its VM shows for the first time."""
    if job.ended_at is None or job.started_at is None or signs.power is not Power.ON:
        return job
    of_this_run = job.started_at <= run.started_at <= job.ended_at
    if not of_this_run or not 0 <= (now - job.ended_at).total_seconds() <= _LONGEST_S:
        return job
    known = {one.name for one in job.phases}
    fresh = [Phase(name, now) for name in _shown(signs) if name not in known]
    return replace(job, phases=(*job.phases, *fresh)) if fresh else job


def _shown(signs: Signs) -> list[str]:
    tail = signs.serial_tail[-_TAIL:].lower()
    shown = {
        WORDS: bool(tail.strip()),
        PROMPT: any(sign in tail for sign in _ASKING),
        AGENT: bool(signs.agent),
    }
    return [name for name in SIGNS if shown[name]]
