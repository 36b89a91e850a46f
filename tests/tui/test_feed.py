"""The feed alone, on the real door: it comes back by itself and asks only for what it missed."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from engine.api.views import MachineView
from tests.scripted import ScriptedService
from tests.tui.bench import Bench, until
from tui.feed import Feed, Refusal, Wish
from tui.state import Down, Event, Fleet, Told, Up, apply


class Ear:
    """Hears what a feed tells, as the console would."""

    def __init__(self, bench: Bench, want: str = "admin") -> None:
        self.events: list[Event] = []
        self.fleet = Fleet()
        self.feed = Feed(bench.socket, self._hear, Wish(want, 10.0))
        self.task = asyncio.create_task(self.feed.run())

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self.fleet = apply(self.fleet, event)

    async def wait(self, kind: type, count: int = 1) -> None:
        """Wait for the `count`-th event of a kind."""
        await until(lambda: self.count(kind) >= count, lambda: str(self.events[-3:]))

    def count(self, kind: type) -> int:
        """Return how many events of a kind came."""
        return sum(isinstance(event, kind) for event in self.events)

    async def end(self) -> None:
        """Stop listening."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_hello_then_the_whole_picture(bench: Bench) -> None:
    """The first words are who answers and as what; then all machines are known."""
    bench.start()
    ear = Ear(bench)
    await ear.wait(Told)
    assert isinstance(ear.events[0], Up)
    assert set(ear.fleet.machines) == {"erp", "web", "dc"}
    assert ear.fleet.role == "admin"
    await ear.end()


async def test_less_may_be_asked_for(bench: Bench) -> None:
    """A console that wants to look only is a viewer even for root."""
    bench.start()
    ear = Ear(bench, want="viewer")
    await ear.wait(Told)
    assert ear.fleet.role == "viewer"
    with pytest.raises(Refusal, match="needs the role operator"):
        await ear.feed.call("plan", {"action": "build", "machine": "erp"}, dict)
    await ear.end()


async def test_a_short_loss_brings_only_what_changed(bench: Bench) -> None:
    """After the line was cut, `since` saves the whole picture; after a restart it does not."""
    service = bench.start()
    ear = Ear(bench)
    await ear.wait(Told)
    bench.stop()
    await ear.wait(Down)
    other = ScriptedService(service.snapshot())
    other.epoch = "new1"
    bench.start(other)
    ear.feed.hurry()
    await ear.wait(Up, 2)
    count = ear.count(Told)
    await ear.wait(Told, max(2, count))
    last = [event for event in ear.events if isinstance(event, Told)][-1]
    assert last.picture.full
    assert last.picture.epoch == "new1"
    await ear.end()


async def test_one_machine_is_followed_in_detail(bench: Bench) -> None:
    """`watch` brings everything about one machine, and its changes."""
    service = bench.start()
    ear = Ear(bench)
    await ear.wait(Told)
    await ear.feed.watch("erp")
    await until(lambda: "erp" in ear.fleet.details, lambda: str(ear.fleet.details))
    assert isinstance(ear.fleet.details["erp"], MachineView)
    service.put_standby(replace(service.snapshot().standbys["erp"], keep=7))
    await until(lambda: ear.fleet.details["erp"].keep == 7, lambda: str(ear.fleet.details))
    await ear.feed.watch()
    await until(lambda: "erp" not in ear.fleet.details, lambda: str(ear.fleet.details))
    await ear.end()


async def test_waits_grow_and_end_at_once_on_a_key(bench: Bench) -> None:
    """Without an engine the tries count up, each wait longer; `hurry` cuts one short."""
    ear = Ear(bench)
    await ear.wait(Down, 2)
    first, second = [event for event in ear.events if isinstance(event, Down)][:2]
    assert (first.tries, second.tries) == (1, 2)
    assert second.next_at - second.at > first.next_at - first.at
    assert "no such file" in first.why
    bench.start()
    ear.feed.hurry()
    await ear.wait(Up)
    await ear.end()


async def test_a_call_without_an_engine_is_refused_at_once(bench: Bench) -> None:
    """Nothing is kept to be sent later."""
    ear = Ear(bench)
    with pytest.raises(Refusal, match="does not answer"):
        await ear.feed.call("plan", {"action": "start", "machine": "erp"}, dict)
    await ear.end()


async def test_an_answer_lost_with_the_line_is_not_asked_twice(bench: Bench) -> None:
    """A call that is open when the line is cut ends with a sentence that tells to look first."""
    service = bench.start()
    ear = Ear(bench)
    await ear.wait(Told)
    plan = await ear.feed.call("plan", {"action": "build", "machine": "erp"}, dict)
    slow = asyncio.Event()

    def stuck(_name: str, _actor: str) -> None:
        slow.set()
        threading.Event().wait(1.0)

    service.build = stuck  # type: ignore[method-assign]
    call = asyncio.create_task(
        ear.feed.call("run", {"plan": plan["plan"], "confirm": "", "key": "k"}, dict)
    )
    await until(slow.is_set, lambda: "not called")
    await asyncio.to_thread(bench.stop)
    with pytest.raises(Refusal, match="was lost before it answered"):
        await call
    await ear.end()


@pytest.mark.parametrize(
    "noise", [b"garbage\n", b'{"jsonrpc":"2.0"}\n' * 2 + b"[]\n", b"x" * (2 << 20), b""]
)
async def test_nonsense_from_the_other_end_is_a_loss(bench: Bench, noise: bytes) -> None:
    """Whatever answers on the socket, the feed tells a reason and tries again."""
    bench.socket.parent.mkdir()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(noise)
        await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_unix_server(serve, bench.socket)
    ear = Ear(bench)
    await ear.wait(Down, 2)
    assert ear.count(Up) == 0
    assert all(event.why for event in ear.events if isinstance(event, Down))
    await ear.end()
    server.close()
    await server.wait_closed()
