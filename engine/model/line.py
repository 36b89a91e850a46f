"""Which recovery points a standby follows, and from where it can go on.

    base ─ 1 ─ 2 ─ 3 ─ 4        recovery points, in the order of their parent links
           │       │
          bp1     bp2           boot points; 4 goes on from bp2: the way is [4], the anchor bp2

The head is the newest point whose chain is complete down to an anchor or a base. A second child
of one parent that is newer than our tip is a differential and becomes the line; one that is not
newer is a fork and is held. So is a chain of its own that claims to be older than the tip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.model.errors import Problem
from engine.model.images import Arrival, ImageSet, PointId, RecoveryPoint
from engine.model.points import BootPoint, Stage, in_order
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.text import safe, slug

USABLE = frozenset({Arrival.COMPLETE, Arrival.VERIFIED})
_AHEAD = timedelta(days=1)
"""How far a source's clock may be ahead: more than any error in the choice of a time zone."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where a standby's image set stands, seen from what was already made of it.

    Attributes:
        head: Newest point that can be made.
        anchor: Boot point whose trunk layer `way` continues; None: `way` begins with a base.
        way: Points to apply to reach `head`, oldest first; empty when `head` was made already.
        fresh: Those of `way` that are news, so that boot points of them are of use.
        siblings: Differentials newer than the tip that have the head's parent, the head included.
        goes_on: A newer chain follows that is a line of its own.
    """

    head: RecoveryPoint
    anchor: BootPoint | None
    way: Sequence[RecoveryPoint]
    fresh: Sequence[RecoveryPoint]
    siblings: int
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Which machine a standby follows.

    Attributes:
        machine_uuid: Empty when that cannot be told.
        problem: Why not, and what to do, a paragraph; empty when it can.
    """

    machine_uuid: str
    problem: str = ""


def is_usable(point: RecoveryPoint) -> bool:
    """Tell whether a point's own files are all there and readable."""
    return point.arrival in USABLE and not point.locked


def newness(point: RecoveryPoint | BootPoint) -> tuple[datetime, int]:
    """Return what decides which of two points that do not follow one another is the newer.

    No point is from a time after it was seen here: the source's clock was ahead then, and once it
    is put right all that follows would be older.
    """
    seen = point.created_at if isinstance(point, BootPoint) else point.arrived_at
    is_ahead = seen is not None and point.taken_at > seen + _AHEAD
    return seen if seen is not None and is_ahead else point.taken_at, point.sequence


def lies_in(point: RecoveryPoint, folder: str) -> bool:
    """Tell whether a point belongs to a standby that watches `folder` (absolute).

    The point's root may be the folder, one below it, or one above it with the files inside.
    """
    if point.root == folder:
        return True
    below = folder.rstrip("/") + "/"
    if (point.root.rstrip("/") + "/").startswith(below):
        return True
    return any(
        f"{point.root.rstrip('/')}/{disk.path}".startswith(below)
        for disk in point.disks
        if disk.path
    )


def follow(
    points: Iterable[RecoveryPoint], made: Sequence[BootPoint], *, every: bool = False
) -> Line | None:
    """Return how a standby goes on.

    Args:
        points: Recovery points of its machine in its folder, in any order.
        made: Its boot points, retired ones included.
        every: Where several generations came at once, the news of the older ones first; else only
            the newest is followed.

    Returns:
        None while no point can be made at all.
    """
    known = {point.id: point for point in points}
    anchors = _anchors(made)
    within = _reachable(known, anchors)
    heads = _newest_leaves(within)
    tip = tip_of(made)
    if not heads:
        return None
    if every and tip is not None:
        for head in heads[:-1]:
            line = _line_to(head, within, anchors, tip)
            if line.fresh:
                return replace(line, goes_on=True)
    return _line_to(heads[-1], within, anchors, tip)


def _line_to(
    head: RecoveryPoint,
    within: Mapping[PointId, RecoveryPoint],
    anchors: Mapping[PointId, BootPoint],
    tip: BootPoint | None,
) -> Line:
    if head.id in anchors:
        return Line(head, anchors[head.id], (), (), 0)
    way = _way(head, within, anchors)
    anchor = _anchor_of(way[0], anchors)
    fresh = _fresh(way, anchor, tip)
    siblings = [
        p for p in within.values() if p.parent == head.parent and (not tip or _is_newer(p, tip))
    ]
    return Line(head, anchor, way, fresh, len(siblings))


def tip_of(made: Sequence[BootPoint]) -> BootPoint | None:
    """Return the boot point up to which the line was followed: the one made last.

    Boot points are numbered in the order of the line, so a source's wrong clock cannot move the
    tip. Those given up before they were ready do not count.
    """
    return max(counting(made), key=lambda point: in_order(point.id), default=None)


def bed(made: Iterable[BootPoint]) -> BootPoint | None:
    """Return the boot point whose trunk layer a new generation is compared with.

    The newest that has one, whether it can start or not. None that is still to be made: a new full
    must not wait for a chain that cannot go on.
    """
    alive = (point for point in made if point.stage is not Stage.RETIRED)
    whole = (point for point in alive if point.has_trunk or point.stage is Stage.READY)
    return max(whole, key=lambda point: in_order(point.id), default=None)


def counting(made: Iterable[BootPoint]) -> list[BootPoint]:
    """Return the boot points that are or once were of use: all but those given up unmade."""
    return [p for p in made if p.stage is not Stage.RETIRED or p.ready_at is not None]


def forks(points: Iterable[RecoveryPoint], made: Sequence[BootPoint]) -> list[RecoveryPoint]:
    """Return the ends of branches that are held; older differentials of the tip's full are none."""
    known = {point.id: point for point in points}
    tip = tip_of(made)
    if tip is None:
        return []
    passed = {boot_point.recovery_point for boot_point in made} | _ancestors(tip, known)
    full = _full_below(tip, known)
    within = _reachable(known, _anchors(made))
    parents = {point.parent for point in within.values()}
    return [
        point
        for point in within.values()
        if point.id not in parents
        and point.id not in passed
        and point.set_id == tip.set_id
        and point.parent != tip.recovery_point
        and (point.parent is None or point.parent != full)
        and not _is_newer(point, tip)
        and not _descends(point, tip, within)
    ]


def outdated(points: Iterable[RecoveryPoint], made: Sequence[BootPoint]) -> list[RecoveryPoint]:
    """Return the ends of chains that came after the newest boot point and claim to be older.

    Those of which nothing was ever made: an archive that was copied in, or a source whose clock
    was put back.
    """
    tip = tip_of(made)
    if tip is None:
        return []
    known = {point.id: point for point in points}
    followed = {boot_point.set_id for boot_point in made}
    if all(point.set_id in followed for point in known.values()):
        return []
    return [
        point
        for point in _newest_leaves(_reachable(known, _anchors(made)))
        if point.set_id not in followed
        and point.arrived_at is not None
        and point.arrived_at > tip.created_at
        and not _is_newer(point, tip)
    ]


def path_for(boot_point: BootPoint, state: State) -> Sequence[RecoveryPoint]:
    """Return the recovery points that make a boot point out of its parent's trunk layer.

    A path may begin at a base although there is a parent: it is a new generation, of which only
    what differs from the parent's layer is written.

    Args:
        boot_point: Its `parent` says where the path begins; None: at a base.
        state: The picture that holds parent and recovery points.

    Returns:
        Oldest first, the last is the boot point's own. Empty when the path is broken: the parent
        is gone or retired, or a point between is not known any more.
    """
    stop: PointId | None = None
    if boot_point.parent is not None:
        parent = state.boot_points.get(boot_point.parent)
        if parent is None or parent.stage is Stage.RETIRED:
            return ()
        stop = parent.recovery_point
    path: list[RecoveryPoint] = []
    seen: set[PointId] = set()
    at: PointId | None = boot_point.recovery_point
    while at is not None and at != stop:
        point = state.recovery_points.get(at)
        if point is None or at in seen:
            return ()
        seen.add(at)
        path.append(point)
        is_folded = stop in point.replaces and stop != point.id
        at = stop if is_folded else point.parent
    return tuple(reversed(path)) if at is None or at == stop else ()


def match_source(standby: Standby, sets: Iterable[ImageSet]) -> Source:
    """Return the machine a standby follows, or why that cannot be told."""
    here: dict[str, str] = {}
    for one in sets:
        if any(lies_in(point, standby.images) for point in one.points):
            here.setdefault(one.machine_uuid, one.machine_name)
    if standby.machine:
        wanted = standby.machine.casefold()
        found = [u for u, name in here.items() if wanted in (u.casefold(), name.casefold())]
    else:
        found = list(here) if len(here) == 1 else []
        found = found or [u for u, name in here.items() if slug(name) == standby.name]
    if len(found) == 1:
        return Source(found[0])
    return Source("", str(_no_source(standby, here, found)))


def _no_source(standby: Standby, here: Mapping[str, str], found: Sequence[str]) -> Problem:
    folder = safe(standby.images)
    facts: dict[str, str | int] = {"standby": standby.name, "images": folder, "machines": len(here)}
    unchanged = "Boot points that exist stay as they are."
    if not here:
        return Problem(
            "standby.no-images",
            f"No image of a machine has been found in {folder} yet.",
            unchanged,
            "Nothing to do if replication has not brought one yet; otherwise check the folder.",
            facts,
        )
    listed = ", ".join(sorted(f"{safe(name)} ({safe(uuid)})" for uuid, name in here.items()))
    if standby.machine:
        fits = "more than one is" if found else "none is"
        happened = f"{fits} called {safe(standby.machine)}"
    else:
        happened = f"none or more than one is called {standby.name}"
    return Problem(
        "standby.ambiguous",
        f"{folder} holds images of {len(here)} machines: {listed}; {happened}.",
        unchanged,
        f"Set `machine` of standby {standby.name} to the name or UUID of one of them.",
        facts,
    )


def _is_newer(point: RecoveryPoint, tip: BootPoint) -> bool:
    return newness(point) > newness(tip)


def _anchors(made: Iterable[BootPoint]) -> dict[PointId, BootPoint]:
    """Return recovery point -> the boot point to go on from; ready ones first, then the newest."""
    alive = [point for point in made if point.stage is not Stage.RETIRED]
    alive.sort(key=lambda point: (point.stage is Stage.READY, in_order(point.id)))
    return {point.recovery_point: point for point in alive}


def _anchor_of(point: RecoveryPoint, anchors: Mapping[PointId, BootPoint]) -> BootPoint | None:
    """Return the boot point that a recovery point can be laid on.

    That of its parent; else that of the newest point folded into it, whose bytes it holds again.
    """
    if point.parent is None:
        return None
    anchor = anchors.get(point.parent)
    if anchor is not None or not point.replaces:
        return anchor
    folded = (old for old in reversed(point.replaces) if old != point.id)
    return next((anchors[old] for old in folded if old in anchors), None)


def _reachable(
    known: Mapping[PointId, RecoveryPoint], anchors: Mapping[PointId, BootPoint]
) -> dict[PointId, RecoveryPoint]:
    """Return the usable points whose chain is complete down to an anchor or a base."""
    children: dict[PointId, list[RecoveryPoint]] = {}
    queue: list[RecoveryPoint] = []
    for point in known.values():
        if not is_usable(point):
            continue
        parent = point.parent
        if parent is None or parent in anchors or _anchor_of(point, anchors) is not None:
            queue.append(point)
        else:
            children.setdefault(parent, []).append(point)
    found: dict[PointId, RecoveryPoint] = {}
    while queue:
        point = queue.pop()
        if point.id not in found:
            found[point.id] = point
            queue.extend(children.get(point.id, ()))
    return found


def _newest_leaves(within: Mapping[PointId, RecoveryPoint]) -> Sequence[RecoveryPoint]:
    """Return the newest end of each image set, the newest of all last."""
    parents = {point.parent for point in within.values()}
    leaves = [point for point in within.values() if point.id not in parents]
    leaves.sort(key=lambda point: (*newness(point), point.id))
    newest = {point.set_id: point for point in leaves}
    return [point for point in leaves if newest[point.set_id] is point]


def _way(
    head: RecoveryPoint,
    within: Mapping[PointId, RecoveryPoint],
    anchors: Mapping[PointId, BootPoint],
) -> tuple[RecoveryPoint, ...]:
    """Return the points from just above an anchor, or from a base, up to `head`."""
    way = [head]
    while (parent := way[-1].parent) is not None and _anchor_of(way[-1], anchors) is None:
        way.append(within[parent])
    return tuple(reversed(way))


def _fresh(
    way: Sequence[RecoveryPoint], anchor: BootPoint | None, tip: BootPoint | None
) -> Sequence[RecoveryPoint]:
    """Return the points of the way that are news: after the tip, or newer than it."""
    if tip is None or (anchor is not None and anchor.id == tip.id):
        return way
    if not _is_newer(way[-1], tip):
        return ()
    return [point for point in way if _is_newer(point, tip)]


def _ancestors(tip: BootPoint, known: Mapping[PointId, RecoveryPoint]) -> set[PointId]:
    found: set[PointId] = set()
    at = known.get(tip.recovery_point)
    while at is not None and at.id not in found:
        found.add(at.id)
        at = known.get(at.parent) if at.parent is not None else None
    return found


def _full_below(tip: BootPoint, known: Mapping[PointId, RecoveryPoint]) -> PointId | None:
    """Return the full that the tip is a differential of; None: it is an increment, or a full."""
    own = known.get(tip.recovery_point)
    parent = known.get(own.parent) if own is not None and own.parent is not None else None
    return parent.id if parent is not None and parent.is_base else None


def _descends(
    point: RecoveryPoint, tip: BootPoint, within: Mapping[PointId, RecoveryPoint]
) -> bool:
    seen: set[PointId] = set()
    at: RecoveryPoint | None = point
    while at is not None and at.id not in seen:
        if at.parent == tip.recovery_point:
            return True
        seen.add(at.id)
        at = within.get(at.parent) if at.parent is not None else None
    return False
