"""`[alerts]`: what is right, and what is refused with key and expectation."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.engine import EngineConfig, load_engine
from engine.model.errors import WrongUse
from engine.model.work import Severity


def load(folder: Path, text: str) -> EngineConfig:
    """Load an engine.toml of this text."""
    file = folder / "engine.toml"
    file.write_text(text)
    return load_engine(file)


def test_nothing_is_told_by_default(tmp_path: Path) -> None:
    """Without a file's word there is no way out, and nothing is measured for others."""
    told = load(tmp_path, "")
    alerts = told.alerts
    assert (alerts.smtp, alerts.syslog, alerts.heartbeat, dict(alerts.webhooks)) == (
        None,
        None,
        None,
        {},
    )
    assert (told.textfile, told.metrics_socket, alerts.least) == (None, None, Severity.WARNING)


MAIL = '[alerts.smtp]\nhost = "mail.example"\nfrom = "bp@x.example"\nto = ["ops@x.example"]\n'


def test_all_ways_are_read(tmp_path: Path) -> None:
    """Each table becomes a way; ports and severities have sensible defaults."""
    told = load(
        tmp_path,
        f'{MAIL}user = "u"\npassword = "credential:smtp"\n[alerts]\nquiet = ["22:00-07:00"]\n'
        '[alerts.syslog]\ntransport = "local"\n[alerts.heartbeat]\nurl = "file:/etc/beat"\n'
        '[alerts.webhooks.chat]\nurl = "https://c.example/x"\nsecret = "file:/s"\n',
    ).alerts
    assert told.smtp
    assert told.smtp.sender == "bp@x.example"
    assert told.heartbeat
    assert told.heartbeat.every_s == 60
    assert told.webhooks["chat"].secret == "file:/s"
    assert len(told.quiet) == 1


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ('[alerts]\nquiet = ["22:00"]', "alerts.quiet[0]", "22:00-07:00"),
        ('[alerts]\nquiet = ["mon-sun"]', "alerts.quiet", "whole week"),
        ('[alerts]\nmin_severity = "bad"', "alerts.min_severity", "info, warning, error"),
        ('[alerts.smtp]\nhost = "m"', "alerts.smtp.from", "an address"),
        (MAIL.replace("ops@x.example", "ops"), "alerts.smtp.to[0]", "plain address"),
        (MAIL.replace("bp@", "a\\r\\nBcc:b@"), "alerts.smtp.from", "an address"),
        (f'{MAIL}user = "u"', "alerts.smtp.user", "user and password"),
        (f'{MAIL}user = "u"\npassword = "hunter2"', "alerts.smtp.password", "credential:NAME"),
        (f'{MAIL}security = "none"', "alerts.smtp.security", "starttls or tls"),
        ('[alerts.syslog]\ntransport = "tcp"', "alerts.syslog.host", "a host's name"),
        ('[alerts.heartbeat]\nurl = "http://x/"', "alerts.heartbeat.url", "https://HOST/PATH"),
        ('[alerts.heartbeat]\nurl = "https://u:hunter2@x/"', "alerts.heartbeat.url", "https"),
        ('[alerts.webhooks.X]\nurl = "https://x/"', "alerts.webhooks.X", "small letters"),
        ('[alerts.webhooks.x]\nsecret = "file:/s"', "alerts.webhooks.x.url", "missing"),
        ('[alerts.webhooks.x]\nurl = "https://x/"\nkey = 1', "alerts.webhooks.x.key", "not known"),
        ('[alerts.webhoks.x]\nurl = "https://x/"', "alerts.webhoks", "webhooks"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, key: str, said: str) -> None:
    """The error has the key and what is expected, and shows no secret."""
    with pytest.raises(WrongUse) as wrong:
        load(tmp_path, text)
    assert key in str(wrong.value)
    assert said in str(wrong.value)
    assert "hunter2" not in str(wrong.value)
