"""Actions on what stays: pins, and the hold of a machine's whole retention."""

from __future__ import annotations

from engine.api.roles import Role
from engine.api.views import Done, Step
from engine.api.wishes import Action, Described, Wish, standby_of
from engine.daemon.service import Service, Snapshot
from engine.model.errors import NotFound, Problem, Refused
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.text import safe


class Pin(Action):
    """Keep a boot point whatever retention is set to."""

    def settle(self, snapshot: Snapshot, wish: Wish) -> Wish:
        """Refuse a boot point that is not there."""
        _point(snapshot, wish)
        return wish

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what the pin does, and which note it replaces."""
        point = _point(snapshot, wish)
        checks = ["Retention never takes a pinned boot point away, however old or many they are."]
        if point.pin:
            checks.append(f"It replaces the pin it has: {safe(point.pin, 200)}")
        return Described(
            steps=[Step(text=f"pin boot point {point.id}: {safe(wish.reason, 200) or 'no note'}")],
            checks=checks,
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Pin it."""
        service.pin(wish.machine, BootPointId(wish.point), wish.reason, actor)
        return Done(text=f"Boot point {wish.point} of {wish.machine} is pinned.")


class Unpin(Action):
    """Let retention judge a boot point again."""

    role = Role.ADMIN

    def settle(self, snapshot: Snapshot, wish: Wish) -> Wish:
        """Refuse a boot point that is not there."""
        _point(snapshot, wish)
        return wish

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what the pin was for."""
        point = _point(snapshot, wish)
        if not point.pin:
            raise Refused(
                Problem(
                    "point.not-pinned",
                    f"Boot point {point.id} is not pinned.",
                    "Nothing was changed.",
                )
            )
        return Described(
            steps=[Step(text=f"take the pin off boot point {point.id}")],
            checks=[f"It was pinned by {safe(point.pin, 200)}", "Retention judges it from now on."],
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Unpin it."""
        service.unpin(wish.machine, BootPointId(wish.point), actor)
        return Done(text=f"Boot point {wish.point} of {wish.machine} is not pinned any more.")


class HoldRetention(Action):
    """Retire nothing of a machine."""

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what goes on, and that room is not given back."""
        held = snapshot.standbys[wish.machine].retention.hold
        checks = [
            "Boot points are still made.",
            "Nothing is taken away before the hold is released, so the store fills up.",
        ]
        if held:
            checks.append(f"It replaces the hold there is: {safe(held, 200)}")
        return Described(
            steps=[Step(text=f"put the retention of {wish.machine} on hold")], checks=checks
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Hold it."""
        service.hold_retention(wish.machine, wish.reason, actor)
        return Done(text=f"The retention of {wish.machine} is on hold: nothing is taken away.")


class ReleaseRetention(Action):
    """Undo a hold."""

    role = Role.ADMIN

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say why it was held."""
        held = snapshot.standbys[wish.machine].retention.hold
        if not held:
            raise Refused(
                Problem(
                    "retention.not-held",
                    f"The retention of {wish.machine} is not on hold.",
                    "Nothing was changed.",
                )
            )
        return Described(
            steps=[Step(text=f"let retention work on {wish.machine} again")],
            checks=[f"It was put on hold by {safe(held, 200)}"],
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Release it."""
        service.release_retention(wish.machine, actor)
        return Done(text=f"The retention of {wish.machine} works again.")


def _point(snapshot: Snapshot, wish: Wish) -> BootPoint:
    standby_of(snapshot, wish.machine)
    found = snapshot.state.boot_points.get(BootPointId(wish.point))
    if found is not None and found.standby == wish.machine and found.stage is not Stage.RETIRED:
        return found
    there = ", ".join(point.id for point in snapshot.state.points_of(wish.machine)[-6:])
    raise NotFound(
        Problem(
            "point.unknown",
            f"{wish.machine} has no boot point {safe(wish.point) or 'of that name'}.",
            "Nothing was changed.",
            f"Choose one of: {there or 'none yet'}.",
        )
    )
