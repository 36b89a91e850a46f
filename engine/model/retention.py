"""Which boot points stay, and why. Retention only decides; a RETIRE job folds the others away.

bp1   bp2   bp3   bp4   bp5   bp6      keep = 2, daily = 3, a VM runs from bp2
goes  runs  daily goes  └newest 2┘

    nothing touches it   it is made, a VM runs from it, another is made from it, a pin, a hold
    the floor            the newest, the newest proven, `floor` proven ones (else ready ones)
    age                  older than `max_age_days`: goes, whatever the settings below say
    count, slots         one of the newest `keep`; the first one of an hour, day, week, month, year
    most                 what the target can hold: of the last group the surplus goes

No clock is read. Slots are filled by the first boot point of a period, so that newer ones never
move a slot to another one; age is counted from one boot point to the next (`ages`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache

from engine.model.ages import ages
from engine.model.layers import LayerName
from engine.model.points import WORKING, BootPoint, BootPointId, Stage, in_order

UNFINISHED = frozenset({Stage.PENDING, Stage.APPLYING, Stage.CONVERTING, Stage.FAILED})
_UNDER_WAY = UNFINISHED - {Stage.FAILED}
COUNT, FLOOR = 24, 3


class Rule(StrEnum):
    """What speaks for a boot point, or lets it go."""

    MAKING = "making"
    RUNS = "runs"
    IN_USE = "in-use"
    PIN = "pin"
    HOLD = "hold"
    NEWEST = "newest"
    NEXT = "next"
    PARENT = "parent"
    PROVEN = "proven"
    FLOOR = "floor"
    COUNT = "count"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    RETRY = "retry"
    AGE = "age"
    MOST = "most"


_PERIODS: Mapping[Rule, Callable[[datetime], object]] = {
    Rule.HOURLY: lambda at: (at.year, at.month, at.day, at.hour, at.utcoffset()),
    Rule.DAILY: lambda at: (at.year, at.month, at.day),
    Rule.WEEKLY: lambda at: at.isocalendar()[:2],
    Rule.MONTHLY: lambda at: (at.year, at.month),
    Rule.YEARLY: lambda at: at.year,
}
_WITHIN: Mapping[Rule, Rule | None] = {
    Rule.HOURLY: None,
    Rule.DAILY: Rule.HOURLY,
    Rule.WEEKLY: Rule.DAILY,
    Rule.MONTHLY: Rule.DAILY,
    Rule.YEARLY: Rule.MONTHLY,
}
"""The next shorter period of which a period consists."""
_WORDS = {
    Rule.HOURLY: "hour",
    Rule.DAILY: "day",
    Rule.WEEKLY: "week",
    Rule.MONTHLY: "month",
    Rule.YEARLY: "year",
}


@dataclass(frozen=True, slots=True)
class Retention:
    """What an operator may set beside the count; None: as the whole engine is set.

    Attributes:
        max_age_days: Older ones go; 0: however old.
        hourly, daily, weekly, monthly, yearly: Newest periods of which the first boot point stays.
        floor: Proven boot points that always stay; while fewer are proven, ready ones make it up.
        hold: Why nothing is retired at present; empty when it is.
    """

    max_age_days: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    floor: int | None = None
    hold: str = ""

    def told(self) -> dict[str, int]:
        """Return the numbers that are set, by name."""
        told = {key: getattr(self, key) for key in SETTINGS}
        return {key: value for key, value in told.items() if value is not None}


SETTINGS = ("max_age_days", "hourly", "daily", "weekly", "monthly", "yearly", "floor")
"""Names of the numbers in a `Retention`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one standby's boot points are judged by.

    Attributes:
        keep: Ready boot points to keep, at least 1.
        slots: Rule -> periods, only of those that are asked for.
        zone: Whose hours, days, weeks, months and years those are.
        most: Boot points the target can hold; None without limit.
        hold: Why nothing goes; empty when something may.
    """

    keep: int = COUNT
    max_age_days: int = 0
    slots: Mapping[Rule, int] = field(default_factory=dict)
    floor: int = FLOOR
    zone: tzinfo = UTC
    most: int | None = None
    hold: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a boot point stays, and why: a phrase for the operator.

    Attributes:
        rules: All that speak for it, the strongest first; of one that goes, what lets it go.
    """

    keep: bool
    reason: str
    rules: tuple[Rule, ...] = ()


def rules_of(
    keep: int, told: Retention, usual: Retention, zone: tzinfo = UTC, most: int | None = None
) -> Rules:
    """Return a standby's rules: what was told for it, else what is usual in this engine."""

    def pick(name: str, default: int) -> int:
        given = (getattr(told, name), getattr(usual, name), default)
        return next(int(value) for value in given if value is not None)

    asked = {rule: pick(rule.value, 0) for rule in _PERIODS}
    return Rules(
        keep=keep,
        max_age_days=pick("max_age_days", 0),
        slots={rule: count for rule, count in asked.items() if count},
        floor=pick("floor", FLOOR),
        zone=zone,
        most=most,
        hold=told.hold,
    )


def retain(
    points: Sequence[BootPoint],
    rules: Rules,
    running: BootPointId | None,
    in_use: Collection[LayerName] = (),
) -> Mapping[BootPointId, Verdict]:
    """Judge all boot points of one standby.

    Args:
        points: Boot points of one standby; retired ones are passed over.
        rules: What they are judged by.
        running: The one a VM was started from; None when no VM runs.
        in_use: Layers whose files something reads that runs or is being made.

    Returns:
        A verdict for each that is not retired, oldest first.
    """
    alive = sorted((p for p in points if p.stage is not Stage.RETIRED), key=by_age)
    firm = _firm(alive, rules, running, in_use)
    newer = _newer(alive)
    wished = _wished(alive, rules, newer)
    old = _too_old(alive, rules.max_age_days)
    verdicts = {}
    for point in alive:
        own, usual = firm.get(point.id, ()), wished.get(point.id, ())
        if point.id in old:
            usual = ()
        if own:
            verdicts[point.id] = _kept(own + usual)
        elif usual:
            verdicts[point.id] = _stays(usual)
        elif point.id in old:
            verdicts[point.id] = Verdict(False, old[point.id], (Rule.AGE,))
        else:
            hopeless, slots = bool(point.obstacle), bool(rules.slots)
            verdicts[point.id] = _goes(newer[point.id], hopeless, slots)
    return verdicts | _too_many(alive, verdicts, firm, rules.most)


def by_age(point: BootPoint) -> tuple[object, ...]:
    """Return the order of boot points: that of the line, in which they are numbered.

    Not that of the source's clock: once it was put back, all that comes would be the oldest.
    """
    return in_order(point.id)


def occupies(point: BootPoint) -> bool:
    """Tell whether a boot point has a place in the target's chain of layers."""
    return point.stage is Stage.READY or point.stage in WORKING or point.has_trunk


# Most verdicts are alike, with 500 machines ten thousand of a dozen kinds: one object for all.


def _kept(told: tuple[tuple[Rule, str], ...]) -> Verdict:
    return Verdict(True, told[0][1], tuple(rule for rule, _ in told))


_stays = lru_cache(maxsize=4096)(_kept)


@lru_cache(maxsize=4096)
def _goes(newer: int, hopeless: bool, slots: bool) -> Verdict:
    what = "there" if hopeless else "ready"
    reason = f"{newer} newer ones are {what}{' and it fills no slot' if slots else ''}"
    return Verdict(False, reason, (Rule.COUNT,))


# --- what speaks for a boot point -----------------------------------------------------------

_Told = dict[BootPointId, tuple[tuple[Rule, str], ...]]
"""Only of those for which anything speaks."""


def _firm(
    alive: Sequence[BootPoint],
    rules: Rules,
    running: BootPointId | None,
    in_use: Collection[LayerName],
) -> _Told:
    """Return why boot points must stay whatever the settings say, the strongest reason first."""
    known = {point.id for point in alive}
    told: _Told = {}
    reasons = [
        *_at_work(alive, running),
        *((point.id, Rule.PIN, f"pinned: {point.pin}") for point in alive if point.pin),
        *_needed(alive),
        *_floor(alive, rules.floor),
    ]
    if in_use:
        reads = "a machine or a newer boot point reads its files"
        reasons += [(point.id, Rule.IN_USE, reads) for point in alive if point.replica in in_use]
    if rules.hold:
        held = f"retention is on hold: {rules.hold}"
        reasons += [(point.id, Rule.HOLD, held) for point in alive]
    for name, rule, words in reasons:
        if name in known:
            told[name] = (*told.get(name, ()), (rule, words))
    return told


_Reasons = Iterator[tuple[BootPointId, Rule, str]]


def _at_work(alive: Sequence[BootPoint], running: BootPointId | None) -> _Reasons:
    for point in alive:
        if point.stage in _UNDER_WAY:
            yield point.id, Rule.MAKING, "is being made"
    if running is not None:
        yield running, Rule.RUNS, "a VM runs from it"


def _needed(alive: Sequence[BootPoint]) -> _Reasons:
    """Yield what the next boot point, or a start, will need."""
    ready = _ready(alive)
    if ready:
        yield ready[-1].id, Rule.NEWEST, "newest ready boot point"
        tip = max(ready, key=lambda one: in_order(one.id))
        yield tip.id, Rule.NEXT, "the next boot point continues it"
    for point in alive:
        if point.stage in UNFINISHED and point.parent is not None:
            yield point.parent, Rule.PARENT, f"{point.id} is made from it"


def _floor(alive: Sequence[BootPoint], floor: int) -> _Reasons:
    """Yield the newest proven ones, made up to the floor with the newest ready ones."""
    ready = _ready(alive)
    proven = [point for point in ready if point.proven_at is not None][-floor:]
    if proven:
        yield proven[-1].id, Rule.PROVEN, "newest proven boot point"
    for point in proven:
        yield point.id, Rule.FLOOR, f"one of {floor} proven that always stay"
    others = [point for point in ready if point.proven_at is None]
    missing = max(floor - len(proven), 0)
    for point in others[max(len(others) - missing, 0) :]:
        yield point.id, Rule.FLOOR, f"one of {floor} that always stay while fewer are proven"


def _ready(alive: Sequence[BootPoint]) -> list[BootPoint]:
    return [point for point in alive if point.stage is Stage.READY]


def _wished(alive: Sequence[BootPoint], rules: Rules, newer: Mapping[BootPointId, int]) -> _Told:
    """Return why boot points stay by the count and the slots."""
    keep = max(rules.keep, 1)
    told: _Told = {point.id: (_counted(point, keep),) for point in alive if newer[point.id] < keep}
    if rules.slots:
        ready = [(point.id, point.taken_at.astimezone(rules.zone)) for point in _ready(alive)]
        firsts = _firsts(ready, rules.slots)
        for rule, count in rules.slots.items():
            reason = ((rule, f"first of its {_WORDS[rule]}, one of {count}"),)
            for point_id, _ in firsts[rule][-count:]:
                told[point_id] = told.get(point_id, ()) + reason
    return told


_Local = Sequence[tuple[BootPointId, datetime]]
"""Boot points and their local times, the oldest first."""


def _firsts(ready: _Local, rules: Collection[Rule]) -> dict[Rule, _Local]:
    """Return for each rule the first boot point of each of its periods.

    The first one of a month is the first one of its day as well; so it is looked for among those.
    """
    found: dict[Rule, _Local] = {}
    for rule, period in _PERIODS.items():
        if rule in rules:
            within = _WITHIN[rule]
            while within is not None and within not in found:
                within = _WITHIN[within]
            first: dict[object, tuple[BootPointId, datetime]] = {}
            for one in ready if within is None else found[within]:
                first.setdefault(period(one[1]), one)
            found[rule] = list(first.values())
    return found


def _newer(alive: Sequence[BootPoint]) -> dict[BootPointId, int]:
    """Return how many newer ready ones each has (of such as it, where no VM could start)."""
    newer, newer_hopeless = 0, 0
    found = {}
    for point in reversed(alive):
        found[point.id] = max(newer, newer_hopeless) if point.obstacle else newer
        newer += point.stage is Stage.READY
        newer_hopeless += bool(point.obstacle)
    return found


@lru_cache(maxsize=64)
def _newest(keep: int) -> tuple[Rule, str]:
    return Rule.COUNT, f"one of the newest {keep}"


def _counted(point: BootPoint, keep: int) -> tuple[Rule, str]:
    if point.obstacle:
        return Rule.COUNT, f"one of the newest {keep} that cannot be made bootable"
    if point.stage is Stage.FAILED:
        return Rule.RETRY, "is tried again"
    return _newest(keep)


# --- what lets it go ------------------------------------------------------------------------


def _too_old(alive: Sequence[BootPoint], days: int) -> Mapping[BootPointId, str]:
    if not days:
        return {}
    ready = _ready(alive)
    newest = by_age(ready[-1]) if ready else ()
    counted = [point for point in alive if by_age(point) <= newest]
    return {
        point: f"{age.days} days older than the newest, more than {days}"
        for point, age in ages(counted).items()
        if age > timedelta(days=days)
    }


def _too_many(
    alive: Sequence[BootPoint],
    verdicts: Mapping[BootPointId, Verdict],
    firm: _Told,
    most: int | None,
) -> dict[BootPointId, Verdict]:
    """Let go what the target cannot hold: the oldest, those that fill a slot last of all."""
    held = [point for point in alive if occupies(point) and verdicts[point.id].keep]
    if most is None or len(held) <= most:
        return {}
    free = [point for point in held if point.id not in firm]
    free.sort(key=lambda point: any(rule in _PERIODS for rule in verdicts[point.id].rules))
    reason = f"the target can hold {most} boot points"
    return {point.id: Verdict(False, reason, (Rule.MOST,)) for point in free[: len(held) - most]}
