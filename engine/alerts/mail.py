"""Alerts by e-mail, over SMTP with STARTTLS or TLS."""

from __future__ import annotations

import io
import smtplib
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

from engine.alerts.lines import WHOLE_S, Line
from engine.alerts.words import body, subject
from engine.local.secret import read_secret
from engine.model.alarms import Message
from engine.model.errors import Failure, PartlyTold
from engine.model.work import Severity

Security = Literal["starttls", "tls", "none"]
MOST_SAID = 256 << 10
"""Bytes a server may say in one conversation."""
PATIENT = 5
"""Tries of one message for those whom the server refuses for now (grey lists end after minutes)."""
_READY, _OK, _FOR_GOOD = 220, 250, 500


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Where mail goes.

    Attributes:
        password: A reference; empty: no login.
        authority: PEM file of the certificates to trust; None: the system's.
    """

    host: str
    port: int
    security: Security
    sender: str
    to: Sequence[str]
    user: str = ""
    password: str = ""
    authority: Path | None = None


@dataclass(slots=True)
class _Sent:
    """Who got one message, and how often somebody was refused."""

    id: str
    taken: set[str] = field(default_factory=set)
    tries: int = 0


class Mail:
    """A `Way`: one e-mail for each message."""

    def __init__(
        self, name: str, settings: MailSettings, least: Severity, whole_s: float = WHOLE_S
    ) -> None:
        """Connect to nothing yet."""
        self.name, self.least = name, least
        self.where = f"{', '.join(settings.to)} through {settings.host}:{settings.port}"
        self._settings, self._whole_s = settings, whole_s
        self._lock, self._last = threading.Lock(), _Sent("")

    def send(self, message: Message) -> None:
        """Hand the mail over to the server, which then is answerable for it.

        Whoever got it does not get it again when the same message is tried for the others.
        """
        told, sent = self._settings, self._sent(message)
        mail = compose(message, told.sender, told.to)
        line = Line(told.host, told.port, "Mail")
        with line.within(self._whole_s), closing(smtplib.SMTP(local_hostname="bootpoint")) as smtp:
            self._greet(line, smtp)
            if told.user:
                smtp.login(told.user, read_secret(told.password))
            left = [one for one in told.to if one not in sent.taken]
            try:
                refused = smtp.sendmail(told.sender, left, mail.as_bytes())
            except smtplib.SMTPRecipientsRefused as error:
                refused = error.recipients
            if refused:
                sent.taken |= set(left) - set(refused)
                sent.tries += 1
                raise self._refused(line, sent, refused)
            with suppress(smtplib.SMTPException, OSError):
                smtp.docmd("QUIT")  # it has the mail, whatever it says to this

    def _sent(self, message: Message) -> _Sent:
        """Return who got a message already; a test is nobody's repetition."""
        with self._lock:
            if message.is_test:
                return _Sent(message.id)
            if self._last.id != message.id:
                self._last = _Sent(message.id)
            return self._last

    def _refused(
        self, line: Line, sent: _Sent, refused: Mapping[str, tuple[int, bytes]]
    ) -> Failure:
        said = [
            f"{one} ({code} {why[:100].decode('utf-8', 'replace')})"
            for one, (code, why) in sorted(refused.items())
        ]
        failure = line.failed(f"it does not take mail for {', '.join(said)}")
        for_good = all(code >= _FOR_GOOD for code, _ in refused.values())
        if sent.taken and (for_good or sent.tries >= PATIENT):
            return PartlyTold(failure.problem)
        return failure

    def _greet(self, line: Line, smtp: smtplib.SMTP) -> None:
        told = self._settings
        plain = line.connect()
        _speak(smtp, line.encrypted(plain, told.authority) if told.security == "tls" else plain)
        _expect(line, smtp.getreply(), _READY, "greet")
        _expect(line, smtp.ehlo(), _OK, "EHLO")
        if told.security == "starttls":
            _expect(line, smtp.docmd("STARTTLS"), _READY, "STARTTLS")
            # A new file: what the server said before the encryption counts for nothing.
            _speak(smtp, line.encrypted(plain, told.authority))
            smtp.esmtp_features = {}
            _expect(line, smtp.ehlo(), _OK, "EHLO")


def _speak(smtp: smtplib.SMTP, connection: socket.socket) -> None:
    before: io.IOBase | None = smtp.file
    if before is not None:
        before.close()
    smtp.sock = connection
    smtp.file = _Bounded(connection.makefile("rb"))


def _expect(line: Line, reply: tuple[int, bytes], code: int, what: str) -> None:
    if reply[0] != code:
        said = reply[1][:200].decode("utf-8", "replace")
        raise line.failed(f"the server refused {what}: {reply[0]} {said}")


class _Bounded(io.RawIOBase):
    """What a server says, up to a limit."""

    def __init__(self, inner: io.BufferedReader) -> None:
        super().__init__()
        self._inner, self._left = inner, MOST_SAID

    def readline(self, size: int | None = -1, /) -> bytes:
        line = self._inner.readline(-1 if size is None else size)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("the server says more than anybody needs")
        return line

    def close(self) -> None:
        self._inner.close()
        super().close()


def compose(message: Message, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return the mail. The same message gives the same Message-ID, so that doubles are known."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = subject(message)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@bootpoint.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Bootpoint-Severity"] = message.severity.value
    if message.severity is Severity.ERROR:
        mail["Importance"] = "high"
    mail.set_content(body(message))
    return mail
