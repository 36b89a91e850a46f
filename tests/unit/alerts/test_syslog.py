"""Syslog: records as RFC 5424 wants them, over all three transports."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path

import pytest

from engine.alerts.syslog import Syslog, SyslogSettings, records
from engine.model.alarms import What
from engine.model.errors import Failure
from engine.model.work import Severity
from tests.alerting import HOSTILE, message
from tests.servers import talking

RECORD = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]+) bootpoint (\d+) alert "
    rb'\[bootpoint@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*)\] \xef\xbb\xbf([^\x00-\x1f]*)'
)


def way(settings: SyslogSettings) -> Syslog:
    """Return the way."""
    return Syslog("syslog", settings, Severity.INFO, 5.0)


@pytest.mark.parametrize("limit", [480, 2048])
def test_a_record_has_the_form_whatever_the_words(limit: int) -> None:
    """Hostile words end no field, begin no line, and a cut record is still text."""
    for one in records(message(HOSTILE, HOSTILE + '"]' * 300, "é" * 3000), "host name", limit):
        assert len(one) <= limit
        assert len(one) == limit or RECORD.fullmatch(one)
        one.decode("utf-8")
        assert b"\n" not in one


def test_the_level_is_that_of_the_alert() -> None:
    """daemon.err for an urgent one, daemon.notice when it is over."""
    (urgent,) = records(message("a"), "h", 2048)
    (over,) = records(message("a", what=What.CLEARED), "h", 2048)
    (test,) = records(message(), "h", 2048)
    assert [one[:4] for one in (urgent, over, test)] == [b"<27>", b"<29>", b"<29>"]


def test_datagrams_arrive(tmp_path: Path) -> None:
    """One for each alert, to a local socket and over UDP."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        local.bind(str(tmp_path / "log"))
        way(SyslogSettings("local", path=str(tmp_path / "log"))).send(message("a", "b"))
        assert all(RECORD.fullmatch(local.recv(9000)) for _ in range(2))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5)
        way(SyslogSettings("udp", "127.0.0.1", far.getsockname()[1])).send(message("a"))
        assert RECORD.fullmatch(far.recv(9000))
    with pytest.raises(Failure, match="Syslog to"):
        way(SyslogSettings("local", path=str(tmp_path / "none"))).send(message("a"))


def test_records_over_tcp_are_counted() -> None:
    """Each is preceded by its length in octets, so that words cannot begin another."""
    got, done = bytearray(), threading.Event()

    def talk(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            got.extend(data)
        done.set()

    with talking(talk) as port:
        way(SyslogSettings("tcp", "127.0.0.1", port)).send(message("a", HOSTILE))
        assert done.wait(10)
    rest, found = bytes(got), []
    while rest:
        length, _, rest = rest.partition(b" ")
        found.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert len(found) == 2
    assert all(RECORD.fullmatch(one) for one in found)
