"""What the door tells: each topic once, and changes as they come."""

from __future__ import annotations

import base64
import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from engine.api.client import Client
from engine.api.guest_views import ScreenView, SerialView
from engine.api.presence import ClientView
from engine.api.server import Door
from engine.api.views import (
    FleetView,
    JobView,
    JournalView,
    MachineView,
    Picture,
    SetView,
    Since,
    StandbyView,
)
from engine.api.wire import MAX_FRAME
from engine.model.errors import Failure, NotFound, Problem, WrongUse
from engine.model.progress import Progress
from engine.model.work import JobKind, Severity
from tests.contract.doors import ERP, Line, pause, until
from tests.scripted import PNG, ScriptedService, site

# --- looking --------------------------------------------------------------------------------


def test_every_topic_can_be_asked_for_once(client: Client, service: ScriptedService) -> None:
    """Each list, a machine, a job and the journal can be read without subscribing."""
    job = service.begin_job(JobKind.SYNC, "erp", ERP)
    service.write_line("hello", standby="erp", severity=Severity.WARNING)
    assert [one.id for one in client.call("fleet", list[FleetView])] == ["dc", "erp", "web"]
    assert client.call("machine", MachineView, machine="erp").points[-1].id == ERP
    assert client.call("job", JobView, job=str(job.id)).machine == "erp"
    assert [one.id for one in client.call("jobs", list[JobView])] == [str(job.id)]
    assert len(client.call("sets", list[SetView])) == 3
    assert client.call("journal.read", list[JournalView])[0].severity == "warning"
    assert [one.id for one in client.call("standby.list", list[StandbyView])] == [
        "dc",
        "erp",
        "web",
    ]


@pytest.mark.parametrize(
    ("method", "params"),
    [("machine", {"machine": "nope"}), ("job", {"job": 99}), ("job", {"job": "x"})],
)
def test_what_is_not_there_is_not_found(
    client: Client, method: str, params: dict[str, object]
) -> None:
    """Unknown names are NOT_FOUND, told apart from other failures."""
    with pytest.raises(NotFound):
        client.call(method, dict[str, object], **params)


def test_serial_text_cannot_steer_a_terminal(client: Client, service: ScriptedService) -> None:
    """Escapes of a guest are taken out or made visible; an unfinished line is read again."""
    service.serials["erp"] = b"boot \x1b[31mred\x1b[0m \x1b]52;c;x\x07\x9b\r\nlogin: "
    told = client.call("serial", SerialView, machine="erp")
    assert told.lines == ["boot red �"]
    assert told.tail == "login: "
    service.serials["erp"] += b"root\r\n"
    more = client.call("serial", SerialView, machine="erp", after=told.next)
    assert more.lines == ["login: root"]


def test_the_screen_is_the_picture_of_the_guest(client: Client, service: ScriptedService) -> None:
    """The PNG arrives byte for byte, and a failure in its own words."""
    assert base64.b64decode(client.call("screen", ScreenView, machine="erp").png) == PNG
    service.fails["screen"] = Failure(Problem("vm.off", "The VM of erp is off."))
    with pytest.raises(Failure, match="is off"):
        client.call("screen", ScreenView, machine="erp")


# --- subscribe ------------------------------------------------------------------------------


def test_a_subscriber_gets_everything_then_what_changes(
    client: Client, service: ScriptedService
) -> None:
    """First comes the whole picture, then only changed objects, whole."""
    pictures = client.follow(["fleet", "jobs"], max_hz=10)
    first = next(pictures)
    assert first.full
    assert len(first.fleet) == 3
    service.run("erp", ERP)
    change = next(pictures)
    assert not change.full
    assert [one.id for one in change.fleet] == ["erp"]
    assert change.fleet[0].state == "TEST"
    assert change.seq > first.seq


def test_a_lag_that_only_grew_is_no_change(client: Client, service: ScriptedService) -> None:
    """Time alone sends nothing until a goal is missed; then the machine is LATE."""
    pictures = client.follow(["fleet"], max_hz=10, tick_s=0.4)
    next(pictures)
    service.advance(minutes=1)
    assert next(pictures).fleet == []
    service.advance(hours=1)
    late = next(pictures)
    assert {one.state for one in late.fleet} == {"LATE"}


def test_what_is_gone_is_told(client: Client, service: ScriptedService) -> None:
    """A removed standby leaves its id behind, once."""
    pictures = client.follow(["fleet"], max_hz=10)
    next(pictures)
    service.remove_standby("web", "test")
    assert next(pictures).gone == ["fleet/web"]


def test_one_machine_can_be_followed(client: Client, service: ScriptedService) -> None:
    """`machine:NAME` brings points and the run of that machine alone."""
    pictures = client.follow(["machine:erp"], max_hz=10)
    assert [one.id for one in next(pictures).machines] == ["erp"]
    service.serials["erp"] = b"hello\n"
    service.run("erp", ERP)
    told = next(pictures).machines[0]
    assert told.run is not None
    assert told.run.serial == ["hello"]


def test_a_new_journal_line_is_only_announced(client: Client, service: ScriptedService) -> None:
    """A change says that there is more; the lines are read by number."""
    pictures = client.follow(["targets"], max_hz=10)
    next(pictures)
    service.write_line("something happened")
    assert next(pictures).journal == 1
    lines = client.call("journal.read", list[JournalView], after=0)
    assert [one.text for one in lines] == ["something happened"]


def test_since_sends_only_what_changed(
    client: Client, place: Path, service: ScriptedService
) -> None:
    """After a short loss a console catches up without the whole picture."""
    first = client.picture(["fleet", "jobs"])
    service.run("erp", ERP)
    service.begin_job(JobKind.SYNC, "web")
    since = Since(epoch=first.epoch, seq=first.seq)
    with Client(place) as again:
        told = again.call("subscribe", Picture, topics=["fleet", "jobs"], since=since)
    assert not told.full
    assert [one.id for one in told.fleet] == ["erp", "web"]
    assert [one.id for one in told.jobs] == ["1"]


@pytest.mark.parametrize("since", [Since(epoch="other", seq=1), Since(epoch="k3f9", seq=10**6)])
def test_since_of_another_life_gives_everything(client: Client, since: Since) -> None:
    """After a restart of the engine, or from its future, the whole picture comes."""
    told = client.call("subscribe", Picture, topics=["fleet"], since=since)
    assert told.full
    assert len(told.fleet) == 3


def test_changes_are_merged_to_the_pace_asked_for(client: Client, service: ScriptedService) -> None:
    """A hundred changes in a second become a few, and the last value is among them."""
    job = service.begin_job(JobKind.SYNC, "erp", ERP)
    pictures = client.follow(["jobs"], max_hz=4, tick_s=1.0)
    next(pictures)
    for done in range(1, 101):
        service.report(job.id, Progress("apply", done, 100, 10.0, 1.0))
        pause(0.005)
    told: list[Picture] = []
    while not told or told[-1].jobs:
        told.append(next(pictures))
    seen = [one.jobs[0].done for one in told if one.jobs]
    assert seen[-1] == 100
    assert len(seen) <= 6


def test_a_big_picture_comes_in_pages(place: Path) -> None:
    """Five hundred sets of thirty points exceed a frame, and all of them arrive."""
    opened = Door(ScriptedService(site(500, 30)), place)
    opened.start()
    with Client(place) as client:
        told = client.picture(["sets", "fleet"])
        assert len({one.id for one in told.sets}) == 500
        assert len(told.fleet) == 500
        with pytest.raises(Failure, match="longer than"):
            client.call("sets", list[SetView])
    opened.stop()


def test_an_unknown_topic_is_refused(client: Client) -> None:
    """A topic that does not exist is a bad value, not silence."""
    with pytest.raises(WrongUse, match="no topic weather"):
        client.call("subscribe", Picture, topics=["weather"])


def test_a_slow_reader_keeps_memory_flat(place: Path) -> None:
    """A client that never reads costs no more than a frame, and gets the newest values at last."""
    service = ScriptedService(site(500, 1))
    opened = Door(service, place)
    opened.start()
    stuck = Line(place)
    stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.hello()
    stuck.send(
        b'{"jsonrpc":"2.0","id":2,"method":"subscribe","params":{"topics":["fleet"],"max_hz":10}}\n'
    )
    standbys = dict(service.snapshot().standbys)
    most = 0
    for turn in range(16):
        service.show(standbys={n: replace(s, held=f"turn {turn}") for n, s in standbys.items()})
        pause(0.11)
        most = max(most, opened.unsent())
    assert 0 < most <= MAX_FRAME
    with Client(place) as other:
        assert len(other.call("fleet", list[FleetView])) == 500
    last: dict[str, str] = {}
    while set(last.values()) != {"turn 15"}:
        told = stuck.read()
        for one in (told["params"] if "params" in told else told["result"])["fleet"]:
            last[one["id"]] = one["next"]["text"]
    assert len(last) == 500
    stuck.close()
    opened.stop()


def test_answers_nobody_reads_are_not_piled_up(place: Path) -> None:
    """A client that asks and asks and never reads is not read either, once its line is full."""
    service = ScriptedService()
    for number in range(200):
        service.write_line(f"{number} " + "x" * 2000)
    opened = Door(service, place)
    opened.start()
    greedy = Line(place)
    greedy.hello()
    greedy.socket.setblocking(False)
    call = b'{"jsonrpc":"2.0","id":1,"method":"journal.read","params":{}}\n'
    sent = 0
    for _ in range(40):
        with contextlib.suppress(BlockingIOError):
            while sent < 600:
                greedy.socket.sendall(call)
                sent += 1
        pause(0.02)
        assert opened.unsent() < 8 * MAX_FRAME
    greedy.close()
    with Client(place) as other:
        assert other.call("ping", dict[str, str]) == {}
    opened.stop()


def test_everybody_sees_who_is_connected(client: Client, place: Path) -> None:
    """All clients that greeted are told with their role; the one that asks is marked."""
    with Client(place, want="viewer", name="wall\x1b[2J") as other:
        told = client.call("clients", list[ClientView])
        assert [(one.role, one.own) for one in told] == [("admin", True), ("viewer", False)]
        assert "\x1b" not in told[1].client
        assert [one.own for one in other.call("clients", list[ClientView])] == [False, True]
    until(lambda: len(client.call("clients", list[ClientView])) == 1)
