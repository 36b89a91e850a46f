"""What the engine tells of retention; as `views.py`. And its words, the same everywhere."""

from __future__ import annotations

from datetime import datetime

import msgspec

from engine.api.views import View
from engine.api.words import size


class VerdictView(msgspec.Struct, kw_only=True):
    """One boot point: whether it stays (`keep`), why, and whether it does as things are (`now`).

    `rules`: all that speak for it, the strongest first; of one that goes, what lets it go.
    """

    id: str
    data_as_of: datetime
    stage: str
    keep: bool
    now: bool
    reason: str
    rules: list[str] = []
    pin: str = ""


class RetentionView(View, kw_only=True):
    """Answer to `retention`; `id` is the machine.

    `settings`: what it is judged by; `own`: names of those that its own file says. `most`: boot
    points that the target can hold. `bytes`: what comes back when those go that do not stay
    (`points` with `keep` false), None where it cannot be told; not `exact`: about, rather less.
    `copied`: what consolidation copies for it. `proposed`: with other settings than those in force.
    """

    settings: dict[str, int]
    own: list[str]
    most: int | None = None
    hold: str = ""
    proposed: bool = False
    points: list[VerdictView]
    stay: int
    go: int
    bytes: int | None = None
    copied: int = 0
    exact: bool = True
    hidden: int = 0


def settings_words(view: RetentionView) -> str:
    """Return what a machine's boot points are judged by, in a line."""
    told = [f"keep {view.settings['keep']}"]
    for key, value in view.settings.items():
        if key not in ("keep", "floor") and value:
            told.append(f"{key.replace('_', ' ')} {value}")
    return ", ".join([*told, f"floor {view.settings['floor']}"])


def room(view: RetentionView) -> str:
    """Return what comes back, a phrase."""
    if not view.go:
        return "nothing goes, so no room comes back"
    if view.bytes is None:
        return "how much room comes back cannot be told now"
    about = "" if view.exact else "about "
    copied = f"; consolidation copies {size(view.copied)}" if view.copied else ""
    return f"{about}{size(view.bytes)} come back{copied}"
