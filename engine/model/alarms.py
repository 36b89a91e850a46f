"""Alerts: raised from conditions, told once to each way out, reminded of, cleared. Pure.

    conditions ──► update ──► alerts ──► pending, for each way ──► one message ──► told

    raised ──────────── reminder ──────────── cleared        what a way is told of one alert
         └─► worse ─┘                 passed: raised and cleared while it could be told nothing

What a way was told is kept with each alert. So there is no queue: a way that was down, or had quiet
hours, gets one message about what is the case then; what came and went meanwhile is a line of it. A
restart tells nothing twice and forgets nothing; and what waits is bounded by the number of alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from hashlib import sha256

from engine.model.quiet import Quiet, is_quiet
from engine.model.work import Severity

MOST = 500
"""Alerts at once; the least grave ones over it become one that says how many they are."""
MOST_ITEMS = 50
"""Alerts in one message; the rest follows in the next."""
OVERFLOW = "alerts:more"
KEPT = timedelta(days=7)
"""For so long an alert that is over waits for ways that were not told."""
TEXT_S = 600
"""Seconds between two changes of a raised alert's figures."""
_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}


class What(StrEnum):
    """What a way is told of an alert."""

    RAISED = "raised"
    WORSE = "worse"
    REMINDER = "reminder"
    CLEARED = "cleared"
    PASSED = "passed"


ENDED = frozenset({What.CLEARED, What.PASSED})


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now.

    Attributes:
        key: Stable while it is the same trouble: `rpo:erp`; ASCII, at most 200 characters.
        severity: ERROR is urgent: it is told in quiet hours too.
        machine: The standby it is about; empty: none.
        title: A few words without figures; text: sentences; remedy: what to do.
    """

    key: str
    severity: Severity
    machine: str
    title: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The newest that a way was told of an alert, and how grave it was then."""

    what: What
    severity: Severity
    at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition from when it was seen until every way knows that it is over.

    Attributes:
        text_at: When the words were last taken from the condition.
        absent_since: Since when the condition is gone; it may come back.
        cleared_at: When it was gone for long enough.
        acked_at, acked_by, note: Somebody looks after it: no more reminders.
        told: Way -> the newest it was told.
    """

    condition: Condition
    raised_at: datetime
    text_at: datetime
    absent_since: datetime | None = None
    cleared_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str = ""
    note: str = ""
    told: Mapping[str, Told] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the condition's key."""
        return self.condition.key

    @property
    def is_raised(self) -> bool:
        """Tell whether it is not over."""
        return self.cleared_at is None


@dataclass(frozen=True, slots=True)
class Rules:
    """When alerts are told.

    Attributes:
        zone: Of the quiet hours.
        remind_s: Seconds after which a way is told again; 0: never.
        clear_after_s: Seconds a condition must be gone for its alert to be over.
    """

    quiet: Sequence[Quiet] = ()
    zone: tzinfo = UTC
    remind_s: float = 86400.0
    clear_after_s: float = 120.0

    def is_quiet(self, now: datetime) -> bool:
        """Tell whether what is not urgent waits now."""
        return is_quiet(self.quiet, now, self.zone)


@dataclass(frozen=True, slots=True)
class Item:
    """One alert in a message."""

    what: What
    alert: Alert


@dataclass(frozen=True, slots=True)
class Message:
    """What one way is to send now; without items it is a test.

    Attributes:
        id: The same for each try of the same items, so that a receiver knows a repetition.
        more: Alerts that had no room and follow.
    """

    id: str
    site: str
    at: datetime
    items: Sequence[Item] = ()
    more: int = 0

    @property
    def is_test(self) -> bool:
        """Tell whether it is a test."""
        return not self.items

    @property
    def severity(self) -> Severity:
        """Return the gravest of its alerts that are not over, INFO without any."""
        grave = [i.alert.condition.severity for i in self.items if i.what not in ENDED]
        return max(grave, key=lambda one: _RANK[one], default=Severity.INFO)


# --- conditions into alerts -----------------------------------------------------------------


def update(
    alerts: Mapping[str, Alert], conditions: Iterable[Condition], rules: Rules, now: datetime
) -> list[Alert]:
    """Return the alerts that are new or changed; those not returned are as they were.

    Args:
        alerts: By key, cleared ones too.
        conditions: All that is wrong now; of several with one key the first counts.
        rules: How long a condition must be gone.
        now: Aware.
    """
    here = bounded(conditions)
    changed = [
        Alert(condition, now, now)
        if (old := alerts.get(key)) is None
        else _still(old, condition, now)
        for key, condition in here.items()
    ]
    changed += [_gone(old, rules, now) for key, old in alerts.items() if key not in here]
    return [one for one in changed if alerts.get(one.key) != one]


def bounded(conditions: Iterable[Condition]) -> dict[str, Condition]:
    """Return the conditions by key, the gravest `MOST` of them and one about the others."""
    found: dict[str, Condition] = {}
    for condition in conditions:
        found.setdefault(condition.key, condition)
    if len(found) <= MOST:
        return found
    gravest = sorted(found.values(), key=lambda one: (-_RANK[one.severity], one.key))
    kept = {one.key: one for one in gravest[: MOST - 1]}
    text = f"{len(found) - len(kept)} more things are wrong and have no alert of their own."
    remedy = "Look at the findings and the fleet; their causes may be few."
    kept[OVERFLOW] = Condition(
        OVERFLOW, Severity.WARNING, "", "More is wrong than is told", text, remedy
    )
    return kept


def _still(old: Alert, condition: Condition, now: datetime) -> Alert:
    if not old.is_raised:
        return Alert(condition, now, now, told=old.told)
    told = replace(old, absent_since=None)
    same = replace(old.condition, text=condition.text) == condition
    if old.condition != condition and (not same or now - old.text_at >= timedelta(seconds=TEXT_S)):
        told = replace(told, condition=condition, text_at=now)
    return told


def _gone(old: Alert, rules: Rules, now: datetime) -> Alert:
    if not old.is_raised:
        return old
    if old.absent_since is None or old.absent_since > now:
        old = replace(old, absent_since=now)
    since = old.absent_since or now
    if (now - since).total_seconds() < rules.clear_after_s:
        return old
    return replace(old, cleared_at=now)


def acknowledged(alert: Alert, by: str, note: str, now: datetime) -> Alert:
    """Return the alert as somebody looks after it."""
    return replace(alert, acked_at=now, acked_by=by, note=note)


def over(
    alerts: Iterable[Alert], ways: Mapping[str, Severity], rules: Rules, now: datetime
) -> list[str]:
    """Return the keys of cleared alerts that no way needs to be told of any more.

    Those that are over for a week go in any case: a way that is deaf for good must not make the
    state grow.
    """
    return [
        alert.key
        for alert in alerts
        if alert.cleared_at is not None
        and (
            now - alert.cleared_at >= KEPT
            or all(
                pending(alert, way, least, replace(rules, quiet=()), alert.cleared_at) is None
                for way, least in ways.items()
            )
        )
    ]


def by_gravity(alerts: Iterable[Alert]) -> list[Alert]:
    """Return alerts in the order of a list: raised before over, grave before light, old first."""
    return sorted(
        alerts,
        key=lambda one: (
            not one.is_raised,
            one.acked_at is not None,
            -_RANK[one.condition.severity],
            one.raised_at,
            one.key,
        ),
    )


# --- alerts into messages -------------------------------------------------------------------


def pending(alert: Alert, way: str, least: Severity, rules: Rules, now: datetime) -> What | None:
    """Return what a way is to be told of an alert now; None: nothing.

    Args:
        alert: Raised or cleared.
        way: Its name.
        least: Least severity it wants.
        rules: Quiet hours and reminders.
        now: Aware.
    """
    told = alert.told.get(way)
    knows = told if told is not None and told.what not in ENDED else None
    severity = alert.condition.severity if alert.is_raised or knows is None else knows.severity
    if knows is None and _RANK[severity] < _RANK[least]:
        return None
    if severity is not Severity.ERROR and rules.is_quiet(now):
        return None
    if not alert.is_raised:
        return _of_cleared(alert, told)
    if alert.absent_since is not None:
        return None  # soon over, or here again: told then
    return What.RAISED if knows is None else _of_known(alert, knows, rules, now)


def _of_cleared(alert: Alert, told: Told | None) -> What | None:
    if told is None or (told.what in ENDED and told.at < alert.raised_at):
        return What.PASSED
    return None if told.what in ENDED else What.CLEARED


def _of_known(alert: Alert, knows: Told, rules: Rules, now: datetime) -> What | None:
    if _RANK[alert.condition.severity] > _RANK[knows.severity]:
        return What.WORSE
    due = knows.at + timedelta(seconds=rules.remind_s)
    if rules.remind_s and alert.acked_at is None and now >= due:
        return What.REMINDER
    return None


def message(
    alerts: Iterable[Alert], way: str, least: Severity, rules: Rules, site: str, now: datetime
) -> Message | None:
    """Return what a way is to send now; None: nothing."""
    items = [
        Item(what, alert)
        for alert in alerts
        if (what := pending(alert, way, least, rules, now)) is not None
    ]
    if not items:
        return None
    items.sort(key=_order)
    shown = tuple(items[:MOST_ITEMS])
    return Message(_id(site, way, shown), site, now, shown, len(items) - len(shown))


def _order(item: Item) -> tuple[bool, int, datetime, str]:
    alert = item.alert
    return item.what in ENDED, -_RANK[alert.condition.severity], alert.raised_at, alert.key


def _id(site: str, way: str, items: Sequence[Item]) -> str:
    parts = [site, way]
    for item in items:
        told = item.alert.told.get(way)
        last = "" if told is None else f"{told.what} {told.at}"
        parts.append(f"{item.alert.key} {item.what} {item.alert.raised_at} {last}")
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def heard(alert: Alert, sent: Item, way: str, now: datetime) -> Alert:
    """Return an alert after a way was told of it.

    Args:
        alert: As it is now.
        sent: What the way was told; the alert may have changed since.
        way: Its name.
        now: Aware.
    """
    severity = sent.alert.condition.severity
    at = max(now, sent.alert.raised_at)
    return replace(alert, told={**alert.told, way: Told(sent.what, severity, at)})
