"""The engine's side of the door: a Unix socket in a thread of its own.

    service ─wait_change─► snapshot ─► Presenter ─► Ledger ─► sessions
                                               └► view/last.json

Everything asyncio lives in the door's thread; the engine is asked from pools of threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine import __version__
from engine.api import asks, problems
from engine.api.calls import Calls, read_ask
from engine.api.last import write_last
from engine.api.ledger import MACHINE, Ledger
from engine.api.listening import MOST_CLIENTS, listen
from engine.api.plans import Actor
from engine.api.presence import ClientView
from engine.api.present import Presenter, Views, last_view
from engine.api.roles import GROUPS, Peer, known_groups, lowered, peer_of, role_of
from engine.api.session import FRAME_S, Session
from engine.api.views import PROTO, TOPICS, Hello, MachineView
from engine.api.wire import raw
from engine.daemon.service import Service, Snapshot
from engine.model.errors import NotFound, Problem, WrongUse
from engine.model.text import safe

log = logging.getLogger(__name__)

THREADS = 8
PRESENT_S = 0.1
WATCHED_S, LAST_S, IDLE_S = 5.0, 10.0, 60.0
WAIT_S = 0.2
START_S, STOP_S = 10.0, 10.0

_LOGGED = {"run", "alert.ack", "alert.test"}
_LOGGED |= {f"standby.{verb}" for verb in ("add", "put", "reload", "remove")}
_LOGGED |= {f"target.{verb}" for verb in ("contact", "add", "take", "remove")}

T = TypeVar("T")


class Door:
    """The door of one engine. `start` and `stop` may be called from any thread."""

    def __init__(
        self,
        service: Service,
        path: Path,
        *,
        view: Path | None = None,
        frame_s: float = FRAME_S,
    ) -> None:
        """Know everything, open nothing.

        Args:
            service: The running engine.
            path: The socket.
            view: Folder of `last.json`; None: it is not written.
            frame_s: Seconds within which a client must greet, or end a line it began.
        """
        self._service, self._path, self._view = service, path, view
        self._frame_s = frame_s
        self._hall: _House | None = None
        self._thread: threading.Thread | None = None
        self._own: os.stat_result | None = None

    def start(self) -> None:
        """Open the door; it answers once this returns.

        Raises:
            Refused: Another engine answers there, or something else lies in the place.
            OSError: The socket cannot be made.
        """
        listener = listen(self._path)
        self._own = self._path.lstat()
        house = self._hall = _House(self._service, self._view, self._frame_s)
        opened = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(house.serve(listener, opened.set)), name="door", daemon=True
        )
        self._thread.start()
        opened.wait(START_S)

    def stop(self) -> None:
        """Close the door and all connections; repeatable."""
        if self._hall is None or self._thread is None:
            return
        self._hall.close()
        self._thread.join(STOP_S)
        self._thread = None
        with contextlib.suppress(OSError):
            now = self._path.lstat()
            if self._own is not None and now.st_ino == self._own.st_ino:
                self._path.unlink()

    def unsent(self) -> int:
        """Return how many bytes wait for clients that do not read; bounded for each client."""
        return 0 if self._hall is None else self._hall.unsent()


class _House:
    """What is behind the door: sessions, ledger, pools. Lives in the door's loop."""

    def __init__(self, service: Service, view: Path | None, frame_s: float) -> None:
        self.ledger = Ledger(service.epoch)
        self._service, self._view, self._frame_s = service, view, frame_s
        self._calls = Calls(service, time.monotonic)
        self._presenter = Presenter()
        self._sessions: dict[Session, None] = {}  # in the order in which they came
        self._groups = known_groups()
        self._pool = ThreadPoolExecutor(THREADS, "door-call")
        self._present = ThreadPoolExecutor(1, "door-present")
        self._wait = ThreadPoolExecutor(1, "door-wait")
        self._presented = self._written = float("-inf")
        self._dirty = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()

    # --- life

    async def serve(self, listener: socket.socket, opened: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_unix_server(
            lambda: Session(self, self._frame_s), sock=listener
        )
        watch = self._loop.create_task(self._watch())
        opened()
        await self._closing.wait()
        server.close()
        for session in list(self._sessions):
            session.close()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await self._say_goodbye()
        for pool in (self._pool, self._present, self._wait):
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._closing.set)

    async def _say_goodbye(self) -> None:
        try:
            await self._in(self._present, lambda: self._look_at(set(), last=True))
        except Exception:
            log.exception("last picture")

    async def _watch(self) -> None:
        seq = -1
        while not self._closing.is_set():
            try:
                seq = await self._look(seq)
            except Exception:
                log.exception("door")
                await self._pause(1.0)

    async def _look(self, seq: int) -> int:
        new = await self._in(self._wait, lambda: self._service.wait_change(seq, WAIT_S))
        self._dirty = self._dirty or new != seq
        age = time.monotonic() - self._presented
        watched = any(session.topics for session in self._sessions)
        patience = (PRESENT_S, WATCHED_S) if watched else (LAST_S, IDLE_S)
        if age >= patience[0 if self._dirty else 1] and (watched or self._view):
            await self._refresh()
        elif new != seq:
            await self._pause(PRESENT_S)
        return new

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    # --- pictures

    def _watched(self) -> set[str]:
        topics = {topic for session in self._sessions for topic in session.topics}
        return {topic.removeprefix(MACHINE) for topic in topics if topic.startswith(MACHINE)}

    async def _refresh(self, topics: Collection[str] = ()) -> None:
        self._dirty = False
        names = {topic.removeprefix(MACHINE) for topic in topics if topic.startswith(MACHINE)}
        asked = names | self._watched()
        views, machines = await self._in(self._present, lambda: self._look_at(asked))
        self._presented = time.monotonic()
        if self.ledger.take(views, machines, names | self._watched()):
            for session in self._sessions:
                session.kick()

    def _look_at(
        self, names: set[str], *, last: bool = False
    ) -> tuple[Views, dict[str, MachineView | None]]:
        snapshot = self._service.snapshot()
        views = self._presenter.views(snapshot)
        if last or time.monotonic() - self._written >= LAST_S:
            self._write(snapshot, views)
        return views, {name: self._presenter.machine(snapshot, name) for name in names}

    def _write(self, snapshot: Snapshot, views: Views) -> None:
        if self._view is None:
            return
        told = last_view(views, self._service.site, self._service.epoch, snapshot.now)
        try:
            write_last(self._view, told)
            self._written = time.monotonic()
        except OSError as error:
            log.warning("last picture: %s", error)

    # --- sessions

    def unsent(self) -> int:
        return sum(session.transport.get_write_buffer_size() for session in list(self._sessions))

    def enter(self, session: Session) -> Peer:
        if len(self._sessions) >= MOST_CLIENTS:
            raise problems.Busy(
                Problem(
                    "door.full",
                    f"{MOST_CLIENTS} clients are connected already.",
                    "",
                    "Close one of them.",
                )
            )
        peer = peer_of(session.transport.get_extra_info("socket"))
        role = role_of(peer, os.geteuid(), self._groups)
        if role is None:
            raise problems.Denied(
                Problem(
                    "role.none",
                    f"{peer.user} may not look at this engine.",
                    "",
                    f"Ask for membership in the group {GROUPS[0]}.",
                )
            )
        session.role = role
        self._sessions[session] = None
        return peer

    def leave(self, session: Session) -> None:
        self._sessions.pop(session, None)

    async def call(self, session: Session, method: str, params: bytes) -> msgspec.Raw:
        match method:
            case "hello":
                return raw(await self._hello(session, read_ask(params, asks.HelloAsk)))
            case "ping":
                return raw({})
            case "subscribe":
                return await self._subscribe(session, read_ask(params, asks.SubscribeAsk))
            case "machine":
                return raw(await self._machine(read_ask(params, asks.MachineAsk)))
            case "clients":
                return raw(self._clients(session))
            case topic if topic in TOPICS:
                views, _machines = await self._in(self._present, lambda: self._look_at(set()))
                return raw(getattr(views, topic))
            case _:
                return raw(await self._answer(session, method, params))

    async def _answer(self, session: Session, method: str, params: bytes) -> Any:  # noqa: ANN401 - any view
        actor = session.actor
        if actor is None:
            raise problems.hello_first()
        if method in _LOGGED:
            tty, ssh = session.claims
            log.info(
                "call=%s user=%s uid=%d tty=%s ssh=%s",
                method,
                actor.name,
                session.peer.uid,
                tty,
                ssh,
            )
        return await self._in(self._pool, lambda: self._calls.answer(method, params, actor))

    async def _hello(self, session: Session, ask: asks.HelloAsk) -> Hello:
        if ask.proto != PROTO:
            raise problems.other_protocol(ask.proto, PROTO)
        snapshot = await self._in(self._pool, self._service.snapshot)
        role = lowered(session.role, ask.want)
        actor_name = session.peer.user
        session.actor = Actor(actor_name, role)
        session.claims = (safe(ask.tty), safe(ask.ssh))
        session.name, session.since = safe(ask.client), snapshot.now
        log.debug("hello user=%s role=%s client=%s", actor_name, role.word, safe(ask.client))
        return Hello(
            proto=PROTO,
            engine=__version__,
            epoch=self._service.epoch,
            role=role.word,
            user=actor_name,
            site=self._service.site,
            now=snapshot.now,
            up_s=max(0.0, (snapshot.now - self._service.started_at).total_seconds()),
        )

    def _clients(self, asking: Session) -> list[ClientView]:
        return [
            ClientView(
                user=session.actor.name,
                role=session.actor.role.word,
                client=session.name,
                tty=session.claims[0],
                ssh=session.claims[1].partition(" ")[0],
                since=session.since,
                own=session is asking,
            )
            for session in self._sessions
            if session.actor is not None and session.since is not None
        ]

    async def _subscribe(self, session: Session, ask: asks.SubscribeAsk) -> msgspec.Raw:
        for topic in ask.topics:
            if topic not in TOPICS and not topic.startswith(MACHINE):
                raise WrongUse(
                    Problem(
                        "wire.topic",
                        f"There is no topic {safe(topic)}.",
                        "",
                        f"Known: {', '.join(TOPICS)}, {MACHINE}NAME.",
                    )
                )
        await self._refresh(ask.topics)
        return raw(session.subscribe(frozenset(ask.topics), ask.max_hz, ask.since))

    async def _machine(self, ask: asks.MachineAsk) -> MachineView:
        views, machines = await self._in(self._present, lambda: self._look_at({ask.machine}))
        found = machines[ask.machine]
        if found is None:
            known = ", ".join(view.id for view in views.fleet[:8]) or "none yet"
            raise NotFound(
                Problem(
                    "standby.unknown",
                    f"There is no standby {safe(ask.machine)}.",
                    "",
                    f"Known: {known}.",
                )
            )
        return found
