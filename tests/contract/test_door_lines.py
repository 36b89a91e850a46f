"""What the door does about lines that are garbage, too long, too slow or too many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.api.client import Client
from engine.api.errors import InTheWay
from engine.api.server import MOST_CLIENTS, Door
from engine.api.wire import MAX_FRAME
from tests.contract.doors import Line, until
from tests.scripted import ScriptedService

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
