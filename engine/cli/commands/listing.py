"""Commands that list: jobs, journal, findings, targets, definitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.api import climbing
from engine.api.ladder_views import LadderView
from engine.api.presence import ClientView
from engine.api.views import FindingView, FleetView, JobView, JournalView, StandbyView, TargetView
from engine.api.waiting import sentence
from engine.api.words import duration, limited, moment, percent, rate, size
from engine.cli.commands.looking import BACKLOGS, ladder_json, next_words, paused, windows
from engine.cli.context import Context
from engine.cli.output import Output, plain

TICK_S = 1.0
SEVERITY = {"info": " ", "note": " ", "warning": "!", "error": "X"}


def jobs(context: Context) -> int:
    """Print live jobs and the newest ended ones, newest first, and who waits for what."""
    with context.client() as client:
        picture = client.picture(["jobs", "fleet"])
        now = client.hello.now
    found = sorted(picture.jobs, key=lambda one: -int(one.id))
    waiting = sorted((one for one in picture.fleet if one.wait), key=lambda one: one.id)
    output = context.output
    if output.as_json:
        output.object(items=found, waiting=[_waiting_json(one) for one in waiting])
        return 0
    if waiting:
        rows = [[one.id, one.wait.bound, sentence(one.wait, now)] for one in waiting if one.wait]
        output.table(["WAITING", "FOR", "WHY"], rows)
    if not found:
        output.say("No job runs or has run lately.")
        return 0
    heads = [">JOB", "KIND", "MACHINE", "POINT", "STATUS", "BEGAN", ">TOOK", "HOW FAR", "REASON"]
    output.table(heads, [_job_row(one, now) for one in found])
    return 0


def _waiting_json(one: FleetView) -> dict[str, object]:
    return {"machine": one.id, "target": one.target, **plain(one.wait)}


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
        job_progress(one, now),
        one.reason,
    ]


def job_progress(one: JobView, now: datetime) -> str:
    """Return how far a job is, in a few words."""
    if one.status != "running":
        return ""
    parts = [one.step, percent(one.done, one.total)]
    if one.rate is not None:
        parts.append(rate(one.rate))
    if one.eta_s is not None:
        parts.append(f"{duration(one.eta_s)} left")
    if held := limited(one.limit, one.limit_until, now):
        parts.append(held)
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


def _took(seconds: float | None) -> str:
    """Return a measured time; a target that was not measured has a dash."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def targets(context: Context) -> int:
    """Print the targets."""
    with context.client() as client:
        found = client.call("targets", list[TargetView])
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    heads = [
        "TARGET",
        "KIND",
        "STATE",
        "ACCELERATOR",
        "STORE",
        "PATH",
        ">FREE",
        ">STANDBYS",
        ">WRITES",
        ">ANSWERS",
        "CHECKED",
    ]
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
            _took(one.latency_s),
            _took(one.call_latency_s),
            f"{one.looked_at.astimezone():%Y-%m-%d %H:%M}" if one.looked_at else "-",
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


def who(context: Context) -> int:
    """Print who is connected, the longest first."""
    with context.client() as client:
        found = client.call("clients", list[ClientView])
        now = client.hello.now
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    rows = [
        [
            one.user,
            one.role,
            one.client,
            moment(one.since, now),
            one.tty or "-",
            one.ssh or "-",
            "this command" if one.own else "",
        ]
        for one in found
    ]
    output.table(["USER", "ROLE", "PROGRAM", "SINCE", "TERMINAL", "FROM", ""], rows)
    return 0


def standby_list(context: Context) -> int:
    """Print all definitions."""
    with context.client() as client:
        found = client.call("standby.list", list[StandbyView])
        now = client.hello.now
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    if not found:
        output.say("There is no standby yet.")
        return 0
    heads = ["NAME", "IMAGES", "TARGET", "TRIGGER", ">KEEP", ">RPO", "PAUSED", "NEXT"]
    rows = [
        [
            one.id,
            one.images,
            one.target,
            one.trigger,
            str(one.keep),
            duration(one.rpo_s),
            paused(one.held, one.held_until, now) if one.held else "-",
            next_words(one.next, now) if one.next else "-",
        ]
        for one in found
    ]
    output.table(heads, rows)
    return 0


def _slots(one: StandbyView) -> list[str]:
    """Return what else is kept, as far as the standby's own file says it."""
    return [f"{key.replace('_', ' ')} {value}" for key, value in one.retention.items()]


def standby_show(context: Context, *, name: str) -> int:
    """Print one definition."""
    from engine.model.errors import NotFound, Problem

    with context.client() as client:
        found = client.call("standby.list", list[StandbyView])
        fleet = {one.id: one for one in client.call("fleet", list[FleetView])}
        now = client.hello.now
    chosen = next((one for one in found if one.id == name), None)
    if chosen is None:
        known = ", ".join(one.id for one in found[:8]) or "none yet"
        raise NotFound(
            Problem("standby.unknown", f"There is no standby {name}.", "", f"Known: {known}.")
        )
    output = context.output
    ladder = fleet[name].ladder if name in fleet else LadderView()
    if output.as_json:
        output.object(standby=chosen, ladder=ladder_json(ladder, now))
        return 0
    rows = [
        ["Name", chosen.id],
        ["Images", chosen.images],
        ["Machine", chosen.machine or "the one that is there"],
        ["Target", chosen.target],
        ["Trigger", chosen.trigger],
        ["Keeps", ", ".join([str(chosen.keep), *_slots(chosen)])],
        ["On hold", chosen.retention_hold or "no"],
        ["RPO", duration(chosen.rpo_s)],
        ["Silence", silence_words(chosen)],
        ["Arrivals", climbing.rhythm(ladder, now)],
        ["Conversion", chosen.conversion],
        ["Backlog", BACKLOGS.get(chosen.backlog, chosen.backlog)],
        ["Next", next_words(chosen.next, now) if chosen.next else "-"],
        ["Blackouts", _own_windows(chosen, now)],
        ["Paused", paused(chosen.held, chosen.held_until, now) if chosen.held else "no"],
        ["File", chosen.file],
    ]
    output.table(["", ""], rows)
    output.table(climbing.HEADS, climbing.rows(ladder, now))
    return 0


def silence_words(one: StandbyView) -> str:
    """Return the goal for silence in words."""
    if one.silence_s is None:
        return "by its own rhythm"
    return duration(one.silence_s) if one.silence_s else "is no alarm"


def _own_windows(one: StandbyView, now: datetime) -> str:
    whose = "" if one.own_blackouts else " (as for all)"
    return windows(one.blackouts, one.blackout_until, now) + whose if one.blackouts else "none"
