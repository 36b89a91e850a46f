"""The console's side of the door for asyncio programs.

    client = await AsyncClient.open(path)
    picture = await client.call("subscribe", Picture, topics=["fleet"], max_hz=2)
    async for picture in client.notifications():
        ...

Reconnecting is the caller's business: a lost line ends the iterator and fails open calls.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.api.errors import EngineAway, away, failure_of, lost
from engine.api.views import PROTO, Hello, Picture
from engine.api.wire import MAX_FRAME, Message, encode, raw

__all__ = ["AsyncClient", "EngineAway"]

CALL_S = 120.0
T = TypeVar("T")
_decoder = msgspec.json.Decoder(Message)


class AsyncClient:
    """One connection, greeted. For one loop; make it with `open`."""

    hello: Hello

    def __init__(
        self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Use an open connection."""
        self.path = path
        self._reader, self._writer = reader, writer
        self._number = 0
        self._open: dict[int, asyncio.Future[Message]] = {}
        self._changes: asyncio.Queue[Message | None] = asyncio.Queue()
        self._why: EngineAway | None = None
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(
        cls, path: Path, *, want: str = "admin", name: str = "console", timeout_s: float = 5.0
    ) -> AsyncClient:
        """Connect and say hello; the answer is `client.hello`.

        Raises:
            EngineAway: Nobody answers.
            Failure: The engine refuses this client, in its words.
        """
        try:
            opening = asyncio.open_unix_connection(str(path), limit=MAX_FRAME + 1)
            reader, writer = await asyncio.wait_for(opening, timeout_s)
        except (OSError, TimeoutError) as error:
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number else "no answer"
            raise away(path, why[:1].lower() + why[1:]) from error
        client = cls(path, reader, writer)
        try:
            client.hello = await client.call(
                "hello",
                Hello,
                timeout_s=timeout_s,
                proto=PROTO,
                client=name,
                want=want,
                ssh=os.environ.get("SSH_CONNECTION", ""),
            )
        except BaseException:
            await client.close()
            raise
        return client

    async def close(self) -> None:
        """Close the connection; open calls fail with EngineAway; repeatable."""
        self._task.cancel()
        self._end(lost(self.path, "this program closed it"))
        self._writer.close()
        await asyncio.gather(self._task, return_exceptions=True)

    async def call(
        self, method: str, kind: type[T], *, timeout_s: float = CALL_S, **params: object
    ) -> T:
        """Ask the engine and return its answer as `kind`.

        Raises:
            EngineAway: The line was lost, or no answer came in time.
            Failure: The engine says no; Refused, NotFound, WrongUse and others by kind.
        """
        if self._why is not None:
            raise self._why
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        self._writer.write(encode(Message(id=number, method=method, params=raw(params))))
        try:
            message = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError as error:
            raise lost(self.path, f"no answer to {method} within {timeout_s:.0f} s") from error
        finally:
            self._open.pop(number, None)
        if message.error is not None:
            raise failure_of(message.error)
        return msgspec.json.decode(bytes(message.result) or b"null", type=kind)

    async def notifications(self) -> AsyncIterator[Picture]:
        """Yield each `changes` as it comes; ends when the line is lost."""
        while (message := await self._changes.get()) is not None:
            yield msgspec.json.decode(message.params, type=Picture)

    async def _read(self) -> None:
        why = "the engine closed it"
        try:
            while line := await self._reader.readline():
                self._take(_decoder.decode(line))
        except OSError as error:
            why = os.strerror(error.errno or 0)
        except (ValueError, msgspec.DecodeError):
            why = "the engine sent what this program cannot read"
        self._end(lost(self.path, why))

    def _take(self, message: Message) -> None:
        if message.method is not None:
            self._changes.put_nowait(message)
        elif message.id is not None and message.id in self._open:
            answer = self._open[message.id]
            if not answer.done():
                answer.set_result(message)
        elif message.error is not None:
            failure = failure_of(message.error)
            self._end(failure if isinstance(failure, EngineAway) else EngineAway(failure.problem))

    def _end(self, why: EngineAway) -> None:
        if self._why is None:
            self._why = why
            self._changes.put_nowait(None)
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(self._why)
