"""A SOAP proxy in front of vcsim that fails as hosts fail, method by method.

pyvmomi ──TLS──► 127.0.0.2: proxy ──TLS──► vcsim

Each method has a queue; a call takes the first entry, a call without one passes. Names of methods
are logged, bodies never: `Login` holds the password.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.vcsim import looks
from tests.vcsim.steps import (
    Code,
    Delay,
    Drop,
    Fault,
    Hang,
    Late,
    Queued,
    Raw,
    Says,
    Spoil,
    Step,
    Trickle,
)

_METHOD = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
# vcsim answers these with an empty body, which no client can read.
_INSTEAD = {
    "RefreshDatastore": '<RefreshDatastoreResponse xmlns="urn:vim25"/>',
    "AnswerVM": '<AnswerVMResponse xmlns="urn:vim25"/>',
    "CancelTask": '<CancelTaskResponse xmlns="urn:vim25"/>',
}
# vcsim draws no consoles: a task that changes nothing stands for the one that writes a picture.
_SCREENSHOT = re.compile(
    rb"<(?P<p>(?:\w+:)?)CreateScreenshot_Task.*?</(?P=p)CreateScreenshot_Task>", re.DOTALL
)
_RECONFIGURE = (
    b'<ReconfigVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">%s</_this><spec/>'
    b"</ReconfigVM_Task>"
)
_OF_VM = re.compile(rb'type="VirtualMachine"[^>]*>([^<]*)<')
_TASK = re.compile(rb'<returnval type="Task">([^<]*)</returnval>')
_UUID = re.compile(rb"<uuid[^>]*>([^<]*)</uuid>")
_FOUND = re.compile(rb"(?s)<returnval[^>]*>.*?</returnval>")
_CHOICE = re.compile(rb"<answerChoice[^>]*>([^<]*)</answerChoice>")


@dataclass
class Proxy:
    """What a test plans and sees.

    Attributes:
        port: On 127.0.0.2.
        calls: Names of the methods called so far.
        control: Address of vcsim's control port.
        late: How many calls were passed on late.
        pictures: What GET answers by path; vcsim draws no consoles.
        asked: A question that every VM waits for an answer to; vcsim never asks.
        answers: Choices that were given.
        spoilt: Faults that tasks end with after their work, by the task's id.
        drawn_by: Who began the tasks that draw, as they say themselves.
        shot: Path of the file that a picture of a console is written to; the bytes come from
            `effects`.
        queued: Tasks that have not begun yet, by their ids.
        scattered: Every VM needs consolidation until it is asked for; vcsim's never need any.
        effects: What else a method brings about, done once vcsim has answered it: it moves no
            disks.
        running: Percentages that tasks show, one each time they are asked for, before they end.
        cancels: Tasks that are told to end do so, before they are done.
        cancelled: One was told to.
        untold: Faults that stand in the place of properties, by kind of object and path.
        chooses: What befalls a call, by its method, before what is planned for that; None: nothing.
        expired: The session has expired: every call is refused until somebody has logged in.
    """

    port: int = 0
    control: str = ""
    late: int = 0
    pictures: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: str = ""
    spoilt: dict[bytes, str] = field(default_factory=dict)
    shot: str = ""
    drawn_by: str = "operator"
    shots: list[bytes] = field(default_factory=list)
    queued: set[bytes] = field(default_factory=set)
    scattered: bool = False
    answers: list[str] = field(default_factory=list)
    effects: dict[str, Callable[[], object]] = field(default_factory=dict)
    running: list[int] = field(default_factory=list)
    cancels: bool = False
    cancelled: bool = False
    expired: bool = False
    untold: dict[tuple[str, str], str] = field(default_factory=dict)
    chooses: Callable[[str], Step | None] | None = None
    credentials: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    _plans: dict[str, deque[Step]] = field(default_factory=lambda: defaultdict(deque))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _tls: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    _renewed: int = 0

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return f"https://127.0.0.2:{self.port}/"

    def plan(self, method: str, *steps: Step) -> None:
        """Let the next calls of a method go wrong, in this order."""
        with self._lock:
            self._plans[method].extend(steps)

    def forget(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._plans.clear()
            self.running.clear()
            self.effects.clear()
            self.pictures.clear()
            self.untold.clear()
            self.shots.clear()
            self.answers.clear()
            self.cancels = self.cancelled = self.expired = False
            self.asked, self.shot, self.drawn_by = "", "", "operator"

    def certify(self, cert: Path, key: Path) -> None:
        """Show a certificate from now on; who is connected is so no more, as its host restarts."""
        self._tls.load_cert_chain(cert, key)
        self._renewed += 1

    def rest(self, seconds: float) -> None:
        """Wait, at most until the proxy ends."""
        self._over.wait(seconds)

    def spare(self) -> None:
        """Let what is still planned not come about."""
        with self._lock:
            self._plans.clear()

    def left(self) -> Mapping[str, int]:
        """Return how many planned steps of each method were not met."""
        with self._lock:
            return {method: len(steps) for method, steps in self._plans.items() if steps}

    def count(self, method: str) -> int:
        """Return how often a method was called."""
        with self._lock:
            return self.calls.count(method)

    def _next(self, method: str) -> Step | None:
        with self._lock:
            self.calls.append(method)
            if self.expired and method != "Login":
                return Fault("NotAuthenticated")
            if self.chooses is not None and (step := self.chooses(method)) is not None:
                return step
            return self._plans[method].popleft() if self._plans[method] else None

    def _takes(self, method: str, body: bytes) -> None:
        """Let a call that goes through have its effect on what is kept here."""
        if method == "Login":
            self.expired = False
        if method == "AnswerVM":
            self.answers += [one.decode() for one in _CHOICE.findall(body)]
            self.asked = ""
        if method == "CancelTask":
            self.running.clear()
            self.cancelled = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's delayed ACK
    _onward: http.client.HTTPSConnection | None = None
    proxy: Proxy
    upstream: str

    def setup(self) -> None:
        """Remember which certificate was shown."""
        super().setup()
        self._shown = self.proxy._renewed

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: request lines tell nothing, and bodies hold passwords."""

    def do_GET(self) -> None:
        """Pass on what is no SOAP call."""
        if self.path not in self.proxy.pictures:
            self._send(*self._pass_on(b""))
            return
        told = self.headers.get("Authorization", "cookie").partition(" ")[0]
        self.proxy.credentials.append(told if self.headers.get("Cookie") != "" else "")
        self._send(self.proxy.pictures[self.path][0], {}, self.proxy.pictures[self.path][1])

    def do_POST(self) -> None:
        """Pass a SOAP call on, or fail it as planned."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self._shown != self.proxy._renewed:
            self._cut()
        else:
            self._meet(body)

    def _meet(self, body: bytes) -> None:
        found = _METHOD.search(body)
        method = found[1].decode() if found else "unknown"
        step = self.proxy._next(method)
        match step:
            case Code(status):
                self._send(status, {"Location": "https://127.0.0.3/"}, b"")
            case Says():
                told = self._pass_on(body)[2] if step.after or step.half else b""
                says = told[: len(told) // 2] if step.half else step.body
                packing = {"Content-Encoding": "gzip"} if step.packed else {}
                self._send(step.status, {"Content-Type": "text/xml", **packing}, says)
            case Fault() | Drop() | Spoil() | Raw() | Queued():
                self._fail(step, body)
            case Hang(passes):
                self._hang(passes, body)
            case Trickle(seconds):
                self._trickle(seconds)
            case Late(seconds):
                self._cut()
                self.proxy._over.wait(seconds)
                self._pass_on(body)
                self.proxy.late += 1
            case Delay() | None:
                self.proxy._over.wait(step.seconds if step else 0)
                self._answer(method, body)

    def _hang(self, passes: Callable[[], object] | None, body: bytes) -> None:
        if passes is not None:
            passes()
            self._pass_on(body)
            self.proxy.late += 1
        self.proxy._over.wait()
        self._cut()

    def _fail(self, step: Fault | Drop | Spoil | Raw | Queued, body: bytes) -> None:
        if isinstance(step, Queued):
            self._queue(body, step.seconds)
            return
        if isinstance(step, Raw):
            self._raw(step, body)
            return
        if isinstance(step, Spoil):
            status, headers, told = self._pass_on(body)
            self.proxy.spoilt |= dict.fromkeys(_TASK.findall(told), step.name)
            self._send(status, headers, told)
            return
        if step.after:
            draws = bool(self.proxy.shot) and b"CreateScreenshot_Task" in body
            _ = self._draw(body) if draws else self._pass_on(body)
        if isinstance(step, Drop):
            self._cut()
        else:
            self._send(500, {"Content-Type": "text/xml"}, looks.fault(step))

    def _answer(self, method: str, body: bytes) -> None:
        self.proxy._takes(method, body)
        if method == "RetrievePropertiesEx":
            status, headers, answer = self._pass_on(body)
            told = looks.queued(self._told(answer, body), list(self.proxy.queued))
            self._send(status, headers, told)
        elif method == "CreateScreenshot_Task" and self.proxy.shot:
            self._send(*self._draw(body))
        elif method == "ConsolidateVMDisks_Task":
            # vcsim has no such task; this one changes nothing there either.
            self.proxy.scattered = False
            ours, theirs = b"ConsolidateVMDisks_Task", b"RevertToCurrentSnapshot_Task"
            status, headers, answer = self._pass_on(body.replace(ours, theirs))
            self._send(status, headers, answer.replace(theirs, ours))
        elif method in _INSTEAD:
            answer = looks.ENVELOPE.format(_INSTEAD[method]).encode()
            self._send(200, {"Content-Type": "text/xml"}, answer)
        else:
            self._send(*self._pass_on(body))

    def _told(self, answer: bytes, body: bytes) -> bytes:
        """Return what is read as it is to look."""
        # vcsim names itself; a host names who began a task.
        answer = answer.replace(
            b">vcsim</userName>", b">%s</userName>" % self.proxy.drawn_by.encode()
        )
        if b"info.state" in body and self._is_slow():
            return self._slowly(answer)
        if self.proxy.asked:
            return looks.waiting(answer, self.proxy.asked, body)
        if self.proxy.untold:
            return looks.untold(answer, self.proxy.untold)
        if self.proxy.scattered:
            return looks.scattered(answer, body)
        proxy = self.proxy
        drawn = looks.drawn(answer, proxy.shots, proxy.shot, proxy.drawn_by)
        return looks.spoilt(drawn, proxy.spoilt)

    def _draw(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Begin a task that ends with the path of a picture."""
        (vm,) = _OF_VM.findall(body)
        status, headers, answer = self._send_on(_SCREENSHOT.sub(_RECONFIGURE % vm, body))
        self.proxy.shots += _TASK.findall(answer)
        if (effect := self.proxy.effects.get("CreateScreenshot_Task")) is not None:
            effect()
        return status, headers, answer.replace(b"ReconfigVM_Task", b"CreateScreenshot_Task")

    def _queue(self, body: bytes, seconds: float) -> None:
        """Begin a task that changes nothing, and let it do its work later."""
        (method,) = _METHOD.findall(body)
        (vm,) = _OF_VM.findall(body)[:1]
        asked = re.compile(rb"(?s)<(?P<p>(?:\w+:)?)%b.*</(?P=p)%b>" % (method, method))
        status, headers, told = self._send_on(asked.sub(_RECONFIGURE % vm, body))
        tasks = set(_TASK.findall(told))
        self.proxy.queued |= tasks

        def late() -> None:
            self.proxy._over.wait(seconds)
            with closing(self._to_host()) as host:
                host.request("POST", self.path, body, self._kept())
                host.getresponse().read()
            self.proxy.effects.get(method.decode(), lambda: None)()
            self.proxy.queued -= tasks

        threading.Thread(target=late, daemon=True).start()
        self._send(status, headers, told.replace(b"ReconfigVM_Task", method))

    def _is_slow(self) -> bool:
        return bool(self.proxy.running) or (self.proxy.cancels and self.proxy.cancelled)

    def _slowly(self, answer: bytes) -> bytes:
        """Return what a task says of itself that is not done yet, or was ended."""
        if not looks.is_done(answer):
            return answer
        return looks.undone(answer, self.proxy.running.pop(0) if self.proxy.running else None)

    def _pass_on(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        found = _METHOD.search(body)
        method = found[1].decode() if found else ""
        told = self._find_all(body) if method == "FindAllByUuid" else self._send_on(body)
        if (effect := self.proxy.effects.get(method)) is not None:
            effect()
        return told

    def _find_all(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Ask for one VM with a UUID, which vcsim knows, and tell all of them."""
        status, headers, answer = self._send_on(body.replace(b"FindAllByUuid", b"FindByUuid"))
        if _FOUND.search(answer):
            (uuid,) = _UUID.findall(body)
            with closing(http.client.HTTPConnection(self.proxy.control, timeout=10)) as control:
                control.request("GET", f"/searched?uuid={uuid.decode()}")
                ids = control.getresponse().read().decode().split()
            refs = "".join(f'<returnval type="VirtualMachine">{one}</returnval>' for one in ids)
            answer = _FOUND.sub(refs.encode(), answer)
        return status, headers, answer.replace(b"FindByUuidResponse", b"FindAllByUuidResponse")

    def _send_on(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._onward is None:
            self._onward = self._to_host()
        self._onward.request(self.command, self.path, body or None, self._kept())
        answer = self._onward.getresponse()
        back = {n: v for n, v in answer.getheaders() if n in ("Content-Type", "Set-Cookie")}
        return answer.status, back, answer.read()

    def _to_host(self) -> http.client.HTTPSConnection:
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(self.upstream, context=context, timeout=60)

    def _kept(self) -> dict[str, str]:
        kept = ("Cookie", "SOAPAction", "Content-Type", "User-Agent", "Range")
        return {name: self.headers[name] for name in kept if name in self.headers}

    def finish(self) -> None:
        """Let go of the connection to vcsim with the client's."""
        super().finish()
        if self._onward is not None:
            self._onward.close()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _trickle(self, seconds: float) -> None:
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while not self.proxy._over.wait(seconds):
                self.wfile.write(b" ")

    def _raw(self, step: Raw, body: bytes) -> None:
        data = step.data
        if step.host:
            data = data.replace(b"%b", self._pass_on(body)[2])
        with suppress(OSError):
            self.wfile.write(data)
        if step.stays:
            self.proxy._over.wait()
        if step.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
        else:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that refuse the certificate are the point of some tests."""


@contextmanager
def running(upstream: str, cert: Path, key: Path) -> Iterator[Proxy]:
    """Yield a proxy in front of vcsim at `host:port`; it ends with the block."""
    proxy = Proxy()
    handler = type("Handler", (_Handler,), {"proxy": proxy, "upstream": upstream})
    server = _Server(("127.0.0.2", 0), handler)
    proxy.certify(cert, key)
    # The handshake belongs into the connection's own thread, so that a client that never finishes
    # it stops nobody else.
    server.socket = proxy._tls.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy._over.set()
        server.shutdown()
        server.server_close()
        thread.join()
