"""What scans brought: taken in a batch at a time, and matched with who follows it.

    scans ─► Views ─► a batch ─► match, take in, plan ─► jobs begin ─► the next batch …

After a start every folder brings its view at nearly the same moment. With 500 of them the first
jobs begin after the first batch, not after 10,000 arrivals were stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.daemon.intake import gaps, unaffected
from engine.model.line import match_source

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.model.images import ImageSet, PointId, RootView
    from engine.model.state import State

BATCH = 1000
"""Recovery points in views that are taken in before the first decision; one view always is."""
MOST = 4 * BATCH
"""Those before a later one: each batch is twice the one before, while more wait. A decision looks
at all standbys, so batches of one size would cost the square of the site."""


class Views:
    """The newest view of each folder that was not taken in yet; whoever waits longest is first."""

    def __init__(self) -> None:
        """Hold none."""
        self._waiting: dict[str, RootView] = {}
        self._size = BATCH

    def __bool__(self) -> bool:
        """Tell whether any waits."""
        return bool(self._waiting)

    def put(self, view: RootView) -> None:
        """Hold a view in the place of an older one of the same folder."""
        self._waiting[view.root] = view

    def back(self, views: Iterable[RootView]) -> None:
        """Hold views again that could not be taken in; newer ones stay."""
        self._waiting = {view.root: view for view in views} | self._waiting

    def batch(self) -> list[RootView]:
        """Give out the next ones."""
        given: list[RootView] = []
        points = 0
        while self._waiting and points < self._size:
            view = self._waiting.pop(next(iter(self._waiting)))
            points += sum(len(one.points) for one in view.sets)
            given.append(view)
        self._size = min(2 * self._size, MOST) if self._waiting else BATCH
        return given


def match(engine: Engine, state: State, names: Iterable[str]) -> None:
    """Find the image set that standbys follow, or say why there is none.

    The caller holds the engine's lock.
    """
    made: frozenset[PointId] | None = None
    for name in names:
        standby = engine.standbys[name]
        view = engine.roots.get(standby.images)
        sets: Sequence[ImageSet] = view.sets if view is not None else ()
        found = match_source(standby, sets)
        if found.machine_uuid:
            engine.sources[name] = found.machine_uuid
        mine = [s for s in sets if s.machine_uuid == found.machine_uuid and s.missing]
        if mine and made is None:
            made = frozenset(p.recovery_point for p in state.boot_points.values())
        ready = state.ready(name) if mine else ()
        missing = [text for s in mine for text in gaps(s, made or (), ready).values()]
        missing += [unaffected(ready)] if missing else []
        engine.waiting[name] = [found.problem, *missing] if found.problem else missing


def owners(engine: Engine, views: Iterable[RootView]) -> dict[str, str]:
    """Return image set -> the standby that follows it, of the sets of some views."""
    by_machine = {uuid: name for name, uuid in engine.sources.items()}
    return {s.id: by_machine.get(s.machine_uuid, "") for v in views for s in v.sets}
