"""Bytes typed through the socket of a serial console."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.hypervisors.libvirt import keyboard


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """Give a socket somebody listens on."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        yield tmp_path / "s", server


def test_all_is_taken_by_a_guest_that_reads(place: tuple[Path, socket.socket]) -> None:
    """Every byte arrives once, while what the guest prints is drained."""
    heard = bytearray()

    def guest() -> None:
        with place[1].accept()[0] as line:
            line.sendall(b"noise" * 100_000)
            while data := line.recv(7):
                heard.extend(data)

    thread = threading.Thread(target=guest)
    thread.start()
    data = bytes(range(256)) * 4
    assert keyboard.typed(place[0], data) == len(data)
    thread.join()
    assert bytes(heard) == data


def test_a_guest_that_does_not_read_takes_nothing(
    place: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for: the number says that nothing was taken."""
    monkeypatch.setattr(keyboard, "PATIENCE_S", 0.2)
    assert keyboard.typed(place[0], b"root\r") == 0


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    """No socket, or a dead one, raises."""
    with pytest.raises(OSError, match="No such file"):
        keyboard.typed(tmp_path / "none", b"x")
