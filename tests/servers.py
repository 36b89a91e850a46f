"""Small servers on loopback for the ways out: honest, hanging, lying; and certificates for them."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A CA of our own and a certificate of it for `localhost`; another certificate of nobody's."""

    ca: Path
    chain: Path
    stranger: Path


def make_authority(folder: Path) -> Authority:
    """Make the certificates, by the openssl command."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30")
    openssl(*new, "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-keyout", "own.key", "-out", "own.csr")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "30", "-extfile", "names", "-out", "own.pem")  # fmt: skip
    openssl(*new, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", "stranger.key", "-out", "stranger.crt")  # fmt: skip
    for name, cert in (("chain", "own.pem"), ("stranger", "stranger.crt")):
        key = "own.key" if name == "chain" else "stranger.key"
        both = (folder / cert).read_text() + (folder / key).read_text()
        (folder / f"{name}.both").write_text(both)
    return Authority(folder / "ca.pem", folder / "chain.both", folder / "stranger.both")


def server_context(chain: Path) -> ssl.SSLContext:
    """Return a server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


# --- any talk over TCP ----------------------------------------------------------------------

Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[int]:
    """Serve `talk` to every connection on a port of loopback; yield the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                talk(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def silent(stop: threading.Event) -> Talk:
    """Return a talk that says nothing until it is stopped."""
    return lambda _connection: stop.wait(60) and None


def dribble(stop: threading.Event) -> Talk:
    """Return a talk that says one byte now and then, and never a line."""

    def talk(connection: socket.socket) -> None:
        while not stop.wait(0.05):
            connection.sendall(b"2")

    return talk


def flood(connection: socket.socket) -> None:
    """Say endless lines of one reply."""
    while True:
        connection.sendall(b"220-welcome\r\n" * 1000)


# --- SMTP -----------------------------------------------------------------------------------


@dataclass
class SmtpServer:
    """A server that keeps what it was given.

    Attributes:
        tls: `starttls`, `tls` or `none`; users: name -> password, empty: no login is asked for.
        refuse: Recipients that are refused; code: with which.
        hangs_up: Closes as soon as it has a mail.
        given: Who got each mail.
        inject: Plain words sent right behind the answer to STARTTLS, by somebody between.
    """

    chain: Path
    tls: str = "starttls"
    users: dict[str, str] = field(default_factory=dict)
    refuse: tuple[str, ...] = ()
    code: int = 550
    hangs_up: bool = False
    inject: bytes = b""
    mails: list[bytes] = field(default_factory=list)
    given: list[tuple[str, ...]] = field(default_factory=list)
    logins: list[tuple[str, str, bool]] = field(default_factory=list)

    def talk(self, connection: socket.socket) -> None:
        """Speak with one client."""
        _SmtpTalk(self, connection).run()


class _SmtpTalk:
    """One client of an SMTP server."""

    def __init__(self, server: SmtpServer, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.encrypted, self.allowed = False, not server.users
        self.asked: list[str] = []

    def run(self) -> None:
        try:
            if self.server.tls == "tls":
                self.encrypt()
            self.say(b"220 test")
            self.file = self.connection.makefile("rb")
            while line := self.file.readline():
                word, _, rest = line.decode().strip().partition(" ")
                getattr(self, f"on_{word.lower()}", self.on_other)(rest)
        finally:
            self.connection.close()

    def say(self, *lines: bytes) -> None:
        self.connection.sendall(b"\r\n".join(lines) + b"\r\n")

    def encrypt(self) -> None:
        context = server_context(self.server.chain)
        self.connection = context.wrap_socket(
            self.connection, server_side=True, do_handshake_on_connect=False
        )
        self.connection.do_handshake()
        self.encrypted = True

    def on_ehlo(self, _rest: str) -> None:
        starts = self.server.tls == "starttls" and not self.encrypted
        self.say(b"250-test", *([b"250-STARTTLS"] if starts else []), b"250-AUTH PLAIN", b"250 OK")

    def on_starttls(self, _rest: str) -> None:
        if self.server.tls == "none":
            self.say(b"502 not here")
            return
        self.connection.sendall(b"220 go\r\n" + self.server.inject)
        self.file.close()
        self.encrypt()
        self.file = self.connection.makefile("rb")

    def on_auth(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        self.server.logins.append((user, password, self.encrypted))
        self.allowed = self.server.users.get(user) == password
        self.say(b"235 ok" if self.allowed else b"535 wrong password")

    def on_mail(self, _rest: str) -> None:
        self.say(b"250 ok" if self.allowed else b"530 log in first")

    def on_rcpt(self, rest: str) -> None:
        bad = any(name in rest for name in self.server.refuse)
        if not bad:
            self.asked.append(rest.partition("<")[2].partition(">")[0])
        self.say(b"%d unknown" % self.server.code if bad else b"250 ok")

    def on_data(self, _rest: str) -> None:
        self.say(b"354 go on")
        told = []
        while (line := self.file.readline()) not in (b".\r\n", b""):
            told.append(line)
        self.server.mails.append(b"".join(told))
        self.server.given.append(tuple(self.asked))
        self.asked = []
        self.say(b"250 taken")

    def on_quit(self, _rest: str) -> None:
        if self.server.hangs_up:
            self.connection.close()
            self.file.close()
            raise ConnectionResetError
        self.say(b"221 bye")

    def on_other(self, _rest: str) -> None:
        self.say(b"250 ok")


# --- HTTP -----------------------------------------------------------------------------------


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


@dataclass
class WebServer:
    """A server that keeps what it was asked; `status` and `headers` are its answers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @contextlib.contextmanager
    def serving(self, chain: Path | None = None) -> Iterator[int]:
        """Serve, under TLS with a certificate; yield the port."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {key.lower(): value for key, value in self.headers.items()}
                told = Asked(self.command, self.path, headers, self.rfile.read(length))
                outer.asked.append(told)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = answer  # noqa: N815 - names that the library asks for

            def log_message(self, *_told: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_told: object) -> None:
                pass  # a client that does not trust us hangs up

        with Server(("127.0.0.1", 0), Handler) as server:
            if chain is not None:
                server.socket = server_context(chain).wrap_socket(
                    server.socket, server_side=True, do_handshake_on_connect=False
                )
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()
