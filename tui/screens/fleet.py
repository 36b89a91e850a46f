"""All machines, those that need somebody on top: can it start now, with data from when?"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from engine.api import climbing
from engine.api.views import FleetView, JobView, JournalView, SetView
from engine.api.waiting import short
from tui.format import age, bar, duration, goal, pad, percent, rate, retry_time, size
from tui.heard import heard
from tui.lists import Listed
from tui.look import Look
from tui.naming import free_name
from tui.rows import BLANK, Column, Line, Span, cells, clip, paragraph, prose, spread, table, text
from tui.screens import frame
from tui.state import Fleet, counts, live_jobs, matching, unprotected
from tui.tones import SEVERITIES, Tone, state_sign
from tui.words import N_, _, ngettext


def columns(width: int, longest: int) -> list[Column]:
    """Return the columns of the fleet.

    Args:
        width: Usable cells of the screen.
        longest: Cells of the longest machine's name.
    """
    most = 13 if width < 70 else 17 if width < 100 else 30
    return [
        Column("MACHINE", max(8, min(longest, most))),
        Column("STATE", 5),
        Column("DATA AS OF", 12),
        Column("AGE", 6, right=True),
        Column("GOAL", 4, right=True, least=70),
        Column("NEXT", 0),
        Column("POINTS", 6, right=True, least=96),
        Column("TARGET", 10, least=110),
        Column("NEWEST IMAGE", 12, least=118),
        Column("LAST 12", 12, least=78),
    ]


MORE_JOBS = 40
"""From this height on more than two jobs are shown."""
WORK = {
    "sync": N_("boot point"),
    "apply": N_("apply"),
    "measure": N_("measure"),
    "retire": N_("retire"),
    "arm": N_("arm"),
    "start": N_("start"),
    "stop": N_("stop"),
    "home": N_("home"),
    "convert": N_("convert"),
}
"""What a job does, by its kind."""


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the fleet screen."""
    if not fleet.link.ever:
        return frame.Content(
            head=[text(" " + _("NO ENGINE YET"), Tone.STRONG)], empty=_waiting(fleet, look)
        )
    if not fleet.machines:
        head = [text(" " + _("NOTHING IS PROTECTED YET"), Tone.STRONG), *_drafts(look)]
        tail = [*_jobs(fleet, look), *_journal(fleet, look, 4)]
        return frame.Content(head=head, empty=_first_steps(fleet, look), tail=tail)
    listed = matching(fleet, look)
    shown = listed.rows
    longest = max((cell_len(one.id) for one in shown), default=0)
    grid = table(columns(look.usable, longest), look.usable)
    machines = {one.id: one for one in shown}
    chosen = machines.get(look.chosen) or (shown[0] if shown else None)
    return frame.Content(
        head=_answer(fleet, look, listed),
        columns=grid.head(),
        ids=list(machines),
        row=lambda name: (grid.row(*_row(fleet, look, machines[name])),),
        empty=listed.empty(look, _("No machine.")),
        tail=_tail(fleet, look, chosen),
        orders=listed.order_ids,
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the fleet screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _answer(fleet: Fleet, look: Look, listed: Listed[FleetView]) -> list[Line]:
    machines = fleet.machines.values()
    can = sum(one.can_start for one in machines)
    states = counts(fleet)
    quiet = [] if look.usable >= 100 else ["READY", "BUILD"]
    told = "  ".join(f"{code} {many}" for code, many in states.items() if code not in quiet)
    running = sum(job.status == "running" for job in fleet.jobs.values())
    waiting = sum(job.status == "queued" for job in fleet.jobs.values())
    if fleet.link.is_lost:
        can_start = _("CAN START: {can} of {all}", can=can, all=len(fleet.machines))
    else:
        can_start = _("CAN START NOW: {can} of {all}", can=can, all=len(fleet.machines))
    left = text(f" {can_start}", Tone.STRONG)
    room = look.usable - cells(left) - 2
    every = ngettext("{count} job", "{count} jobs", running + waiting)
    works = (_work(running, waiting), every, "")
    right = next((full for work in works if cell_len(full := f"{told}   {work}") <= room), told)
    answer = [spread(left, text(right.strip()), look.usable)]
    return answer + listed.head(_("worst only") if look.worst else "") + _drafts(look)


def _drafts(look: Look) -> list[Line]:
    """Return that definitions were begun and left, if any were."""
    if not look.drafts:
        return []
    named = ", ".join(one.name for one in look.drafts[:4])
    words = ngettext(
        " {count} draft is kept, not handed in: {names}   n or e goes on with it",
        " {count} drafts are kept, not handed in: {names}   n or e goes on with one",
        len(look.drafts),
        names=named,
    )
    return [text(words, Tone.NOTE)]


def _work(running: int, waiting: int) -> str:
    if not waiting:
        return ngettext("{count} job runs", "{count} jobs run", running)
    return ngettext(
        "{count} job runs, {waiting} waiting",
        "{count} jobs run, {waiting} waiting",
        running,
        waiting=waiting,
    )


def _row(fleet: Fleet, look: Look, one: FleetView) -> tuple[Span, Sequence[str | Span]]:
    sign = state_sign(one.state)
    mark = "?" if fleet.link.is_lost else sign.mark
    return (mark, sign.tone), (
        one.id,
        (one.state, sign.tone),
        look.when(one.data_as_of) if one.data_as_of else _("no data yet"),
        age(look.age(one.data_as_of)),
        goal(one.rpo_s),
        next_words(one, look),
        f"{one.points}/{one.keep}",
        one.target,
        look.when(one.image_as_of),
        one.strip,
    )


def next_words(one: FleetView, look: Look) -> str:
    """Return what happens next on a machine, in a few words."""
    coming = one.next
    match coming.kind:
        case "running" if coming.done is not None:
            share = f"{min(99, int(coming.done * 100))}%"
            return share if coming.eta_s is None else f"{share}  {duration(coming.eta_s)}"
        case "retry":
            at = coming.at or retry_time(coming.text)
            return _("retry {when}", when=look.when(at)) if at else _("tries again")
        case "none":
            return _("on arrival")
        case "held":
            return _held(coming.text, look.when(coming.at) if coming.at else "")
        case "blackout" if coming.at is not None:
            return _("blackout till {when}", when=look.when(coming.at))
        case "scheduled" if coming.at is not None:
            return _("at {when}", when=look.when(coming.at))
        case "queued":
            return _("waits its turn")
        case kind:
            return heard(_held_up(one) or coming.text) or kind


def _held_up(one: FleetView) -> str:
    return short(one.wait) if one.wait is not None and one.next.kind == "due" else ""


def _held(who: str, end: str) -> str:
    if who and end:
        return _("till {end} by {who}", end=end, who=who)
    if who:
        return _("by {who}", who=who)
    return _("till {end}", end=end) if end else _("paused")


def _tail(fleet: Fleet, look: Look, chosen: FleetView | None) -> list[Line]:
    parts = [_about(look, chosen), _jobs(fleet, look), _journal(fleet, look, 3)]
    rule = text(look.glyphs.rule * look.usable)
    told: list[Line] = []
    for part in parts:
        if part:
            told += ([rule] if told else []) + part
    return told


def _about(look: Look, one: FleetView | None) -> list[Line]:
    if one is None or not (one.alarm or look.height >= 34):
        return []
    sign = state_sign(one.state)
    if not one.can_start:
        now = _("can start now: NO")
    elif one.data_as_of:
        now = _("can start now: yes, data as of {when}", when=look.when(one.data_as_of))
    else:
        now = _("can start now: yes")
    spoken = f" {one.id}  {sign.mark} {one.state}   {now}"
    told = [text(spoken, Tone.STRONG)] if look.height >= 34 else []
    width = look.usable
    most = 1 if look.height < 20 else 2 if look.height < 34 else 6
    if look.height >= 34:
        told += clip(paragraph("Ladder", _ladder(one, look), width), 2, width)
    alarm = paragraph("Happened", heard(one.alarm), width) if one.alarm else []
    return told + clip(alarm + paragraph("What now", heard(one.remedy), width), most, width)


def _ladder(one: FleetView, look: Look) -> str:
    """Return the ladder in one line: `written 13:00   arrived 13:00   ready Sat 23:00 <- ...`."""
    parts = []
    for rung in one.ladder.rungs:
        when = look.when(rung.data_as_of) if rung.data_as_of else heard("never")
        mark = f" {heard(climbing.LOST_HERE)}" if rung.rung == one.ladder.losing else ""
        parts.append(f"{heard(rung.rung)} {when}{mark}")
    return "   ".join(parts)


def _jobs(fleet: Fleet, look: Look) -> list[Line]:
    live = live_jobs(fleet)
    most = 2 if look.height < MORE_JOBS else 8
    if look.height < 20:
        most = 1
    told: list[Line] = []
    for job in live[:most]:
        told += job_lines(job, look)
    if len(live) > most and look.height >= 20:
        more = ngettext("{count} more job, press 2", "{count} more jobs, press 2", len(live) - most)
        told.append(text(f"   {more}"))
    return told


def job_lines(job: JobView, look: Look) -> list[Line]:
    """Return a live job with its bar: one line on wide screens, else two."""
    what = f"{job_words(job)}" + (f"  {heard(job.step)}" if job.step else "")
    if job.status == "queued":
        waits = _("{job}: waits for its turn", job=job_words(job))
        why = f"  ({heard(job.reason)})" if job.reason else ""
        return [text(f" . {job.machine}  {waits}{why}")]
    share = percent(job.done, job.total)
    figures = amount(job)
    if job.eta_s is None:
        pace = _("time left not known yet")
    else:
        pace = _("{rate}  {time} left", rate=rate(job.rate), time=duration(job.eta_s))
    name: Line = ((" > ", Tone.NOTE), (job.machine, Tone.STRONG), (f"  {what}", Tone.PLAIN))
    if look.usable >= 110:
        drawn = bar(job.done, job.total, 30, look.glyphs) if job.total else ""
        return [spread(name, text(f"{drawn} {share:>4}  {figures}  {pace}"), look.usable)]
    if not (job.total or job.done):
        return [name]
    rest = f" {share:>4}  {figures}  {pace}"
    room = min(40, look.usable - 3 - cell_len(rest))
    drawn = bar(job.done, job.total, room, look.glyphs) if job.total and room >= 6 else ""
    return [name, text(f"   {drawn}{rest}")]


def amount(job: JobView) -> str:
    """Return how much is done of how much: `3.1 of 5.0 GiB`."""
    done, total = size(job.done), size(job.total)
    if not job.total:
        return done
    same = done.split()[-1] == total.split()[-1]
    return _("{done} of {total}", done=done.split()[0] if same else done, total=total)


def job_words(job: JobView) -> str:
    """Return what a job does, in words."""
    return f"{_(WORK.get(job.kind, job.kind))} {job.point}".rstrip()


def journal_lines(entries: Sequence[JournalView], look: Look) -> list[Line]:
    """Return journal entries, one a line: when, how grave, about whom, what."""
    times = max((cell_len(look.when(entry.at)) for entry in entries), default=0)
    names = min(16, max((cell_len(entry.machine or _("engine")) for entry in entries), default=0))
    told: list[Line] = []
    for entry in entries:
        sign = SEVERITIES.get(entry.severity, SEVERITIES["info"])
        line: Line = (
            (f" {pad(look.when(entry.at), times)} ", Tone.PLAIN),
            (f"{sign.mark} ", sign.tone),
            (f"{pad(entry.machine or _('engine'), names)}  ", Tone.PLAIN),
            (heard(entry.text), Tone.PLAIN),
        )
        told.append(line)
    return told


def _journal(fleet: Fleet, look: Look, most: int) -> list[Line]:
    if look.height >= 40:
        most *= 2
    return journal_lines(fleet.journal[: -most - 1 : -1], look)


def _first_steps(fleet: Fleet, look: Look) -> list[Line]:
    width = look.usable
    free = unprotected(fleet)
    ready = [one for one in fleet.targets.values() if not one.state or one.state == "ok"]
    up = _("up {time}", time=age(fleet.hello.up_s)) if fleet.hello else ""
    steps = [
        _step(bool(fleet.hello and not fleet.link.is_lost), _("1. Engine runs"), up),
        _step(
            bool(fleet.targets),
            _("2. Target"),
            ", ".join(
                f"{one.id}: {one.kind} {one.accelerator} {one.state}".replace("  ", " ")
                for one in (ready or list(fleet.targets.values()))
            )
            or _("none is configured"),
        ),
        _step(
            bool(free),
            _("3. Images"),
            ngettext("{count} image set found", "{count} image sets found", len(free)),
        ),
    ]
    found = [text(f"        {one.machine}  {_much(one)}  {one.root}") for one in free[:6]]
    if free:
        then = _("Next: press n to protect one of them.")
        name = free_name(free[0].machine, fleet.machines)
        example = f"bootpoint standby add {name} --images {free[0].root}"
    else:
        then = _(
            "No image files were found yet. Replicate them into a watched folder; what is found "
            "appears here by itself. Press 5 for files that cannot be used, with the reason."
        )
        example = "bootpoint standby add NAME --images /mnt/replica/NAME"
    return [
        BLANK,
        *steps,
        *found,
        BLANK,
        *prose(then, width, Tone.STRONG, 3),
        BLANK,
        text("   " + _("As a command:")),
        text(f"     {example}"),
    ]


def _much(one: SetView) -> str:
    return points_and_size(len(one.points), one.size)


def points_and_size(points: int, whole: int | None) -> str:
    """Return how much an image set holds: `3 points, 12 GiB`."""
    return ngettext("{count} point, {size}", "{count} points, {size}", points, size=size(whole))


def _step(done: bool, what: str, words: str) -> Line:
    return ((f"   [{'x' if done else ' '}] {pad(what, 16)}", Tone.STRONG), (words, Tone.PLAIN))


def _waiting(fleet: Fleet, look: Look) -> list[Line]:
    if fleet.link.since is None:
        return [BLANK, text(" " + _("Connecting to {socket} ..", socket=look.socket)), BLANK]
    tries = _(
        "Next try in {wait} (try {number}); Ctrl+R tries now.",
        wait=frame.wait_words(fleet, look),
        number=fleet.link.tries + 1,
    )
    return [
        BLANK,
        *prose(_("No engine answers: {why}", why=heard(fleet.link.why)), look.usable, Tone.WARN),
        text(" " + tries),
        BLANK,
        text(" " + _("Start one:")),
        text("   systemctl start bootpoint        " + _("on an installed appliance")),
        text("   bootpoint engine                 " + _("by hand, in another terminal")),
        BLANK,
        *prose(_("This screen goes on by itself as soon as the engine answers."), look.usable),
    ]
