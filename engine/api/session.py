"""One client at the door: whole lines in, answers and changes out, both bounded.

    bytes ─► buffer ─► line ─► Message ─► hall.call ─► answer
                                          hall.ledger ─► changes, at most max_hz, none while full

While the client does not read what it is sent, nothing more is read from it and no changes are
made for it; it then gets the newest form of what changed meanwhile, once.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import datetime
from typing import Protocol, cast

import msgspec

from engine.api import problems
from engine.api.ledger import Ledger, RawPicture
from engine.api.plans import Actor
from engine.api.roles import Peer, Role
from engine.api.views import Since
from engine.api.wire import MAX_FRAME, Message, decode, encode, raw
from engine.model.errors import Failure
from engine.model.text import safe

FRAME_S = 10.0
STUCK_S = 120.0
MOST_HZ = 10.0
MOST_OPEN = 16
MOST_DEEP = 16
HIGH_WATER = 256 << 10
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class Hall(Protocol):
    """What a session needs of the house behind the door."""

    ledger: Ledger

    def enter(self, session: Session) -> Peer:
        """Let a client in. Failure when there are too many, or it may not."""

    def leave(self, session: Session) -> None:
        """Forget a client."""

    async def call(self, session: Session, method: str, params: bytes) -> msgspec.Raw:
        """Answer a call. Failure with the reason when it cannot be."""


class Session(asyncio.Protocol):
    """One connection; lives in the door's loop."""

    transport: asyncio.Transport
    peer: Peer

    def __init__(self, hall: Hall, frame_s: float = FRAME_S) -> None:
        """Wait for the connection; a begun line must be complete within `frame_s`."""
        self._hall, self._frame_s = hall, frame_s
        self.actor: Actor | None = None
        self.role: Role = Role.VIEWER
        self.claims = ("", "")
        """Terminal and SSH connection, as the client says."""
        self.name = ""
        self.since: datetime | None = None
        self.topics: frozenset[str] = frozenset()
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._searched = 0
        self._open = 0
        self._full = False
        self._closing = False
        self._sent, self._more, self._last_sent, self._pause_s = 0, False, 0.0, 0.25
        self._frame_timer: asyncio.TimerHandle | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a client in, or tell it why not."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        try:
            self.peer = self._hall.enter(self)
        except (Failure, OSError) as error:
            self.refuse(error)
            return
        self._frame_timer = self._loop.call_later(self._frame_s, self._too_slow)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget the client."""
        self._closing = True
        for timer in (self._frame_timer, self._stuck_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._hall.leave(self)

    def close(self) -> None:
        """Send what is left, then close."""
        self._closing = True
        self.transport.close()

    def refuse(self, error: BaseException, number: int | None = None) -> None:
        """Tell an error and close."""
        self._send(Message(id=number, error=problems.wire_error(error)))
        self.close()

    def pause_writing(self) -> None:
        """Stop everything for this client: it does not read."""
        self._full = True
        self._stuck_timer = self._loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it reads again."""
        self._full = False
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
        self._pump()
        self.kick()

    # --- lines in

    def data_received(self, data: bytes) -> None:
        """Take bytes; whole lines are answered."""
        self._buffer += data
        self._pump()

    def _pump(self) -> None:
        while not self._closing:
            if self._full or self._open >= MOST_OPEN:
                self._stop_timer()
                self.transport.pause_reading()
                return
            end = self._buffer.find(b"\n", self._searched)
            if max(end, len(self._buffer) if end < 0 else 0) >= MAX_FRAME:
                self.refuse(problems.too_long(MAX_FRAME))
                return
            if end < 0:
                self._searched = len(self._buffer)
                self._wait_for_more()
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            self._stop_timer()
            self._take(line)

    def _wait_for_more(self) -> None:
        self.transport.resume_reading()
        begun = bool(self._buffer) or not (self.actor or self._open)
        if not begun:
            self._stop_timer()
        elif self._frame_timer is None:
            self._frame_timer = self._loop.call_later(self._frame_s, self._too_slow)

    def _stop_timer(self) -> None:
        if self._frame_timer is not None:
            self._frame_timer.cancel()
            self._frame_timer = None

    def _too_slow(self) -> None:
        self.refuse(problems.too_slow(self._frame_s))

    def _take(self, line: bytes) -> None:
        try:
            message = read_line(line)
        except problems.Protocol as error:
            self.refuse(error)
            return
        if self.actor is None and message.method != "hello":
            self.refuse(problems.hello_first(), message.id)
            return
        if message.id is None:
            return
        self._open += 1
        task = self._loop.create_task(self._answer(message, message.id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Message, number: int) -> None:
        method = message.method or ""
        params = bytes(message.params) or b"{}"
        try:
            result = await self._hall.call(self, method, params)
            self._send(Message(id=number, result=result))
        except Exception as error:  # noqa: BLE001 - the top of a call; the peer is told, the log too
            self._send(Message(id=number, error=problems.wire_error(error)))
            if self.actor is None:
                self.close()
        self._open -= 1
        self._pump()
        self.kick()

    # --- lines out

    def _send(self, message: Message) -> None:
        if self.transport.is_closing():
            return
        line = encode(message)
        if len(line) > MAX_FRAME:
            error = problems.wire_error(problems.answer_too_long(MAX_FRAME))
            line = encode(Message(id=message.id, error=error))
        self.transport.write(line)

    def subscribe(self, topics: frozenset[str], max_hz: float, since: Since | None) -> RawPicture:
        """Begin to send changes; return the picture, or what changed since the last one."""
        ledger = self._hall.ledger
        self.topics = topics
        self._pause_s = 1 / min(max_hz, MOST_HZ)
        known = since is not None and since.epoch == ledger.epoch and ledger.knows(since.seq)
        start = since.seq if since is not None and known else 0
        return self._page(ledger.since(topics, start, full=not known))

    def _page(self, page: RawPicture) -> RawPicture:
        self._sent, self._more = page.seq, page.more
        self._last_sent = time.monotonic()
        return page

    def kick(self) -> None:
        """Something changed, or room came: send changes as soon as this client may have them."""
        if not self.topics or self._full or self._closing or self._send_timer is not None:
            return
        if not self._has_news():
            return
        wait = 0.0 if self._more else self._last_sent + self._pause_s - time.monotonic()
        self._send_timer = self._loop.call_later(max(0.0, wait), self._send_changes)

    def _has_news(self) -> bool:
        return self._more or self._hall.ledger.newest(self.topics) > self._sent

    def _send_changes(self) -> None:
        self._send_timer = None
        if self._full or self._closing or not self._has_news():
            return
        page = self._page(self._hall.ledger.since(self.topics, self._sent))
        self._send(Message(method="changes", params=raw(page)))
        self.kick()


def read_line(line: bytes) -> Message:
    """Return the message of one line.

    Raises:
        Protocol: It is none, or is nested too deeply.
    """
    if line.count(b"{") + line.count(b"[") > MOST_DEEP and _depth(line) > MOST_DEEP:
        raise problems.bad_json(f"it is nested more than {MOST_DEEP} deep")
    try:
        message = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise problems.bad_json(safe(str(error))) from error
    if not message.method:
        raise problems.bad_json("it names no method")
    return message


def _depth(line: bytes) -> int:
    deep = deepest = 0
    for found in _BRACKETS.finditer(line):
        if found[0] in b"[{":
            deep += 1
            deepest = max(deepest, deep)
        elif found[0] in b"]}":
            deep -= 1
    return deepest
