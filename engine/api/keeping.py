"""What consoles ask about retention: what stays and why, with other settings too, and setting it.

settings? ─► rules ─► verdicts now and with them ─► RetentionView (with what would come back)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.api.asks import Ask, Name, Words
from engine.api.keeping_views import ForeseenView, RetentionView, VerdictView
from engine.api.plans import Actor, check_name
from engine.api.views import Done
from engine.api.wishes import standby_of
from engine.daemon.service import Service, Snapshot
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.foresight import foresee
from engine.model.layers import Gain
from engine.model.points import BootPointId, Stage
from engine.model.retention import Retention, Rule, Rules, Verdict, rules_of
from engine.model.standby import Standby
from engine.model.text import safe
from engine.model.upkeep import Upkeep, judged, upkeep_of
from engine.model.upkeep import losing as losing_by

REASON = 400
MOST = 2000
"""Boot points told of in one answer."""

Settings = Annotated[dict[str, int | None], Meta(max_length=16)]


class RetentionAsk(Ask, kw_only=True):
    """Params of `retention`: `settings` to look at instead of those in force; null: as usual."""

    machine: Name
    settings: Settings = msgspec.field(default_factory=dict)


class RetentionSetAsk(RetentionAsk, kw_only=True):
    """Params of `retention.set`; `confirm`: the machine's name, typed, where points would go."""

    confirm: Words = ""
    key: Words = ""


def retention(service: Service, ask: RetentionAsk) -> RetentionView:
    """Return what stays and what goes, as things are or with other settings.

    Raises:
        NotFound: No such machine.
        WrongUse: A setting that is not known, or out of range.
    """
    snapshot = service.snapshot()
    standby = standby_of(snapshot, ask.machine)
    keep, told = changed(standby, ask.settings)
    before = upkeep_of(snapshot.upkeep, standby)
    old = before.rules
    after = replace(before, rules=rules_of(keep, told, snapshot.usual, old.zone, old.most))
    points = snapshot.state.points_of(standby.name)
    now = judged(standby.name, points, snapshot.state, before)
    then = judged(standby.name, points, snapshot.state, after)
    gone = [point for point, verdict in then.items() if not verdict.keep]
    gain = _gain(service, standby.name, gone)
    views = [
        _verdict(snapshot, point, verdict, was=now[point].keep) for point, verdict in then.items()
    ]
    return RetentionView(
        id=standby.name,
        settings=_settings(after.rules),
        own=["keep", *told.told()],
        most=after.rules.most,
        hold=safe(after.rules.hold, REASON),
        proposed=bool(ask.settings),
        points=views[-MOST:],
        stay=len(then) - len(gone),
        go=len(gone),
        bytes=None if gain is None else gain.bytes,
        copied=0 if gain is None else gain.copied,
        exact=gain is None or gain.exact,
        hidden=max(len(views) - MOST, 0),
        next=None if gone else _coming(service, snapshot, standby, after),
    )


def _coming(
    service: Service, snapshot: Snapshot, standby: Standby, care: Upkeep
) -> ForeseenView | None:
    run = snapshot.state.runs.get(standby.name)
    made = snapshot.state.by_standby.get(standby.name, ())
    seen = foresee(made, None if run is None else run.boot_point, care, snapshot.now)
    if not any(point.stage is not Stage.RETIRED for point in made):
        return None
    gain = _gain(service, standby.name, [seen.point]) if seen.point else None
    return ForeseenView(
        point=seen.point or "",
        reason=safe(seen.reason, REASON),
        after=seen.after,
        at=seen.at,
        depth=seen.depth,
        bytes=None if gain is None else gain.bytes,
        copied=0 if gain is None else gain.copied,
    )


def set_retention(service: Service, ask: RetentionSetAsk, actor: Actor) -> Done:
    """Write settings into the standby's file.

    Raises:
        Refused: Boot points that stay now would go, and the name was not typed.
        WrongUse: A setting that is not known, or out of range.
    """
    if not ask.settings:
        raise WrongUse(
            Problem("retention.nothing", "No setting was given.", "Nothing was changed.")
        )
    view = retention(service, ask)
    losing = sum(one.now and not one.keep for one in view.points)
    if losing:
        check_name(ask.confirm, ask.machine)
    keep, told = changed(standby_of(service.snapshot(), ask.machine), ask.settings)
    service.set_retention(ask.machine, keep, told, actor.name)
    goes = f"{losing} boot points that stayed will go" if losing else "no boot point goes by it"
    return Done(text=f"The retention of {ask.machine} was set; {goes}.")


def losing(snapshot: Snapshot, name: str, keep: int, told: Retention) -> list[BootPointId]:
    """Return the boot points of a standby that stay now and would go with other settings."""
    before = upkeep_of(snapshot.upkeep, snapshot.standbys[name])
    old = before.rules
    after = rules_of(keep, told, snapshot.usual, old.zone, old.most)
    return losing_by(name, snapshot.state.points_of(name), snapshot.state, before, after)


def changed(standby: Standby, settings: Mapping[str, int | None]) -> tuple[int, Retention]:
    """Return a standby's own settings with some changed. WrongUse names one that cannot be."""
    keep, told = standby.keep, standby.retention
    for key, value in settings.items():
        least, most = RANGES.get(key, (0, -1))
        if most < 0:
            raise WrongUse(_unknown(key))
        if value is None and key == "keep":
            raise WrongUse(_range(key, "nothing", least, most))
        if value is not None and not least <= value <= most:
            raise WrongUse(_range(key, str(value), least, most))
        if key == "keep":
            keep = value or keep
        else:
            told = replace(told, **{key: value})  # type: ignore[arg-type]  # one of the numbers
    return keep, told


RANGES: Mapping[str, tuple[int, int]] = {
    "keep": (1, 10_000),
    "max_age_days": (0, 100_000),
    "floor": (1, 1000),
    **dict.fromkeys(("hourly", "daily", "weekly", "monthly", "yearly"), (0, 1000)),
}
"""Setting -> least and greatest value, as in the configuration files."""


def _unknown(key: str) -> Problem:
    return Problem(
        "retention.unknown",
        f"There is no setting {safe(key)}.",
        "Nothing was changed.",
        f"Known: {', '.join(RANGES)}.",
    )


def _range(key: str, value: str, least: int, most: int) -> Problem:
    return Problem(
        "retention.range",
        f"{key}: found {value}, expected a number from {least} to {most}.",
        "Nothing was changed.",
    )


_SLOTS = ("hourly", "daily", "weekly", "monthly", "yearly")


def _settings(rules: Rules) -> dict[str, int]:
    slots = {key: rules.slots.get(Rule(key), 0) for key in _SLOTS}
    return {
        "keep": rules.keep,
        "max_age_days": rules.max_age_days,
        **slots,
        "floor": rules.floor,
    }


def _gain(service: Service, name: str, gone: list[BootPointId]) -> Gain | None:
    try:
        return service.gain(name, gone) if gone else Gain()
    except (Failure, OSError):
        return None


def _verdict(snapshot: Snapshot, name: BootPointId, verdict: Verdict, *, was: bool) -> VerdictView:
    point = snapshot.state.boot_points[name]
    return VerdictView(
        id=name,
        data_as_of=point.taken_at,
        stage=point.stage.value,
        keep=verdict.keep,
        now=was,
        reason=safe(verdict.reason, REASON),
        rules=[rule.value for rule in verdict.rules],
        pin=safe(point.pin, REASON),
    )
