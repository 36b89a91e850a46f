"""Pure: measured values as Prometheus reads them, text format 0.0.4.

    # HELP bootpoint_rpo_lag_seconds Age of the data of the newest ready boot point.
    # TYPE bootpoint_rpo_lag_seconds gauge
    bootpoint_rpo_lag_seconds{machine="erp"} 720

Names have their units, of Prometheus' base units; docs/MONITORING.md explains each. A value that
is not known has no line.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine import __version__
from engine.api import climbing
from engine.api.findings import findings
from engine.api.fleet import FleetPresenter
from engine.api.views import FleetView
from engine.daemon.service import Service, Snapshot
from engine.model.machine import Gravity
from engine.model.points import Stage
from engine.model.work import LIVE, Severity

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_DAY_S = 86400
Labels = Mapping[str, str]
Value = float | int | bool | None


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without prefix, what it means, and its values by labels."""

    name: str
    about: str
    values: Iterable[tuple[Labels, Value]]


class Meter:
    """Tells the measured values of an engine again and again. Thread-safe.

    What did not change since it was asked last is not worked out again.
    """

    def __init__(self, service: Service) -> None:
        """Know nothing yet."""
        self._service, self._fleet, self._lock = service, FleetPresenter(), threading.Lock()

    def told(self) -> str:
        """Return the values of now, as text."""
        service, snapshot = self._service, self._service.snapshot()
        with self._lock:
            fleet = self._fleet.views(snapshot)
        return metrics(snapshot, service.unwell(), service.site, service.started_at, fleet)


def metrics(
    snapshot: Snapshot,
    unwell: Mapping[str, str],
    site: str,
    started_at: datetime,
    fleet: Sequence[FleetView] | None = None,
) -> str:
    """Return all measured values of one moment as text; `fleet`: its standbys, where known."""
    fleet = FleetPresenter().views(snapshot) if fleet is None else fleet
    families = [
        *_of_engine(snapshot, unwell, site, started_at),
        *_of_machines(snapshot, fleet),
        *_of_places(snapshot),
    ]
    return "".join(f"{line}\n" for family in families for line in lines(family))


def lines(family: Family) -> Iterator[str]:
    """Yield the lines of one metric; none when no value is known."""
    name = f"bootpoint_{family.name}"
    values = [(labels, value) for labels, value in family.values if value is not None]
    if not values:
        return
    yield f"# HELP {name} {_help(family.about)}"
    yield f"# TYPE {name} gauge"
    for labels, value in values:
        told = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
        yield f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}"


def escape(text: str) -> str:
    """Return the value of a label: backslash, quote and line break escaped, else any Unicode."""
    told = text.encode("utf-8", "backslashreplace").decode()
    return told.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _of_engine(
    snapshot: Snapshot, unwell: Mapping[str, str], site: str, started_at: datetime
) -> Iterator[Family]:
    info = {"version": __version__, "site": site}
    yield Family("info", "Version and site, always 1.", [(info, 1)])
    well = "1 while loop, state and watcher of the engine work."
    yield Family("engine_well", well, [({}, not unwell)])
    start = "When the engine started, in Unix time."
    yield Family("engine_start_time_seconds", start, [({}, started_at.timestamp())])
    raised = [alert for alert in snapshot.state.alerts.values() if alert.is_raised]
    yield Family(
        "alerts",
        "Alerts that are raised.",
        [
            ({"severity": one.value}, sum(a.condition.severity is one for a in raised))
            for one in Severity
        ],
    )
    live = Counter(job.status for job in snapshot.state.live_jobs())
    yield Family(
        "jobs",
        "Jobs that run or wait.",
        [({"status": one.value}, live[one]) for one in sorted(LIVE)],
    )
    wrong = Counter(one.gravity for one in findings(snapshot))
    yield Family(
        "findings",
        "Files, folders and targets that something is wrong with.",
        [({"gravity": one.value}, wrong[one.value]) for one in Gravity],
    )


def _of_machines(snapshot: Snapshot, fleet: Iterable[FleetView]) -> Iterator[Family]:
    every = [({"machine": one.id}, one) for one in fleet]
    states = [({**labels, "state": one.state}, 1) for labels, one in every]
    yield Family("standby_state", "State of each standby, as a label.", states)
    can = "1 when a ready boot point can be started now."
    yield Family("can_start", can, [(labels, one.can_start) for labels, one in every])
    lag = "Age of the data of the newest ready boot point."
    yield Family(
        "rpo_lag_seconds", lag, [(labels, _age(one, snapshot.now)) for labels, one in every]
    )
    goal = "Goal for that age."
    yield Family("rpo_goal_seconds", goal, [(labels, one.rpo_s) for labels, one in every])
    yield Family(
        "rung_age_seconds",
        "Age of the newest data on each rung: written, arrived, verified, ready, proven.",
        [
            ({**labels, "rung": rung.rung}, climbing.age_of(rung, snapshot.now))
            for labels, one in every
            for rung in one.ladder.rungs
        ],
    )
    usual = "Usual time between two images of the machine."
    yield Family(
        "image_gap_seconds", usual, [(labels, one.ladder.usual_s) for labels, one in every]
    )
    silence = "Time without a new image after which the machine is silent."
    goals = [(labels, one.ladder.silence_s) for labels, one in every]
    yield Family("silence_goal_seconds", silence, goals)
    silent = "1 while no new image has come for longer than that."
    yield Family("silent", silent, [(labels, one.ladder.silent) for labels, one in every])
    points = Counter((p.standby, p.stage) for p in snapshot.state.boot_points.values())
    yield Family(
        "boot_points",
        "Boot points by stage.",
        [
            ({**labels, "stage": stage.value}, points[(one.id, stage)])
            for labels, one in every
            for stage in Stage
            if stage is not Stage.RETIRED
        ],
    )


def _age(one: FleetView, now: datetime) -> float | None:
    return None if one.data_as_of is None else max(0.0, (now - one.data_as_of).total_seconds())


def _of_places(snapshot: Snapshot) -> Iterator[Family]:
    targets = [({"target": one.name}, one) for one in snapshot.targets]
    up = "1 while the target answers."
    yield Family("target_up", up, [(labels, not one.problem) for labels, one in targets])
    free = "Free space where the target's disks lie."
    yield Family("store_free_bytes", free, [(labels, one.free) for labels, one in targets])
    full = "Seconds until the target is full at the present growth; absent: not in sight."
    left = [
        (labels, None if one.days_left is None else one.days_left * _DAY_S)
        for labels, one in targets
    ]
    yield Family("store_full_seconds", full, left)
    writes = "Seconds of a small durable write where the target's disks lie."
    yield Family("store_write_seconds", writes, [(labels, one.latency) for labels, one in targets])
    asks = "Seconds of a small question to the target's hypervisor."
    yield Family(
        "target_call_seconds", asks, [(labels, one.call_latency) for labels, one in targets]
    )
    slow = "1 while fewer jobs are begun on the target because it is slow."
    yield Family("target_slow", slow, [(labels, bool(one.slow)) for labels, one in targets])
    waiting = Counter(wait.bound.value for wait in snapshot.slots.values())
    held = "Machines whose next job waits, by what for."
    yield Family("waiting", held, [({"for": one}, count) for one, count in waiting.items()])
    online = "1 while the watched folder is there."
    roots = snapshot.roots.values()
    yield Family("folder_online", online, [({"folder": one.root}, one.online) for one in roots])
