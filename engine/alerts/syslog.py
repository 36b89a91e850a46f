r"""Alerts as lines of syslog: RFC 5424, to the host's own daemon or over the network.

    <28>1 2026-03-01T12:00:00Z host bootpoint 77 alert [bootpoint@32473 key="rpo:erp" …] words

Over TCP each is preceded by its length (octet counting, RFC 6587 3.4.1), over UDP and `/dev/log` it
is one datagram, which nobody acknowledges. 32473 is the number for examples (RFC 5612): this
project has none of its own.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.alerts.lines import STEP_S, WHOLE_S, Line, not_sent
from engine.alerts.words import TEST, line, title
from engine.model.alarms import ENDED, Item, Message
from engine.model.work import Severity

Transport = Literal["local", "udp", "tcp"]
LOCAL = "/dev/log"
DAEMON = 3
_LEVEL = {Severity.ERROR: 3, Severity.WARNING: 4, Severity.INFO: 6}
_NOTICE = 5
LONGEST_DATAGRAM, LONGEST = 2048, 8192
"""Bytes of a record: receivers need not take longer datagrams (RFC 5426 3.2)."""
_TO_ESCAPE = re.compile(r'(["\\\]])')


@dataclass(frozen=True, slots=True)
class SyslogSettings:
    """Where the lines go; `path` for local, host and port else."""

    transport: Transport
    host: str = ""
    port: int = 514
    path: str = LOCAL


class Syslog:
    """A `Way`: one line for each alert of a message."""

    def __init__(
        self, name: str, settings: SyslogSettings, least: Severity, whole_s: float = WHOLE_S
    ) -> None:
        """Connect to nothing yet."""
        local = settings.transport == "local"
        place = settings.path if local else f"{settings.host}:{settings.port}"
        self.name, self.least, self.where = name, least, f"{place} ({settings.transport})"
        self._settings, self._whole_s = settings, whole_s

    def send(self, message: Message) -> None:
        """Write the lines; over TCP they are on their way then, else nobody can tell."""
        told = self._settings
        host = socket.gethostname()
        if told.transport == "tcp":
            self._over_tcp(list(records(message, host, LONGEST)))
            return
        try:
            self._datagrams(list(records(message, host, LONGEST_DATAGRAM)))
        except OSError as error:
            raise not_sent(f"Syslog to {self.where}", str(error)) from error

    def _over_tcp(self, lines: list[bytes]) -> None:
        way = Line(self._settings.host, self._settings.port, "Syslog")
        with way.within(self._whole_s):
            connection = way.connect()
            connection.sendall(b"".join(b"%d %s" % (len(one), one) for one in lines))
            connection.shutdown(socket.SHUT_WR)
            # A receiver that took everything closes; one that went away resets, which raises.
            connection.settimeout(1.0)
            try:
                connection.recv(1)
            except TimeoutError:
                return

    def _datagrams(self, lines: list[bytes]) -> None:
        told = self._settings
        if told.transport == "local":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
                local.settimeout(STEP_S)
                local.connect(told.path)
                for one in lines:
                    local.send(one)
            return
        family, kind, _, _, place = socket.getaddrinfo(
            told.host, told.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as far:
            far.settimeout(STEP_S)
            for one in lines:
                far.sendto(one, place)


def records(message: Message, host: str, limit: int) -> Iterator[bytes]:
    """Yield the records of a message, each at most `limit` bytes."""
    if message.is_test:
        data = _data(id=message.id, site=message.site, what="test")
        yield _record(_NOTICE, message, host, data, TEST, limit)
    for item in message.items:
        yield _record(_level(item), message, host, _of(message, item), _words(item), limit)


def _level(item: Item) -> int:
    return _NOTICE if item.what in ENDED else _LEVEL[item.alert.condition.severity]


def _words(item: Item) -> str:
    condition = item.alert.condition
    return " ".join(p for p in (f"{title(item)}.", line(condition.text), condition.remedy) if p)


def _of(message: Message, item: Item) -> str:
    return _data(
        id=message.id,
        site=message.site,
        key=item.alert.key,
        what=item.what.value,
        severity=item.alert.condition.severity.value,
        machine=item.alert.condition.machine,
    )


def _data(**told: str) -> str:
    """Return the structured data; quotes, backslashes and brackets are escaped."""
    pairs = " ".join(
        f'{name}="{_TO_ESCAPE.sub(_escaped, line(value, 200))}"' for name, value in told.items()
    )
    return f"[bootpoint@32473 {pairs}]"


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found[1]


def _record(level: int, message: Message, host: str, data: str, words: str, limit: int) -> bytes:
    stamp = message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = "".join(c for c in host if "!" <= c <= "~")[:255] or "-"
    pri = DAEMON * 8 + level
    head = f"<{pri}>1 {stamp} {name} bootpoint {os.getpid()} alert {data} "
    record = head.encode() + b"\xef\xbb\xbf" + line(words).encode("utf-8", "replace")
    return record if len(record) <= limit else record[:limit].decode("utf-8", "ignore").encode()
