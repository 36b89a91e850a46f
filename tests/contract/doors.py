"""A door over a real socket, its clients, and one that can misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.api.client import Client
from engine.api.server import Door
from engine.model.points import BootPointId
from tests.scripted import ScriptedService, site

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
