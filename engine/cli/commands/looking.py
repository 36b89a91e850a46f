"""Commands that only look: how everything stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.api import climbing
from engine.api.ladder_views import LadderView
from engine.api.views import FleetView, LastView, MachineView, Next, PointView, SetView, TargetView
from engine.api.waiting import WaitView, sentence, short
from engine.api.words import NEED, age, duration, moment, percent, size
from engine.cli.cells import shared
from engine.cli.commands.answering import question_lines
from engine.cli.context import Context
from engine.cli.output import Output, plain

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
BACKLOGS = {
    "every": "every increment, the newest first",
    "newest": "one boot point of all that piled up",
}
UNTIL = {
    "held": "paused until",
    "blackout": "blackout until",
    "scheduled": "at",
    "retry": "retry",
}
FAILING = {"fail": ("FAIL", "NONE", "LOST"), "late": ("FAIL", "NONE", "LOST", "LATE")}


# --- status ---------------------------------------------------------------------------------


def status(context: Context, *, offline: bool, fail_on: str) -> int:
    """Print one line per machine; return 1 where `fail_on` applies."""
    if offline:
        last = _last(context)
        fleet, targets, now, live = last.fleet, [], last.as_of, False
    else:
        with context.client() as client:
            told = client.picture(["fleet", "targets"])
            fleet, targets, now, live = told.fleet, told.targets, client.hello.now, True
        for one in fleet:
            if one.data_as_of is not None:
                one.lag_s = max(0.0, (now - one.data_as_of).total_seconds())
    fleet.sort(key=lambda one: (NEED.index(one.state) if one.state in NEED else 0, one.id))
    if context.output.as_json:
        _status_json(context.output, fleet, targets, now, live=live)
    else:
        _status_text(context.output, fleet, now, live=live)
        for target in targets:
            if why := target.slow or (target.findings[0] if target.state == "lost" else ""):
                context.output.say(f"target {target.id}: {why}")
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


def _status_json(
    output: Output,
    fleet: Sequence[FleetView],
    targets: Sequence[TargetView],
    now: datetime,
    *,
    live: bool,
) -> None:
    output.object(
        as_of=now,
        live=live,
        can_start=sum(one.can_start for one in fleet),
        machines=len(fleet),
        targets=[
            {
                "name": one.id,
                "state": one.state,
                "slow": one.slow,
                "latency_s": one.latency_s,
                "call_latency_s": one.call_latency_s,
                "findings": one.findings,
            }
            for one in targets
        ],
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
                "proven": {"point": one.proven, "at": one.proven_at} if one.proven else None,
                "next": one.next,
                "wait": one.wait,
                "points": one.points,
                "keep": one.keep,
                "target": one.target,
                "running": one.running or None,
                "alarm": one.alarm,
                "remedy": one.remedy,
                "ladder": ladder_json(one.ladder, now),
            }
            for one in fleet
        ],
    )


def ladder_json(ladder: LadderView, now: datetime) -> dict[str, object]:
    """Return a ladder for programs: the view, and the age of the data on each rung."""
    told: dict[str, object] = plain(ladder)
    return told | {
        "rungs": [
            {
                **plain(rung),
                "age_s": None if (old := climbing.age_of(rung, now)) is None else int(old),
            }
            for rung in ladder.rungs
        ]
    }


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
    heads = [
        "",
        "MACHINE",
        "STATE",
        "IMAGE",
        "DATA AS OF",
        ">LAG",
        ">RPO",
        "NEXT",
        ">POINTS",
        "TIME LOST",
    ]
    rows = [
        [
            MARKS.get(one.state, " "),
            one.id,
            one.state,
            moment(one.image_as_of, now),
            moment(one.data_as_of, now),
            age(one.lag_s),
            duration(one.rpo_s),
            next_words(one.next, now, one.wait),
            f"{one.points}/{one.keep}",
            climbing.in_words(one.ladder, now),
        ]
        for one in fleet
    ]
    output.table(heads, rows, state=2)
    for one in fleet:
        if one.alarm:
            output.say(f"{one.id}: {one.alarm}" + (f" {one.remedy}" if one.remedy else ""))


def next_words(told: Next, now: datetime, wait: WaitView | None = None) -> str:
    """Return what happens next on a machine, in a few words; `wait`: what holds it up."""
    if told.done is not None:
        left = f" {duration(told.eta_s)}" if told.eta_s is not None else ""
        return f"{percent(told.done, 1)}{left}"
    if told.kind in UNTIL and told.at is not None:
        return f"{UNTIL[told.kind]} {moment(told.at, now)}"
    if told.kind == "due" and wait is not None:
        return short(wait)
    if told.kind == "counting":
        return told.text
    words = {"running": "works", "queued": "waits its turn", "none": "on arrival", "held": "paused"}
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


def kept_words(one: PointView) -> str:
    """Return why a boot point stays, or why it goes."""
    return one.kept if one.keep else f"goes: {one.kept}"


def _points_table(output: Output, machine: MachineView, now: datetime) -> None:
    heads = ["", "POINT", "DATA AS OF", ">AGE", "STAGE", ">SIZE", ">OCCUPIES", "KEPT BECAUSE"]
    marks = {"ready": "+", "failed": "X", "applying": ">", "converting": ">"}
    newest_first = machine.points[::-1]
    whys = [kept_words(p) if p.obstacle else p.reason or kept_words(p) for p in newest_first]
    short, once = shared(whys)
    rows = [
        [
            marks.get(one.stage, " "),
            one.id,
            moment(one.data_as_of, now),
            age((now - one.data_as_of).total_seconds()),
            "not bootable" if one.obstacle else one.stage,
            size(one.bytes),
            size(one.used),
            why,
        ]
        for one, why in zip(newest_first, short, strict=True)
    ]
    output.table(heads, rows)
    output.say(*once)
    if machine.hidden:
        output.say(f"{machine.hidden} older ones are not shown.")
    for one in newest_first:
        if one.obstacle:
            again = f"bootpoint convert {machine.id} --point {one.id}"
            output.say(
                f"{one.id} is NOT BOOTABLE: {one.reason}",
                f"  After a fix on this host: {again}  (see before: --dry-run)",
            )


def windows(texts: Sequence[str], until: datetime | None, now: datetime) -> str:
    """Return blackout windows in a line, with the end of the one that is open."""
    return ", ".join(texts) + (f"; now, until {moment(until, now)}" if until else "")


def paused(why: str, until: datetime | None, now: datetime) -> str:
    """Return who paused a machine, why and until when, in a line."""
    return f"{why} (until {moment(until, now) if until else 'it is resumed'})"


def show(context: Context, *, machine: str) -> int:
    """Print everything about one machine."""
    with context.client() as client:
        found = client.call("machine", MachineView, machine=machine)
        now = client.hello.now
    output = context.output
    if output.as_json:
        told = plain(found)
        told["fleet"]["ladder"] = ladder_json(found.fleet.ladder, now)
        output.object(machine=told)
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
        ["Arrivals", climbing.rhythm(fleet.ladder, now)],
        ["Backlog", BACKLOGS.get(found.backlog, found.backlog)],
        ["Next", next_words(fleet.next, now)],
        *([["Waits", sentence(fleet.wait, now)]] if fleet.wait else []),
    ]
    if found.blackouts:
        told.append(["Blackouts", windows(found.blackouts, found.blackout_until, now)])
    if found.held:
        told.append(["Paused", paused(found.held, found.held_until, now)])
    if found.run is not None:
        told.append(["Runs", f"{found.run.point} since {moment(found.run.since, now)}"])
    output.table(["", ""], told)
    if found.run is not None and found.run.question is not None:
        output.say(*question_lines(machine, found.run.question))
    output.say(*([fleet.alarm] if fleet.alarm else []), *found.waiting)
    output.table(climbing.HEADS, climbing.rows(fleet.ladder, now))
    if found.points:
        _points_table(output, found, now)
    return 0
