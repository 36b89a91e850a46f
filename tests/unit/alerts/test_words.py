"""What a message says: what stands in full, what is over in a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.alerts.words import body, subject
from engine.model.alarms import Alert, Condition, Item, Message, What
from engine.model.work import Severity

NIGHT = datetime(2026, 3, 2, 23, tzinfo=UTC)
MORNING = NIGHT + timedelta(hours=8)
GUARD = Condition(
    "guard:erp", Severity.WARNING, "erp", "may be encrypted", "Retention is on hold.", "Look at it."
)
LATE = Condition("rpo:web", Severity.WARNING, "web", "web: data is old", "It is.", "Check.")


def test_what_came_and_went_is_one_line_after_what_stands() -> None:
    """When it began and ended, and nothing of how it was."""
    ended = NIGHT + timedelta(hours=1)
    gone = Alert(GUARD, NIGHT, NIGHT, absent_since=ended, cleared_at=ended + timedelta(minutes=2))
    stands = Item(What.RAISED, Alert(LATE, NIGHT, NIGHT))
    past = Item(What.PASSED, gone)
    text = body(Message("id", "site", MORNING, (stands, past)))
    assert text.index("web: data is old") < text.index("CAME AND WENT: may be encrypted")
    (line,) = [one for one in text.splitlines() if "CAME AND WENT" in one]
    assert "began 2026-03-02 23:00:00 UTC, ended 2026-03-03 00:00:00 UTC" in line
    assert "on hold" not in text
    assert "Check." in text
    alone = Message("id", "site", MORNING, (past,))
    assert subject(alone) == "[site] CAME AND WENT: may be encrypted"
    assert "on hold" not in body(alone)
