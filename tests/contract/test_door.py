"""What the door promises every client, over a real socket, on a scripted engine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.api.async_client import AsyncClient
from engine.api.client import Client
from engine.api.errors import EngineAway, InTheWay, RoleLow, StateMoved
from engine.api.guest_views import ScreenView, SerialView
from engine.api.last import read_last
from engine.api.server import MOST_CLIENTS, Door
from engine.api.views import (
    Done,
    FleetView,
    Hello,
    JobView,
    JournalView,
    MachineView,
    Picture,
    Plan,
    SetView,
    Since,
    StandbyView,
)
from engine.api.wire import MAX_FRAME
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.points import BootPointId, Stage
from engine.model.progress import Progress
from engine.model.work import JobKind, Severity
from tests.scripted import NOW, PNG, ScriptedService, boot_point, machine_uuid, recovery_point, site

ERP = BootPointId("bp000004")


@pytest.fixture
def service() -> ScriptedService:
    """Return an engine with three machines that are READY."""
    return ScriptedService(site(3, 4))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return where the socket shall be."""
    return tmp_path / "run" / "engine.sock"


@pytest.fixture
def door(service: ScriptedService, place: Path) -> Iterator[Door]:
    """Return an open door."""
    opened = Door(service, place, view=place.parent / "view")
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def client(door: Door, place: Path) -> Iterator[Client]:
    """Return a greeted client with all rights."""
    with Client(place) as opened:
        yield opened


class Line:
    """A client that can misbehave: bytes in, JSON out."""

    def __init__(self, place: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(place))
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one call and return what comes next."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.send(json.dumps(request).encode() + b"\n")
        return self.read()

    def hello(self) -> None:
        """Greet."""
        assert "result" in self.ask("hello", proto=1, client="test", want="admin")

    def read(self) -> dict[str, Any]:
        """Return the next line's object."""
        told: dict[str, Any] = json.loads(self.file.readline())
        return told

    def is_closed(self) -> bool:
        """Read to the end; tell whether nothing came before it."""
        return self.file.read() == b""

    def close(self) -> None:
        """Close the connection."""
        self.file.close()
        self.socket.close()


@pytest.fixture
def line(door: Door, place: Path) -> Iterator[Line]:
    """Return an ungreeted line."""
    opened = Line(place)
    yield opened
    opened.close()


def pause(seconds: float) -> None:
    """Let the door's own time pass."""
    threading.Event().wait(seconds)


def until(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        pause(0.01)


# --- the socket -----------------------------------------------------------------------------


def test_the_socket_is_for_owner_and_group_only(door: Door, place: Path) -> None:
    """Nobody outside the group can connect: the socket has mode 0660."""
    assert place.stat().st_mode & 0o777 == 0o660


def test_a_stale_socket_is_replaced(service: ScriptedService, place: Path) -> None:
    """A socket that a killed engine left behind does not stop the next one."""
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(place))
    opened = Door(service, place)
    opened.start()
    with Client(place) as client:
        assert client.hello.site == "osaka-dr"
    opened.stop()


def test_a_second_engine_does_not_take_the_socket(
    door: Door, service: ScriptedService, place: Path
) -> None:
    """While one engine answers, another is refused, and the first one goes on."""
    with pytest.raises(Refused, match="Another engine answers"):
        Door(service, place).start()
    with Client(place) as client:
        assert client.call("ping", dict[str, str]) == {}


def test_a_file_in_the_place_of_the_socket_is_left_alone(
    service: ScriptedService, place: Path
) -> None:
    """Something that is no socket is never deleted."""
    place.parent.mkdir()
    place.write_text("precious")
    with pytest.raises(Refused, match="is no socket"):
        Door(service, place).start()
    assert place.read_text() == "precious"


def test_a_stopped_door_leaves_no_socket(service: ScriptedService, place: Path) -> None:
    """After stop the socket is gone and clients see the end."""
    opened = Door(service, place)
    opened.start()
    line = Line(place)
    line.hello()
    opened.stop()
    assert not place.exists()
    assert line.is_closed()
    line.close()


# --- hello ----------------------------------------------------------------------------------


def test_hello_tells_who_the_engine_is_and_who_the_peer_is(client: Client) -> None:
    """The first answer has protocol, epoch, site, role and user."""
    told = client.hello
    assert (told.proto, told.epoch, told.site, told.role) == (1, "k3f9", "osaka-dr", "admin")
    assert told.now == NOW
    assert told.up_s == 41 * 86400


def test_a_call_before_hello_closes_the_line(line: Line) -> None:
    """Who does not greet gets an error, then the end."""
    assert line.ask("fleet")["error"]["data"]["key"] == "wire.hello"
    assert line.is_closed()


def test_another_protocol_is_refused_in_words(line: Line) -> None:
    """A client of another version is told both numbers and what to run."""
    error = line.ask("hello", proto=7)["error"]
    assert "engine speaks protocol 1, this client 7" in error["message"]
    assert error["data"]["remedy"]
    assert line.is_closed()


def test_unknown_fields_are_ignored(line: Line) -> None:
    """A newer client may send fields this engine does not know."""
    assert "result" in line.ask("hello", proto=1, colour="blue")
    assert "result" in line.ask("ping", more=1)


def test_an_unknown_call_is_named(client: Client) -> None:
    """A call the engine does not have is an error that names it, and the line goes on."""
    with pytest.raises(Failure, match="no call named failover"):
        client.call("failover", Done)
    assert client.call("ping", dict[str, str]) == {}


def test_wrong_params_are_named(client: Client) -> None:
    """Params of the wrong type are a bad value, and the line goes on."""
    with pytest.raises(WrongUse, match="max_hz"):
        client.call("subscribe", Picture, topics=["fleet"], max_hz="fast")
    assert client.call("ping", dict[str, str]) == {}


def test_asking_for_less_gives_less(door: Door, place: Path, service: ScriptedService) -> None:
    """A client that wants to be a viewer cannot start anything, even as root."""
    with Client(place, want="viewer") as viewer:
        assert viewer.hello.role == "viewer"
        assert len(viewer.call("fleet", list[FleetView])) == 3
        with pytest.raises(RoleLow, match="needs the role operator"):
            viewer.call("plan", Plan, action="start", machine="erp")
        with pytest.raises(RoleLow):
            viewer.call("standby.add", Done, name="x", images="/x")
    with Client(place, want="operator") as operator, pytest.raises(RoleLow, match="admin"):
        operator.call("standby.remove", Done, name="erp", confirm="erp")
    assert service.calls == []


def test_a_stranger_may_not_even_look(service: ScriptedService) -> None:
    """A user in none of our groups is told so, whatever the mode of the socket is.

    Only root can become a stranger; any other user is the engine's own, who is admin.
    """
    am_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="door-"))
    folder.chmod(0o755)
    opened = Door(service, folder / "engine.sock")
    opened.start()
    hello = r'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"proto":1}}'
    greet = f"s.sendall(b'{hello}\\n');"
    become = "os.setgroups([]);os.setgid(65534);os.setuid(65534);"
    if am_root:
        (folder / "engine.sock").chmod(0o666)
    code = (
        f"import os,socket;{become if am_root else ''}s=socket.socket(socket.AF_UNIX);"
        f"s.connect(os.environ['PLACE']);{'' if am_root else greet}print(s.recv(9999).decode())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PLACE": str(folder / "engine.sock")},
        capture_output=True,
        text=True,
        check=True,
    )
    opened.stop()
    shutil.rmtree(folder)
    answer = json.loads(told.stdout)
    if am_root:
        assert answer["error"]["code"] == -32011
    else:
        assert answer["result"]["role"] == "admin"


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


# --- bad lines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\n",
        b"\n",
        b"[]\n",
        b'{"id":1}\n',
        b'{"id":"x","method":"ping"}\n',
        b"\xff\xfe\x00\n",
        b'{"id":1,"method":"ping","params":' + b"[" * 20 + b"]" * 20 + b"}\n",
        b'{"id":1,"method":"ping","params":' + b"[" * 100_000 + b"\n",
    ],
    ids=["words", "blank", "list", "no method", "text id", "bytes", "deep", "very deep"],
)
def test_garbage_closes_the_line_with_an_error(line: Line, garbage: bytes) -> None:
    """A line that is no message gets an error, then the end; others are not disturbed."""
    line.hello()
    line.send(garbage)
    assert line.read()["error"]["code"] == -32700
    assert line.is_closed()


def test_brackets_within_text_are_not_nesting(line: Line) -> None:
    """A reason full of brackets is a reason."""
    line.hello()
    told = line.ask("plan", action="hold", machine="erp", reason="[" * 50)
    assert "result" in told


def test_a_frame_of_one_mebibyte_is_the_longest(line: Line) -> None:
    """A line of exactly 1 MiB is read; one byte more is an error and the end."""
    line.hello()
    frame = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"'
    line.send(frame + b"x" * (MAX_FRAME - len(frame) - 4) + b'"}}\n')
    assert "result" in line.read()
    line.send(b"x" * (MAX_FRAME + 1))
    assert line.read()["error"]["data"]["key"] == "wire.long"
    assert line.is_closed()


def test_half_a_frame_is_not_waited_for(service: ScriptedService, place: Path) -> None:
    """A line that is begun and does not end in time closes the connection; an idle one stays."""
    opened = Door(service, place, frame_s=0.3)
    opened.start()
    idle, half = Line(place), Line(place)
    idle.hello()
    half.hello()
    half.send(b'{"jsonrpc":')
    assert half.read()["error"]["data"]["key"] == "wire.slow"
    assert half.is_closed()
    assert "result" in idle.ask("ping")
    silent = Line(place)
    assert silent.read()["error"]["data"]["key"] == "wire.slow"
    for each in (idle, half, silent):
        each.close()
    opened.stop()


def test_a_frame_may_come_in_pieces(line: Line) -> None:
    """A line that arrives byte by byte is a line."""
    for byte in b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"proto":1}}\n':
        line.send(bytes([byte]))
    assert "result" in line.read()


def test_the_thirty_third_client_is_told_why(door: Door, place: Path) -> None:
    """Thirty-two clients are served; one more gets a reason, and a place once one leaves."""
    clients = [Client(place) for _ in range(MOST_CLIENTS)]
    with pytest.raises(InTheWay, match="connected already"):
        Client(place)
    clients.pop().close()

    def has_room() -> bool:
        try:
            clients.append(Client(place))
        except InTheWay:
            return False
        return True

    until(has_room)
    for each in clients:
        each.close()


def test_many_calls_at_once_are_all_answered(line: Line) -> None:
    """A hundred calls sent in one go get a hundred answers."""
    line.hello()
    calls = (
        json.dumps({"jsonrpc": "2.0", "id": n, "method": "machine", "params": {"machine": "erp"}})
        for n in range(100)
    )
    line.send("\n".join(calls).encode() + b"\n")
    assert {line.read()["id"] for _ in range(100)} == set(range(100))


# --- plan and run ---------------------------------------------------------------------------


def test_a_plan_changes_nothing(client: Client, service: ScriptedService) -> None:
    """A plan says steps, what is lost and which point, and asks the engine for nothing."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    assert plan.point == ERP
    assert plan.steps
    assert plan.lost_s == 720
    assert plan.confirm == ""
    assert service.calls == []


def test_run_does_what_was_planned(client: Client, service: ScriptedService) -> None:
    """The point that was planned is started, even when a newer one came meanwhile."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    image = recovery_point("erp", 5, NOW)
    service.put(image, boot_point(99, image))
    done = client.call("run", Done, plan=plan.plan, confirm="", key="k")
    assert done.job == "1"
    assert service.calls == [("start", "erp", ERP, client.hello.user)]


def test_the_same_key_does_it_once(client: Client, place: Path, service: ScriptedService) -> None:
    """An action whose answer was lost is asked again with its key and not done twice."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    first = client.call("run", Done, plan=plan.plan, key="same")
    with Client(place) as again:
        assert again.call("run", Done, plan=plan.plan, key="same") == first
    assert len(service.calls) == 1


def test_the_same_key_gives_the_same_refusal(client: Client, service: ScriptedService) -> None:
    """A failure is an answer too: the same key does not try again."""
    service.fails["start"] = Failure(Problem("target.down", "The target is down."))
    plan = client.call("plan", Plan, action="start", machine="erp")
    for _ in range(2):
        with pytest.raises(Failure, match="target is down"):
            client.call("run", Done, plan=plan.plan, key="k")
    assert len(service.calls) == 1


def test_a_moved_state_is_refused(client: Client, service: ScriptedService) -> None:
    """A plan made before somebody else started the machine is not run."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    service.run("erp", ERP)
    with pytest.raises(StateMoved, match="not as it was"):
        client.call("run", Done, plan=plan.plan, key="k")
    assert service.calls == []


def test_a_retired_point_moves_the_plan(client: Client, service: ScriptedService) -> None:
    """A plan for a boot point that is not ready any more is not run."""
    plan = client.call("plan", Plan, action="start", machine="erp", point="bp000001")
    point = service.snapshot().state.boot_points[BootPointId("bp000001")]
    service.put(replace(point, stage=Stage.RETIRED))
    with pytest.raises(StateMoved):
        client.call("run", Done, plan=plan.plan, key="k")


def test_a_plan_is_run_once(client: Client, service: ScriptedService) -> None:
    """With another key the same plan is not found any more."""
    plan = client.call("plan", Plan, action="build", machine="erp")
    client.call("run", Done, plan=plan.plan, key="a")
    with pytest.raises(NotFound, match="no plan"):
        client.call("run", Done, plan=plan.plan, key="b")
    assert len(service.calls) == 1


def test_removing_a_standby_needs_its_name(client: Client, service: ScriptedService) -> None:
    """The engine itself compares the typed name; full-width letters count as plain ones."""
    with pytest.raises(Refused, match="does not match") as caught:
        client.call("standby.remove", Done, name="erp", confirm="er")
    assert caught.value.problem.facts == {"expected": "erp"}
    assert service.calls == []
    client.call("standby.remove", Done, name="erp", confirm="ｅｒｐ", key="k")
    client.call("standby.remove", Done, name="web", confirm="web", key="l")
    assert [call[1] for call in service.calls] == ["erp", "web"]


def test_a_second_removal_with_the_same_key_gets_the_same_answer(
    client: Client, service: ScriptedService
) -> None:
    """A removal whose answer was lost is not an unknown standby when it is asked again."""
    first = client.call("standby.remove", Done, name="erp", confirm="erp", key="k")
    assert client.call("standby.remove", Done, name="erp", confirm="erp", key="k") == first
    assert len(service.calls) == 1


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"action": "explode", "machine": "erp"}, WrongUse),
        ({"action": "start", "machine": "nope"}, NotFound),
        ({"action": "start", "machine": "erp", "point": "bp9"}, NotFound),
        ({"action": "start", "machine": "erp", "point": "bp000008"}, Refused),
        ({"action": "stop", "machine": "erp"}, Refused),
        ({"action": "resume", "machine": "erp"}, Refused),
        ({"action": "cancel", "job": 7}, NotFound),
    ],
)
def test_what_cannot_be_done_is_not_planned(
    client: Client, params: dict[str, object], kind: type[Failure]
) -> None:
    """A wish that cannot come true is refused at the plan, by kind."""
    with pytest.raises(kind):
        client.call("plan", Plan, **params)


def test_every_action_reaches_the_engine(client: Client, service: ScriptedService) -> None:
    """Build, hold, resume, start, stop and cancel each make one call, with the user's name."""
    user = client.hello.user
    job = service.begin_job(JobKind.SYNC, "web")
    wishes: list[dict[str, object]] = [
        {"action": "build", "machine": "erp"},
        {"action": "hold", "machine": "erp", "reason": "moving"},
        {"action": "resume", "machine": "erp"},
        {"action": "start", "machine": "erp"},
        {"action": "stop", "machine": "erp"},
        {"action": "cancel", "job": int(job.id)},
    ]
    for number, wish in enumerate(wishes):
        plan = client.call("plan", Plan, **wish)
        client.call("run", Done, plan=plan.plan, key=str(number))
    assert service.calls == [
        ("build", "erp", user),
        ("hold", "erp", "moving", user),
        ("resume", "erp", user),
        ("start", "erp", ERP, user),
        ("stop", "erp", user),
        ("cancel", "1", user),
    ]


def test_busy_is_told_apart(client: Client, service: ScriptedService) -> None:
    """Another action on the machine is BUSY, not just refused."""
    service.fails["build"] = Refused(Problem("vm.busy", "Job 3 (start) of erp has not ended."))
    plan = client.call("plan", Plan, action="build", machine="erp")
    with pytest.raises(InTheWay):
        client.call("run", Done, plan=plan.plan, key="k")


def test_a_new_standby_is_checked_and_added(client: Client, service: ScriptedService) -> None:
    """Trigger and firmware are checked at the door; the rest is the engine's business."""
    with pytest.raises(WrongUse, match="daily@HH:MM"):
        client.call("standby.add", Done, name="new", images="/r/new", trigger="weekly")
    with pytest.raises(WrongUse, match="bios or uefi"):
        client.call("standby.add", Done, name="new", images="/r/new", firmware="coreboot")
    client.call("standby.add", Done, name="new", images="/r/new", trigger="every:4", rpo_s=3600)
    added = service.snapshot().standbys["new"]
    assert (added.images, str(added.trigger), added.rpo_s) == ("/r/new", "every:4", 3600)
    with pytest.raises(Refused, match="already"):
        client.call("standby.add", Done, name="new", images="/r/new")


def test_a_bug_is_told_without_its_insides(client: Client, service: ScriptedService) -> None:
    """An exception nobody foresaw ends the call with a sentence, not the door."""
    service.fails["build"] = RuntimeError("secret /path")  # type: ignore[assignment]  # a bug
    plan = client.call("plan", Plan, action="build", machine="erp")
    with pytest.raises(Failure, match="RuntimeError") as caught:
        client.call("run", Done, plan=plan.plan, key="k")
    assert "secret" not in str(caught.value)
    assert client.call("ping", dict[str, str]) == {}


# --- the last picture, and clients ----------------------------------------------------------


def test_the_last_picture_outlives_the_engine(service: ScriptedService, place: Path) -> None:
    """After stop, and while it runs, the fleet lies in a file for the group to read."""
    view = place.parent / "view"
    opened = Door(service, place, view=view)
    opened.start()
    until(lambda: read_last(view) is not None)
    service.run("erp", ERP)
    opened.stop()
    last = read_last(view)
    assert last is not None
    assert {one.id: one.state for one in last.fleet}["erp"] == "TEST"
    assert (view / "last.json").stat().st_mode & 0o777 == 0o640


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error names the socket, and how to start an engine."""
    with pytest.raises(EngineAway, match="bootpoint engine") as caught:
        Client(tmp_path / "engine.sock")
    assert str(tmp_path / "engine.sock") in str(caught.value)


def test_a_broken_line_is_the_engine_away(service: ScriptedService, place: Path) -> None:
    """A client whose engine stops gets EngineAway from its next call."""
    opened = Door(service, place)
    opened.start()
    client = Client(place)
    opened.stop()
    with pytest.raises(EngineAway, match="was lost"):
        client.call("ping", dict[str, str])
    client.close()


async def test_asyncio_programs_have_a_client_too(
    door: Door, place: Path, service: ScriptedService
) -> None:
    """Open, call, follow changes, meet a refusal, and see the end of the line."""
    client = await AsyncClient.open(place)
    assert client.hello.role == "admin"
    first = await client.call("subscribe", Picture, topics=["fleet"], max_hz=10)
    assert len(first.fleet) == 3
    service.run("erp", ERP)
    async for change in client.notifications():
        assert change.fleet[0].state == "TEST"
        break
    with pytest.raises(NotFound):
        await client.call("machine", MachineView, machine="nope")
    await asyncio.to_thread(door.stop)
    assert [one async for one in client.notifications()] == []
    with pytest.raises(EngineAway):
        await client.call("ping", dict[str, str])
    await client.close()


async def test_a_refused_asyncio_client_hears_why(door: Door, place: Path) -> None:
    """A client that is one too many gets the engine's reason."""
    clients = [Client(place) for _ in range(MOST_CLIENTS)]
    with pytest.raises(Failure, match="connected already"):
        await AsyncClient.open(place)
    for each in clients:
        each.close()


def test_views_survive_the_wire() -> None:
    """What one side encodes the other decodes to the same."""
    told = Hello(proto=1, engine="0.1", epoch="a", role="viewer", user="u", site="s", now=NOW)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Hello) == told
    assert machine_uuid("erp") == "uuid-of-erp"
