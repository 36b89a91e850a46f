"""Webhooks and heartbeats: signatures, certificates, redirects, servers that hang."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from pathlib import Path

import pytest

from engine.alerts.heartbeat import Heartbeat
from engine.alerts.http import Address, parts
from engine.alerts.webhook import Webhook
from engine.model.alarms import What
from engine.model.errors import Failure
from engine.model.work import Severity
from tests.alerting import HOSTILE, message
from tests.servers import Authority, Talk, WebServer, dribble, silent, talking


def hook(port: int, ca: Path | None = None, **more: str) -> Webhook:
    """Return a webhook to a server on loopback."""
    scheme = "https" if ca else "http"
    address = Address(f"{scheme}://localhost:{port}/in?x=1", plain=ca is None, authority=ca)
    return Webhook("webhook.chat", address, Severity.INFO, whole_s=5.0, **more)


def secret(folder: Path, text: str) -> str:
    """Write a secret; return its reference."""
    file = folder / hashlib.sha256(text.encode()).hexdigest()[:8]
    file.write_text(text)
    file.chmod(0o600)
    return f"file:{file}"


def test_a_webhook_gets_json_with_a_signature(authority: Authority, tmp_path: Path) -> None:
    """Whoever knows the key can tell that the body and its time are ours."""
    server = WebServer()
    with server.serving(authority.chain) as port:
        way = hook(
            port, authority.ca, secret=secret(tmp_path, "key"), bearer=secret(tmp_path, "tok")
        )
        way.send(message(HOSTILE, "b", what=What.CLEARED, severity=Severity.WARNING))
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/in?x=1")
    stamp = asked.headers["x-bootpoint-timestamp"]
    signed = hmac.new(b"key", stamp.encode() + b"." + asked.content, hashlib.sha256)
    assert asked.headers["x-bootpoint-signature"] == f"sha256={signed.hexdigest()}"
    assert asked.headers["authorization"] == "Bearer tok"
    assert asked.headers["x-bootpoint-id"] == "0123456789abcdef"
    told = json.loads(asked.content)
    assert (told["kind"], told["site"], told["severity"]) == ("alerts", "Hamburg", "info")
    assert [item["what"] for item in told["items"]] == ["cleared", "cleared"]
    assert "\n" not in told["items"][0]["title"]
    assert told["items"][0]["raised_at"] == "2026-03-02T12:00:00Z"


def test_a_test_says_that_it_is_one() -> None:
    """Programs see `kind: test` and no items."""
    server = WebServer()
    with server.serving() as port:
        hook(port).send(message())
    told = json.loads(server.asked[0].content)
    assert (told["kind"], told["items"]) == ("test", [])


def test_a_stranger_with_a_certificate_gets_nothing(authority: Authority, tmp_path: Path) -> None:
    """No token and no word leaves before the certificate is checked."""
    server = WebServer()
    with server.serving(authority.stranger) as port, pytest.raises(Failure, match="not trusted"):
        hook(port, authority.ca, bearer=secret(tmp_path, "tok")).send(message("a"))
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "said"), [(302, "redirects are not followed"), (500, "500"), (403, "403")]
)
def test_only_a_good_answer_takes_a_message(status: int, said: str) -> None:
    """A redirect is not followed, not even to loopback; an error is an error."""
    other = WebServer()
    with other.serving() as elsewhere:
        server = WebServer(status, {"Location": f"http://localhost:{elsewhere}/"})
        with server.serving() as port, pytest.raises(Failure, match=said):
            hook(port).send(message("a"))
    assert other.asked == []


@pytest.mark.parametrize("kind", ["silent", "dribble", "nonsense"])
def test_a_server_that_hangs_or_lies_is_left(kind: str) -> None:
    """The whole has a deadline, however small the steps are."""
    stop = threading.Event()
    talks: dict[str, Talk] = {
        "silent": silent(stop),
        "dribble": dribble(stop),
        "nonsense": lambda connection: connection.sendall(b"\xff" * 100),
    }
    with talking(talks[kind]) as port:
        address = Address(f"http://localhost:{port}/", plain=True)
        with pytest.raises(Failure, match="Heartbeat through localhost"):
            Heartbeat(address, 60, whole_s=0.5).ping()
        stop.set()


def test_a_heartbeat_asks_for_its_address(tmp_path: Path) -> None:
    """The address itself may be a secret, and is then not shown."""
    server = WebServer()
    with server.serving() as port:
        url = secret(tmp_path, f"http://localhost:{port}/ping/token")
        beat = Heartbeat(Address(url, plain=True), 60)
        beat.ping()
    assert [(one.method, one.path) for one in server.asked] == [("GET", "/ping/token")]
    assert "token" not in beat.where


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "https://",
        "http://x/",
        "https://user:pass@x/",
        "https://x/a b",
        "https://x/\r\nHost: y",
        "file:///etc/passwd",
    ],
)
def test_addresses_that_are_not_fit_are_refused(url: str) -> None:
    """Only https by default, without a user, without anything that could end a line."""
    with pytest.raises(ValueError, match="expected"):
        parts(url, plain=False)
