"""The actions about when boot points are made: one now, none for a while, go on."""

from __future__ import annotations

from datetime import datetime

from engine.api.views import Done, Step
from engine.api.wishes import Action, Described, Wish, standby_of, usual
from engine.daemon.service import Service, Snapshot
from engine.model.errors import Problem, Refused
from engine.model.points import UNREADY
from engine.model.text import safe
from engine.model.work import JobKind


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


class Build(Action):
    """Make a boot point now."""

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what is made, and what does not hold it up."""
        standby = standby_of(snapshot, wish.machine)
        checks = [f"The trigger of {wish.machine} ({standby.trigger}) stays as it is."]
        end = snapshot.calendar.closed_until(standby, snapshot.now)
        if end is not None:
            checks.append(f"The blackout window until {_utc(end)} does not hold it up.")
        if standby.is_held(snapshot.now):
            until = "it is resumed" if standby.held_until is None else _utc(standby.held_until)
            checks.append(
                f"{wish.machine} stays paused until {until} ({safe(standby.held)}): this boot "
                "point is made, and no other."
            )
        return Described(
            steps=[Step(text="make a boot point of the newest complete recovery point")],
            checks=checks,
            expected_s=usual(snapshot, JobKind.SYNC, wish.machine),
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Ask for it."""
        service.build(wish.machine, actor)
        said = f"A boot point of {wish.machine} is made as soon as a slot is free."
        snapshot = service.snapshot()
        if standby_of(snapshot, wish.machine).is_held(snapshot.now):
            said += " It stays paused for all others."
        return Done(text=said)


class Hold(Action):
    """Stop making boot points, for a while or until somebody resumes."""

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what rests, for how long, and what does not."""
        ready = len(snapshot.state.ready(wish.machine))
        end = "it is resumed" if wish.until is None else _utc(wish.until)
        checks = [f"Its {ready} ready boot points stay, and can be started."]
        standby = standby_of(snapshot, wish.machine)
        if standby.is_held(snapshot.now):
            checks.append(f"It is paused already ({safe(standby.held)}); this takes its place.")
        checks += [
            f"Boot point {point.id}, asked for by hand, is put off as well."
            for point in snapshot.state.by_standby.get(wish.machine, ())
            if point.asked and point.stage in UNREADY
        ]
        return Described(
            steps=[Step(text=f"make no further boot points of {wish.machine} until {end}")],
            checks=checks,
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Pause it."""
        service.hold(wish.machine, wish.reason, actor, wish.until)
        end = "it is resumed" if wish.until is None else _utc(wish.until)
        return Done(text=f"{wish.machine} is paused until {end}.")


class Resume(Action):
    """Undo a pause."""

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what goes on."""
        if not standby_of(snapshot, wish.machine).is_held(snapshot.now):
            happened = f"{wish.machine} is not paused."
            raise Refused(Problem("standby.not-held", happened, "Nothing was changed."))
        return Described(steps=[Step(text=f"make boot points of {wish.machine} again")])

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Resume it."""
        service.resume(wish.machine, actor)
        return Done(text=f"{wish.machine} is resumed.")
