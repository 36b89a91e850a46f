"""The console's only look at the wall clock; everything else takes the time as an argument."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall clock, aware UTC."""
    return datetime.now(UTC)  # noqa: TID251  (the engine's clock is out of the console's reach)
