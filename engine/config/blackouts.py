"""Lists of windows: `blackouts` of the whole engine and of one standby, `hours` of a limit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.config.reading import wrong
from engine.model.blackout import Blackout, parse_blackouts


def read_blackouts(
    texts: Sequence[str], file: Path, key: str = "blackouts"
) -> tuple[Blackout, ...]:
    """Return the windows. WrongUse names the file, what it says, and what is expected."""
    try:
        return parse_blackouts(texts)
    except ValueError as error:
        raise wrong(file, key, list(texts), str(error)) from None
