"""A VM that was started: how far the start is, what it writes on its serial line, what next."""

from __future__ import annotations

from itertools import zip_longest

from engine.api.guest_views import RunView
from engine.api.views import JobView, MachineView
from tui.format import age, duration, moment
from tui.heard import heard
from tui.look import Look, Serial
from tui.picture import drawn
from tui.rows import BLANK, Line, fit, paragraph, spread, text
from tui.screens import frame, phases
from tui.screens.picture import WIDE
from tui.state import Fleet
from tui.tones import JOBS, UNKNOWN, Tone
from tui.words import N_, _

STARTING = {
    "queued": N_("The start of {machine} waits its turn."),
    "running": N_("The start of {machine} is at work: {step}."),
    "failed": N_("The start of {machine} failed: {reason}"),
    "": N_("The start of {machine}: {status}."),
}
STOPPING = {
    "queued": N_("The stop of {machine} waits its turn."),
    "running": N_("The stop of {machine} is at work: {step}."),
    "failed": N_("The stop of {machine} failed: {reason}"),
    "": N_("The stop of {machine}: {status}."),
}
"""How far a job is, by its status."""
PROMPTS = ("login:", "password:")


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the run screen: facts above, the newest serial lines below."""
    name = look.arg
    detail = fleet.details.get(name)
    job = _job(fleet, name)
    run = detail.run if detail else None
    told = tail(look, run)
    head = [_state(look, name, run, job), *_about(look, detail, job), *_coming(fleet, look, name)]
    head += _next(look, run, job, told)
    newest = " " + _("Serial line, the newest below:") if told else ""
    head.append(text(newest, Tone.HEAD))
    room = max(3, look.height - len(head) - 4 - len(frame.banner(fleet, look)))
    shown: list[Line] = [text(f" {look.glyphs.bar} {line}") for line in told[-room:]]
    if not shown:
        shown = [BLANK, text(_silent(run, job))]
    if run is not None:
        shown = _beside(look, shown, room)
    return frame.Content(title=f"{name} > " + _("run"), head=head, empty=shown)


def _beside(look: Look, serial: list[Line], room: int) -> list[Line]:
    """Return the serial line with the guest's screen on its right, where both have room."""
    view = look.subject.view if isinstance(look.subject, Serial) else None
    if view is None or look.width < WIDE:
        return serial
    wide = look.usable - view.columns - 2
    pixels = drawn(view, blocks=look.blocks)[:room]
    left = serial + [BLANK] * (len(pixels) - len(serial))
    return [
        (*spread(fit(line, wide), BLANK, wide), (" ", Tone.PLAIN), *pixel)
        for line, pixel in zip_longest(left, pixels, fillvalue=BLANK)
    ]


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the run screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def tail(look: Look, run: RunView | None) -> list[str]:
    """Return the serial lines known: what was read, else what came with the machine."""
    serial = look.subject if isinstance(look.subject, Serial) else Serial()
    read = [*serial.lines, *([serial.tail] if serial.tail else [])]
    return read or (list(run.serial) if run else [])


def _job(fleet: Fleet, name: str) -> JobView | None:
    mine = [
        job for job in fleet.jobs.values() if job.machine == name and job.kind in ("start", "stop")
    ]
    return max(mine, key=lambda job: (job.queued_at, len(job.id), job.id), default=None)


def _state(look: Look, name: str, run: RunView | None, job: JobView | None) -> Line:
    if run is not None:
        clock = moment(run.since, look.zone).split()[-1]
        ran = duration(look.age(run.since))
        runs = _(
            "* RUNS ISOLATED   {machine} since {when} ({time}), power {power}",
            machine=name,
            when=clock,
            time=ran,
            power=heard(run.power),
        )
        return text(f" {runs}", Tone.TEST)
    if job is not None and job.kind == "start":
        if job.status in ("queued", "running"):
            starts = _("> STARTING   {machine} from {point}", machine=name, point=job.point)
            return text(f" {starts}", Tone.NOTE)
        if job.status == "failed":
            failed = _("X DID NOT START   {machine} from {point}", machine=name, point=job.point)
            return text(f" {failed}", Tone.BAD)
        if job.status == "cancelled":
            not_started = _("- NOT STARTED   {machine}: the start was cancelled", machine=name)
            return text(f" {not_started}", Tone.WARN)
    return text(" " + _("- POWER OFF   {machine} does not run", machine=name), Tone.STRONG)


def stage(fleet: Fleet, name: str) -> str:
    """Return how far a VM is, a sentence that only changes when the VM does."""
    detail = fleet.details.get(name)
    run, job = (detail.run if detail else None), _job(fleet, name)
    if run is not None:
        return _("{machine} runs isolated, power {power}.", machine=name, power=heard(run.power))
    if job is None or job.status == "done":
        return _("{machine} does not run.", machine=name)
    said = STARTING if job.kind == "start" else STOPPING
    return _(
        said.get(job.status, said[""]),
        machine=name,
        step=heard(job.step) or _("begins"),
        reason=heard(job.reason),
        status=_(JOBS.get(job.status, UNKNOWN).words),
    )


def _about(look: Look, detail: MachineView | None, job: JobView | None) -> list[Line]:
    run = detail.run if detail else None
    point_id = run.point if run else (job.point if job else "")
    point = next((one for one in detail.points if one.id == point_id), None) if detail else None
    told: list[Line] = []
    if point is not None:
        data = moment(point.data_as_of, look.zone)
        old = age(look.age(point.data_as_of))
        about = _("{when} ({age} ago), boot point {point}", when=data, age=old, point=point.id)
        told += paragraph("Data as of", about, look.usable)
    if run is not None and run.accelerator:
        target = detail.target if detail else ""
        on = f"{target}, {run.accelerator}"
        if run.accelerator == "tcg":
            on = _("{target}, tcg, much slower than on the real machine", target=target)
        told += paragraph("Runs on", on, look.usable)
    if run is not None and run.guest:
        told += paragraph("Guest", " ".join(run.guest), look.usable)
    if job is not None and job.status == "queued" and job.reason:
        told += paragraph("Waits", heard(job.reason), look.usable)
    if job is not None:
        told += phases.lines(look, job, detail.usual if detail else ())
    if job is not None and job.status == "failed":
        told += paragraph("Happened", heard(job.reason), look.usable)
    return told


def _coming(fleet: Fleet, look: Look, name: str) -> list[Line]:
    """Return how far the VM is on its way home; nothing while it is on none."""
    mine = [one for one in fleet.jobs.values() if one.machine == name and one.kind == "home"]
    job = max(mine, key=lambda one: (one.queued_at, len(one.id), one.id), default=None)
    if job is None or job.status not in ("queued", "running", "failed"):
        return []
    if job.status == "failed":
        said = _("It did not come home: {reason}", reason=heard(job.reason))
        return paragraph("Home", said, look.usable, tone=Tone.BAD)
    said = heard(job.step) or _("begins")
    if job.total:
        said = _("{step}: {percent} of 100", step=said, percent=100 * job.done // job.total)
    return paragraph("Home", said, look.usable, tone=Tone.NOTE)


def _next(look: Look, run: RunView | None, job: JobView | None, told: list[str]) -> list[Line]:
    words = _waits(run) or _advice(run, job, told)
    if look.typing:
        words = _("You are typing at the guest: every key goes there. Ctrl-] gives the keys back.")
    if look.height < 20 and not look.typing:
        return []
    tone = Tone.LIVE if look.typing else Tone.PLAIN
    return paragraph("What next", words, look.usable, tone=tone)


def _waits(run: RunView | None) -> str:
    if run is None or run.question is None:
        return ""
    return _(
        "It waits for an answer: m shows the question and its choices. Without one the start "
        "ends after 15 minutes, and is cancelled there where a choice says so."
    )


def _advice(run: RunView | None, job: JobView | None, told: list[str]) -> str:
    if run is not None and run.power == "crashed":
        return _(
            "The VM has crashed. Read the last lines below, stop it with x, and start an older "
            "boot point of this machine with f."
        )
    if job is not None and job.kind == "stop" and job.status in ("queued", "running"):
        return _("It is being stopped; what it wrote is dropped. Nothing to do now.")
    if run is not None and run.home:
        return _(
            "It is at home on its target and needs this machine no more. To stop it here deletes "
            "it there with all that it wrote, and asks for its name first."
        )
    if run is not None:
        ready = any(prompt in line.lower() for line in told[-5:] for prompt in PROMPTS)
        if ready:
            return _(
                "The guest shows its login prompt: i types at it, o shows its screen. Its network "
                "is isolated: nobody reaches it, and it disturbs nobody. What it writes goes to a "
                "scratch layer; x stops it and drops that, the boot point stays as it is. It is "
                "safe to leave: it runs on."
            )
        return _(
            "Wait for its login prompt, then i types at it, o shows its screen. Its network is "
            "isolated: nobody reaches it, and it disturbs nobody. What it writes goes to a scratch "
            "layer; x stops it and drops that, the boot point stays as it is. It is safe to leave: "
            "it runs on."
        )
    if job is not None and job.kind == "start" and job.status in ("queued", "running"):
        return _(
            "Nothing to do now: each phase appears below. It is safe to leave, the engine goes on."
        )
    if job is not None and job.status == "failed":
        return _(
            "No VM runs and the boot points were not touched. f chooses another one; 3 is the "
            "journal, which says more."
        )
    return _("Nothing runs. What it wrote is dropped; the boot points are as they were.")


def _silent(run: RunView | None, job: JobView | None) -> str:
    if run is not None:
        return " " + _("The guest has written nothing on its serial line yet.")
    starting = job is not None and job.kind == "start" and job.status in ("queued", "running")
    return " " + _("The serial line appears here as soon as the VM has power.") if starting else ""
