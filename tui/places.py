"""Every place of the console and the pure function that says what stands on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tui.look import Look
from tui.screens import (
    alerts,
    fleet,
    form,
    help,  # noqa: A004  (the screen's name)
    jobs,
    journal,
    machine,
    new,
    picture,
    plan,
    reports,
    retention,
    review,
    run,
    sets,
    settings,
    targets,
)
from tui.screens.frame import Content
from tui.state import Fleet

CONTENT: Mapping[str, Callable[[Fleet, Look], Content]] = {
    "fleet": fleet.content,
    "machine": machine.content,
    "point": machine.point_content,
    "guest": reports.content,
    "ledger": reports.content,
    "dry run": reports.content,
    "retention": retention.content,
    "run": run.content,
    "picture": picture.content,
    "jobs": jobs.content,
    "journal": journal.content,
    "targets": targets.content,
    "alerts": alerts.content,
    "sets": sets.content,
    "set": sets.set_content,
    "settings": settings.content,
    "help": help.content,
    "menu": help.menu_content,
    "review": review.content,
    "plan": plan.content,
    "refused": plan.refused_content,
    "new": new.content,
    "form": form.content,
}
