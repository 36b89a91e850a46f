"""What an operator is told before a start, as the engine tells it; part of a `Plan`."""

from __future__ import annotations

from datetime import datetime

import msgspec


class PhaseView(msgspec.Struct, kw_only=True):
    """A phase of a start or stop: `turn`, a step of the job, or a sign of life of the guest.

    `seconds`: how long it took, None while it lasts; `words`, `prompt` and `agent` (first serial
    output, a login prompt there, the guest's tools) are counted from power on, which is `at`.
    """

    name: str
    at: datetime
    seconds: float | None = None


class UsualView(msgspec.Struct, kw_only=True):
    """How long a phase usually takes: the median of so many starts."""

    name: str
    seconds: float
    starts: int


class ChoiceView(msgspec.Struct, kw_only=True):
    """A boot point that can start.

    `newer`: recovery points known that are newer. `guard`: what is odd about its own increment, a
    sentence; `suspect`: it holds data that looks encrypted, or came after such data.
    """

    point: str
    data_as_of: datetime
    lost_s: float
    newer: int = 0
    proven_at: datetime | None = None
    suspect: bool = False
    guard: str = ""
    pin: str = ""


class MissingView(msgspec.Struct, kw_only=True):
    """Data that was written, but is in no boot point that can start.

    `fate`: arriving, damaged, locked, waits (nothing was made of it yet), made (is being), failed.
    """

    sequence: int
    data_as_of: datetime
    arrived_at: datetime | None = None
    size: int = 0
    fate: str
    reason: str = ""


class ReviewView(msgspec.Struct, kw_only=True):
    """What there is to choose from, what is lost, what looks wrong, how long it will take.

    `choices` and `missing`: newest data first; `hidden` older choices and `more_missing` older
    data were left out. `guard`: what the ransomware guard says, empty when all is as usual;
    `judged`: increments it looked at; `odd_since`: data from then on looks encrypted. `whose`: of
    whom the figures of `usual` are, machine or target, empty without any; `power_s`, `guest_s`:
    from asking to power on, and to the guest's last usual sign of life.
    """

    proposed: str
    why: str = ""
    choices: list[ChoiceView] = []
    hidden: int = 0
    missing: list[MissingView] = []
    more_missing: int = 0
    newest: datetime | None = None
    guard: str = ""
    judged: int = 0
    odd_since: datetime | None = None
    usual: list[UsualView] = []
    whose: str = ""
    starts: int = 0
    power_s: float | None = None
    guest_s: float | None = None
