"""What a host's certificate says of itself: for the person who compares it, never for a decision.

    Certificate ─► tbsCertificate ─► version?, serial, algorithm, issuer, validity, subject, …

The standard library tells this of trusted certificates only, and a first contact trusts nobody, so
these few fields are read from the DER form here. Whoever sends it is not known yet: everything
that cannot be read is left empty.

Source:
    RFC 5280, 4.1 and 4.1.2.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.model.text import safe

_VERSION = 0xA0
_OLD_TIME, _TIME = 0x17, 0x18
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}
_COMMON, _ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as it was shown.

    Attributes:
        sha256: Of its DER form, 64 hex digits: the pin.
        subject, issuer: Common name and organisation, safe to show; empty: none can be read.
        begins, ends: When it is valid; None: that cannot be read.
    """

    sha256: str
    subject: str = ""
    issuer: str = ""
    begins: datetime | None = None
    ends: datetime | None = None


def read_certificate(der: bytes) -> Certificate:
    """Return what a certificate says; of one that is none, only its fingerprint."""
    sha256 = hashlib.sha256(der).hexdigest()
    try:
        _, whole = next(_parts(der))
        _, told = next(_parts(whole))
        fields = [(tag, body) for tag, body in _parts(told) if tag != _VERSION]
        _serial, _algorithm, (_, issuer), (_, valid), (_, subject) = fields[:5]
        begins, ends = (_time(tag, body) for tag, body in _parts(valid))
        return Certificate(sha256, _name(subject), _name(issuer), begins, ends)
    except (ValueError, StopIteration):
        return Certificate(sha256)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element. ValueError where one is cut short."""
    at = 0
    while at < len(data):
        head = data[at : at + 2]
        at += 2
        size = head[1] if len(head) > 1 else 0xFF
        if size >= 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[at : at + digits], "big")
            at += digits
        if at + size > len(data):
            raise ValueError("cut short")
        yield head[0], data[at : at + size]
        at += size


def _name(body: bytes) -> str:
    found: dict[bytes, str] = {}
    for _, one in _parts(body):
        for _, pair in _parts(one):
            (_, key), (tag, value) = _parts(pair)
            if key in (_COMMON, _ORGANISATION) and tag in _TEXTS:
                told = value.decode(_TEXTS[tag], "replace")
                found.setdefault(key, safe(told, _LONGEST))
    return ", ".join(found[key] for key in (_COMMON, _ORGANISATION) if found.get(key))


def _time(tag: int, body: bytes) -> datetime:
    text = body.decode("ascii")
    if tag == _OLD_TIME:  # two digits of the year: 50 and more are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
