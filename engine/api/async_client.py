"""The console's side of the door for asyncio programs.

    client = await AsyncClient.open(path)
    picture = await client.call("subscribe", Picture, topics=["fleet"], max_hz=2)
    async for picture in client.notifications():
        ...

Reconnecting is the caller's business: a lost line ends the iterator and fails open calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.api.errors import EngineAway, away, failure_of, lost
from engine.api.views import PROTO, Hello, Picture
from engine.api.wire import MAX_FRAME, Message, encode, raw, raw_params

__all__ = ["AsyncClient", "EngineAway"]

CALL_S = 120.0
T = TypeVar("T")
_decoder = msgspec.json.Decoder(Message)


class AsyncClient:
    """One connection, greeted. For one loop; make it with `open`."""

    hello: Hello

    def __init__(self, path: Path, reader: _Reader, writer: asyncio.StreamWriter) -> None:
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
        greeting = {"proto": PROTO, "client": name, "want": want}
        greeting["ssh"] = os.environ.get("SSH_CONNECTION", "")
        try:
            opening = _greet(path, encode(Message(id=1, method="hello", params=raw(greeting))))
            reader, writer = await asyncio.wait_for(opening, timeout_s)
        except (OSError, TimeoutError) as error:
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number else "no answer"
            raise away(path, why[:1].lower() + why[1:]) from error
        client = cls(path, reader, writer)
        try:
            client.hello = await client._answer("hello", Hello, timeout_s)
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
        message = Message(id=self._number + 1, method=method, params=raw_params(params))
        self._writer.write(encode(message))
        return await self._answer(method, kind, timeout_s)

    async def _answer(self, method: str, kind: type[T], timeout_s: float) -> T:
        """Wait for the answer to what was just sent; the calls are numbered from 1."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
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
            if self._reader.broken is not None:
                why = os.strerror(self._reader.broken.errno or 0)
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


class _Reader(asyncio.StreamReader):
    """A reader that gives what came before the line broke; then it is at its end."""

    broken: OSError | None = None

    def set_exception(self, exc: Exception) -> None:
        """Take the error as the end: an ordinary reader throws away what it holds."""
        self.broken = exc if isinstance(exc, OSError) else None
        self.feed_eof()


async def _greet(path: Path, greeting: bytes) -> tuple[_Reader, asyncio.StreamWriter]:
    """Connect and send the first line, before asyncio has a hand on the socket.

    An engine that refuses says why and closes at once; a transport that finds that out while it
    writes reads no more.
    """
    loop = asyncio.get_running_loop()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(connection, greeting)
        reader = _Reader(limit=MAX_FRAME + 1, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_unix_connection(lambda: protocol, sock=connection)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
    except BaseException:
        connection.close()
        raise
