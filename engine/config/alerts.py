"""`[alerts]` and `[metrics]` of engine.toml: who is told what is wrong, and who measures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, field

from engine.config.reading import Section, convert, wrong
from engine.local.secret import FORMS, is_reference
from engine.model.quiet import Quiet, is_endless, parse_quiet
from engine.model.work import Severity

Port = Annotated[int, Meta(ge=1, le=65535)] | None
_ADDRESS = re.compile(r"[!-?A-~]+@[A-Za-z0-9.-]+")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SmtpSection(Section):
    """`[alerts.smtp]`; without a host there is no mail."""

    host: str = ""
    port: Port = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = field(default="", name="from")
    to: list[str] = field(default_factory=list)
    user: str = ""
    password: str = ""
    authority: str = ""
    min_severity: Severity | None = None


class WebhookSection(Section):
    """`[alerts.webhooks.NAME]`."""

    url: str
    secret: str = ""
    bearer: str = ""
    allow_http: bool = False
    authority: str = ""
    min_severity: Severity | None = None


class SyslogSection(Section):
    """`[alerts.syslog]`; without a transport there is none."""

    transport: Literal["", "local", "udp", "tcp"] = ""
    host: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 514
    path: str = "/dev/log"
    min_severity: Severity | None = None


class HeartbeatSection(Section):
    """`[alerts.heartbeat]`; without a URL there is none."""

    url: str = ""
    every_s: Annotated[float, Meta(ge=5, le=86400)] = 60.0
    allow_http: bool = False
    authority: str = ""


class AlertsSection(Section):
    """`[alerts]`."""

    min_severity: Severity = Severity.WARNING
    quiet: list[str] = field(default_factory=list)
    remind_s: Annotated[int, Meta(ge=0)] = 86400
    smtp: SmtpSection = field(default_factory=SmtpSection)
    syslog: SyslogSection = field(default_factory=SyslogSection)
    heartbeat: HeartbeatSection = field(default_factory=HeartbeatSection)
    webhooks: dict[str, Any] = field(default_factory=dict)


class MetricsSection(Section):
    """`[metrics]`; empty: not written, not served."""

    textfile: str = ""
    socket: str = ""


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """Checked; sections that are not used are None.

    Attributes:
        webhooks: By name.
    """

    least: Severity
    quiet: Sequence[Quiet]
    remind_s: int
    smtp: SmtpSection | None
    syslog: SyslogSection | None
    heartbeat: HeartbeatSection | None
    webhooks: Mapping[str, WebhookSection]


def read_alerts(told: AlertsSection, file: Path) -> AlertsConfig:
    """Check what the types cannot. WrongUse names file, key, value and expectation."""
    if told.smtp.host:
        _check_smtp(told.smtp, file)
    if told.syslog.transport in ("udp", "tcp") and not _HOST.fullmatch(told.syslog.host):
        raise wrong(file, "alerts.syslog.host", told.syslog.host, "expected a host's name")
    _check_path(told.syslog.path, file, "alerts.syslog.path")
    beat = told.heartbeat
    if beat.url:
        _check_web(beat.url, beat.authority, file, "alerts.heartbeat", plain=beat.allow_http)
    return AlertsConfig(
        least=told.min_severity,
        quiet=_quiet(told.quiet, file),
        remind_s=told.remind_s,
        smtp=told.smtp if told.smtp.host else None,
        syslog=told.syslog if told.syslog.transport else None,
        heartbeat=beat if beat.url else None,
        webhooks={name: _webhook(name, table, file) for name, table in told.webhooks.items()},
    )


def _quiet(texts: Sequence[str], file: Path) -> tuple[Quiet, ...]:
    found = []
    for number, text in enumerate(texts):
        try:
            found.append(parse_quiet(text))
        except ValueError as error:
            raise wrong(file, f"alerts.quiet[{number}]", text, str(error)) from None
    if is_endless(found):
        expected = "expected hours that end: these fill the whole week"
        raise wrong(file, "alerts.quiet", list(texts), expected)
    return tuple(found)


def _check_smtp(told: SmtpSection, file: Path) -> None:
    key = "alerts.smtp"
    if not _HOST.fullmatch(told.host):
        raise wrong(file, f"{key}.host", told.host, "expected a host's name")
    if not _ADDRESS.fullmatch(told.sender):
        raise wrong(file, f"{key}.from", told.sender or None, "expected an address, as a@b.example")
    if not told.to:
        raise wrong(file, f"{key}.to", told.to, 'expected addresses, such as ["ops@b.example"]')
    for number, address in enumerate(told.to):
        if not _ADDRESS.fullmatch(address):
            expected = "expected a plain address, such as ops@b.example"
            raise wrong(file, f"{key}.to[{number}]", address, expected)
    if bool(told.user) != bool(told.password):
        raise wrong(
            file, f"{key}.user", told.user or None, "expected user and password, or neither"
        )
    _check_secret(told.password, file, f"{key}.password")
    if told.security == "none" and (told.user or told.host not in _LOOPBACK):
        expected = "expected starttls or tls: without, only this host's own, and without a login"
        raise wrong(file, f"{key}.security", told.security, expected)
    _check_path(told.authority, file, f"{key}.authority")


def smtp_port(told: SmtpSection) -> int:
    """Return the port: as told, else as usual for its security."""
    return told.port or _PORTS[told.security]


def _webhook(name: str, table: object, file: Path) -> WebhookSection:
    key = f"alerts.webhooks.{name}"
    if not _NAME.fullmatch(name):
        expected = "expected a name of small letters, digits and hyphens, at most 48"
        raise wrong(file, key, name, expected)
    if not isinstance(table, dict):
        raise wrong(file, key, table, "expected a table, such as [alerts.webhooks.chat]")
    told = convert(table, WebhookSection, file, f"{key}.")
    _check_web(told.url, told.authority, file, key, plain=told.allow_http)
    _check_secret(told.secret, file, f"{key}.secret")
    _check_secret(told.bearer, file, f"{key}.bearer")
    return told


def _check_secret(text: str, file: Path, key: str) -> None:
    if text and not is_reference(text):
        # The value may be the secret itself: it is not shown.
        raise wrong(file, key, "what stands there", FORMS)


def _check_web(url: str, authority: str, file: Path, key: str, *, plain: bool) -> None:
    _check_path(authority, file, f"{key}.authority")
    if is_reference(url):
        return
    allowed = ("https", "http") if plain else ("https",)
    try:
        told = urlsplit(url)
        fit = told.scheme in allowed and bool(told.hostname) and told.port != 0
    except ValueError:
        fit = False
    if not fit or "@" in url.partition("//")[2].partition("/")[0] or not url.isprintable():
        expected = f"expected {' or '.join(allowed)}://HOST/PATH, or where it stands ({FORMS[9:]})"
        raise wrong(file, f"{key}.url", "what stands there", expected)


def _check_path(text: str, file: Path, key: str) -> None:
    if text and (not text.startswith("/") or "\0" in text):
        raise wrong(file, key, text, "expected an absolute path")
