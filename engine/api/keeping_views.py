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


class ForeseenView(msgspec.Struct, kw_only=True):
    """The next consolidation: `point` goes after so many more boot points, about `at`.

    `after` 0: before another one can be made. Without `point` none goes: after so many more the
    chain on the target is full, and no further one is made; null: never. `depth`: trunk layers
    that lie on one another now.
    `bytes`, `copied`: what comes back then, by the layers as they are, and what is copied for it.
    """

    point: str = ""
    reason: str = ""
    after: int | None = None
    at: datetime | None = None
    depth: int = 0
    bytes: int | None = None
    copied: int = 0


class RetentionView(View, kw_only=True):
    """Answer to `retention`; `id` is the machine.

    `settings`: what it is judged by; `own`: names of those that its own file says. `most`: boot
    points that the target can hold. `bytes`: what comes back when those go that do not stay
    (`points` with `keep` false), None where it cannot be told; not `exact`: about, rather less.
    `copied`: what consolidation copies for it. `next`: what comes next where nothing goes now;
    null where something does. `proposed`: with other settings than those in force.
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
    next: ForeseenView | None = None


def settings_words(view: RetentionView) -> str:
    """Return what a machine's boot points are judged by, in a line."""
    told = [f"keep {view.settings['keep']}"]
    for key, value in view.settings.items():
        if key not in ("keep", "floor") and value:
            told.append(f"{key.replace('_', ' ')} {value}")
    return ", ".join([*told, f"floor {view.settings['floor']}"])


def coming(view: RetentionView) -> str:
    """Return what goes next and when, a sentence; empty where something goes now."""
    seen = view.next
    if seen is None:
        return ""
    if not seen.point and seen.after is None:
        return "None of them goes as more come: each is kept for a reason."
    more = f"{seen.after} more boot point{'s' * (seen.after != 1)}"
    when = f" (about {seen.at:%Y-%m-%d %H:%M} UTC)" if seen.at else ""
    if not seen.point:
        return f"After {more}{when} the chain is full, and no further one is made: none may go."
    then = f"after {more}{when}" if seen.after else "before another one is made"
    return f"Next to go: {seen.point}, {then}: {seen.reason}; {_back(seen)}."


def _back(seen: ForeseenView) -> str:
    if seen.bytes is None:
        return "how much room comes back cannot be told now"
    copied = f"; consolidation copies {size(seen.copied)}" if seen.copied else ""
    return f"about {size(seen.bytes)} come back{copied}"


def room(view: RetentionView) -> str:
    """Return what comes back, a phrase."""
    if not view.go:
        return "nothing goes, so no room comes back"
    if view.bytes is None:
        return "how much room comes back cannot be told now"
    about = "" if view.exact else "about "
    copied = f"; consolidation copies {size(view.copied)}" if view.copied else ""
    return f"{about}{size(view.bytes)} come back{copied}"
