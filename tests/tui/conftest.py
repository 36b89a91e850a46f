"""A scripted engine behind the real door, and a console on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give an engine whose door is closed."""
    bench = Bench(tmp_path)
    yield bench
    bench.stop()
