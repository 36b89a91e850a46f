"""Takes in what scans found: recovery points into the state, news into the journal."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import attrgetter

from engine.model.images import Arrival, BadFile, ImageSet, PointId, RecoveryPoint, RootView
from engine.model.line import newness
from engine.model.points import BootPoint, Stage, in_order
from engine.model.state import State
from engine.model.text import safe
from engine.model.work import Severity
from engine.ports import StateStore

USABLE = frozenset({Arrival.COMPLETE, Arrival.VERIFIED})
_FORM = attrgetter(*(f.name for f in fields(RecoveryPoint) if f.name != "arrived_at"))
"""All that a scan says about a point."""


@dataclass(frozen=True, slots=True)
class News:
    """One line for the journal."""

    severity: Severity
    key: str
    text: str
    unchanged: str = ""
    remedy: str = ""


def arrived(state: State, view: RootView, now: datetime) -> list[RecoveryPoint]:
    """Return the usable points of a view that the state does not hold in this form yet."""
    fresh = []
    for point in (p for s in view.sets for p in s.points if p.arrival in USABLE):
        known = state.recovery_points.get(point.id)
        if known is None or _FORM(known) != _FORM(point):
            fresh.append(replace(point, arrived_at=known.arrived_at if known else now))
    return fresh


def vanished(state: State, views: Iterable[RootView]) -> list[PointId]:
    """Return stored points of online roots that these do not hold any more.

    After a start each file must settle anew: a point that is still ARRIVING is there nevertheless
    while its files are the very ones that were taken in.
    """
    present = {
        view.root: {p.id: p for s in view.sets for p in s.points} for view in views if view.online
    }
    return [
        point.id
        for point in state.recovery_points.values()
        if point.root in present and not _is_there(point, present[point.root].get(point.id))
    ]


def _is_there(known: RecoveryPoint, seen: RecoveryPoint | None) -> bool:
    if seen is None or seen.arrival in USABLE:
        return seen is not None
    return seen.arrival is Arrival.ARRIVING and _files(seen) == _files(known)


def _files(point: RecoveryPoint) -> object:
    """Return what tells that files are the same; the device is another one after a mount."""
    marks = [(disk.path, disk.mark) for disk in point.disks]
    return [(path, None if mark is None else replace(mark, device=0)) for path, mark in marks]


def gaps(
    images: ImageSet, made: Container[PointId], ready: Iterable[BootPoint]
) -> Mapping[PointId, str]:
    """Return the missing parents that stop something.

    What was applied may vanish at the source; and of a chain that a newer one took the place of
    nothing would be made any more.

    Args:
        images: An image set with what it misses.
        made: Recovery points that boot points were made of.
        ready: READY boot points of its machine, oldest data first.
    """
    if _passed(images, ready):
        return {}
    return {point: text for point, text in images.missing.items() if point not in made}


def _passed(images: ImageSet, ready: Iterable[BootPoint]) -> bool:
    """Tell whether each standby holds newer data than all of an image set, of another one."""
    tips = {point.standby: point for point in ready}
    newest = max(map(newness, images.points), default=None)
    return (
        newest is not None
        and bool(tips)
        and all(tip.set_id != images.id and newness(tip) > newest for tip in tips.values())
    )


def standing(views: Iterable[RootView], state: State) -> dict[str, Mapping[PointId, str]]:
    """Return image set -> the missing parents that stop something; without those it lacks none."""
    seen = list(views)
    lacking = [one for view in seen for one in view.sets if one.missing]
    made = {point.recovery_point for point in state.boot_points.values()} if lacking else set()
    ready = _ready_of({one.machine_uuid for one in lacking}, seen, state)
    return {one.id: gaps(one, made, ready.get(one.machine_uuid, ())) for one in lacking}


def _order(point: BootPoint) -> tuple[int, str]:
    return in_order(point.id)


def _ready_of(
    machines: Collection[str], views: Sequence[RootView], state: State
) -> Mapping[str, Sequence[BootPoint]]:
    """Return machine UUID -> its READY boot points, those of each standby in their order."""
    if not machines:
        return {}
    machine_of = {one.id: one.machine_uuid for view in views for one in view.sets}
    ready = [
        point
        for point in state.boot_points.values()
        if point.stage is Stage.READY and machine_of.get(point.set_id, "") in machines
    ]
    found: dict[str, list[BootPoint]] = {}
    for point in sorted(ready, key=_order):
        found.setdefault(machine_of[point.set_id], []).append(point)
    return found


def unaffected(ready: Sequence[BootPoint]) -> str:
    """Return which boot points a gap does not touch, a sentence; oldest data first."""
    if not ready:
        return "No boot point is ready yet."
    newest = ready[-1]
    told = f"{newest.id} (data as of {newest.taken_at:%Y-%m-%d %H:%M:%S} UTC)"
    if len(ready) == 1:
        return f"Its boot point {told} is not affected."
    return f"Its {len(ready)} ready boot points, up to {told}, are not affected."


@dataclass(slots=True)
class Intake:
    """Remembers what was told already, so that each thing is told once."""

    store: StateStore
    _bad: dict[tuple[str, str], tuple[str, int, bool]] = field(default_factory=dict)
    _missing: dict[str, frozenset[PointId]] = field(default_factory=dict)
    _online: dict[str, bool] = field(default_factory=dict)

    def take(self, views: Sequence[RootView], owners: Mapping[str, str], now: datetime) -> None:
        """Store what is new in views and tell it, in one transaction.

        Args:
            views: Complete scans, of different roots.
            owners: Image set id -> name of the standby that follows it.
            now: Aware UTC.
        """
        state = self.store.read()
        # Of a point that several watched folders hold, one inside the other, the last view counts.
        fresh = list({p.id: p for view in views for p in arrived(state, view, now)}.values())
        gone = vanished(state, views)
        told = [
            *(one for view in views for one in self._news(view, state)),
            *(_arrival(p) for p in fresh if p.id not in state.recovery_points),
        ]
        names = {p.id: owners.get(p.set_id, "") for p in fresh}
        if not (fresh or gone or told):
            return
        with self.store.write() as tx:
            tx.save_recovery_points(fresh)
            tx.forget_recovery_points(gone)
            for owner, news in told:
                standby = names.get(PointId(owner), "")
                tx.write_journal(
                    now, news.severity, standby, news.key, news.text, news.unchanged, news.remedy
                )

    def _news(self, view: RootView, state: State) -> list[tuple[str, News]]:
        news = [*self._root_news(view)]
        if view.online:
            news += [*self._file_news(view.root, view.bad), *self._gap_news(view, state)]
        return [("", one) for one in news]

    def _root_news(self, view: RootView) -> list[News]:
        before = self._online.get(view.root, True)
        self._online[view.root] = view.online
        if before == view.online:
            return []
        folder = safe(view.root, 200)
        if view.online:
            return [News(Severity.INFO, "folder.online", f"The watched folder {folder} is back.")]
        return [
            News(
                Severity.ERROR,
                "folder.offline",
                f"The watched folder {folder} is not available: {view.reason}",
                "Nothing was deleted; ready boot points can be started. The last view is kept.",
                "Mount it again or check the network; it is looked at again by itself.",
            )
        ]

    def _file_news(self, root: str, bad: Sequence[BadFile]) -> list[News]:
        news = []
        present = set()
        for file in bad:
            mark, told = (root, file.path), (file.key, file.mark.size, file.waiting)
            present.add(mark)
            if not file.waiting and self._bad.get(mark) != told:
                news.append(
                    News(
                        Severity.INFO if file.is_harmless else Severity.WARNING,
                        file.key,
                        file.reason,
                        "It was not applied; ready boot points are not affected.",
                        file.remedy,
                    )
                )
            self._bad[mark] = told
        for mark in [m for m in self._bad if m[0] == root and m not in present]:
            del self._bad[mark]
        return news

    def _gap_news(self, view: RootView, state: State) -> list[News]:
        news = []
        lacking = standing([view], state)
        for one in view.sets:
            missing = lacking.get(one.id, {})
            before = self._missing.get(one.id, frozenset())
            self._missing[one.id] = frozenset(missing)
            fresh = [text for point, text in missing.items() if point not in before]
            ready = [p for p in state.boot_points.values() if p.set_id == one.id] if fresh else []
            ready = sorted((p for p in ready if p.stage is Stage.READY), key=_order)
            safe_ones = unaffected(ready)
            news += [
                News(Severity.WARNING, "image.parent-missing", text, safe_ones) for text in fresh
            ]
        return news


def _arrival(point: RecoveryPoint) -> tuple[str, News]:
    kind = "full" if point.is_base else "increment"
    text = (
        f"{kind.capitalize()} {point.sequence} of {safe(point.machine_name)} arrived "
        f"({point.size / 2**20:.1f} MiB, state of {point.taken_at:%Y-%m-%d %H:%M:%S} UTC)."
    )
    return point.id, News(Severity.INFO, "image.arrived", text)
