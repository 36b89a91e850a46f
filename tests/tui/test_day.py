"""What a console holds after long is what it held after the first minutes (the day: BENCH=day)."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.tui import day


async def test_minutes_later_a_console_holds_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Changes, journal lines, lost lines and walks over all pages leave nothing behind."""
    tracemalloc.start()
    try:
        async with day.opened(monkeypatch, tmp_path) as (one, pilot):
            await day.pass_time(one, pilot, 100, 50)
            before = day.held()
            await day.pass_time(one, pilot, 150, 50)
            assert day.held() - before < 60_000
    finally:
        tracemalloc.stop()
