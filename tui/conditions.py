"""When keys work: conditions of the table of keys. Pure.

Those named `no_…` return why a key does not work now, a sentence; empty when it does.
"""

from __future__ import annotations

from engine.api.guest_views import QuestionView
from engine.api.views import PointView
from tui.look import Look
from tui.state import LIVE_JOBS, Fleet
from tui.tones import STAGES, UNKNOWN
from tui.words import _

LISTING = ("jobs", "journal", "alerts", "sets", "set")
"""Places that are about many things, a machine is under the cursor at most."""
REPORTS = frozenset({"guest", "ledger", "dry run"})
"""Text that the engine was asked for, about one boot point."""


def about(fleet: Fleet, look: Look) -> str:
    """Return the machine under the cursor or of the page, empty when there is none."""
    match look.place:
        case "jobs" if look.chosen in fleet.jobs:
            return fleet.jobs[look.chosen].machine
        case "alerts" if look.chosen in fleet.alerts:
            return fleet.alerts[look.chosen].machine
        case "journal":
            lines = (line.machine for line in fleet.journal if line.id == look.chosen)
            return next(lines, "")
        case "sets" | "set":
            found = fleet.sets.get(look.chosen if look.place == "sets" else look.arg)
            return found.standby if found else ""
        case "jobs" | "alerts" | "targets" | "settings":
            return ""
    return look.machine


def is_started(fleet: Fleet, look: Look) -> bool:
    """Tell whether a VM runs of the machine under the cursor."""
    machine = fleet.machines.get(about(fleet, look))
    detail = fleet.details.get(about(fleet, look))
    if detail is not None and look.place not in ("fleet", *LISTING):
        return detail.run is not None or bool(detail.fleet.running)
    return machine is not None and bool(machine.running)


def can_come_home(fleet: Fleet, look: Look) -> bool:
    """Tell whether the machine's VM runs from our disks, on a target that has disks of its own."""
    detail = fleet.details.get(look.machine)
    run = detail.run if detail is not None else None
    return run is not None and run.homing != "none" and not run.home


def asked(fleet: Fleet, look: Look) -> QuestionView | None:
    """Return what the machine's VM asks before it goes on."""
    detail = fleet.details.get(look.machine)
    run = detail.run if detail is not None else None
    return run.question if run is not None else None


def not_running(fleet: Fleet, look: Look) -> str:
    """Say that no VM of the machine runs."""
    return "" if runs(fleet, look) else _("No VM of it runs now.")


def runs(fleet: Fleet, look: Look) -> bool:
    """Tell whether a VM of the machine runs."""
    detail = fleet.details.get(look.machine)
    if look.place != "fleet" and detail is not None:
        return detail.run is not None or bool(detail.fleet.running)
    machine = fleet.machines.get(look.machine)
    return machine is not None and bool(machine.running)


def held(fleet: Fleet, look: Look) -> bool:
    """Tell whether an operator paused the machine."""
    machine = fleet.machines.get(look.machine)
    return machine is not None and (machine.state == "HELD" or machine.next.kind == "held")


def no_machine(fleet: Fleet, look: Look) -> str:
    """Say that no machine is chosen."""
    return "" if look.machine in fleet.machines else _("Choose a machine first.")


def no_start(fleet: Fleet, look: Look) -> str:
    """Say why no VM can be started from here."""
    machine = fleet.machines.get(about(fleet, look))
    if machine is None:
        return _("Choose a machine first.")
    point = point_of(look)
    detail = fleet.details.get(machine.id)
    if point and detail is not None:
        found = next((one for one in detail.points if one.id == point), None)
        if found is not None and found.obstacle:
            return _("{point} is not bootable. Enter says why. Choose one marked +.", point=point)
        if found is not None and found.stage != "ready":
            return _(
                "{point} cannot start: {stage}. Choose one marked +.",
                point=point,
                stage=_(STAGES.get(found.stage, UNKNOWN).words),
            )
    if not machine.can_start:
        return _("{machine} has no boot point that can start.", machine=machine.id)
    return ""


def no_row(fleet: Fleet, look: Look) -> str:
    """Say that there is no row to open."""
    there = {"fleet": fleet.machines, "sets": fleet.sets}.get(look.place)
    nothing = there is not None and look.chosen not in there
    return _("There is nothing to open.") if nothing else ""


def has_rows(fleet: Fleet, look: Look) -> bool:
    """Tell whether a list has rows."""
    detail = fleet.details.get(look.machine)
    rows = {
        "fleet": fleet.machines,
        "jobs": fleet.jobs,
        "journal": fleet.journal,
        "targets": fleet.targets,
        "alerts": fleet.alerts,
        "sets": fleet.sets or fleet.findings,
        "machine": detail.points if detail else (),
    }
    return bool(rows.get(look.place, True))


def no_job(fleet: Fleet, look: Look) -> str:
    """Say that no live job is chosen."""
    job = fleet.jobs.get(look.chosen)
    if job is None or job.status not in LIVE_JOBS:
        return _("Choose a job that runs or waits.")
    return ""


def target_of(look: Look) -> str:
    """Return the name of the target under the cursor, or of the page."""
    return look.arg if look.place == "one target" else look.chosen


def no_target(fleet: Fleet, look: Look) -> str:
    """Say that no target is chosen."""
    return "" if target_of(look) in fleet.targets else _("Choose a target first.")


def no_certificate(fleet: Fleet, look: Look) -> str:
    """Say that no target is chosen that shows a certificate."""
    one = fleet.targets.get(target_of(look))
    if one is not None and one.kind != "esxi":
        return _("Only an ESXi host or vCenter shows a certificate.")
    return no_target(fleet, look)


def no_alert(fleet: Fleet, look: Look) -> str:
    """Say that no alert is chosen that somebody could look after."""
    found = fleet.alerts.get(look.chosen)
    if found is None:
        return _("Choose an alert first.")
    return _("It is over: nobody needs to look after it.") if found.cleared_at else ""


def point(fleet: Fleet, look: Look) -> PointView | None:
    """Return the boot point a look is about."""
    detail = fleet.details.get(look.machine)
    wanted = point_of(look)
    return next((one for one in detail.points if one.id == wanted), None) if detail else None


def no_point(fleet: Fleet, look: Look) -> str:
    """Say that no boot point is chosen."""
    return "" if point(fleet, look) is not None else _("Choose a boot point first.")


def pinned(fleet: Fleet, look: Look) -> bool:
    """Tell whether the boot point is pinned."""
    found = point(fleet, look)
    return found is not None and bool(found.pin)


def no_trunk(fleet: Fleet, look: Look) -> str:
    """Say why the boot point cannot be converted."""
    found = point(fleet, look)
    if found is None:
        return _("Choose a boot point first.")
    if found.stage not in ("ready", "failed"):
        return _(
            "{point} is not converted yet: its disks are not copied completely.", point=found.id
        )
    return ""


def no_ledger(fleet: Fleet, look: Look) -> str:
    """Say why the boot point has no ledger."""
    found = point(fleet, look)
    if found is None:
        return _("Choose a boot point first.")
    if found.obstacle:
        return _(
            "{point} is not bootable, so nothing was changed in it. Enter says why.",
            point=found.id,
        )
    if found.stage == "ready":
        return ""
    return _("{point} has no ledger: it was not converted yet.", point=found.id)


def point_of(look: Look) -> str:
    """Return the boot point a look is about, empty when it is about none."""
    if look.place == "point" or look.place in REPORTS:
        return look.arg.partition("/")[2]
    return look.chosen if look.place == "machine" else ""
