"""Ransomware guard: does an increment look like the machine's own others? Pure.

    changed    bytes changed / size of the disks       of each increment, as its images say
    density    bytes stored / bytes changed            ciphertext does not compress: about 1.0

    history ─► what is usual ─┐
    newest increments ────────┴─► evidence 0 to 4 each ─► far outside: retention goes on hold

What is usual is the machine's own history without its newest increments, as quantiles, so that a
few odd days neither hide an attack nor make one. Neither sign is enough by itself: every machine
is patched, and dense data is written everywhere. What the machine did before is not strange.

Source: changed bytes above 4 x P95 and a tenth of the disk; ratio of system files 0.38, encrypted
1.00, every fourth 4 KiB encrypted 0.56 (measured, zstd level 3).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.model.images import PointId, RecoveryPoint
from engine.model.line import is_usable, lies_in, newness

GUARD = "the ransomware guard"
"""How the hold that it sets begins; who holds a retention stands first in its text."""
WINDOW = 5
"""Newest increments whose evidence counts together."""
ENOUGH = 8
"""Increments before which nothing is known to be usual."""
LONGEST = 240
"""Increments that history goes back."""

_SURE, _LIKELY = 4, 5
_LEAST = 4 << 20
"""Bytes changed below which density says nothing: a few files decide it."""


@dataclass(frozen=True, slots=True)
class Increment:
    """What one increment says of its machine.

    Attributes:
        changed: Bytes of DATA in all disks' layers.
        stored: Bytes of their image files.
        disk: Bytes of all disks.
        arrived_at: When a scan found it, by this host's clock.
    """

    point: PointId
    sequence: int
    taken_at: datetime
    arrived_at: datetime | None
    changed: int
    stored: int
    disk: int

    @property
    def rate(self) -> float:
        """Share of the disks that changed."""
        return self.changed / self.disk if self.disk else 0.0

    @property
    def density(self) -> float:
        """Bytes stored for each byte changed; 1.0 does not compress."""
        return min(self.stored / self.changed, 1.1) if self.changed else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """An increment against the history before it.

    Attributes:
        volume: 0 as usual, 1 unusually much changed, 2 far more than ever.
        dense: 0 as usual, 1 denser than usual, 2 like ciphertext.
        usual_rate, usual_density: 95 % of its history are below; median.
        is_known: The machine did the like before, or an operator released it.
        is_early: Too few came before it to know what is usual.
    """

    increment: Increment
    volume: int = 0
    dense: int = 0
    usual_rate: float = 0.0
    usual_density: float = 0.0
    is_known: bool = False
    is_early: bool = False

    @property
    def evidence(self) -> int:
        """How much this speaks for an attack, 0 to 4."""
        return 0 if self.is_known else self.volume + self.dense


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """What the guard thinks of a machine.

    Attributes:
        judged: Its increments, oldest first.
        reason: Why retention shall be on hold, a sentence with the figures; empty while all is
            usual.
    """

    judged: Sequence[Judged]
    reason: str = ""

    @property
    def is_frozen(self) -> bool:
        """True when retention shall be on hold."""
        return bool(self.reason)


def increments_of(points: Iterable[RecoveryPoint], folder: str) -> list[Increment]:
    """Return the increments among recovery points of one machine below a folder, oldest first.

    Fulls, consolidated points and points whose images do not tell what changed are left out; so are
    disks that are new in an increment: all of such a disk is there, and none of it was changed.
    """
    found = [
        point
        for point in points
        if not point.is_base and not point.replaces and is_usable(point) and lies_in(point, folder)
    ]
    found.sort(key=newness)
    told = [_increment(point) for point in found]
    return [one for one in told if one is not None]


def _increment(point: RecoveryPoint) -> Increment | None:
    parts = [disk.part for disk in point.disks if not disk.part.base]
    changed = [part.data_bytes for part in parts if part.data_bytes is not None]
    if not parts or len(changed) != len(parts):
        return None
    return Increment(
        point=point.id,
        sequence=point.sequence,
        taken_at=point.taken_at,
        arrived_at=point.arrived_at,
        changed=sum(changed),
        stored=sum(part.file_size for part in parts),
        disk=sum(part.size for part in parts),
    )


def guard(increments: Sequence[Increment], released_at: datetime | None = None) -> GuardVerdict:
    """Judge a machine's increments.

    Args:
        increments: Oldest first.
        released_at: When an operator last said that all is well: what had arrived by then is
            known, and raises no alarm any more.
    """
    judged: list[Judged] = []
    past, reason = _Past(), ""
    for one in increments[-(LONGEST + WINDOW) :]:
        judged.append(_judge(one, past, released_at))
        past.add(judged[-1])
        reason = reason or _alarm(judged[-WINDOW:])
    return GuardVerdict(judged, reason)


def newest(increments: Sequence[Increment], released_at: datetime | None = None) -> Judged | None:
    """Return the judgement on the newest increment alone; None without any."""
    judged = guard(increments, released_at).judged
    return judged[-1] if judged else None


class _Past:
    """What was judged before an increment, without the newest, which may be an attack already.

    Kept sorted while it grows: with 500 machines each start judges 25,000 increments.
    """

    def __init__(self, judged: Iterable[Judged] = ()) -> None:
        """Begin with what was judged, oldest first."""
        self.count = 0
        self._recent: list[Judged] = []
        self._usual = _Usual([], [], [], [])
        for one in judged:
            self.add(one)

    def add(self, judged: Judged) -> None:
        """Add the next one."""
        self.count += 1
        self._recent.append(judged)
        if len(self._recent) > WINDOW:
            old = self._recent.pop(0)
            if old.evidence < _SURE - 1:
                self._usual.add(old.increment)

    def usual(self) -> _Usual:
        """Return what is usual: the settled ones, and of the newest those without evidence."""
        found = self._usual.copy()
        for one in self._recent:
            if one.is_known or not one.evidence:
                found.add(one.increment)
        return found


@dataclass(slots=True)
class _Usual:
    """Rates, densities, and densities of weighty increments, each sorted; and all as pairs."""

    rates: list[float]
    densities: list[float]
    weighty: list[float]
    pairs: list[tuple[float, float]]

    def add(self, one: Increment) -> None:
        rate, density = one.rate, one.density
        insort(self.rates, rate)
        insort(self.densities, density)
        if one.changed >= _LEAST:
            insort(self.weighty, density)
        self.pairs.append((rate, density))

    def copy(self) -> _Usual:
        return _Usual(
            self.rates.copy(), self.densities.copy(), self.weighty.copy(), self.pairs.copy()
        )


def _judge(one: Increment, past: _Past, released_at: datetime | None) -> Judged:
    """Judge an increment by those before it."""
    if released_at is not None and one.arrived_at is not None and one.arrived_at <= released_at:
        return Judged(one, is_known=True)
    usual, rate, density = past.usual(), one.rate, one.density
    rates, densities = usual.rates, usual.weighty or usual.densities
    if len(rates) < ENOUGH:
        strange = rate > 0.3 and density > 0.9 and past.count >= 1
        told = 2 * strange
        return Judged(one, volume=told, dense=told, usual_density=1.0, is_early=True)
    p95, median = rates[int(0.95 * (len(rates) - 1))], densities[len(densities) // 2]
    return Judged(
        one,
        volume=_volume(rate, p95, rates[len(rates) // 2]),
        dense=_dense(one, densities, median, rates),
        usual_rate=p95,
        usual_density=median,
        is_known=_has_precedent(rate, density, usual.pairs),
    )


def _volume(rate: float, p95: float, median: float) -> int:
    if rate > max(4 * p95, 0.10):
        return 2
    return 1 if rate > max(1.5 * p95, 3 * median, 0.01) else 0


def _dense(
    one: Increment, densities: Sequence[float], median: float, rates: Sequence[float]
) -> int:
    """Tell how much denser the changed bytes are than usual; small increments do not count."""
    if one.changed < _LEAST or one.rate < rates[len(rates) // 2]:
        return 0
    spread = sorted(abs(density - median) for density in densities)
    mad = spread[len(spread) // 2]
    if one.density > median + max(6 * mad, 0.30):
        return 2
    return 1 if one.density > median + max(4 * mad, 0.08) else 0


def _has_precedent(rate: float, density: float, past: Iterable[tuple[float, float]]) -> bool:
    """Tell whether the machine changed about as much, about as dense, before."""
    return any(much * 1.25 >= rate and dense + 0.06 >= density for much, dense in past)


def _alarm(window: Sequence[Judged]) -> str:
    """Return why the newest increments together are an alarm, empty if they are not."""
    last = window[-1]
    if not last.evidence:
        return ""
    total = sum(one.evidence for one in window)
    big, dense = any(one.volume for one in window), any(one.dense for one in window)
    again = len(window) > 1 and window[-2].evidence >= 2 and window[-2].volume == 2
    at_once = last.volume == 2 and (last.dense >= 1 or again)
    if not (at_once or (total >= _SURE and big and dense) or total >= _LIKELY):
        return ""
    many = sum(1 for one in window if one.evidence)
    return (
        f"{words(last)}"
        + (f" The newest {many} increments are like that." if many > 1 else "")
        + " It may be encrypting its data."
    )


def words(one: Judged) -> str:
    """Return what an increment changed against what is usual, a sentence."""
    told, density = one.increment, one.increment.density
    if one.is_early:
        return (
            f"Increment {told.sequence} changed {told.rate * 100:.1f} % of the disks "
            f"({told.changed / 2**20:.0f} MiB), and what changed compresses to "
            f"{density * 100:.0f} %; too few came before it to know what is usual."
        )
    return (
        f"Increment {told.sequence} changed {told.rate * 100:.1f} % of the disks "
        f"({told.changed / 2**20:.0f} MiB; usually up to {one.usual_rate * 100:.1f} %), and what "
        f"changed compresses to {density * 100:.0f} % (usually {one.usual_density * 100:.0f} %)."
    )
