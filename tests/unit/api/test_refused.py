"""What a console hears from an engine that refuses it and hangs up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api import problems
from engine.api.async_client import AsyncClient
from engine.api.wire import Message, encode
from engine.model.errors import Failure, Problem

TRIES = 150


@pytest.fixture
def unwilling(tmp_path: Path) -> Iterator[Path]:
    """A socket behind which everybody is refused at once, whatever they say."""
    place = tmp_path / "engine.sock"
    full = problems.Busy(Problem("door.full", "32 clients are connected already."))
    words = encode(Message(id=None, error=problems.wire_error(full)))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place))
    listener.listen()

    def refuse() -> None:
        for _ in range(TRIES):
            with listener.accept()[0] as connection:
                connection.sendall(words)

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    yield place
    thread.join()
    listener.close()


async def test_a_refusal_is_heard_however_fast_the_engine_hangs_up(unwilling: Path) -> None:
    """The engine's reason wins over the broken line that comes right behind it, every time."""
    for _ in range(TRIES):
        with pytest.raises(Failure, match="connected already"):
            await AsyncClient.open(unwilling)
