"""A scripted engine behind the real door, and a console on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot

from engine.api.server import Door
from tests.scripted import ScriptedService, site
from tui.app import Console
from tui.core import Setup
from tui.terminal import Kind

PATIENCE_S = 10.0


class Bench:
    """One engine, one socket; `open` gives a console on it that a pilot drives."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "door" / "engine.sock"
        self.service = ScriptedService(site(3))
        self.drafts = folder / "drafts"
        self.config = folder / "engine.toml"
        self._door: Door | None = None

    def start(self, service: ScriptedService | None = None) -> ScriptedService:
        """Open the door, on another engine if one is given."""
        self.service = service or self.service
        self._door = Door(self.service, self.socket)
        self._door.start()
        return self.service

    def stop(self) -> None:
        """Close the door: the engine is gone."""
        if self._door is not None:
            self._door.stop()
            self._door = None

    @asynccontextmanager
    async def open(
        self, size: tuple[int, int] = (80, 24), *, read_only: bool = False, unicode: bool = False
    ) -> AsyncIterator[Hand]:
        """Open a console, wait until the fleet is there."""
        kind = Kind("local", unicode=unicode)
        setup = Setup(
            self.socket,
            kind,
            read_only=read_only,
            zone=UTC,
            drafts=self.drafts,
            config=self.config,
        )
        console = Console(setup)
        async with console.run_test(size=size) as pilot:
            yield Hand(console, pilot)


def _key(name: str) -> Key:
    """Return a key by its name, or by the sign that it types."""
    if len(name) > 1:
        return Key(name, " " if name == "space" else None)
    return Key(name if name.isalnum() else _character_to_key(name), name)


class Hand:
    """Presses keys and reads the board."""

    def __init__(self, console: Console, pilot: Pilot[int]) -> None:
        self.console, self.pilot = console, pilot

    @property
    def text(self) -> str:
        """Return what stands on the board."""
        return self.console.board.text()

    async def press(self, *names: str) -> str:
        """Press keys, one after another, and wait once; return what stands there then."""
        self.burst(*names)
        await self.pilot.pause()
        return self.text

    def burst(self, *names: str) -> None:
        """Let keys come at once, as a slow line delivers them; nobody waits for any."""
        for name in names:
            self.console.post_message(_key(name))

    async def type(self, text: str) -> None:
        """Type a text, sign by sign."""
        await self.press(*text)

    async def sees(self, *parts: str) -> str:
        """Wait until all parts stand on the board; return it."""
        await until(lambda: all(part in self.text for part in parts), lambda: self.text)
        return self.text

    async def misses(self, part: str) -> str:
        """Wait until a part is gone from the board; return it."""
        await until(lambda: part not in self.text, lambda: self.text)
        return self.text

    async def emergency(self) -> str:
        """Press the emergency's key and take the boot point proposed; return the page that asks."""
        await self.press("f")
        await self.sees("> emergency", "YOU LOSE")
        self.console.core.spot.opened -= 60  # it listens now
        await self.press("enter")
        return await self.sees("EMERGENCY START", "(o) No")

    async def agree(self, word: str = "yes") -> None:
        """On a page that decides: wait until it listens, choose yes, type what is asked for."""
        await self.sees("nothing has changed yet")
        await asyncio.sleep(0.35)
        await self.press("end", "enter")
        await self.type(word)
        await self.press("enter")


async def until(true: Callable[[], bool], shown: Callable[[], str]) -> None:
    """Wait for something to become true; show what was there instead when it does not."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"still waiting, with this on the board:\n{shown()}"
        await asyncio.sleep(0.02)
