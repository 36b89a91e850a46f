"""Commands that only look: how everything stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.api.views import (
    FindingView,
    FleetView,
    JobView,
    JournalView,
    LastView,
    MachineView,
    SetView,
    StandbyView,
    TargetView,
)
from engine.api.words import NEED, age, duration, moment, percent, rate, size
from engine.cli.context import Context
from engine.cli.output import Output

MARKS = {
    "READY": "+",
    "LATE": "!",
    "BUILD": ">",
    "FAIL": "X",
    "NONE": "?",
    "TEST": "*",
    "LIVE": "*",
    "HELD": "-",
    "LOST": "?",
}
FAILING = {"fail": ("FAIL", "NONE", "LOST"), "late": ("FAIL", "NONE", "LOST", "LATE")}
TICK_S = 1.0
SEVERITY = {"info": " ", "note": " ", "warning": "!", "error": "X"}


# --- status ---------------------------------------------------------------------------------


def status(context: Context, *, offline: bool, fail_on: str) -> int:
    """Print one line per machine; return 1 where `fail_on` applies."""
    if offline:
        last = _last(context)
        fleet, now, live = last.fleet, last.as_of, False
    else:
        with context.client() as client:
            fleet, now, live = client.call("fleet", list[FleetView]), client.hello.now, True
    fleet.sort(key=lambda one: (NEED.index(one.state) if one.state in NEED else 0, one.id))
    if context.output.as_json:
        _status_json(context.output, fleet, now, live=live)
    else:
        _status_text(context.output, fleet, now, live=live)
    return 1 if any(one.state in FAILING.get(fail_on, ()) for one in fleet) else 0


def _last(context: Context) -> LastView:
    from engine.api.errors import EngineAway
    from engine.api.last import NAME, read_last
    from engine.model.errors import Problem

    folder = context.place().state / "view"
    last = read_last(folder)
    if last is None:
        raise EngineAway(
            Problem(
                "engine.no-last",
                f"There is no last known state in {folder / NAME}.",
                "",
                "Name the engine's configuration with --config, or start the engine.",
            )
        )
    return last


def _status_json(output: Output, fleet: Sequence[FleetView], now: datetime, *, live: bool) -> None:
    output.object(
        as_of=now,
        live=live,
        can_start=sum(one.can_start for one in fleet),
        machines=len(fleet),
        items=[
            {
                "name": one.id,
                "state": one.state,
                "can_start": one.can_start,
                "image_as_of": one.image_as_of,
                "data_as_of": one.data_as_of,
                "lag_s": None if one.lag_s is None else int(one.lag_s),
                "rpo_s": one.rpo_s,
                "point": one.point or None,
                "proven": None,
                "next": one.next,
                "points": one.points,
                "keep": one.keep,
                "target": one.target,
                "running": one.running or None,
                "alarm": one.alarm,
                "remedy": one.remedy,
            }
            for one in fleet
        ],
    )


def _status_text(output: Output, fleet: Sequence[FleetView], now: datetime, *, live: bool) -> None:
    if not live:
        output.say(f"LAST KNOWN STATE of {now.astimezone():%Y-%m-%d %H:%M:%S}. Nothing is live.")
    if not fleet:
        output.say(
            "NOTHING IS PROTECTED YET",
            "Add a standby with: bootpoint standby add NAME --images /path/of/its/images",
        )
        return
    can = sum(one.can_start for one in fleet)
    output.say(f"CAN START NOW: {can} of {len(fleet)}")
    heads = ["", "MACHINE", "STATE", "IMAGE", "DATA AS OF", ">LAG", ">RPO", "NEXT", ">POINTS"]
    rows = [
        [
            MARKS.get(one.state, " "),
            one.id,
            one.state,
            moment(one.image_as_of, now),
            moment(one.data_as_of, now),
            age(one.lag_s),
            duration(one.rpo_s),
            next_words(one),
            f"{one.points}/{one.keep}",
        ]
        for one in fleet
    ]
    output.table(heads, rows, state=2)
    for one in fleet:
        if one.alarm:
            output.say(f"{one.id}: {one.alarm}" + (f" {one.remedy}" if one.remedy else ""))


def next_words(one: FleetView) -> str:
    """Return what happens next on a machine, in a few words."""
    told = one.next
    if told.done is not None:
        left = f" {duration(told.eta_s)}" if told.eta_s is not None else ""
        return f"{percent(told.done, 1)}{left}"
    words = {"running": "works", "queued": "waits its turn", "retry": "retry", "none": "on arrival"}
    return words.get(told.kind, told.kind)


# --- sets, points, show ---------------------------------------------------------------------


def sets(context: Context) -> int:
    """Print the image sets found."""
    with context.client() as client:
        found = sorted(client.picture(["sets"]).sets, key=lambda one: (one.machine, one.id))
        now = client.hello.now
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    if not found:
        output.say("No image set has been found in the watched folders yet.")
        return 0
    heads = ["MACHINE", ">POINTS", ">SIZE", "NEWEST", "STANDBY", "FOLDER", "SET"]
    output.table(heads, [_set_row(one, now) for one in found])
    for one in found:
        for text in one.missing:
            output.say(f"{one.machine}: {text}")
    return 0


def _set_row(one: SetView, now: datetime) -> list[str]:
    count = f"{len(one.points) + one.hidden}"
    folder = one.root if one.online else f"{one.root} (offline)"
    return [
        one.machine,
        count,
        size(one.size),
        moment(one.newest, now),
        one.standby or "-",
        folder,
        one.id,
    ]


def points(context: Context, *, machine: str) -> int:
    """Print a machine's boot points, newest first."""
    with context.client() as client:
        found = client.call("machine", MachineView, machine=machine)
        now = client.hello.now
    output = context.output
    newest_first = found.points[::-1]
    if output.as_json:
        output.object(machine=found.id, hidden=found.hidden, items=newest_first)
        return 0
    if not newest_first:
        output.say(f"{found.id} has no boot point yet.", *found.waiting)
        return 0
    _points_table(output, found, now)
    return 0


def _points_table(output: Output, machine: MachineView, now: datetime) -> None:
    heads = ["", "POINT", "DATA AS OF", ">AGE", "STAGE", ">SIZE", ">OCCUPIES", "KEPT BECAUSE"]
    marks = {"ready": "+", "failed": "X", "applying": ">", "converting": ">"}
    rows = [
        [
            marks.get(one.stage, " "),
            one.id,
            moment(one.data_as_of, now),
            age((now - one.data_as_of).total_seconds()),
            one.stage,
            size(one.bytes),
            size(one.used),
            one.reason or one.kept,
        ]
        for one in machine.points[::-1]
    ]
    output.table(heads, rows)
    if machine.hidden:
        output.say(f"{machine.hidden} older ones are not shown.")


def show(context: Context, *, machine: str) -> int:
    """Print everything about one machine."""
    with context.client() as client:
        found = client.call("machine", MachineView, machine=machine)
        now = client.hello.now
    output = context.output
    if output.as_json:
        output.object(machine=found)
        return 0
    fleet = found.fleet
    lag = f"data as of {moment(fleet.data_as_of, now)} ({age(fleet.lag_s)})"
    can = f"yes, {lag}" if fleet.can_start else "no"
    disks = ", ".join(f"disk {disk.number} {size(disk.size)}" for disk in found.disks)
    machine_words = f"{found.cpus} vCPU  {size(found.memory)}  {found.firmware}"
    told = [
        ["Machine", f"{found.id}  {fleet.state}"],
        ["Can start now", can],
        ["Source", f"{found.source}  {found.images}"],
        ["Standby", f"on {found.target} / {found.store}  {machine_words}"],
        ["Disks", disks or "-"],
        ["Trigger", f"{found.trigger}, keeps {found.keep}"],
    ]
    if found.run is not None:
        told.append(["Runs", f"{found.run.point} since {moment(found.run.since, now)}"])
    output.table(["", ""], told)
    output.say(*([fleet.alarm] if fleet.alarm else []), *found.waiting)
    if found.points:
        _points_table(output, found, now)
    return 0


# --- jobs, journal, targets, findings, standbys ---------------------------------------------


def jobs(context: Context) -> int:
    """Print live jobs and the newest ended ones, newest first."""
    with context.client() as client:
        found = client.picture(["jobs"]).jobs
        now = client.hello.now
    found.sort(key=lambda one: -int(one.id))
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    if not found:
        output.say("No job runs or has run lately.")
        return 0
    heads = [">JOB", "KIND", "MACHINE", "POINT", "STATUS", "BEGAN", ">TOOK", "HOW FAR", "REASON"]
    output.table(heads, [_job_row(one, now) for one in found])
    return 0


def _job_row(one: JobView, now: datetime) -> list[str]:
    began = one.started_at
    took = None if began is None else ((one.ended_at or now) - began).total_seconds()
    return [
        one.id,
        one.kind,
        one.machine,
        one.point or "-",
        one.status,
        moment(began or one.queued_at, now),
        duration(took),
        job_progress(one),
        one.reason,
    ]


def job_progress(one: JobView) -> str:
    """Return how far a job is, in a few words."""
    if one.status != "running":
        return ""
    parts = [one.step, percent(one.done, one.total)]
    if one.rate is not None:
        parts.append(rate(one.rate))
    if one.eta_s is not None:
        parts.append(f"{duration(one.eta_s)} left")
    return " ".join(part for part in parts if part)


def journal(context: Context, *, follow: bool, limit: int, machine: str) -> int:
    """Print journal lines, oldest first; with `follow` go on for ever."""
    with context.client() as client:
        found: list[JournalView] = []
        before: int | None = None
        while len(found) < limit:
            want = min(200, limit - len(found))
            page = client.call(
                "journal.read", list[JournalView], before=before, limit=want, machine=machine
            )
            found = page + found
            if len(page) < want:
                break
            before = int(page[0].id)
        if context.output.as_json and not follow:
            context.output.object(items=found)
            return 0
        _journal_lines(context.output, found)
        last = int(found[-1].id) if found else 0
        for _picture in client.follow(["targets"], tick_s=TICK_S) if follow else ():
            context.output.check()
            page = client.call("journal.read", list[JournalView], after=last, machine=machine)
            _journal_lines(context.output, page)
            last = int(page[-1].id) if page else last
    return 0


def _journal_lines(output: Output, lines: Sequence[JournalView]) -> None:
    for line in lines:
        if output.as_json:
            output.object(line=line)
            continue
        when = f"{line.at.astimezone():%Y-%m-%d %H:%M:%S}"
        text = " ".join(part for part in (line.text, line.unchanged, line.remedy) if part)
        output.say(f"{when} {SEVERITY.get(line.severity, ' ')} {line.machine or '-'}  {text}")


def targets(context: Context) -> int:
    """Print the targets."""
    with context.client() as client:
        found = client.call("targets", list[TargetView])
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    heads = ["TARGET", "KIND", "STATE", "ACCELERATOR", "STORE", "PATH", ">FREE", ">STANDBYS"]
    rows = [
        [
            one.id,
            one.kind,
            one.state,
            one.accelerator or "-",
            one.store,
            one.store_path,
            size(one.free),
            str(one.standbys),
        ]
        for one in found
    ]
    output.table(heads, rows)
    for one in found:
        output.say(*(f"{one.id}: {text}" for text in one.findings))
    return 0


def findings(context: Context) -> int:
    """Print what is wrong with files, folders and targets."""
    with context.client() as client:
        found = client.picture(["findings"]).findings
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    if not found:
        output.say("Nothing was found to be wrong.")
    for one in found:
        _finding(output, one)
    return 0


def _finding(output: Output, one: FindingView) -> None:
    output.say(f"{SEVERITY.get(one.gravity, ' ')} {one.subject}")
    for text in (one.text, one.remedy):
        if text:
            output.say(f"    {text}")


def standby_list(context: Context) -> int:
    """Print all definitions."""
    with context.client() as client:
        found = client.call("standby.list", list[StandbyView])
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    if not found:
        output.say("There is no standby yet.")
        return 0
    heads = ["NAME", "IMAGES", "TARGET", "TRIGGER", ">KEEP", ">RPO", "HELD"]
    rows = [
        [
            one.id,
            one.images,
            one.target,
            one.trigger,
            str(one.keep),
            duration(one.rpo_s),
            one.held or "-",
        ]
        for one in found
    ]
    output.table(heads, rows)
    return 0


def standby_show(context: Context, *, name: str) -> int:
    """Print one definition."""
    from engine.model.errors import NotFound, Problem

    with context.client() as client:
        found = client.call("standby.list", list[StandbyView])
    chosen = next((one for one in found if one.id == name), None)
    if chosen is None:
        known = ", ".join(one.id for one in found[:8]) or "none yet"
        raise NotFound(
            Problem("standby.unknown", f"There is no standby {name}.", "", f"Known: {known}.")
        )
    output = context.output
    if output.as_json:
        output.object(standby=chosen)
        return 0
    rows = [
        ["Name", chosen.id],
        ["Images", chosen.images],
        ["Machine", chosen.machine or "the one that is there"],
        ["Target", chosen.target],
        ["Trigger", chosen.trigger],
        ["Keeps", str(chosen.keep)],
        ["RPO", duration(chosen.rpo_s)],
        ["Held", chosen.held or "no"],
        ["File", chosen.file],
    ]
    output.table(["", ""], rows)
    return 0
