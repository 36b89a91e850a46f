"""Alerts as rows: one JSON body each, in ASCII like all bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from engine.model.alarms import Alert, Condition, Told, What
from engine.model.work import Severity
from engine.state.codec import time_in, time_out

_MOMENTS = ("raised_at", "text_at", "absent_since", "cleared_at", "acked_at")


def alert_out(alert: Alert) -> dict[str, object]:
    """Return the row of an alert."""
    body: dict[str, Any] = asdict(alert)
    for name in _MOMENTS:
        moment: datetime | None = body[name]
        body[name] = None if moment is None else time_out(moment)
    body["told"] = {
        way: {"what": told.what, "severity": told.severity, "at": time_out(told.at)}
        for way, told in alert.told.items()
    }
    return {"key": alert.key, "body": json.dumps(body, separators=(",", ":"))}


def alert_in(row: Mapping[str, Any]) -> Alert:
    """Read the row of an alert."""
    body = json.loads(row["body"])
    for name in _MOMENTS:
        body[name] = None if body[name] is None else time_in(body[name])
    told = body.pop("told")
    condition = body.pop("condition")
    condition["severity"] = Severity(condition["severity"])
    return Alert(
        condition=Condition(**condition),
        told={
            way: Told(What(one["what"]), Severity(one["severity"]), time_in(one["at"]))
            for way, one in told.items()
        },
        **body,
    )
