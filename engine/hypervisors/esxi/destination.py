"""Where a VM may go home to: looked at, and refused in words, before anything is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.homing import needed
from engine.hypervisors.esxi.inventory import Datastore, Inventory, datastores_of
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.naming import is_named, listed
from engine.hypervisors.esxi.preflight import missing
from engine.hypervisors.esxi.privileges import COPYING, MOVING, On
from engine.hypervisors.esxi.session import Session
from engine.model.errors import HypervisorError, Problem, WrongUse
from engine.model.text import safe


def destination(
    session: Session, there: Machine, inventory: Inventory, wanted: str, share: str
) -> Datastore:
    """Return the datastore of this name that the VM's host reaches, wherever that is now.

    Args:
        inventory: Of the target's place.
        share: Name of our own share, which is no home.

    Raises:
        WrongUse: There is none; the message names those there are.
    """
    reached = [one for one in _reached(session, there, inventory) if one.name != share]
    found = [one for one in reached if is_named(one.name, wanted)]
    why = _unfit(found[0]) if len(found) == 1 else "is not among the datastores its host reaches"
    if wanted == share:
        why = "is the appliance's own share"
    elif not found and inventory.pod(wanted) is not None:
        why = "is a datastore cluster (storage pod), and its disks go onto one datastore"
    if why:
        raise WrongUse(_no_place(session, there, wanted, why, reached))
    return found[0]


def _unfit(one: Datastore) -> str:
    """Return why no disk goes onto a datastore now; empty: one may."""
    wrong = (
        (bool(one.kind), f"is {one.kind}"),
        (not one.accessible, "is not accessible"),
        (one.maintenance, "is in maintenance mode"),
    )
    return next((why for is_so, why in wrong if is_so), "")


def _reached(session: Session, there: Machine, inventory: Inventory) -> Sequence[Datastore]:
    """Return the datastores of the host that a VM is on; somebody may have moved it away.

    Of a host of the place that the role hides it is not known: all of the place then.
    """
    if there.host is None:
        return inventory.datastores
    known = {ref_id(one.ref): one.datastores for one in inventory.hosts}
    at = ref_id(there.host)
    if at in known:
        return [one for one in inventory.datastores if ref_id(one.ref) in known[at]]
    if at in inventory.members:
        return inventory.datastores
    return datastores_of(session, there.host)


def check_room(session: Session, place: Datastore, allocated: int, vm: str) -> None:
    """Raise HypervisorError when disks that hold so many bytes do not fit, with a reserve."""
    with contextlib.suppress(faults.HostFailure):  # the figure is somewhat older then
        place.ref.RefreshDatastore()
    told = session.need(place.ref, "summary.freeSpace", "summary.capacity")
    free, capacity = int(told["summary.freeSpace"]), int(told["summary.capacity"])
    wanted = needed(allocated, capacity)
    if free < wanted:
        raise HypervisorError(
            Problem(
                "home.no-room",
                f"Datastore {safe(place.name)} has {_gib(free)} free; bringing {safe(vm)} home "
                f"takes {_gib(wanted)}: {_gib(allocated)} of data, a third of that to grow, and a "
                "reserve.",
                "The VM runs on as it was.",
                "Free space there, or name another datastore.",
                {"free": free, "needed": wanted},
            )
        )


def check_rights(session: Session, there: Machine, place: Datastore) -> None:
    """Raise HypervisorError when the user's role lacks what a way home takes."""
    wanted = MOVING if session.is_vcenter else COPYING
    on_store = [one for one in wanted if one.on is On.DATASTORE]
    on_vm = [one for one in wanted if one.on is not On.DATASTORE]
    manager = session.content.sessionManager
    key = session.need(manager, "currentSession")["currentSession"].key
    lacks = [
        *missing(session, [place.ref], on_store, key),
        *missing(session, [there.ref], on_vm, key),
    ]
    if lacks:
        names = ", ".join(f"{one.id} (to {one.purpose})" for one in lacks)
        raise faults.NeedsHuman(
            Problem(
                "home.privilege",
                f"The role of the user on target {safe(session.account.target)} lacks {names}.",
                "The VM runs on as it was.",
                "Give the role the privileges on the VM's folder, its pool and the datastore.",
            )
        )


def _no_place(
    session: Session, there: Machine, wanted: str, why: str, reached: Sequence[Datastore]
) -> Problem:
    fit = {(one.name,) for one in reached if not _unfit(one)}
    names = listed(sorted(fit))
    return Problem(
        "home.datastore",
        f"{safe(there.seen.vm)} cannot go to datastore {safe(wanted)} of target "
        f"{safe(session.account.target)}: it {why}.",
        "The VM runs on as it was.",
        f"Name one of these: {names}.",
    )


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
