"""What an NFS server exports, asked of a real one, and of some that answer badly."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.hypervisors.esxi import preflight
from engine.hypervisors.esxi.exports import Export, exports, is_above
from engine.hypervisors.esxi.preflight import Wishes
from tests.vcsim.nfs import beside_server

_ASK = """
import json, sys
from engine.hypervisors.esxi import preflight
from engine.hypervisors.esxi.exports import exports
from engine.hypervisors.esxi.inventory import Inventory
for share in sys.argv[1:]:
    wishes = preflight.Wishes("", "", "", "", "127.0.0.1", share)
    found = preflight._nfs(Inventory(None, None, [], [], []), wishes)
    told = [[one.folder, one.clients] for one in exports("127.0.0.1", timeout_s=3)]
    print(json.dumps([told, [[one.key, one.text] for one in found]]))
"""


def test_a_real_server_tells_what_it_exports(tmp_path: Path) -> None:
    """The share that it has is no matter; one that it has not, or has more than, is told."""
    share = tmp_path / "store" / ".run"
    share.mkdir(parents=True)
    asked = [str(share), str(tmp_path / "other" / ".run"), str(share / "inner")]
    told = beside_server(tmp_path, share, sys.executable, "-c", _ASK, *asked)
    assert told.returncode == 0, told
    good, other, inner = [json.loads(line) for line in told.stdout.splitlines()]
    assert good == [[[str(share), ["127.0.0.1/32"]]], []]
    ((key, text),) = other[1]
    assert key == "esxi.not-exported"
    assert text.endswith(f"It exports: {share}.")
    ((key, text),) = inner[1]
    assert key == "esxi.exported-above"
    assert "hosts could change boot points" in text


def test_a_real_server_that_lets_anybody_in_is_told(tmp_path: Path) -> None:
    """Whoever reaches it could change what VMs of ours run on; the share above counts too."""
    share = tmp_path / "store" / ".run"
    share.mkdir(parents=True)
    asked = [str(share), str(share / "inner")]
    told = beside_server(tmp_path, share, sys.executable, "-c", _ASK, *asked, clients="*")
    assert told.returncode == 0, told
    mine, inner = [json.loads(line)[1] for line in told.stdout.splitlines()]
    assert [key for key, _ in mine] == ["esxi.exported-to-all"]
    assert f"lets anybody mount {share}" in mine[0][1]
    assert [key for key, _ in inner] == ["esxi.exported-above", "esxi.exported-to-all"]


@pytest.mark.parametrize(
    ("clients", "is_so"),
    [
        ((), True),
        (("192.0.2.7", "*"), True),
        (("0.0.0.0/0",), True),
        (("192.0.2.0/24",), False),
        (("*.example",), False),
    ],
)
def test_a_server_that_names_nobody_means_everybody(
    clients: tuple[str, ...], *, is_so: bool
) -> None:
    """Some leave the list empty, some write a star, some a network of all."""
    assert Export("/a/b", clients).is_open is is_so


@pytest.mark.parametrize(
    ("folder", "is_so"), [("/a/b", True), ("/a", True), ("/", True), ("/a/bc", False), ("", False)]
)
def test_a_folder_above_is_told_from_one_of_a_like_name(folder: str, *, is_so: bool) -> None:
    """By its parts, not its letters."""
    assert is_above(folder, "/a/b") is is_so


@contextlib.contextmanager
def _server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Yield the port of a server that answers each call with these bytes, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(answer(connection.recv(4096)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _record(body: bytes, *, last: bool = True) -> bytes:
    return struct.pack(">I", len(body) | (1 << 31 if last else 0)) + body


def _reply(call: bytes, result: bytes) -> bytes:
    return call[4:8] + struct.pack(">5I", 1, 0, 0, 0, 0) + result


_LIST = struct.pack(">2I", 1, 5) + b"/a/bc\0\0\0" + struct.pack(">3I", 1, 1, ord("*") << 24)
_END = struct.pack(">2I", 0, 0)


def test_an_answer_in_parts_is_put_together_and_no_portmapper_is_needed() -> None:
    """Names are padded to whole words, and each folder has those who may mount it."""

    def parts(call: bytes) -> bytes:
        whole = _reply(call, _LIST + _END)
        return _record(whole[:7], last=False) + _record(whole[7:])

    with _server(parts) as port, _server(lambda _call: b"") as silent:
        assert exports("127.0.0.1", timeout_s=3, ports=(silent, port)) == [Export("/a/bc", ("*",))]


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "hangs up": lambda _call: b"",
    "another's": lambda call: _record(b"\xff" * 4 + _reply(call, _END)[4:]),
    "denied": lambda call: _record(call[4:8] + struct.pack(">3I", 1, 1, 0)),
    "no such program": lambda call: _record(call[4:8] + struct.pack(">5I", 1, 0, 0, 0, 1)),
    "cut short": lambda call: _record(_reply(call, _LIST)),
    "no end": lambda _call: struct.pack(">I", 0) * 99,
    "too long": lambda _call: struct.pack(">I", (1 << 31) - 1),
    "a long name": lambda call: _record(_reply(call, struct.pack(">2I", 1, 1 << 30))),
    "a web page": lambda _call: b"HTTP/1.0 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("kind", list(WRONG))
def test_what_is_no_answer_is_told_as_none(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, and the preflight says that the server does not tell."""
    with _server(WRONG[kind]) as port, _server(lambda _call: b"") as silent:
        with pytest.raises(OSError, match=r"^it"):
            exports("127.0.0.1", timeout_s=3, ports=(silent, port))
        monkeypatch.setattr(preflight, "exports", partial(exports, ports=(silent, port)))
        (one,) = preflight._export(Wishes("", "", "", "", "127.0.0.1", "/a/b"))
        assert one.key == "esxi.exports-untold"
