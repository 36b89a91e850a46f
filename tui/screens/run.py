"""A VM that was started: how far the start is, what it writes on its serial line, what next."""

from __future__ import annotations

from engine.api.views import JobView, MachineView, RunView
from tui.format import age, duration, moment
from tui.look import Look, Serial
from tui.rows import BLANK, Line, paragraph, text
from tui.screens import frame, phases
from tui.state import Fleet
from tui.tones import Tone

PROMPTS = ("login:", "password:")


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the run screen: facts above, the newest serial lines below."""
    name = look.arg
    detail = fleet.details.get(name)
    job = _job(fleet, name)
    run = detail.run if detail else None
    told = tail(look, run)
    head = [_state(look, name, run, job), *_about(look, detail, job)]
    head += _next(look, run, job, told)
    head.append(text(" Serial line, the newest below:" if told else "", Tone.HEAD))
    room = max(3, look.height - len(head) - 4 - len(frame.banner(fleet, look)))
    shown = [text(f" {look.glyphs.bar} {line}") for line in told[-room:]]
    if not shown:
        shown = [BLANK, text(_silent(run, job))]
    return frame.Content(title=f"{name} > run", head=head, empty=shown)


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
        return text(
            f" * RUNS ISOLATED   {name} since {clock} ({ran}), power {run.power}", Tone.TEST
        )
    if job is not None and job.kind == "start":
        if job.status in ("queued", "running"):
            return text(f" > STARTING   {name} from {job.point}", Tone.NOTE)
        if job.status == "failed":
            return text(f" X DID NOT START   {name} from {job.point}", Tone.BAD)
        if job.status == "cancelled":
            return text(f" - NOT STARTED   {name}: the start was cancelled", Tone.WARN)
    return text(f" - POWER OFF   {name} does not run", Tone.STRONG)


def stage(fleet: Fleet, name: str) -> str:
    """Return how far a VM is, a sentence that only changes when the VM does."""
    detail = fleet.details.get(name)
    run, job = (detail.run if detail else None), _job(fleet, name)
    if run is not None:
        return f"{name} runs isolated, power {run.power}."
    if job is None or job.status == "done":
        return f"{name} does not run."
    doing = "start" if job.kind == "start" else "stop"
    words = {
        "queued": f"The {doing} of {name} waits its turn.",
        "running": f"The {doing} of {name} is at work: {job.step or 'begins'}.",
        "failed": f"The {doing} of {name} failed: {job.reason}",
    }
    return words.get(job.status, f"The {doing} of {name} was {job.status}.")


def _about(look: Look, detail: MachineView | None, job: JobView | None) -> list[Line]:
    run = detail.run if detail else None
    point_id = run.point if run else (job.point if job else "")
    point = next((one for one in detail.points if one.id == point_id), None) if detail else None
    told: list[Line] = []
    if point is not None:
        data = moment(point.data_as_of, look.zone)
        old = age(look.age(point.data_as_of))
        told += paragraph("Data as of", f"{data} ({old} ago), boot point {point.id}", look.usable)
    if run is not None and run.accelerator:
        slow = ", much slower than on the real machine" if run.accelerator == "tcg" else ""
        told += paragraph(
            "Runs on", f"{detail.target if detail else ''}, {run.accelerator}{slow}", look.usable
        )
    if run is not None and run.guest:
        told += paragraph("Guest", " ".join(run.guest), look.usable)
    if job is not None and job.status == "queued" and job.reason:
        told += paragraph("Waits", job.reason, look.usable)
    if job is not None:
        told += phases.lines(look, job, detail.usual if detail else ())
    if job is not None and job.status == "failed":
        told += paragraph("Happened", job.reason, look.usable)
    return told


def _next(look: Look, run: RunView | None, job: JobView | None, told: list[str]) -> list[Line]:
    words = _advice(run, job, told)
    if look.typing:
        words = "You are typing at the guest: every key goes there. Ctrl-] gives the keys back."
    if look.height < 20 and not look.typing:
        return []
    tone = Tone.LIVE if look.typing else Tone.PLAIN
    return paragraph("What next", words, look.usable, tone=tone)


def _advice(run: RunView | None, job: JobView | None, told: list[str]) -> str:
    if run is not None and run.power == "crashed":
        return (
            "The VM has crashed. Read the last lines below, stop it with x, and start an older "
            "boot point of this machine with f."
        )
    if job is not None and job.kind == "stop" and job.status in ("queued", "running"):
        return "It is being stopped; what it wrote is dropped. Nothing to do now."
    if run is not None:
        ready = any(prompt in line.lower() for line in told[-5:] for prompt in PROMPTS)
        here = "The guest shows its login prompt: " if ready else "Wait for its login prompt, then "
        return here + (
            "i types at it, o shows its screen. Its network is isolated: nobody reaches it, and it "
            "disturbs nobody. What it writes goes to a scratch layer; x stops it and drops that, "
            "the boot point stays as it is. It is safe to leave: it runs on."
        )
    if job is not None and job.kind == "start" and job.status in ("queued", "running"):
        return (
            "Nothing to do now: each phase appears below. It is safe to leave, the engine goes on."
        )
    if job is not None and job.status == "failed":
        return (
            "No VM runs and the boot points were not touched. f chooses another one; 3 is the "
            "journal, which says more."
        )
    return "Nothing runs. What it wrote is dropped; the boot points are as they were."


def _silent(run: RunView | None, job: JobView | None) -> str:
    if run is not None:
        return " The guest has written nothing on its serial line yet."
    starting = job is not None and job.kind == "start" and job.status in ("queued", "running")
    return " The serial line appears here as soon as the VM has power." if starting else ""
