"""E-mail: encryption, login, hostile words, servers that hang and lie."""

from __future__ import annotations

import email
import threading
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from engine.alerts.mail import PATIENT, Mail, MailSettings, Security, compose
from engine.model.errors import Failure, PartlyTold
from engine.model.work import Severity
from tests.alerting import HOSTILE, message
from tests.servers import Authority, SmtpServer, Talk, dribble, flood, silent, talking

TO = ("ops@example.org", "night@example.org")


def settings(
    port: int, ca: Path | None, security: Security = "starttls", **more: str
) -> MailSettings:
    """Return settings for a server on loopback."""
    return MailSettings("localhost", port, security, "bp@example.org", TO, authority=ca, **more)


def way(told: MailSettings, whole_s: float = 20.0) -> Mail:
    """Return the way."""
    return Mail("mail", told, Severity.INFO, whole_s)


def read(raw: bytes) -> EmailMessage:
    """Read a mail as a mail program does."""
    found = email.message_from_bytes(raw, policy=default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_mail_arrives_whole(authority: Authority, security: Security) -> None:
    """Whatever the encryption, subject, words and addresses come through."""
    server = SmtpServer(authority.chain, security)
    with talking(server.talk) as port:
        way(settings(port, authority.ca, security)).send(message("erp: Daten zu alt – äöü", "b"))
    mail = read(server.mails[0])
    assert mail["Subject"] == "[Hamburg] erp: Daten zu alt – äöü (and 1 more)"
    assert (mail["To"], mail["Importance"]) == (", ".join(TO), "high")
    assert "erp: Daten zu alt – äöü it is." in mail.get_content()


def test_the_password_goes_only_to_a_server_that_is_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    """Login works under encryption; with a stranger's certificate not one byte of it leaves."""
    secret = tmp_path / "secret"
    secret.write_text("pass word\n")
    secret.chmod(0o600)
    login = {"user": "bp", "password": f"file:{secret}"}
    good = SmtpServer(authority.chain, users={"bp": "pass word"})
    with talking(good.talk) as port:
        way(settings(port, authority.ca, **login)).send(message("a"))
    assert good.logins == [("bp", "pass word", True)]
    for security in ("starttls", "tls"):
        bad = SmtpServer(authority.stranger, security, users={"bp": "pass word"})
        with talking(bad.talk) as port, pytest.raises(Failure, match="not trusted"):
            way(settings(port, authority.ca, security, **login)).send(message("a"))
        assert (bad.logins, bad.mails) == ([], [])


def test_a_certificate_of_another_name_is_refused(authority: Authority) -> None:
    """The right CA is not enough: the certificate must be this server's."""
    server = SmtpServer(authority.chain)
    with talking(server.talk) as port:
        told = replace(settings(port, authority.ca), host="127.0.0.1")
        with pytest.raises(Failure, match="not trusted"):
            way(told).send(message("a"))


def test_a_server_without_encryption_gets_nothing(authority: Authority) -> None:
    """Where STARTTLS is refused there is no mail: nobody between can switch it off."""
    server = SmtpServer(authority.chain, "none")
    with talking(server.talk) as port, pytest.raises(Failure, match="refused STARTTLS: 502"):
        way(settings(port, authority.ca)).send(message("a"))
    assert server.mails == []


def test_what_is_injected_before_encryption_counts_for_nothing(authority: Authority) -> None:
    """Plain words behind the answer to STARTTLS are dropped, or the handshake fails on them."""
    server = SmtpServer(authority.chain, inject=b"554 all is lost\r\n554 go away\r\n")
    said = ""
    with talking(server.talk) as port:
        try:
            way(settings(port, authority.ca)).send(message("a"))
        except Failure as failure:
            said = str(failure)
    assert "all is lost" not in said
    assert len(server.mails) == (0 if said else 1)


def test_a_wrong_password_and_a_refused_recipient_are_told(
    authority: Authority, tmp_path: Path
) -> None:
    """The server's own words are in the error; the password is not."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    server = SmtpServer(authority.chain, users={"bp": "other"}, refuse=("night",))
    with talking(server.talk) as port:
        told = settings(port, authority.ca, user="bp", password=f"file:{secret}")
        with pytest.raises(Failure, match="535") as failed:
            way(told).send(message("a"))
        assert "hunter2" not in str(failed.value)
        server.users = {}
        with pytest.raises(Failure, match="take mail for night"):
            way(settings(port, authority.ca)).send(message("a"))
    secret.chmod(0o644)
    with talking(server.talk) as port, pytest.raises(Failure, match="read by others"):
        way(settings(port, authority.ca, user="bp", password=f"file:{secret}")).send(message("a"))


def test_who_got_a_mail_does_not_get_it_again_for_those_who_are_refused(
    authority: Authority,
) -> None:
    """An address that is gone is told as such; one on a grey list is tried again, alone."""
    server = SmtpServer(authority.chain, refuse=("night",))
    with talking(server.talk) as port:
        mail = way(settings(port, authority.ca))
        with pytest.raises(PartlyTold, match=r"take mail for night@example.org \(550 unknown\)"):
            mail.send(message("a"))
        server.code = 450
        for tries in range(1, PATIENT):
            with pytest.raises(Failure) as failed:
                mail.send(replace(message("b"), id="other"))
            assert not isinstance(failed.value, PartlyTold), tries
        assert server.given == [TO[:1], TO[:1]]
        with pytest.raises(PartlyTold, match="450"):
            mail.send(replace(message("b"), id="other"))
        server.refuse = ()
        mail.send(replace(message("b"), id="other"))
        mail.send(message("a"))
    assert server.given == [TO[:1], TO[:1], TO[1:], TO]


def test_a_mail_that_everybody_is_refused_is_not_told(authority: Authority) -> None:
    """Then it is kept for later, whatever the code, and the words name each address."""
    server = SmtpServer(authority.chain, refuse=("night", "ops"))
    with talking(server.talk) as port, pytest.raises(Failure, match=r"night@.*, ops@") as failed:
        way(settings(port, authority.ca)).send(message("a"))
    assert not isinstance(failed.value, PartlyTold)


def test_a_server_that_hangs_up_once_it_has_the_mail_has_it(authority: Authority) -> None:
    """A good-bye that gets no answer makes nobody read the same mail twice."""
    server = SmtpServer(authority.chain, hangs_up=True)
    with talking(server.talk) as port:
        way(settings(port, authority.ca)).send(message("a"))
    assert len(server.mails) == 1


@pytest.mark.parametrize("kind", ["silent", "dribble", "flood", "gone"])
def test_a_server_that_hangs_or_lies_is_left(kind: str) -> None:
    """However it wastes time, the call ends with an error that says so."""
    stop = threading.Event()
    talks: dict[str, Talk] = {
        "silent": silent(stop),
        "dribble": dribble(stop),
        "flood": flood,
        "gone": lambda _connection: None,
    }
    with talking(talks[kind]) as port:
        with pytest.raises(Failure, match=f"localhost:{port} did not work"):
            way(settings(port, None), whole_s=0.5).send(message("a"))
        stop.set()


def test_hostile_words_make_no_header_and_no_second_mail(authority: Authority) -> None:
    """Line breaks, dots and controls of a file's name stay inside their own line."""
    server = SmtpServer(authority.chain)
    with talking(server.talk) as port:
        way(settings(port, authority.ca)).send(message(HOSTILE))
    assert len(server.mails) == 1
    mail = read(server.mails[0])
    assert mail["Bcc"] is None
    assert set(mail.keys()) <= set(compose(message("a"), "a@example.org", TO).keys())
    assert "\n" not in mail["Subject"]
    assert b"\x1b" not in server.mails[0]
    assert b"\x00" not in server.mails[0]


def test_the_same_message_has_the_same_id(authority: Authority) -> None:
    """A mail that is sent again is known to be the same."""
    one, two = (compose(message("a"), "a@example.org", TO) for _ in range(2))
    assert one["Message-ID"] == two["Message-ID"]
    assert "test of the alerts" in compose(message(), "a@example.org", TO).get_content()
