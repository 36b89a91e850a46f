"""What the door promises every client, over a real socket, on a scripted engine."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from engine.api.async_client import AsyncClient
from engine.api.client import Client
from engine.api.errors import EngineAway, RoleLow
from engine.api.last import read_last
from engine.api.server import MOST_CLIENTS, Door
from engine.api.views import (
    Done,
    FleetView,
    Hello,
    MachineView,
    Picture,
    Plan,
)
from engine.model.errors import Failure, NotFound, Refused, WrongUse
from tests.contract.doors import ERP, Line, until
from tests.scripted import NOW, ScriptedService, machine_uuid

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
