"""All work: what runs with its bar, what waits and for what, what has ended and how."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import JobView
from engine.api.waiting import sentence
from engine.api.words import limited
from tui.format import bar, duration, percent, rate, size
from tui.heard import heard
from tui.lists import Kind, Order, arrange, natural
from tui.look import Look
from tui.rows import Column, Line, paragraph, spread, table, text
from tui.screens import frame
from tui.screens.fleet import amount, job_words
from tui.state import LIVE_JOBS, Fleet, all_jobs
from tui.tones import JOBS, UNKNOWN, Tone
from tui.words import N_, _, ngettext

MOST_WAITING, TALL = 4, 30
"""Machines told that wait, on a screen of this height or more."""
COLUMNS = (
    Column("JOB", 6),
    Column("MACHINE", 14),
    Column("WHAT", 0),
    Column("DONE", 9),
    Column("RATE", 10, right=True, least=70),
    Column("LEFT", 7, right=True),
    Column("TARGET", 10, least=100),
)

LIST: Kind[JobView] = Kind(
    N_("job"),
    N_("jobs"),
    text=lambda job: f"{job.id} {job.machine} {job.kind} {job.status} {job.point}",
    orders=(
        Order("live", "live first, then the newest", "the oldest first, live ones last"),
        Order("machine", "machine", "machine, from the end", lambda job: natural(job.machine)),
        Order("kind", "kind of work", "kind of work, from the end", lambda job: job.kind),
        Order("left", "longest to go first", "shortest to go first", lambda job: job.eta_s, True),
        Order("ended", "last ended first", "first ended first", lambda job: job.ended_at, True),
    ),
    facets={"state": lambda job: job.status, "on": lambda job: job.target},
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the jobs screen."""
    listed = arrange(LIST, all_jobs(fleet), look)
    jobs = {job.id: job for job in listed.rows}
    grid = table(COLUMNS, look.usable)

    def row(name: str) -> Sequence[Line]:
        job = jobs[name]
        sign = JOBS.get(job.status, UNKNOWN)
        return (
            grid.row(
                (sign.mark, sign.tone),
                (
                    job.id,
                    job.machine,
                    job_words(job),
                    _done(job),
                    rate(job.rate) if job.status in LIVE_JOBS else "",
                    _left(job),
                    job.target,
                ),
            ),
            _second(job, look),
        )

    chosen = jobs.get(look.chosen) or next(iter(jobs.values()), None)
    return frame.Content(
        title=_("jobs"),
        head=[*_head(fleet, look), *listed.head()],
        columns=grid.head(),
        ids=list(jobs),
        row=row,
        tall=2,
        empty=listed.empty(
            look,
            _("No work now, and none has ended."),
            _(
                "Each increment that arrives makes a boot point by itself; in the fleet (1) the "
                "key b makes one now."
            ),
        ),
        tail=[
            *_waiting(fleet, look),
            *(paragraph("Why", heard(chosen.reason), look.usable)[:6] if chosen else []),
        ],
        orders=listed.order_ids,
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the jobs screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def _head(fleet: Fleet, look: Look) -> list[Line]:
    running = [job for job in fleet.jobs.values() if job.status == "running"]
    waiting = sum(job.status == "queued" for job in fleet.jobs.values())
    waiting += sum(one.wait is not None for one in fleet.machines.values())
    pace = sum(job.rate or 0 for job in running)
    left = ngettext(
        "{count} job in work, {waiting} waiting",
        "{count} jobs in work, {waiting} waiting",
        len(running),
        waiting=waiting,
    )
    now = _("{rate} now", rate=rate(pace)) if running else ""
    return [spread(text(" " + left), text(now), look.usable)]


def _waiting(fleet: Fleet, look: Look) -> list[Line]:
    """Return which machines wait for a slot, for room or for a window to end, and why."""
    held = sorted((one for one in fleet.machines.values() if one.wait), key=lambda one: one.id)
    most = MOST_WAITING if look.height >= TALL else 1
    told: list[Line] = []
    for one in held[:most]:
        if one.wait is not None:
            why = heard(sentence(one.wait, look.now, look.zone))
            told += paragraph(one.id, why, look.usable, named=True)[:2]
    if len(held) > most:
        more = ngettext(
            "{count} more machine waiting", "{count} more machines waiting", len(held) - most
        )
        told.append(text(f" {more}"))
    return [text(" " + _("WAITING {count}", count=len(held)), Tone.STRONG), *told] if held else []


def _done(job: JobView) -> str:
    if job.status == "running":
        return percent(job.done, job.total) or _("runs")
    return _(JOBS.get(job.status, UNKNOWN).words)


def _left(job: JobView) -> str:
    if job.status == "running":
        return duration(job.eta_s)
    if job.started_at and job.ended_at:
        return duration((job.ended_at - job.started_at).total_seconds())
    return "-"


def _second(job: JobView, look: Look) -> Line:
    if job.status == "queued":
        waits = _("waits for its turn")
        return text(f"          {waits}   {heard(job.reason)}")
    if job.status == "running":
        step = f"   {heard(job.step)}" if job.step else ""
        if held := limited(job.limit, job.limit_until, look.now, look.zone):
            step += f"   {heard(held)}"
        if not job.total:
            return text(f"          {size(job.done) if job.done else ''}{step}")
        drawn = bar(job.done, job.total, 30 if look.usable >= 79 else 16, look.glyphs)
        return text(f"          {drawn}  {amount(job)}{step}")
    ended = _("ended {when}", when=look.when(job.ended_at))
    return text(f"          {ended}   {heard(job.reason)}")
