"""The action that converts a boot point again: from the same trunk layer, into a new twig."""

from __future__ import annotations

from dataclasses import replace

from engine.api.views import Done, Step
from engine.api.wishes import Action, Described, Wish, standby_of, usual, with_trunk
from engine.daemon.service import Service, Snapshot
from engine.model.conversion import ConversionMode
from engine.model.errors import Problem, Refused
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.work import JobKind


class Convert(Action):
    """Convert a boot point again."""

    def settle(self, snapshot: Snapshot, wish: Wish) -> Wish:
        """Choose the newest boot point with a sealed trunk layer where none was named."""
        standby_of(snapshot, wish.machine)
        return replace(wish, point=with_trunk(snapshot, wish.machine, wish.point).id)

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say what is replaced and what is kept."""
        point = snapshot.state.boot_points[BootPointId(wish.point)]
        _refuse(snapshot, point)
        ready = point.stage is Stage.READY
        others = sum(one.id != point.id for one in snapshot.state.ready(wish.machine))
        last = (
            "replace the conversion it has, and its ledger, once the new one is checked"
            if ready
            else "check it; then the boot point is ready"
        )
        return Described(
            steps=[
                Step(text=f"make a new layer on the trunk layer of {point.id}"),
                Step(text="look at the guest in it, and convert it"),
                Step(text=last),
            ],
            checks=[
                f"The trunk layer of {point.id} stays as it is: it is the image, byte for byte.",
                f"{others} other ready boot points stay as they are."
                if others != 1
                else "1 other ready boot point stays as it is.",
                f"If it does not work, {point.id} keeps the conversion it has."
                if ready
                else f"If it does not work, {point.id} stays as it is now, with the reason.",
            ],
            expected_s=usual(snapshot, JobKind.CONVERT, wish.machine) if ready else None,
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Queue it, or let it be due."""
        job = service.convert(wish.machine, BootPointId(wish.point), actor)
        if job is None:
            return Done(
                text=f"{wish.point} of {wish.machine} is converted as soon as a slot is free."
            )
        return Done(text=f"Converting {wish.point} of {wish.machine} again.", job=str(job.id))


def _refuse(snapshot: Snapshot, point: BootPoint) -> None:
    name = point.standby
    if snapshot.standbys[name].conversion is ConversionMode.NONE:
        raise Refused(
            Problem(
                "conversion.off",
                f'{name} is not converted: its definition says conversion = "none".',
                "Nothing was changed.",
                'Set conversion = "auto" in its file, then ask again.',
            )
        )
    run = snapshot.state.runs.get(name)
    if run is not None and run.boot_point == point.id:
        raise Refused(
            Problem(
                "point.in-use",
                f"A VM runs from boot point {point.id}.",
                "It keeps the conversion it has.",
                "Stop the VM first.",
            )
        )
