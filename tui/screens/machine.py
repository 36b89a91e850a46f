"""One machine: can it start now, from which boot points, and why each of them is kept."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import climbing
from engine.api.views import FleetView, JobView, MachineView, PointView
from engine.api.waiting import sentence
from engine.api.words import NOTHING
from tui.format import age, count, duration, goal, moment, percent, size
from tui.lists import Kind, Order, arrange
from tui.look import Look
from tui.rows import BLANK, Column, Line, Span, clip, paragraph, spread, table, text
from tui.screens import frame
from tui.screens.fleet import job_lines, journal_lines, next_words
from tui.state import LIVE_JOBS, Fleet
from tui.tones import NOT_BOOTABLE, RUNS, STAGES, UNKNOWN, Sign, Tone, state_sign
from tui.words import _

COLUMNS = (
    Column("POINT", 8),
    Column("DATA AS OF", 19),
    Column("AGE", 6, right=True),
    Column("SIZE", 8, right=True, least=95),
    Column("STATE", 12),
    Column("KEPT BECAUSE", 0, least=70),
    Column("IMAGE FILE", 34, least=110),
)
UNTITLED = ""
RUNGS = (
    Column("LADDER", 8),
    Column("DATA AS OF", 12),
    Column("AGE", 6, right=True),
    Column("REACHED", 12, least=60),
    Column("LOST", 6, right=True),
    Column(UNTITLED, 0),
)


def kept_words(point: PointView) -> str:
    """Return why a boot point stays, or why it goes."""
    if point.pin:
        return f'pin: "{point.pin}"'
    return point.kept if point.keep else GOES + point.kept


LIST: Kind[PointView] = Kind(
    "boot point",
    text=lambda one: f"{one.id} {one.stage} {one.pin} {one.kept} {' '.join(one.images)}",
    orders=(
        Order("newest", "newest data first", "oldest data first"),
        Order("size", "largest first", "smallest first", lambda one: one.used or one.bytes, True),
        Order("state", "state", "state, from the end", lambda one: one.stage),
        Order("kept", "why it is kept", "why it is kept, from the end", kept_words),
    ),
    facets={"state": lambda one: f"{one.stage} {'pinned' if one.pin else ''}"},
)
LADDER_FROM = 30
"""From this height on the ladder is shown whole."""
JOURNAL_LINES = 3
SHOWN = frozenset(
    {"retry", "waiting", "held", "queued", "due", "blackout", "scheduled", "counting"}
)
"""What comes next, where it is more than the next arrival."""
GOES = "goes: "
NOT_CHANGED = (
    "The disks as imaged are kept, earlier boot points can start, and the next increment is "
    "converted as usual."
)
WHAT_NOW = (
    "After a fix on this host, convert it again; a dry run tells before whether it would work."
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on a machine's screen."""
    name = look.arg
    detail = fleet.details.get(name)
    if detail is None:
        return frame.Content(title=name, empty=_not_there(fleet, name))
    listed = arrange(LIST, _points(detail), look)
    by_id = {point.id: point for point in listed.rows}
    grid = table(COLUMNS, look.usable)
    return frame.Content(
        title=name,
        head=[*_head(fleet, look, detail), *listed.head()],
        columns=grid.head(),
        ids=list(by_id),
        orders=listed.order_ids,
        first=next((point.id for point in listed.rows if point.stage == "ready"), ""),
        row=lambda point: (grid.row(*_row(fleet, look, detail, by_id[point])),),
        empty=[
            *listed.empty(look, "No boot point yet.", "The first one is made from the full image."),
            *[text(f" It waits: {why}") for why in detail.waiting if not detail.points],
        ],
        tail=_tail(fleet, look, detail),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return a machine's screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _not_there(fleet: Fleet, name: str) -> list[Line]:
    if name in fleet.machines:
        return [BLANK, text(" Asking the engine about this machine ..")]
    return [
        BLANK,
        text(f" {name} is no longer protected: the standby was removed.", Tone.WARN),
        text(" The journal tells when, and by whom."),
    ]


def _points(detail: MachineView) -> list[PointView]:
    """Return the boot points, newest data first."""
    return sorted(
        detail.points, key=lambda one: (one.data_as_of, len(one.id), one.id), reverse=True
    )


def answer(fleet: Fleet, look: Look, detail: MachineView) -> Line:
    """Return the line that answers: can it start now, with data from when?"""
    one = fleet.machines.get(detail.id, detail.fleet)
    sign = state_sign(one.state)
    asked = "CAN START" if fleet.link.is_lost else "CAN START NOW"
    if one.can_start:
        data = f"yes, data as of {look.when(one.data_as_of)} ({age(look.age(one.data_as_of))})"
    else:
        data = "NO"
    goals = f"   goal {goal(one.rpo_s)}" if one.rpo_s else ""
    return (
        (f" {sign.mark} {one.state}", sign.tone),
        (f"  {asked}: {data}{goals}", Tone.STRONG),
    )


def _head(fleet: Fleet, look: Look, detail: MachineView) -> list[Line]:
    one = fleet.machines.get(detail.id, detail.fleet)
    width = look.usable
    run = f"RUNS {detail.run.point}" if detail.run else ""
    power = run or "power off"
    source = f" Source   {detail.source or 'machine not known yet'}   {detail.images}"
    shape = f"{count(detail.cpus, 'cpu')}  {size(detail.memory)}  {detail.firmware}"
    disks = ", ".join(size(disk.size) for disk in detail.disks) or "not known yet"
    told = [
        answer(fleet, look, detail),
        spread(text(source), text(f"newest image {look.when(one.image_as_of)}"), width),
        spread(
            text(f" Standby  on {detail.target} / {detail.store}   {shape}"),
            text(power, Tone.TEST if run else Tone.PLAIN),
            width,
        ),
        spread(
            text(f" Disks    {disks}"),
            text(f"trigger {detail.trigger}   keeps {detail.keep}"),
            width,
        ),
    ]
    told += _ladder(one, look)
    next_text = next_words(one, look)
    if one.next.kind in SHOWN:
        told.append(text(f" Next     {next_text}"))
    if one.wait is not None:
        told += paragraph("Waits", sentence(one.wait, look.now, look.zone), width)[:2]
    if detail.blackouts and one.next.kind != "held":
        told.append(text(f" Blackout {', '.join(detail.blackouts)}"))
    alarm = paragraph("Happened", one.alarm, width, tone=Tone.PLAIN)
    most = 2 if look.height < 30 else 5
    return told + clip(alarm + paragraph("What now", one.remedy, width), most, width)


def _ladder(one: FleetView, look: Look) -> list[Line]:
    """Return how far the newest data has climbed; all rungs where there is room, else the worst."""
    if look.height < LADDER_FROM:
        lost = climbing.in_words(one.ladder, look.now)
        return [] if lost == NOTHING else [text(f" Lost     {lost}", Tone.WARN)]
    grid = table(RUNGS, look.usable)
    rhythm = climbing.rhythm(one.ladder, look.now, look.zone)
    told = [text(f" Arrivals {rhythm}"), grid.head()]
    for rung, row in zip(
        one.ladder.rungs, climbing.rows(one.ladder, look.now, look.zone), strict=True
    ):
        worst = rung.rung == one.ladder.losing
        tone = Tone.WARN if worst else Tone.PLAIN
        told.append(grid.row(("!" if worst else " ", tone), [(cell, tone) for cell in row]))
    return told


def _row(
    fleet: Fleet, look: Look, detail: MachineView, point: PointView
) -> tuple[Span, Sequence[str | Span]]:
    runs = detail.run is not None and detail.run.point == point.id
    sign = RUNS if runs else sign_of(point)
    stage = "not bootable" if point.obstacle else point.stage
    kept = point.reason or kept_words(point)
    working = _job_of(fleet, point)
    if working is not None:
        share = percent(working.done, working.total)
        kept = f"in work, {share} {duration(working.eta_s)} left" if share else "in work"
    mark = "?" if fleet.link.is_lost else sign.mark
    return (mark, sign.tone), (
        point.id,
        moment(point.data_as_of, look.zone),
        age(look.age(point.data_as_of)),
        size(point.used or point.bytes),
        ("runs" if runs else stage, sign.tone),
        kept,
        point.images[0].rpartition("/")[2] if point.images else "",
    )


def _job_of(fleet: Fleet, point: PointView) -> JobView | None:
    return next(
        (job for job in fleet.jobs.values() if job.point == point.id and job.status == "running"),
        None,
    )


def _tail(fleet: Fleet, look: Look, detail: MachineView) -> list[Line]:
    rule = text(look.glyphs.rule * look.usable)
    jobs = [
        job for job in fleet.jobs.values() if job.machine == detail.id and job.status in LIVE_JOBS
    ]
    told = [line for job in jobs for line in job_lines(job, look)]
    mine = [entry for entry in reversed(fleet.journal) if entry.machine == detail.id]
    most = JOURNAL_LINES if look.height < 34 else 8
    journal = journal_lines(mine[:most], look)
    return told + ([rule] if told and journal else []) + journal


def point_content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on a boot point's screen."""
    name, _, wanted = look.arg.partition("/")
    detail = fleet.details.get(name)
    point = next((one for one in detail.points if one.id == wanted), None) if detail else None
    title = f"{name} > {wanted}"
    if detail is None or point is None:
        gone = [BLANK, text(f" Boot point {wanted} is not there (any more).", Tone.WARN)]
        return frame.Content(title=title, empty=gone)
    return frame.pages(_facts(look, detail, point), title=title, head=[_stands(point)])


def sign_of(point: PointView) -> Sign:
    """Return what stands for a boot point's stage."""
    return NOT_BOOTABLE if point.obstacle else STAGES.get(point.stage, UNKNOWN)


def _stands(point: PointView) -> Line:
    sign = sign_of(point)
    stage = "NOT BOOTABLE" if point.obstacle else point.stage.upper()
    return ((f" {sign.mark} {stage}", sign.tone), (f"  {sign.words}", Tone.STRONG))


def _facts(look: Look, detail: MachineView, point: PointView) -> list[Line]:
    width = look.usable
    passed = duration(look.age(point.data_as_of))
    data = f"{moment(point.data_as_of, look.zone)}, {age(look.age(point.data_as_of))} ago"
    told = paragraph("Data as of", data, width, tone=Tone.STRONG)
    if point.obstacle:
        told += paragraph("Why", point.reason, width, tone=Tone.BAD)
        told += paragraph("Not changed", NOT_CHANGED, width)
        told += paragraph("What now", WHAT_NOW, width)
    if point.stage == "ready":
        told += paragraph("You lose", f"what was written in the last {passed}", width)
    images = ", ".join(name.rpartition("/")[2] for name in point.images) or point.recovery_point
    told += paragraph("Made from", f"point {point.sequence} of the image set: {images}", width)
    told += paragraph("Copied", f"{size(point.bytes)}, uses {size(point.used)} on disk", width)
    ready = moment(point.ready_at, look.zone) if point.ready_at else "not yet"
    told += paragraph("Ready since", ready, width)
    told += paragraph("Lies on", f"{detail.target} / {detail.store}", width)
    told += paragraph("Kept" if point.keep else "Goes", kept_words(point).removeprefix(GOES), width)
    if not point.obstacle:
        told += paragraph("Failed", point.reason, width, tone=Tone.BAD)
    told += paragraph("Proven", "no test boot was made of it yet", width)
    if detail.run is not None and detail.run.point == point.id:
        since = f"since {look.when(detail.run.since)}, power {detail.run.power}"
        told += paragraph("Runs", since, width, tone=Tone.TEST)
    told.append(BLANK)
    for disk in detail.disks:
        told += paragraph(
            _("Disk {number}", number=disk.number), f"{size(disk.size)}  {disk.uuid}", width
        )
    return told


def point_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return a boot point's screen, line by line."""
    return list(frame.draw(point_content(fleet, look), fleet, look).lines)
