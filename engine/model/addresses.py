"""Addresses of hosts as people write them."""

from __future__ import annotations

from urllib.parse import urlsplit

_HTTPS = 443


def host_and_port(url: str) -> tuple[str, int]:
    """Return host and port of `https://HOST[:PORT]/`.

    Raises:
        ValueError: It is anything else: another scheme, a user name, a path, an odd character.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or not host or parts.username is not None or "@" in parts.netloc:
        raise ValueError("expected https://HOST/ or https://HOST:PORT/")
    if parts.path not in ("", "/") or parts.query or parts.fragment or not host.isascii():
        raise ValueError("expected https://HOST/ or https://HOST:PORT/")
    if any(char.isspace() or not char.isprintable() for char in url):
        raise ValueError("expected https://HOST/ or https://HOST:PORT/")
    return host, parts.port or _HTTPS
