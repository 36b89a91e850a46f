"""What an operator must know before a start: which data, what is lost, what looks wrong. Pure.

    arrived     1 ── 2 ── 3 ── 4 ── 5        5 arrived, nothing was made of it yet: lost
    ready            2    3    4             choices, the newest data first
    guard                      4 odd         4 and what came after it may be encrypted
    proven           2                       the newest proven one that is not odd is proposed

A doubt is told and never stops a start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.model.guard import GuardVerdict, Judged
from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.points import WORKING, BootPoint, Stage, in_order

ODD = 2
"""Evidence of an increment from which it is told to the operator."""
_RECENT = 30
"""Increments back from the newest in which odd ones are looked for."""


class Fate(StrEnum):
    """Why data that was written is in no boot point that can start."""

    ARRIVING = "arriving"
    DAMAGED = "damaged"
    LOCKED = "locked"
    WAITS = "waits"
    MADE = "made"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Missing:
    """A recovery point that is newer than the newest boot point that can start."""

    point: RecoveryPoint
    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A boot point that can start.

    Attributes:
        newer: Recovery points known that are newer than its data.
        odd: Its own increment as the guard judged it, where that is worth telling; else None.
        is_suspect: It holds data of an increment that looks like encryption, or came after it.
    """

    point: BootPoint
    newer: int
    odd: Judged | None = None
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """Everything there is to choose from.

    Attributes:
        choices: The newest data first.
        proposed: The one to begin with; None when there is no choice.
        why: Why that one, a sentence.
        missing: Newest first.
        odd_since: Data time of the first increment that looks like encryption; None: none does.
        newest: Moment of the newest data that was seen here at all, usable or not.
    """

    choices: Sequence[Choice]
    proposed: BootPoint | None
    why: str
    missing: Sequence[Missing]
    odd_since: datetime | None
    newest: datetime | None


def review(
    made: Iterable[BootPoint],
    arrived: Iterable[RecoveryPoint],
    verdict: GuardVerdict,
    *,
    rpo_s: float | None,
    is_frozen: bool,
) -> Review:
    """Return what can be started of a machine, and what each choice costs.

    Args:
        made: Its boot points.
        arrived: Its recovery points, usable or not.
        verdict: Of the ransomware guard on its increments.
        rpo_s: Its goal; a proven point older than that against the newest is not proposed.
        is_frozen: The guard holds its retention.
    """
    points = list(made)
    images = sorted(arrived, key=lambda one: (one.taken_at, one.sequence))
    odd_since = _odd_since(verdict) if is_frozen or verdict.is_frozen else None
    odd = {one.increment.point: one for one in verdict.judged if one.evidence >= ODD}
    ready = [point for point in points if point.stage is Stage.READY]
    ready.sort(key=lambda one: in_order(one.id), reverse=True)
    choices = [
        Choice(
            point,
            sum(image.taken_at > point.taken_at for image in images),
            odd.get(point.recovery_point),
            odd_since is not None and point.taken_at >= odd_since,
        )
        for point in ready
    ]
    proposed, why = _proposed(choices, rpo_s)
    newest = ready[0].taken_at if ready else None
    by_image = {point.recovery_point: point for point in points}
    done = {point.recovery_point for point in ready}
    late = [
        image
        for image in images
        if newest is None or (image.taken_at > newest and image.id not in done)
    ]
    return Review(
        choices,
        proposed,
        why,
        [_missing(image, by_image) for image in reversed(late)],
        odd_since,
        images[-1].taken_at if images else newest,
    )


def _odd_since(verdict: GuardVerdict) -> datetime | None:
    odd = [one for one in verdict.judged[-_RECENT:] if one.evidence >= ODD]
    return min((one.increment.taken_at for one in odd), default=None)


def _proposed(choices: Sequence[Choice], rpo_s: float | None) -> tuple[BootPoint | None, str]:
    """Return what to begin with: proven before unproven, unsuspected before suspected."""
    if not choices:
        return None, ""
    clean = [choice.point for choice in choices if not choice.is_suspect]
    if not clean:
        return choices[0].point, "All of them hold data that looks encrypted; this is the newest."
    newest = clean[0]
    proven = next((point for point in clean if point.proven_at is not None), None)
    aside = "the newest from before the data that looks encrypted"
    plain = "the newest" if len(clean) == len(choices) else aside
    if proven is None:
        return newest, f"It is {plain}; no boot point of this machine is proven yet."
    price = (newest.taken_at - proven.taken_at).total_seconds()
    if proven == newest:
        return newest, f"It is {plain}, and proven: a test boot of it passed."
    if rpo_s is not None and price > rpo_s:
        return newest, f"It is {plain}; the newest proven one loses more than the goal allows."
    return (
        proven,
        "It is the newest proven one: a test boot of it passed. Newer ones were not tried.",
    )


def _missing(image: RecoveryPoint, made: Mapping[PointId, BootPoint]) -> Missing:
    point = made.get(image.id)
    if image.arrival is Arrival.DAMAGED:
        return Missing(image, Fate.DAMAGED, image.reason)
    if image.locked:
        return Missing(image, Fate.LOCKED, image.reason)
    if point is not None and point.stage is Stage.FAILED:
        return Missing(image, Fate.FAILED, point.reason)
    if point is not None and point.stage in WORKING:
        return Missing(image, Fate.MADE)
    if image.arrival is Arrival.ARRIVING:
        return Missing(image, Fate.ARRIVING, image.reason)
    return Missing(image, Fate.WAITS, image.reason)
