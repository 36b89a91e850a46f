"""One machine: can it start now, from which boot points, and why each of them is kept."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import climbing
from engine.api.views import FleetView, JobView, MachineView, PointView
from engine.api.waiting import sentence
from engine.api.words import NOTHING
from tui.format import age, duration, goal, moment, pad, percent, size
from tui.heard import heard
from tui.lists import Kind, Order, arrange
from tui.look import Look
from tui.rows import BLANK, Column, Line, Span, clip, paragraph, spread, table, text
from tui.screens import frame
from tui.screens.fleet import job_lines, journal_lines, next_words
from tui.state import LIVE_JOBS, Fleet
from tui.tones import NOT_BOOTABLE, RUNS, STAGE_NAMES, STAGES, UNKNOWN, Sign, Tone, state_sign
from tui.words import N_, _, ngettext

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
    """Return why a boot point stays, or that it goes and why."""
    if point.pin or point.keep:
        return _because(point)
    return _("goes: {reason}", reason=_because(point))


def _because(point: PointView) -> str:
    return _('pin: "{note}"', note=point.pin) if point.pin else heard(point.kept)


LIST: Kind[PointView] = Kind(
    N_("boot point"),
    N_("boot points"),
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
NOT_CHANGED = N_(
    "The disks as imaged are kept, earlier boot points can start, and the next increment is "
    "converted as usual."
)
WHAT_NOW = N_(
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
            *listed.empty(
                look,
                _("No boot point yet."),
                _("The first one is made from the full image."),
            ),
            *[
                text(" " + _("It waits: {why}", why=heard(why)))
                for why in detail.waiting
                if not detail.points
            ],
        ],
        tail=_tail(fleet, look, detail),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return a machine's screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _not_there(fleet: Fleet, name: str) -> list[Line]:
    if name in fleet.machines:
        return [BLANK, text(" " + _("Asking the engine about this machine .."))]
    return [
        BLANK,
        text(
            " " + _("{machine} is no longer protected: the standby was removed.", machine=name),
            Tone.WARN,
        ),
        text(" " + _("The journal tells when, and by whom.")),
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
    goals = "   " + _("goal {time}", time=goal(one.rpo_s)) if one.rpo_s else ""
    return (
        (f" {sign.mark} {one.state}", sign.tone),
        (f"  {_can_start(fleet, look, one)}{goals}", Tone.STRONG),
    )


def _can_start(fleet: Fleet, look: Look, one: FleetView) -> str:
    when, old = look.when(one.data_as_of), age(look.age(one.data_as_of))
    if fleet.link.is_lost:
        if not one.can_start:
            return _("CAN START: NO")
        return _("CAN START: yes, data as of {when} ({age})", when=when, age=old)
    if not one.can_start:
        return _("CAN START NOW: NO")
    return _("CAN START NOW: yes, data as of {when} ({age})", when=when, age=old)


def _head(fleet: Fleet, look: Look, detail: MachineView) -> list[Line]:
    one = fleet.machines.get(detail.id, detail.fleet)
    width = look.usable
    run = _("RUNS {point}", point=detail.run.point) if detail.run else ""
    power = run or _("power off")
    source = f"{detail.source or _('machine not known yet')}   {detail.images}"
    cpus = ngettext("{count} cpu", "{count} cpus", detail.cpus)
    shape = f"{cpus}  {size(detail.memory)}  {detail.firmware}"
    on = _("on {target} / {store}", target=detail.target, store=detail.store)
    disks = ", ".join(size(disk.size) for disk in detail.disks) or _("not known yet")
    trigger = _("trigger {trigger}   keeps {keep}", trigger=detail.trigger, keep=detail.keep)
    newest = _("newest image {when}", when=look.when(one.image_as_of))
    told = [
        answer(fleet, look, detail),
        spread(_fact(_("Source"), source), text(newest), width),
        spread(
            _fact(_("Standby"), f"{on}   {shape}"),
            text(power, Tone.TEST if run else Tone.PLAIN),
            width,
        ),
        spread(_fact(_("Disks"), disks), text(trigger), width),
    ]
    told += _ladder(one, look)
    next_text = next_words(one, look)
    if one.next.kind in SHOWN:
        told.append(_fact(_("Next"), next_text))
    if one.wait is not None:
        told += paragraph("Waits", heard(sentence(one.wait, look.now, look.zone)), width)[:2]
    if detail.blackouts and one.next.kind != "held":
        told.append(_fact(_("Blackout"), ", ".join(detail.blackouts)))
    alarm = paragraph("Happened", heard(one.alarm), width, tone=Tone.PLAIN)
    most = 2 if look.height < 30 else 5
    return told + clip(alarm + paragraph("What now", heard(one.remedy), width), most, width)


def _fact(label: str, words: str, tone: Tone = Tone.PLAIN) -> Line:
    """Return a line of the head: a label of eight cells and what it says."""
    return text(f" {pad(label, 8)} {words}", tone)


def _ladder(one: FleetView, look: Look) -> list[Line]:
    """Return how far the newest data has climbed; all rungs where there is room, else the worst."""
    if look.height < LADDER_FROM:
        lost = climbing.in_words(one.ladder, look.now)
        return [] if lost == NOTHING else [_fact(_("Lost"), heard(lost), Tone.WARN)]
    grid = table(RUNGS, look.usable)
    rhythm = climbing.rhythm(one.ladder, look.now, look.zone)
    told = [_fact(_("Arrivals"), heard(rhythm)), grid.head()]
    for rung, row in zip(
        one.ladder.rungs, climbing.rows(one.ladder, look.now, look.zone), strict=True
    ):
        worst = rung.rung == one.ladder.losing
        tone = Tone.WARN if worst else Tone.PLAIN
        row[1] = look.when(rung.data_as_of) if rung.data_as_of else row[1]
        row[3] = look.when(rung.reached_at)
        told.append(grid.row(("!" if worst else " ", tone), [(heard(cell), tone) for cell in row]))
    return told


def _row(
    fleet: Fleet, look: Look, detail: MachineView, point: PointView
) -> tuple[Span, Sequence[str | Span]]:
    runs = detail.run is not None and detail.run.point == point.id
    sign = RUNS if runs else sign_of(point)
    kept = heard(point.reason) or kept_words(point)
    working = _job_of(fleet, point)
    if working is not None:
        share = percent(working.done, working.total)
        left = duration(working.eta_s)
        kept = _("in work, {share} {time} left", share=share, time=left) if share else _("in work")
    mark = "?" if fleet.link.is_lost else sign.mark
    return (mark, sign.tone), (
        point.id,
        moment(point.data_as_of, look.zone),
        age(look.age(point.data_as_of)),
        size(point.used or point.bytes),
        (_("runs") if runs else stage_name(point), sign.tone),
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
    name, wanted = look.arg.partition("/")[::2]
    detail = fleet.details.get(name)
    point = next((one for one in detail.points if one.id == wanted), None) if detail else None
    title = f"{name} > {wanted}"
    if detail is None or point is None:
        gone = _("Boot point {point} is not there (any more).", point=wanted)
        return frame.Content(title=title, empty=[BLANK, text(f" {gone}", Tone.WARN)])
    return frame.pages(_facts(look, detail, point), title=title, head=[_stands(point)])


def sign_of(point: PointView) -> Sign:
    """Return what stands for a boot point's stage."""
    return NOT_BOOTABLE if point.obstacle else STAGES.get(point.stage, UNKNOWN)


def stage_name(point: PointView) -> str:
    """Return a boot point's stage as a column names it."""
    return _("not bootable") if point.obstacle else _(STAGE_NAMES.get(point.stage, point.stage))


def _stands(point: PointView) -> Line:
    sign = sign_of(point)
    stage = stage_name(point).upper()
    return ((f" {sign.mark} {stage}", sign.tone), (f"  {_(sign.words)}", Tone.STRONG))


def _facts(look: Look, detail: MachineView, point: PointView) -> list[Line]:
    width = look.usable
    passed = duration(look.age(point.data_as_of))
    told = paragraph("Data as of", _data(look, point), width, tone=Tone.STRONG)
    if point.obstacle:
        told += paragraph("Why", heard(point.reason), width, tone=Tone.BAD)
        told += paragraph("Not changed", _(NOT_CHANGED), width)
        told += paragraph("What now", _(WHAT_NOW), width)
    if point.stage == "ready":
        lost = _("what was written in the last {time}", time=passed)
        told += paragraph("You lose", lost, width)
    images = ", ".join(name.rpartition("/")[2] for name in point.images) or point.recovery_point
    made = _("point {number} of the image set: {files}", number=point.sequence, files=images)
    told += paragraph("Made from", made, width)
    copied = _("{size}, uses {used} on disk", size=size(point.bytes), used=size(point.used))
    told += paragraph("Copied", copied, width)
    ready = moment(point.ready_at, look.zone) if point.ready_at else _("not yet")
    told += paragraph("Ready since", ready, width)
    told += paragraph("Lies on", f"{detail.target} / {detail.store}", width)
    if point.keep:
        told += paragraph("Kept", _because(point), width)
    else:
        told += paragraph("Goes", _because(point), width)
    if not point.obstacle:
        told += paragraph("Failed", heard(point.reason), width, tone=Tone.BAD)
    told += paragraph("Proven", _("no test boot was made of it yet"), width)
    if detail.run is not None and detail.run.point == point.id:
        since = _(
            "since {when}, power {power}",
            when=look.when(detail.run.since),
            power=heard(detail.run.power),
        )
        told += paragraph("Runs", since, width, tone=Tone.TEST)
    told.append(BLANK)
    for disk in detail.disks:
        told += paragraph(
            _("Disk {number}", number=disk.number), f"{size(disk.size)}  {disk.uuid}", width
        )
    return told


def _data(look: Look, point: PointView) -> str:
    when, old = moment(point.data_as_of, look.zone), age(look.age(point.data_as_of))
    return _("{when}, {age} ago", when=when, age=old)


def point_lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return a boot point's screen, line by line."""
    return list(frame.draw(point_content(fleet, look), fleet, look).lines)
