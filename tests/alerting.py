"""Messages for tests of the ways out."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.model.alarms import Alert, Condition, Item, Message, What
from engine.model.work import Severity

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOSTILE = (
    'a\r\nBcc: evil@example.org\r\n\r\n.\r\n<99>1 - - - - - - forged\x00\x1b[2J\u202e]"\\ \udce9'
)


def message(*titles: str, what: What = What.RAISED, severity: Severity = Severity.ERROR) -> Message:
    """Return a message about alerts with these titles; without any a test."""
    items = tuple(
        Item(
            what,
            Alert(Condition(f"k:{n}", severity, "erp", one, f"{one} it is.", "Look."), NOW, NOW),
        )
        for n, one in enumerate(titles)
    )
    return Message("0123456789abcdef", "Hamburg", NOW, items)
