"""Every place of the console and the pure function that says what stands on it.

A screen is loaded when it is first opened: the first one shall not wait for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import cast

from tui.look import Look
from tui.screens.frame import Content
from tui.state import Fleet

Draw = Callable[[Fleet, Look], Content]
_WHERE = {
    "fleet": "fleet.content",
    "machine": "machine.content",
    "point": "machine.point_content",
    "guest": "reports.content",
    "ledger": "reports.content",
    "dry run": "reports.content",
    "retention": "retention.content",
    "run": "run.content",
    "picture": "picture.content",
    "jobs": "jobs.content",
    "journal": "journal.content",
    "targets": "targets.content",
    "one target": "targets.one_content",
    "target": "target.content",
    "trust": "target.trust_content",
    "added": "target.added_content",
    "removal": "removal.content",
    "removed": "removal.done_content",
    "certificate": "certificate.content",
    "alerts": "alerts.content",
    "sets": "sets.content",
    "set": "sets.set_content",
    "settings": "settings.content",
    "engine.toml": "reports.about_content",
    "connected": "reports.about_content",
    "help": "help.content",
    "menu": "help.menu_content",
    "review": "review.content",
    "answer": "answer.content",
    "plan": "plan.content",
    "refused": "plan.refused_content",
    "new": "new.content",
    "form": "form.content",
}
"""Place -> module below `tui/screens` and its function."""


class _Places(Mapping[str, Draw]):
    """The places by name."""

    def __getitem__(self, place: str) -> Draw:
        module, _, name = _WHERE[place].partition(".")
        return cast("Draw", getattr(import_module(f"tui.screens.{module}"), name))

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


CONTENT: Mapping[str, Draw] = _Places()
