"""One HTTP request and its answer; redirects are not followed, whoever they point to."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from engine import __version__
from engine.alerts.lines import WHOLE_S, Line, not_sent
from engine.local.secret import is_reference, read_secret

MOST_READ = 64 << 10
_PORTS = {"https": 443, "http": 80}
_GOOD = range(200, 300)
_ELSEWHERE = range(300, 400)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask: a URL, or the reference to a secret that is one.

    Attributes:
        plain: `http://` is allowed.
        authority: PEM file of the certificates to trust; None: the system's.
    """

    url: str
    plain: bool = False
    authority: Path | None = None

    def host(self) -> str:
        """Return the host, for people; a URL that is a secret is not shown."""
        return "a secret address" if is_reference(self.url) else urlsplit(self.url).netloc


def parts(url: str, *, plain: bool) -> tuple[bool, str, int, str]:
    """Return encrypted, host, port and path with query of a URL. ValueError when it is not fit."""
    told = urlsplit(url)
    allowed = ("https", "http") if plain else ("https",)
    if told.scheme not in allowed or not told.hostname or told.username or told.password:
        raise ValueError(f"expected {' or '.join(allowed)}://HOST/PATH without a user")
    if any(ord(c) <= ord(" ") or ord(c) > 126 for c in url):
        raise ValueError("expected a URL of plain characters, others as %XX")
    path = told.path or "/"
    return (
        told.scheme == "https",
        told.hostname,
        told.port or _PORTS[told.scheme],
        f"{path}?{told.query}" if told.query else path,
    )


def ask(
    what: str,
    address: Address,
    method: str,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    whole_s: float = WHOLE_S,
) -> None:
    """Send one request.

    Args:
        what: Names the way in errors.
        address: Where to.
        method: Such as POST.
        content: The body.
        headers: Besides the usual ones.
        whole_s: Seconds all of it may take.

    Raises:
        Failure: No answer, or one that is not 2xx.
    """
    url = read_secret(address.url) if is_reference(address.url) else address.url
    try:
        encrypted, host, port, path = parts(url, plain=address.plain)
    except ValueError as error:
        raise not_sent(what, f"its address is not fit: {error}") from None
    line = Line(host, port, what)
    with line.within(whole_s):
        connection = http.client.HTTPConnection(host, port)
        connection.sock = line.connect()
        if encrypted:
            connection.sock = line.encrypted(connection.sock, address.authority)
        told = {"User-Agent": f"bootpoint/{__version__}", "Connection": "close", **(headers or {})}
        connection.request(method, path, content or None, told)
        answer = connection.getresponse()
        answer.read(MOST_READ)
        if answer.status in _ELSEWHERE:
            raise line.failed(f"it answered {answer.status}; redirects are not followed")
        if answer.status not in _GOOD:
            raise line.failed(f"it answered {answer.status} {answer.reason}")
