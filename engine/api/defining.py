"""What consoles ask about definitions: a standby's text, the review of one, and handing it in.

text ─► parsed and judged ─► what it means, how much room and time it takes, what changes ─► put
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.api import asks, keeping
from engine.api.definition import KEYS, value_words, values
from engine.api.definition_views import (
    CheckView,
    DefinitionView,
    FactView,
    MisfitView,
    ReloadView,
    WrongView,
)
from engine.api.plans import Actor, check_name, require
from engine.api.roles import Role
from engine.api.views import Done
from engine.api.words import age, duration, rate, size
from engine.daemon.defining import digest, exists
from engine.daemon.service import Service, Snapshot, TargetStatus
from engine.model.conversion import ConversionMode
from engine.model.errors import Problem
from engine.model.estimate import Estimate, Pace, estimate, pace
from engine.model.images import ImageSet
from engine.model.line import match_source
from engine.model.retention import Rules, rules_of
from engine.model.standby import Backlog, Standby, TriggerKind
from engine.model.text import safe

LONGEST = 600
UNKNOWN = "unknown until the first seed: nothing was measured on this target yet"


def text(service: Service, ask: asks.StandbyTextAsk) -> DefinitionView:
    """Return a standby's file as it is. NotFound: no such standby; WrongUse: cannot be read."""
    told = service.standby_text(ask.name)
    file = safe(service.standby_file(ask.name), 400)
    return DefinitionView(id=ask.name, text=told, digest=digest(told), file=file)


def reload(service: Service, actor: Actor) -> ReloadView:
    """Take up what was changed in `standbys.d` by hand. Failure: it cannot be read."""
    told = service.reload_standbys(actor.name)
    wrong = [
        MisfitView(
            id=safe(name),
            text=safe(one.happened, LONGEST),
            unchanged=safe(one.unchanged, LONGEST),
            remedy=safe(one.remedy, LONGEST),
        )
        for name, one in sorted(told.misfits.items())
    ]
    return ReloadView(added=list(told.added), changed=list(told.changed), wrong=wrong)


def review(service: Service, ask: asks.StandbyCheckAsk) -> CheckView:
    """Return what a definition would mean, or everything that is wrong in it."""
    snapshot = service.snapshot()
    old = snapshot.standbys.get(ask.name)
    view = CheckView(id=safe(ask.name), new=old is None, text=ask.text)
    if ask.new and old is not None:
        view.wrong = [wrong_view(exists(ask.name))]
        return view
    standby, problems = service.parse_standby(ask.name, ask.text)
    view.wrong = [wrong_view(one) for one in problems]
    if standby is None:
        return view
    if old is not None:
        view.changes = _changes(service.standby_text(ask.name), ask.text)
        view.role = _role(old, standby).word
        told = keeping.losing(snapshot, ask.name, standby.keep, standby.retention)
        view.losing = list(told)
    _measure(view, snapshot, standby)
    view.facts += list(_losses(view))
    return view


def put(service: Service, ask: asks.StandbyPutAsk, actor: Actor) -> Done:
    """Add or change a standby.

    Raises:
        WrongUse: Something is wrong in the text.
        Denied: The change needs a higher role.
        Refused: Boot points would go and the name was not typed, or somebody else was faster.
    """
    snapshot = service.snapshot()
    old = snapshot.standbys.get(ask.name)
    standby, _problems = service.parse_standby(ask.name, ask.text)
    goes = 0
    if old is not None and ask.base and standby is not None:
        require(actor, _role(old, standby), "standby.put")
        goes = len(keeping.losing(snapshot, ask.name, standby.keep, standby.retention))
        if goes:
            check_name(ask.confirm, ask.name)
    file = service.define_standby(ask.name, ask.text, ask.base, actor.name)
    done = "added" if old is None else "changed"
    more = f" {goes} boot points that stayed will go." if goes else ""
    return Done(text=f"Standby {ask.name} was {done}, in {safe(file, 400)}.{more}")


def wrong_view(problem: Problem) -> WrongView:
    """Return a problem of a definition as the console shows it beside its key."""
    facts = problem.facts
    return WrongView(
        key=safe(str(facts.get("key", ""))),
        found=safe(str(facts.get("found", "")), 200),
        expected=safe(str(facts.get("expected", "")), LONGEST),
        text=safe(problem.happened, LONGEST),
        remedy=safe(problem.remedy, LONGEST),
    )


def _role(old: Standby, new: Standby) -> Role:
    """Return the least role for a change: admin where boot points may go."""
    grave = ("keep", "retention", "images", "machine", "guard_released")
    return (
        Role.ADMIN
        if any(getattr(old, key) != getattr(new, key) for key in grave)
        else Role.OPERATOR
    )


def _changes(before: str, after: str) -> list[str]:
    try:
        old, new = values(before), values(after)
    except ValueError:
        return ["the file that is there cannot be read; it is replaced"]
    told: list[str] = []
    for key in dict.fromkeys([*KEYS, *old, *new]):
        if old.get(key) != new.get(key):
            was, will = (value_words(key, v[key]) if key in v else "usual" for v in (old, new))
            told.append(safe(f"{key}: {was} -> {will}", LONGEST))
    return told


# --- what it means --------------------------------------------------------------------------


def _measure(view: CheckView, snapshot: Snapshot, standby: Standby) -> None:
    root = snapshot.roots.get(standby.images)
    sets = root.sets if root is not None else ()
    found = match_source(standby, sets)
    mine = [one for one in sets if one.machine_uuid == found.machine_uuid and found.machine_uuid]
    target = next((one for one in snapshot.targets if one.name == standby.target), None)
    rules = rules_of(standby.keep, standby.retention, snapshot.usual)
    most = max(rules.keep, rules.floor) + sum(rules.slots.values())
    points = [point for one in mine for point in one.points]
    guess = estimate(points, most)
    speed = pace(standby.target, snapshot.standbys, snapshot.state)
    view.free = target.free if target else None
    if guess is not None:
        view.first_bytes, view.bytes = guess.first, guess.kept
        view.seconds = guess.read / speed.rate if speed else None
    watched = root is not None and root.online
    view.facts = [
        _images(snapshot, standby, mine, found.problem if watched else _unseen(standby)),
        *_others(snapshot, standby, found.machine_uuid),
        _target(standby, target),
        FactView(label="When", text=_when(standby)),
        FactView(label="Keeps", text=_keeps(rules, most)),
        FactView(
            label="Network",
            text="a start is isolated: the VM reaches no other network and cannot meet its source",
        ),
        _converts(snapshot, standby),
        _space(guess, target, most),
        FactView(label="Time", text=_time(guess, speed)),
    ]


def _unseen(standby: Standby) -> str:
    return f"{safe(standby.images, 200)} is not watched yet; it is looked at once this is added"


def _images(
    snapshot: Snapshot, standby: Standby, sets: Sequence[ImageSet], problem: str
) -> FactView:
    if not sets:
        return FactView(label="Images", text=safe(problem, LONGEST) or "none yet", warns=True)
    points = [point for one in sets for point in one.points]
    fulls = sum(point.parent is None for point in points)
    newest = max(point.taken_at for point in points)
    missing = sum(len(one.missing) for one in sets)
    told = (
        f"{safe(sets[0].machine_name)} in {safe(standby.images, 200)}: {fulls} full and "
        f"{len(points) - fulls} increments, {size(sum(point.size for point in points))}, the "
        f"newest {age((snapshot.now - newest).total_seconds())} old"
    )
    if missing:
        return FactView(label="Images", text=f"{told}; {missing} are missing", warns=True)
    return FactView(label="Images", text=told)


def _others(snapshot: Snapshot, standby: Standby, machine: str) -> Iterator[FactView]:
    others = [
        name
        for name, uuid in snapshot.sources.items()
        if machine and uuid == machine and name != standby.name
    ]
    if others:
        told = f"{', '.join(others[:4])} is made of these images too; both can be started"
        yield FactView(label="Also", text=told, warns=True)


def _target(standby: Standby, target: TargetStatus | None) -> FactView:
    if target is None:
        return FactView(label="Target", text=f"{safe(standby.target)} is not known", warns=True)
    if target.problem:
        told = f"{target.name}: {safe(target.problem, LONGEST)}"
        return FactView(label="Target", text=told, warns=True)
    able = target.capabilities
    slow = able is not None and able.accelerator == "tcg"
    told = f"{target.name}: {target.kind}, {target.store} store in {safe(target.store_path, 200)}"
    told += "; no usable KVM: VMs run emulated, many times slower" if slow else ""
    return FactView(label="Target", text=told, warns=slow)


_TRIGGERS = {
    TriggerKind.IMMEDIATE: "a boot point as soon as an increment has arrived",
    TriggerKind.DAILY: "one boot point a day, {0} (zone of engine.toml)",
    TriggerKind.EVERY: "one boot point of so many increments: {0}",
    TriggerKind.CRON: "one boot point at each moment of {0} (zone of engine.toml)",
}


def _when(standby: Standby) -> str:
    told = _TRIGGERS[standby.trigger.kind].format(standby.trigger)
    if standby.backlog is Backlog.NEWEST:
        told += "; of increments that piled up, one boot point"
    if standby.blackouts:
        told += f"; none is begun {', '.join(window.text for window in standby.blackouts)}"
    return told


def _keeps(rules: Rules, most: int) -> str:
    slots = "".join(f", {rule.value} {count}" for rule, count in rules.slots.items())
    old = f"; none older than {rules.max_age_days} days" if rules.max_age_days else ""
    return f"the newest {rules.keep}{slots}, at least {rules.floor}: at most {most} in all{old}"


def _converts(snapshot: Snapshot, standby: Standby) -> FactView:
    if standby.conversion is ConversionMode.NONE:
        told = "none: the guest must have the drivers of virtual machines already"
        return FactView(label="Conversion", text=told, warns=True)
    packages = sum(len(source.drivers) for source in snapshot.drivers)
    told = f"each boot point gets drivers; {packages} for Windows are registered"
    told += "" if packages else " (Windows then starts from a sata disk)"
    return FactView(label="Conversion", text=told)


def _space(guess: Estimate | None, target: TargetStatus | None, most: int) -> FactView:
    free = target.free if target is not None else None
    if guess is None:
        return FactView(label="Space", text="unknown until a complete full image is there")
    told = f"about {size(guess.first)} for the first boot point"
    if guess.kept is None:
        told += "; for further ones unknown until an increment is there"
    else:
        told += f", about {size(guess.kept)} once {most} are kept"
    if free is None:
        return FactView(label="Space", text=f"{told}; how much is free is not known", warns=True)
    reserve = (target.reserve if target is not None else None) or 0
    left = max(free - reserve, 0)
    told += f"; {size(left)} are free" + (f" beside {size(reserve)} in reserve" if reserve else "")
    if guess.first > left:
        return FactView(
            label="Space", text=f"{told}. The first boot point does NOT FIT.", warns=True
        )
    if guess.kept is not None and guess.kept > left:
        return FactView(label="Space", text=f"{told}. NOT ALL will fit.", warns=True)
    return FactView(label="Space", text=told)


def _time(guess: Estimate | None, speed: Pace | None) -> str:
    if speed is None:
        return UNKNOWN
    pace_words = f"{rate(speed.rate)}, the median of {speed.jobs} boot points made on this target"
    if guess is None:
        return f"unknown until a complete full image is there; pace here: {pace_words}"
    return f"about {duration(guess.read / speed.rate)} for the first boot point, at {pace_words}"


def _losses(view: CheckView) -> Iterator[FactView]:
    if view.losing:
        told = f"{len(view.losing)} boot points that stay now go by this: "
        told += ", ".join(view.losing[:6]) + (" .." if len(view.losing) > 6 else "")
        yield FactView(label="Lost", text=told, warns=True)
