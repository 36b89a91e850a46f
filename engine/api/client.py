"""The console's side of the door for programs that wait: the command line.

    with Client(path) as client:
        views = client.call("fleet", list[FleetView])
        for picture in client.follow(["jobs"]):
            ...

Standard library and msgspec only; the asyncio one is in `engine.api.async_client`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from engine.api.errors import EngineAway, away, failure_of, lost
from engine.api.views import PROTO, Hello, Picture
from engine.api.wire import MAX_FRAME, Message, encode, raw, raw_params

__all__ = ["Client", "EngineAway"]

CONNECT_S = 5.0
CALL_S = 120.0
QUIET_S, LOST_S = 10.0, 25.0
_CHUNK = 1 << 16

T = TypeVar("T")
_decoder = msgspec.json.Decoder(Message)


class Client:
    """One connection, greeted. For one thread."""

    def __init__(
        self, path: Path, *, want: str = "admin", name: str = "cli", timeout_s: float = CALL_S
    ) -> None:
        """Connect and say hello.

        Args:
            path: The socket.
            want: Highest role to use; `viewer` cannot change anything.
            name: What the engine's log calls this client.
            timeout_s: How long an answer may take.

        Raises:
            EngineAway: Nobody answers.
            Failure: The engine refuses this client, in its words.
        """
        self.path = path
        self._timeout_s = timeout_s
        self._number = 0
        self._buffer = bytearray()
        self._waiting: list[Message] = []
        self._socket = _connect(path, min(CONNECT_S, timeout_s))
        try:
            self.hello = self.call("hello", Hello, proto=PROTO, client=name, want=want, **claims())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Use the connection in a `with` block."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connection; repeatable."""
        self._socket.close()

    def call(self, method: str, kind: type[T], **params: object) -> T:
        """Ask the engine and return its answer as `kind`.

        Raises:
            EngineAway: The line was lost, or no answer came in time.
            Failure: The engine says no; Refused, NotFound, WrongUse and others by kind.
        """
        self._number += 1
        number = self._number
        self._send(Message(id=number, method=method, params=raw_params(params)))
        until = time.monotonic() + self._timeout_s
        while True:
            message = self._receive(until)
            if message is None:
                raise lost(self.path, f"no answer to {method} within {self._timeout_s:.0f} s")
            if message.method is not None:
                self._waiting.append(message)
            elif message.error is not None and message.id in (number, None):
                raise failure_of(message.error)
            elif message.id == number:
                return msgspec.json.decode(bytes(message.result) or b"null", type=kind)

    def picture(self, topics: Sequence[str]) -> Picture:
        """Return everything of some topics, gathered from as many pages as it takes."""
        return next(self.follow(topics))

    def follow(
        self, topics: Sequence[str], *, max_hz: float = 4.0, tick_s: float | None = None
    ) -> Iterator[Picture]:
        """Yield the whole picture, then changes as they come, without end.

        Args:
            topics: What to look at.
            max_hz: At most so many changes a second.
            tick_s: Yield an empty picture after so many seconds without news; None: never.

        Raises:
            EngineAway: The line was lost.
        """
        whole = self.call("subscribe", Picture, topics=list(topics), max_hz=max_hz)
        page = whole
        while page.more:
            page = self._next_change(None) or page
            _join(whole, page)
        yield whole
        while True:
            yield self._next_change(tick_s) or Picture(epoch=whole.epoch, seq=whole.seq)

    def _next_change(self, tick_s: float | None) -> Picture | None:
        """Wait for a `changes`; None after `tick_s` seconds. A ping keeps the line known."""
        began = heard = time.monotonic()
        pinged = False
        while True:
            if self._waiting:
                return msgspec.json.decode(self._waiting.pop(0).params, type=Picture)
            now = time.monotonic()
            if tick_s is not None and now - began >= tick_s:
                return None
            if now - heard >= LOST_S:
                raise lost(self.path, f"nothing came for {LOST_S:.0f} s")
            if now - heard >= QUIET_S and not pinged:
                self._number += 1
                self._send(Message(id=self._number, method="ping", params=raw({})))
                pinged = True
            wake = now + 1.0 if tick_s is None else min(now + 1.0, began + tick_s)
            message = self._receive(wake)
            if message is not None:
                heard, pinged = time.monotonic(), False
                if message.method == "changes":
                    self._waiting.append(message)

    # --- lines

    def _send(self, message: Message) -> None:
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(encode(message))
        except BrokenPipeError:
            return  # what the engine said before it closed is read next, and tells why
        except OSError as error:
            raise lost(self.path, os.strerror(error.errno or 0)) from error

    def _receive(self, until: float) -> Message | None:
        """Return the next message; None when the time (monotonic) is up."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_FRAME:
                raise lost(self.path, "the engine sent a line that is too long")
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(_CHUNK)
            except TimeoutError:
                return None
            except OSError as error:
                raise lost(self.path, os.strerror(error.errno or 0)) from error
            if not data:
                raise lost(self.path, "the engine closed it")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise lost(self.path, "the engine sent what this program cannot read") from error


def _connect(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise away(path, why[:1].lower() + why[1:]) from error
    return connection


def claims() -> dict[str, Any]:
    """Return what the log shall say of this client; claims, not trusted."""
    try:
        tty = os.ttyname(0)
    except OSError:
        tty = ""
    return {"tty": tty, "ssh": os.environ.get("SSH_CONNECTION", "")}


def _join(whole: Picture, page: Picture) -> None:
    """Add a further page to a picture."""
    for field in ("fleet", "jobs", "sets", "findings", "targets", "alerts", "machines"):
        getattr(whole, field).extend(getattr(page, field))
    whole.seq, whole.more = page.seq, page.more
    whole.journal = page.journal or whole.journal
