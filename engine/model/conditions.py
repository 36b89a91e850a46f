"""What is wrong now: an open list of pure functions from the scene to conditions.

    Scene ──► each of WATCHES ──► conditions ──► `alarms.update`

A new kind of trouble is one more function here; its keys begin with a word of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from engine.model.alarms import Condition
from engine.model.fleet import Standing, release_of
from engine.model.guard import GUARD
from engine.model.images import Arrival, RootView
from engine.model.ladder import silence, span
from engine.model.machine import Gravity, Signs
from engine.model.planner import Limits, is_parked
from engine.model.points import BootPoint, Stage, in_order
from engine.model.space import Room
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.text import safe
from engine.model.work import Severity

FILES_ALONE = 10
"""Bad files of one folder that have an alert each; more have one together."""
LITTLE, SOON_D = 0.05, 7.0
"""Share of a datastore, and days until it is full, below which somebody is told."""
FAR = 2
"""So many times over the goal a breach becomes urgent."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something a target's preflight found."""

    key: str
    gravity: Gravity
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class TargetScene:
    """A target: why it cannot be used (empty when it can), what was found, and its room."""

    problem: str = ""
    troubles: Sequence[Trouble] = ()
    room: Room | None = None
    days_left: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything conditions are seen in, at one moment.

    Attributes:
        standings: Standby -> how it stands.
        signs: Standby -> signs of life of its VM, for those that are looked at.
        unwell: What is wrong with the engine itself, sentences by a stable word.
        deaf: Way out -> why nothing comes through.
    """

    now: datetime
    state: State = field(default_factory=State)
    standbys: Mapping[str, Standby] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    roots: Mapping[str, RootView] = field(default_factory=dict)
    targets: Mapping[str, TargetScene] = field(default_factory=dict)
    signs: Mapping[str, Signs] = field(default_factory=dict)
    unwell: Mapping[str, str] = field(default_factory=dict)
    deaf: Mapping[str, str] = field(default_factory=dict)


Watch = Callable[[Scene], Iterable[Condition]]


def conditions(scene: Scene, watches: Iterable[Watch] | None = None) -> list[Condition]:
    """Return all that is wrong, as the watches see it (None: all of `WATCHES`)."""
    return [one for watch in (WATCHES if watches is None else watches) for one in watch(scene)]


def breach(scene: Scene) -> Iterator[Condition]:
    """RPO goal missed: `rpo:MACHINE`, urgent at twice the goal."""
    for name, standby in scene.standbys.items():
        standing = scene.standings.get(name)
        if standing is None or standby.rpo_s is None:
            continue
        lag, since = standing.lag_s, standby.created_at
        if lag is None:
            lag = (scene.now - since).total_seconds() if since is not None else 0.0
        if lag <= standby.rpo_s:
            continue
        urgent = lag > FAR * standby.rpo_s and not standby.held
        losing = standing.ladder.losing
        what = (
            f"{name} has no boot point that is ready since it was added {span(lag)} ago"
            if standing.lag_s is None
            else f"The newest boot point of {name} holds data that is {span(lag)} old"
        )
        where = f" Most time is lost at the rung {losing}." if losing else ""
        held = f" It is on hold: {safe(standby.held)}." if standby.held else ""
        yield Condition(
            f"rpo:{name}",
            Severity.ERROR if urgent else Severity.WARNING,
            name,
            f"{name}: data is older than its goal",
            f"{what}; the goal is {span(standby.rpo_s)}.{where}{held}",
            "Check that the backup ran and that replication brings its files.",
        )


def silent(scene: Scene) -> Iterator[Condition]:
    """No new image for longer than usual: `silence:MACHINE`; an absent folder is told instead."""
    for name, standing in scene.standings.items():
        root = scene.roots.get(scene.standbys[name].images) if name in scene.standbys else None
        if standing.ladder.silent and root is not None and root.online:
            yield Condition(
                f"silence:{name}",
                Severity.WARNING,
                name,
                f"{name}: no new image",
                f"{name}: {silence(standing.ladder, scene.now)}",
                "Check that the backup ran and that replication brings its files.",
            )


def failing(scene: Scene) -> Iterator[Condition]:
    """A boot point that could not be made: `failed:`, `parked:` or `obstacle:MACHINE`."""
    made: dict[str, list[BootPoint]] = {}
    for point in scene.state.boot_points.values():
        made.setdefault(point.standby, []).append(point)
    for name in scene.standbys:
        points = sorted(made.get(name, ()), key=lambda point: in_order(point.id))
        newest = next((p for p in reversed(points) if p.stage is not Stage.RETIRED), None)
        if newest is not None and newest.stage is Stage.FAILED:
            yield _failed(name, newest, scene.state)


def _failed(name: str, point: BootPoint, state: State) -> Condition:
    words = f"Boot point {point.id} of {name}"
    if point.obstacle:
        return Condition(
            f"obstacle:{name}",
            Severity.WARNING,
            name,
            f"{name}: newest boot point is not bootable",
            f"{words} is NOT BOOTABLE: {safe(point.reason, 600)}",
            "Earlier boot points can start. Convert it again after a fix.",
        )
    if is_parked(point, state, Limits()):
        return Condition(
            f"parked:{name}",
            Severity.ERROR,
            name,
            f"{name}: no boot point can be made",
            f"{words} failed {point.attempts} times and is not tried again until its images "
            f"change: {safe(point.reason, 600)}",
            "See the journal for the reason of each try.",
        )
    return Condition(
        f"failed:{name}",
        Severity.WARNING,
        name,
        f"{name}: a boot point could not be made",
        f"{words} failed: {safe(point.reason, 600)}",
        "It is tried again by itself.",
    )


def folders(scene: Scene) -> Iterator[Condition]:
    """Watched folders that are not there or cannot be read: `folder:…`."""
    for root in scene.roots.values():
        if not root.online:
            shown = safe(root.root, 200)
            yield Condition(
                f"folder:{named(root.root)}",
                Severity.ERROR,
                _owner(scene, root.root),
                f"Watched folder {shown} is not available",
                f"The watched folder {shown} is not available: {safe(root.reason, 400)}",
                "Mount it again or check the network; ready boot points can be started.",
            )


def broken(scene: Scene) -> Iterator[Condition]:
    """Image files that cannot be used: `image:…`, or `images:…` for many of one folder."""
    for root in scene.roots.values():
        found = list(_broken(root)) if root.online else []
        owner = _owner(scene, root.root)
        if len(found) > FILES_ALONE:
            shown = safe(root.root, 200)
            text = f"{len(found)} image files or points in {shown} cannot be used. "
            yield Condition(
                f"images:{named(root.root)}",
                Severity.WARNING,
                owner,
                f"Many image files in {shown} cannot be used",
                text + f"The first: {found[0][1]}",
                "See the findings; replicate the files again from where they were made.",
            )
            continue
        for path, text, remedy in found:
            yield Condition(
                f"image:{named(f'{root.root}/{path}')}",
                Severity.WARNING,
                owner,
                f"An image in {safe(root.root, 200)} cannot be used",
                text,
                remedy,
            )


def _broken(root: RootView) -> Iterator[tuple[str, str, str]]:
    for bad in root.bad:
        if not bad.is_harmless:
            text = f"{safe(bad.path, 200)}: {safe(bad.reason, 400)}"
            yield bad.path, text, safe(bad.remedy, 400)
    for family in root.sets:
        for point in family.points:
            if point.arrival is Arrival.DAMAGED:
                words = f"Point {point.sequence} of {safe(point.machine_name)} is damaged: "
                remedy = "Replicate its files again from where they were made."
                yield str(point.id), words + safe(point.reason, 400), remedy


def targets(scene: Scene) -> Iterator[Condition]:
    """Targets that cannot be used, and what their preflight found: `target:NAME[:KEY]`."""
    for name, target in scene.targets.items():
        if target.problem:
            yield Condition(
                f"target:{name}",
                Severity.ERROR,
                "",
                f"Target {name} cannot be used",
                f"Target {name} cannot be used: {safe(target.problem, 600)}",
                "Its boot points cannot be started there until it can.",
            )
        for one in target.troubles:
            if one.gravity is not Gravity.NOTE:
                yield Condition(
                    f"target:{name}:{safe(one.key, 80)}",
                    Severity.ERROR if one.gravity is Gravity.ERROR else Severity.WARNING,
                    "",
                    f"Target {name} needs attention ({safe(one.key, 80)})",
                    safe(one.text, 600),
                    safe(one.remedy, 400),
                )


def space(scene: Scene) -> Iterator[Condition]:
    """Little room on a target: `space:NAME`, urgent once boot points cannot be made any more."""
    for name, target in scene.targets.items():
        room, days = target.room, target.days_left
        if room is None:
            continue
        is_full = room.usable == 0
        if not is_full and room.usable >= LITTLE * room.total and (days is None or days > SOON_D):
            continue
        free = f"{room.free / 2**30:.1f} GiB of {room.total / 2**30:.1f} GiB are free"
        kept = f"{room.reserve / 2**30:.1f} GiB stay in reserve"
        kept += f", {room.fold / 2**30:.1f} GiB are for consolidation" if room.fold else ""
        when = "" if days is None else f" Full in {days:.0f} days at the present growth."
        yield Condition(
            f"space:{name}",
            Severity.ERROR if is_full else Severity.WARNING,
            "",
            f"Target {name} has no room left" if is_full else f"Target {name} has little room left",
            f"On the datastore of target {name} {free}; {kept}.{when}",
            "Free space there, keep fewer boot points, or enlarge it.",
        )


def engine(scene: Scene) -> Iterator[Condition]:
    """The engine itself: `engine:WORD`, always urgent."""
    for word, text in scene.unwell.items():
        yield Condition(
            f"engine:{word}",
            Severity.ERROR,
            "",
            "The engine is unwell",
            text,
            "Look at the engine's log; restart it if it does not recover.",
        )


def guarded(scene: Scene) -> Iterator[Condition]:
    """Increments that look like ransomware: `guard:MACHINE`, urgent until released by hand."""
    for name, standby in scene.standbys.items():
        if standby.retention.hold.startswith(GUARD):
            hold = safe(standby.retention.hold, 600).rstrip(".")
            yield Condition(
                f"guard:{name}",
                Severity.ERROR,
                name,
                f"{name}: may be encrypted by ransomware",
                f"Retention of {name} is on hold by {hold}.",
                f"Look at the machine. If all is well: {release_of(standby)}",
            )


def kept(scene: Scene) -> Iterator[Condition]:
    """Retention that somebody put on hold: `hold:MACHINE`, so that it is not forgotten."""
    for name, standby in scene.standbys.items():
        hold = standby.retention.hold
        if hold and not hold.startswith(GUARD):
            yield Condition(
                f"hold:{name}",
                Severity.WARNING,
                name,
                f"{name}: retention is on hold",
                f"Retention of {name} is on hold by {safe(hold, 600)}; its boot points fill the "
                "store.",
                f"When it may go on: {release_of(standby)}",
            )


def asking(scene: Scene) -> Iterator[Condition]:
    """VMs that stand still until somebody answers their target: `asks:MACHINE`, urgent."""
    for name, signs in scene.signs.items():
        if signs.question is not None:
            yield Condition(
                f"asks:{name}",
                Severity.ERROR,
                name,
                f"the VM of {name} waits for an answer",
                f"The VM of {name} stands still until somebody answers: {signs.question}",
                f"See the choices, and answer: bootpoint answer {name}",
            )


def ways(scene: Scene) -> Iterator[Condition]:
    """Ways out that nothing comes through: `way:NAME`, for the others to tell."""
    for name, why in scene.deaf.items():
        text = f"Alerts do not come through by {name}: {safe(why, 600)}"
        remedy = "Correct its settings, and try: bootpoint alert --test."
        title = f"Alerts do not come through by {name}"
        yield Condition(f"way:{name}", Severity.WARNING, "", title, text, remedy)


WATCHES: list[Watch] = [
    breach, silent, failing, folders, broken, targets, space, engine, ways, guarded, kept, asking,
]  # fmt: skip
"""All watches. Whoever knows another kind of trouble adds a function."""


def named(text: str) -> str:
    """Return a short stable name for a hostile one: ASCII letters of its end, and a digest."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    tail = "".join(c for c in text[-40:] if c.isascii() and (c.isalnum() or c in "-._/"))
    return f"{tail}#{digest}"


def _owner(scene: Scene, root: str) -> str:
    """Return the one standby that follows a folder; empty when there are none or several."""
    owners = [name for name, standby in scene.standbys.items() if standby.images == root]
    return owners[0] if len(owners) == 1 else ""
