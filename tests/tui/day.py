"""A day of a console, as fast as it goes: changes, journal lines and walks over all its pages."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.cells import cached_cell_len
from textual.pilot import Pilot

from engine.api.views import JobView, Picture
from tests.unit.tui import sample
from tui import clock
from tui.app import Console
from tui.core import Setup
from tui.state import Down, Read, Told, Up
from tui.terminal import Kind

CHANGES = 86_400
"""One a second; a serial line gets one a second at most."""
WALK = ("2", "3", "4", "5", "6", "7", "question_mark", "escape", "1", "enter", "escape", "j")
NAMES = tuple(f"m{number:03d}" for number in range(40))


class Day:
    """A console without an engine; `pass_seconds` lets a day pass in steps of a second."""

    def __init__(self, console: Console, patch: pytest.MonkeyPatch) -> None:
        """Begin with everything there can be."""
        self._core, self._number = console.core, 0
        self._now = sample.NOW
        patch.setattr(clock, "now", lambda: self._now)
        self._picture = sample.fleet(NAMES)
        self._core.feed.hurry = lambda: None  # type: ignore[method-assign]  # there is no engine
        self._core.hear(Up(sample.hello(), self._now))
        self._core.hear(
            Told(
                Picture(
                    epoch="k3f9",
                    seq=1,
                    full=True,
                    fleet=list(self._picture.machines.values()),
                    jobs=list(self._picture.jobs.values()),
                    sets=list(self._picture.sets.values()),
                    alerts=list(self._picture.alerts.values()),
                    targets=list(self._picture.targets.values()),
                    machines=list(self._picture.details.values()),
                )
            )
        )

    def second(self, *, paints: bool = True) -> None:
        """Let a second pass: a job advances, a machine's data is new, now and then a loss."""
        self._number += 1
        number, core = self._number, self._core
        self._now += timedelta(seconds=1)
        name = NAMES[number % len(NAMES)]
        machine = replace(self._picture.machines[name], data_as_of=self._now)
        core.hear(
            Told(
                Picture(
                    epoch="k3f9",
                    seq=number + 1,
                    fleet=[machine],
                    jobs=[self._job(number), *([self._job(number - 50)] if number > 50 else [])],
                    gone=[f"jobs/{10_000 + number - 60}"],
                )
            )
        )
        if number % 20 == 0:
            core.hear(Read([sample.entry(number, name, f"Boot point {number} is ready.")]))
        if number % 3600 == 0:
            core.hear(Down("gone", self._now, 1, self._now + timedelta(seconds=1)))
            core.hear(Up(sample.hello(), self._now))
        if paints:
            core.paint()

    def _job(self, number: int) -> JobView:
        return sample.job(10_000 + number, NAMES[number % len(NAMES)], done=number << 20)

    @property
    def now(self) -> datetime:
        """Return the moment it is."""
        return self._now


@asynccontextmanager
async def opened(patch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[tuple[Day, Pilot[int]]]:
    """Give a day and the pilot of its console, on 80x24."""
    console = Console(Setup(folder / "none.sock", Kind("local")))
    async with console.run_test(size=(80, 24)) as pilot:
        yield Day(console, patch), pilot


async def pass_time(one: Day, pilot: Pilot[int], seconds: int, walk: int = 75) -> None:
    """Let so many seconds pass, painted now and then, with a walk over all pages each `walk`."""
    for number in range(seconds):
        one.second(paints=number % 5 == 0)
        if number % walk == 0:
            await pilot.press(*WALK)
    await pilot.pause()


def held() -> int:
    """Return the bytes that Python holds, without rubbish and Rich's memory of text widths.

    That memory holds 4096 texts at most, and is full after some hours.
    """
    cached_cell_len.cache_clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
