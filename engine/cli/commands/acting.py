"""Commands that change something: plan first, then run, then follow the job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.api.errors import EngineAway
from engine.api.views import Done, JobView, Plan
from engine.api.words import duration
from engine.cli.context import Context, wish_key
from engine.cli.output import note
from engine.cli.progress import ProgressLine
from engine.cli.reviewing import review_lines
from engine.model.errors import Failure, Problem
from engine.model.progress import Progress

if TYPE_CHECKING:
    from engine.api.client import Client

ENDED = ("done", "failed", "cancelled")
TICK_S = 1.0
COMING_S = 60.0
"""How long a job is waited for that is due at once, but not queued yet."""


def act(
    context: Context,
    action: str,
    *,
    machine: str = "",
    point: str = "",
    job: str | None = None,
    reason: str = "",
    to: str = "",
    typed: str = "",
    wait: bool = False,
    dry_run: bool = False,
) -> int:
    """Plan an action and do it; with `wait` follow its job to the end."""
    with context.client() as client:
        plan = client.call(
            "plan",
            Plan,
            action=action,
            machine=machine,
            point=point,
            job=job,
            reason=reason,
            to=to,
        )
        if dry_run:
            return _show_plan(context, plan)
        before = {job.id for job in client.call("jobs", list[JobView])} if wait else set()
        confirm = ""
        if plan.confirm:
            asked = "; ".join(step.text for step in plan.steps)
            confirm = context.typed_name(plan.confirm, typed, f"This will {asked}.")
        done = client.call("run", Done, plan=plan.plan, confirm=confirm, key=wish_key())
        if not (wait and (done.job or plan.point)):
            _told(context, done, plan)
            return 0
        if not context.output.as_json:
            note(done.text)
        number = done.job or _job_to_come(client, plan.point, before)
        if not number:
            _told(context, done, plan)
            note(f"No job has begun within {COMING_S:.0f} s: other work comes first. See: jobs")
            return 0
        ended = follow_job(client, number)
    return _ended(context, ended, done)


def _show_plan(context: Context, plan: Plan) -> int:
    if context.output.as_json:
        context.output.object(dry_run=True, plan=plan)
        return 0
    if plan.review is not None:
        context.output.say(*review_lines(plan, plan.review), "")
    for number, step in enumerate(plan.steps, 1):
        took = "" if step.expected_s is None else f" (about {duration(step.expected_s)})"
        context.output.say(f"{number}. {step.text}{took}")
    context.output.say(*plan.checks)
    if plan.lost_s is not None and plan.review is None:
        context.output.say(f"Lost: {duration(plan.lost_s)}.")
    context.output.say("Nothing was changed: this was a dry run.")
    return 0


def _told(context: Context, done: Done, plan: Plan) -> None:
    if context.output.as_json:
        context.output.object(
            text=done.text, job=done.job or None, machine=plan.machine, point=plan.point or None
        )
        return
    context.output.say(done.text + (f" Job {done.job}." if done.job else ""))


def _job_to_come(client: Client, point: str, before: set[str]) -> str:
    """Return the number of the next job on a boot point that the planner queues by itself."""
    until = time.monotonic() + COMING_S
    for picture in client.follow(["jobs"], tick_s=TICK_S):
        coming = [job.id for job in picture.jobs if job.point == point and job.id not in before]
        if coming or time.monotonic() > until:
            return coming[-1] if coming else ""
    raise AssertionError("a client follows for ever")


def follow_job(client: Client, number: str) -> JobView:
    """Show a job's progress until it ended, and return how it ended.

    Raises:
        EngineAway: The line was lost; the job goes on.
    """
    line = ProgressLine(f"job {number}")
    try:
        for picture in client.follow(["jobs"], tick_s=TICK_S):
            found = [job for job in picture.jobs if job.id == number]
            job = found[0] if found else client.call("job", JobView, job=number)
            if job.status in ENDED:
                return job
            if job.total or job.done:
                line(Progress(job.step, job.done, job.total, job.rate, job.eta_s))
    except EngineAway as error:
        problem = error.problem
        raise EngineAway(
            Problem(
                problem.key,
                problem.happened,
                f"Job {number} goes on if the engine runs.",
                problem.remedy,
                problem.facts,
            )
        ) from error
    except KeyboardInterrupt:
        line.end()
        note(f"Stopped waiting; job {number} goes on.")
        raise
    finally:
        line.end()
    raise AssertionError("a client follows for ever")


def _ended(context: Context, job: JobView, done: Done) -> int:
    began, ended = job.started_at or job.queued_at, job.ended_at
    took = (ended - began).total_seconds() if ended else None
    if job.status != "done":
        raise Failure(
            Problem(
                f"job.{job.status}",
                f"Job {job.id} ({job.kind} of {job.machine}) {job.status}: "
                f"{job.reason or 'no reason was given'}",
                "",
                f"See: bootpoint journal --machine {job.machine}",
                {"job": int(job.id), "status": job.status},
            )
        )
    if context.output.as_json:
        context.output.object(text=done.text, job=job.id, status=job.status, details=job)
        return 0
    words = {
        "start": f"{job.machine} runs from {job.point}",
        "stop": f"{job.machine} is off",
        "home": f"{job.machine} is at home",
        "convert": f"{job.point} of {job.machine} is converted again",
        "sync": f"{job.point} of {job.machine} is ready",
    }
    context.output.say(f"{words.get(job.kind, f'Job {job.id} is done')} ({duration(took)}).")
    return 0


def point_id(text: str) -> str:
    """Return a boot point's id; a number alone will do."""
    return f"bp{int(text):06d}" if text.isascii() and text.isdigit() else text


def start(context: Context, *, machine: str, point: str, wait: bool, dry_run: bool) -> int:
    """Run a boot point on a scratch layer, isolated."""
    return act(context, "start", machine=machine, point=point_id(point), wait=wait, dry_run=dry_run)


def stop(context: Context, *, machine: str, yes_i_mean: str, wait: bool, dry_run: bool) -> int:
    """Power off and drop the scratch layer."""
    return act(context, "stop", machine=machine, typed=yes_i_mean, wait=wait, dry_run=dry_run)


def home(context: Context, *, machine: str, to: str, wait: bool, dry_run: bool) -> int:
    """Bring a started VM home."""
    return act(context, "home", machine=machine, to=to, wait=wait, dry_run=dry_run)


def stop_quietly(client: Client, machine: str) -> JobView:
    """Stop a machine's VM and return its ended job."""
    plan = client.call("plan", Plan, action="stop", machine=machine)
    done = client.call("run", Done, plan=plan.plan, confirm="", key=wish_key())
    return follow_job(client, done.job)


def cancel(context: Context, *, job: str) -> int:
    """End a job."""
    return act(context, "cancel", job=job)
