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


def meant(url: str) -> str:
    """Return the address that was probably meant by one that is none; empty: nobody knows."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if ":" in host:
        host = f"[{host}]"
    perhaps = f"https://{host}:{port}/" if port and parts.scheme != "http" else f"https://{host}/"
    try:
        host_and_port(perhaps)
    except ValueError:
        return ""
    return perhaps
