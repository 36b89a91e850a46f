"""Looks at every target once a night, and tells what is new."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from engine.model import nightly
from engine.model.errors import Problem
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.model.work import Severity
from engine.ports import Finding

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.targets import Target

log = logging.getLogger(__name__)


class NightlyLook:
    """A chore: the preflight of each target, at a moment of its own."""

    def __init__(self, engine: Engine) -> None:
        """Look for this engine."""
        self._engine = engine

    def __call__(self, now: datetime) -> None:
        """Look at each target that is due; what is new goes into the journal."""
        settings = self._engine.settings
        for target in self._engine.targets.values():
            if _is_due(target, settings.site, now, settings.zone):
                before = {one.key for one in target.findings}
                target.look(now)
                for one in news(before, target.findings):
                    self._engine.tell(*_told(target.name, one))
                self._engine.picture.touch()


def _is_due(target: Target, site: str, now: datetime, zone: tzinfo) -> bool:
    away = target.opened() is None or bool(target.problem)
    return nightly.is_due(site, target.name, target.looked_at, now, zone, away=away)


def news(before: set[str], found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield what stands in the way now and did not before."""
    for one in found:
        if one.gravity is not Gravity.NOTE and one.key not in before:
            yield one


def _told(target: str, one: Finding) -> tuple[Severity, str, Problem]:
    severity = Severity.ERROR if one.gravity is Gravity.ERROR else Severity.WARNING
    text = f"Target {safe(target)}: {safe(one.text, 600)}"
    return severity, "", Problem(f"finding.{safe(one.key, 80)}", text, "", safe(one.remedy, 400))


def findings_to_json(found: Sequence[Finding]) -> list[Mapping[str, str]]:
    """Return findings as they are kept."""
    return [
        {"gravity": one.gravity.value, "key": one.key, "text": one.text, "remedy": one.remedy}
        for one in found
    ]


def findings_from_json(told: object) -> Sequence[Finding]:
    """Return findings that were kept.

    Raises:
        ValueError, KeyError, TypeError: They are not what was kept.
    """
    if not isinstance(told, list):
        raise TypeError("expected a list")
    return [
        Finding(Gravity(one["gravity"]), str(one["key"]), str(one["text"]), str(one["remedy"]))
        for one in told
    ]
