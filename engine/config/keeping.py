"""The table `[retention]`, of the whole engine and of one standby: what stays beside the count."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.config.reading import Section
from engine.model.retention import FLOOR, Retention

Days = Annotated[int, Meta(ge=0, le=100_000)]
Periods = Annotated[int, Meta(ge=0, le=1000)]
Floor = Annotated[int, Meta(ge=1, le=1000)]


class Keeping(Section):
    """In engine.toml: for all standbys that do not say it themselves."""

    max_age_days: Days = 0
    hourly: Periods = 0
    daily: Periods = 0
    weekly: Periods = 0
    monthly: Periods = 0
    yearly: Periods = 0
    floor: Floor = FLOOR


class OwnKeeping(Section):
    """In a standby's file; a key left out is as in engine.toml.

    `hold`: why nothing of it is retired at present.
    """

    max_age_days: Days | None = None
    hourly: Periods | None = None
    daily: Periods | None = None
    weekly: Periods | None = None
    monthly: Periods | None = None
    yearly: Periods | None = None
    floor: Floor | None = None
    hold: Annotated[str, Meta(max_length=1000)] = ""


def read_keeping(told: Keeping | OwnKeeping) -> Retention:
    """Return what a table says."""
    return Retention(**{key: getattr(told, key) for key in told.__struct_fields__})


def dump_keeping(told: Retention) -> dict[str, Any]:
    """Return the table of one standby; what was not told is left out."""
    table = {name: getattr(told, name) for name in OwnKeeping.__struct_fields__}
    return {key: value for key, value in table.items() if value not in (None, "")}
