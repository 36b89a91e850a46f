"""The action that brings a started VM home: off our store, onto a datastore of its target."""

from __future__ import annotations

from engine.api.views import Done, Step
from engine.api.wishes import Action, Described, Wish, usual
from engine.daemon.service import Service, Snapshot
from engine.model.errors import Problem, Refused
from engine.model.machine import Homing
from engine.model.text import safe
from engine.model.work import JobKind


class Home(Action):
    """Bring a started VM home."""

    def describe(self, snapshot: Snapshot, wish: Wish) -> Described:
        """Say where to, whether the VM is off meanwhile, and what is tidied up."""
        name, target = wish.machine, snapshot.standbys[wish.machine].target
        if name not in snapshot.state.runs:
            raise Refused(
                Problem("vm.not-running", f"{name} does not run.", "Nothing was changed.")
            )
        how = _how(snapshot, target)
        if how is Homing.NONE:
            raise Refused(
                Problem(
                    "target.no-homing",
                    f"Target {target} runs its VMs from its own store: they are at home there, or "
                    "it cannot be reached now.",
                    "Nothing was changed.",
                    f"See: bootpoint target check {target}",
                )
            )
        signs = snapshot.signs.get(name)
        if signs is not None and signs.home:
            raise Refused(
                Problem(
                    "vm.is-home",
                    f"{name} is at home already, on datastore {safe(signs.home)}.",
                    "Nothing was changed.",
                )
            )
        where = f"datastore {safe(wish.to)}" if wish.to else "the datastore of its own files"
        move = (
            [Step(text=f"move the disks of {name} to {where}, while it runs (Storage vMotion)")]
            if how is Homing.LIVE
            else [
                Step(text=f"shut {name} down; cut its power after two minutes"),
                Step(text=f"copy its disks to {where}"),
                Step(text="point it to the copies and start it again"),
            ]
        )
        off = "It runs on meanwhile." if how is Homing.LIVE else "It is OFF while it is copied."
        return Described(
            steps=[*move, Step(text="take this machine's share off the hosts, if nothing uses it")],
            checks=[
                off,
                "Room and privileges are looked at first. Until the end it can be cancelled.",
                "All boot points stay. To stop it later throws away its disks there.",
            ],
            expected_s=usual(snapshot, JobKind.HOME, name),
        )

    def run(self, service: Service, wish: Wish, actor: str) -> Done:
        """Queue it."""
        job = service.home(wish.machine, wish.to, actor)
        return Done(text=f"Bringing {wish.machine} home.", job=str(job.id))


def _how(snapshot: Snapshot, target: str) -> Homing:
    found = next((one for one in snapshot.targets if one.name == target), None)
    able = found.capabilities if found is not None else None
    return able.homing if able is not None else Homing.NONE
