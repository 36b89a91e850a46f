"""Pure: messages as people and programs read them.

Every text in a message was made safe where it entered; here it is made one line once more, so that
no name of a file can begin a header, a line or a record of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.model.alarms import ENDED, Item, Message, What
from engine.model.text import safe
from engine.model.work import Severity

LONGEST = 1000
SUBJECT = 160
TEST = "This is a test of the alerts; nothing is wrong."
_WHAT = {
    What.RAISED: "",
    What.WORSE: "WORSE: ",
    What.REMINDER: "STILL: ",
    What.CLEARED: "OVER: ",
    What.PASSED: "CAME AND WENT: ",
}
_SIGN = {Severity.ERROR: "X", Severity.WARNING: "!", Severity.INFO: " "}


def line(text: str, limit: int = LONGEST) -> str:
    """Return a text as one safe line."""
    return safe(text, limit)


def title(item: Item) -> str:
    """Return what one alert is about, in a line."""
    return _WHAT[item.what] + line(item.alert.condition.title, 200)


def subject(message: Message) -> str:
    """Return the subject of a message: the gravest alert, and how many more there are."""
    site = line(message.site, 64)
    if message.is_test:
        return f"[{site}] TEST of alerts"
    rest = len(message.items) - 1 + message.more
    more = f" (and {rest} more)" if rest else ""
    return line(f"[{site}] {title(message.items[0])}", SUBJECT) + more


def body(message: Message) -> str:
    """Return a message as text for people."""
    if message.is_test:
        return f"{TEST}\n\nSite: {line(message.site, 64)}\nSent: {when(message.at)}\n"
    parts = [_paragraph(item) for item in message.items if item.what not in ENDED]
    if ended := [_past(item) for item in message.items if item.what in ENDED]:
        parts.append("\n".join(ended) + "\n")
    if message.more:
        parts.append(f"{message.more} more follow in the next message.\n")
    return "\n".join(parts) + f"\nSite: {line(message.site, 64)}\nSent: {when(message.at)}\n"


def _paragraph(item: Item) -> str:
    alert = item.alert
    told = [f"{_SIGN[alert.condition.severity]} {title(item)}"]
    told.append(f"    {line(alert.condition.text)}")
    if alert.condition.remedy:
        told.append(f"    {line(alert.condition.remedy)}")
    told.append(f"    since {when(alert.raised_at)}   {line(alert.key, 200)}")
    return "\n".join(told) + "\n"


def _past(item: Item) -> str:
    """Return a line about what stands no more: of how it was then nobody has any use."""
    alert = item.alert
    ended = alert.absent_since or alert.cleared_at
    until = f", ended {when(ended)}" if ended else ""
    began = f"began {when(alert.raised_at)}{until}"
    return f"  {title(item)}   {began}   {line(alert.key, 200)}"


def when(at: datetime) -> str:
    """Return a moment with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def for_programs(message: Message) -> Mapping[str, object]:
    """Return a message as JSON knows it; fields are only ever added."""
    return {
        "schema": 1,
        "kind": "test" if message.is_test else "alerts",
        "id": message.id,
        "site": line(message.site, 64),
        "at": _moment(message.at),
        "severity": message.severity.value,
        "text": TEST if message.is_test else subject(message),
        "more": message.more,
        "items": [_item(item) for item in message.items],
    }


def _item(item: Item) -> Mapping[str, object]:
    alert, condition = item.alert, item.alert.condition
    return {
        "key": line(alert.key, 200),
        "what": item.what.value,
        "severity": condition.severity.value,
        "machine": condition.machine,
        "title": line(condition.title, 200),
        "text": line(condition.text),
        "remedy": line(condition.remedy),
        "raised_at": _moment(alert.raised_at),
        "cleared_at": _moment(alert.cleared_at),
        "acked_by": line(alert.acked_by) or None,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
