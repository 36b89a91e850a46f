"""The line to the engine: hello, subscribe, changes, calls, and coming back after a loss.

    connect ─► hello ─► subscribe ─► changes … ─► lost ─► wait 0.5 s, doubling to 15 s ─► connect

Lives on one event loop; `tell` is called there. Nothing here knows Textual.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.api import wire
from engine.api.client import claims
from engine.api.views import PROTO, Hello, Picture
from tui import clock
from tui.heard import heard
from tui.state import Down, Event, Told, Up
from tui.words import _

FIRST_WAIT_S, LONGEST_WAIT_S, SPREAD = 0.5, 15.0, 0.2
QUIET_S, LOST_S, CALL_S = 10.0, 25.0, 40.0
BASE_TOPICS = ("fleet", "jobs", "sets", "findings", "targets", "alerts")
T = TypeVar("T")


class Refusal(Exception):
    """The engine said no, or cannot be asked; the parts and the key are those of its problem."""

    def __init__(
        self,
        happened: str,
        unchanged: str = "",
        remedy: str = "",
        code: int = 0,
        key: str = "",
        facts: Mapping[str, str | int] | None = None,
    ) -> None:
        """Keep the three parts, the key and the facts."""
        super().__init__(happened)
        self.key, self.facts = key, facts or {}
        self.happened, self.unchanged, self.remedy, self.code = happened, unchanged, remedy, code

    def __str__(self) -> str:
        """Return the three parts as one paragraph."""
        return " ".join(
            heard(part) for part in (self.happened, self.unchanged, self.remedy) if part
        )


class _LineLost(Exception):
    """The connection cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the console asks for: `want` is the highest role, `max_hz` the pace of changes."""

    want: str = "admin"
    max_hz: float = 2.0
    name: str = "console"


class Feed:
    """Keeps a connection and tells what comes over it."""

    def __init__(self, socket: Path, tell: Callable[[Event], None], wish: Wish) -> None:
        """Prepare; `run` connects."""
        self._socket, self._tell, self._wish = socket, tell, wish
        self._topics: tuple[str, ...] = BASE_TOPICS
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[wire.Message]] = {}
        self._number = 0
        self._since: tuple[str, int] | None = None
        self._heard = 0.0
        self._hurry = asyncio.Event()
        self._ready = False

    async def run(self) -> None:
        """Connect and stay connected, for ever; cancel the task to end."""
        wait, tries = FIRST_WAIT_S, 0
        while True:
            why = await self._session()
            if self._ready:
                wait, tries = FIRST_WAIT_S, 0
            tries += 1
            self._drop(why)
            pause = wait * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311  (no secret)
            at = clock.now()
            self._tell(Down(why, at, tries, at + timedelta(seconds=pause)))
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)
            wait = min(LONGEST_WAIT_S, wait * 2)

    def hurry(self) -> None:
        """Try again at once when waiting for the next try."""
        self._hurry.set()

    async def watch(self, machine: str = "") -> None:
        """Besides the whole fleet, follow one machine in detail; none with an empty name."""
        topics = (*BASE_TOPICS, f"machine:{machine}") if machine else BASE_TOPICS
        if topics == self._topics:
            return
        self._topics, self._since = topics, None
        if self._ready:
            with contextlib.suppress(Refusal):
                await self._subscribe()

    async def call(
        self, method: str, params: dict[str, Any], kind: type[T], timeout_s: float = CALL_S
    ) -> T:
        """Ask the engine and return its answer, which may take `timeout_s`.

        Raises:
            Refusal: The engine refused, or the connection is lost.
        """
        if not self._ready:
            raise Refusal(_("The engine does not answer."), _("Nothing was changed."))
        return await self._ask(method, params, kind, timeout_s)

    # --- one connection ---------------------------------------------------------------------

    async def _session(self) -> str:
        self._ready = False
        try:
            reader, self._writer = await asyncio.open_unix_connection(
                self._socket, limit=wire.MAX_FRAME
            )
        except OSError as error:
            return f"{self._socket}: {(error.strerror or str(error)).lower()}"
        self._heard = asyncio.get_running_loop().time()
        tasks = [
            asyncio.create_task(part)
            for part in (self._listen(reader), self._greet(), self._keep_alive())
        ]
        try:
            done, _waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            return next((str(t.exception()) for t in done if t.exception()), _("closed"))
        finally:
            for task in tasks:
                task.cancel()
            self._writer.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except (OSError, ValueError) as error:
                raise _LineLost(_("the connection broke: {why}", why=error)) from None
            if not line.endswith(b"\n"):
                raise _LineLost(_("the engine closed the connection"))
            self._heard = asyncio.get_running_loop().time()
            try:
                self._take(wire.decode(line))
            except msgspec.DecodeError as error:
                raise _LineLost(_("the engine's answer cannot be read: {why}", why=error)) from None

    def _take(self, message: wire.Message) -> None:
        if message.method == "changes":
            self._told(msgspec.json.decode(message.params, type=Picture))
        elif message.id is not None:
            waiting = self._waiting.pop(message.id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif message.error is not None:
            raise _LineLost(message.error.message)

    async def _greet(self) -> None:
        wish = self._wish
        try:
            hello = await self._ask(
                "hello", {"proto": PROTO, "client": wish.name, "want": wish.want} | claims(), Hello
            )
            if hello.proto != PROTO:
                raise _LineLost(
                    _(
                        "the engine speaks protocol {engine}, this console {console}: run the "
                        "bootpoint that belongs to this engine",
                        engine=hello.proto,
                        console=PROTO,
                    )
                )
            if self._since is not None and self._since[0] != hello.epoch:
                self._since = None
            self._tell(Up(hello, clock.now()))
            await self._subscribe()
        except Refusal as refusal:
            raise _LineLost(str(refusal)) from None
        self._ready = True

    async def _subscribe(self) -> None:
        params: dict[str, Any] = {"topics": list(self._topics), "max_hz": self._wish.max_hz}
        if self._since is not None:
            params["since"] = {"epoch": self._since[0], "seq": self._since[1]}
        self._told(await self._ask("subscribe", params, Picture))

    def _told(self, picture: Picture) -> None:
        self._since = (picture.epoch, picture.seq)
        self._tell(Told(picture))

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(QUIET_S / 2)
            quiet = loop.time() - self._heard
            if quiet > LOST_S:
                raise _LineLost(_("no word from the engine for {seconds} s", seconds=int(quiet)))
            if quiet > QUIET_S:
                self._send("ping", {})

    # --- asking -----------------------------------------------------------------------------

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self._number += 1
        message = wire.Message(id=self._number, method=method, params=wire.raw(params))
        if self._writer is None or self._writer.is_closing():
            raise Refusal(_("The engine does not answer."), _("Nothing was sent."))
        self._writer.write(wire.encode(message))
        return self._number

    async def _ask(
        self, method: str, params: dict[str, Any], kind: type[T], timeout_s: float = CALL_S
    ) -> T:
        number = self._send(method, params)
        answer: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            message = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise Refusal(
                _(
                    "The engine gave no answer to {method} in {seconds} s.",
                    method=method,
                    seconds=int(timeout_s),
                )
            ) from None
        finally:
            self._waiting.pop(number, None)
        if message.error is not None:
            raise _refusal(message.error)
        try:
            return msgspec.json.decode(message.result, type=kind)
        except msgspec.DecodeError as error:
            raise Refusal(
                _(
                    "The engine's answer to {method} cannot be read: {why}.",
                    method=method,
                    why=error,
                )
            ) from None

    def _drop(self, why: str) -> None:
        self._ready = False
        self._writer = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(
                    Refusal(
                        _("The line to the engine was lost before it answered ({why}).", why=why),
                        remedy=_("Look at the journal before asking again: it may have been done."),
                    )
                )
        self._waiting.clear()


def _refusal(error: wire.WireError) -> Refusal:
    data = error.data
    if data is None or not data.happened:
        return Refusal(error.message, code=error.code)
    return Refusal(data.happened, data.unchanged, data.remedy, error.code, data.key, data.facts)
