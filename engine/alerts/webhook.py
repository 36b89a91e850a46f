"""Alerts as JSON to a web address, signed where a secret is shared.

X-Bootpoint-Id          the same for each try of the same message
X-Bootpoint-Timestamp   seconds since 1970
X-Bootpoint-Signature   sha256=HMAC-SHA256(secret, timestamp + "." + body), hexadecimal
"""

from __future__ import annotations

import hmac
import json

from engine.alerts.http import Address, ask
from engine.alerts.lines import WHOLE_S
from engine.alerts.words import for_programs
from engine.local.secret import read_secret
from engine.model.alarms import Message
from engine.model.work import Severity


class Webhook:
    """A `Way`: one POST for each message."""

    def __init__(
        self,
        name: str,
        address: Address,
        least: Severity,
        *,
        secret: str = "",
        bearer: str = "",
        whole_s: float = WHOLE_S,
    ) -> None:
        """Ask nobody yet.

        Args:
            name: As configured.
            address: Where to.
            least: Least severity.
            secret: Reference to the key of the signature; empty: none.
            bearer: Reference to a token for `Authorization: Bearer`; empty: none.
            whole_s: Seconds a message may take.
        """
        self.name, self.where, self.least = name, address.host(), least
        self._address, self._secret, self._bearer = address, secret, bearer
        self._whole_s = whole_s

    def send(self, message: Message) -> None:
        """Post the message; an answer 2xx takes it."""
        content = json.dumps(for_programs(message), separators=(",", ":")).encode("ascii")
        stamp = str(int(message.at.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "X-Bootpoint-Id": message.id,
            "X-Bootpoint-Timestamp": stamp,
        }
        if self._secret:
            headers["X-Bootpoint-Signature"] = sign(read_secret(self._secret), stamp, content)
        if self._bearer:
            headers["Authorization"] = f"Bearer {read_secret(self._bearer)}"
        ask(f"Webhook {self.name}", self._address, "POST", content, headers, self._whole_s)


def sign(secret: str, stamp: str, content: bytes) -> str:
    """Return the signature of a request."""
    signed = stamp.encode() + b"." + content
    return "sha256=" + hmac.new(secret.encode(), signed, "sha256").hexdigest()
