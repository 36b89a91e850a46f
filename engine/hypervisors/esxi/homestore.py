"""The datastore for the VMs' own files: which one is meant, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.inventory import Datastore, Inventory
from engine.hypervisors.esxi.naming import listed, nearest, shown
from engine.model.errors import HypervisorError, Problem, WrongUse
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import Finding

_FULL_SHARE = 10


def home_datastore(there: Inventory, wanted: str) -> Datastore | None:
    """Return the datastore of a name; without a name the only one that may be meant."""
    if wanted:
        return there.datastore(wanted)
    own = [one for one in there.datastores if not one.mounted and not one.kind]
    return own[0] if len(own) == 1 else None


def meant(there: Inventory, wanted: str, target: str) -> Datastore:
    """Return the datastore that is meant. WrongUse: there is none, or not only one."""
    found = home_datastore(there, wanted)
    if found is None:
        raise WrongUse(_no_vm(target, _unclear(there, wanted)))
    return found


def fit(there: Inventory, wanted: str, target: str) -> Datastore:
    """Return the datastore that a VM can be made on now.

    Raises:
        WrongUse: None is meant, or not only one.
        HypervisorError: The one that is meant takes no VM.
    """
    found = meant(there, wanted, target)
    for one in _unfit(found):
        raise HypervisorError(_no_vm(target, one))
    return found


def findings(there: Inventory, wanted: str) -> Iterator[Finding]:
    """Yield what is to be said of the datastore of a name."""
    one = home_datastore(there, wanted)
    if one is None:
        yield _unclear(there, wanted)
        return
    without = [
        (host.name,)
        for host in there.hosts
        if host.datastores and ref_id(one.ref) not in host.datastores
    ]
    if without:
        yield Finding(
            Gravity.WARNING,
            "esxi.datastore-missing",
            f"These hosts have not datastore {safe(one.name)}, so no VM runs there: "
            f"{listed(without)}.",
            "Give every host of the cluster the datastore, or name one that all have.",
        )
    if wrong := list(_unfit(one)):
        yield from wrong
    elif one.free * _FULL_SHARE < one.capacity:
        yield Finding(
            Gravity.WARNING,
            "esxi.datastore-full",
            f"Datastore {safe(one.name)} has {one.free >> 30} GiB free, less than a tenth; each "
            "started VM needs as much as its memory for its swap file.",
            "Free space there.",
        )


def near(names: Sequence[str], wanted: str) -> str:
    """Return some names for a sentence, those first that look like the wanted one."""
    ways = sorted({(one,) for one in names})
    return listed(nearest(ways, wanted) if wanted else ways)


def _unclear(there: Inventory, wanted: str) -> Finding:
    """Say why it is not clear which datastore is meant."""
    known = near([one.name for one in there.datastores if not one.kind], wanted)
    if (pod := there.pod(wanted)) is not None:
        names = near(pod.datastores, "")
        text = (
            f"{shown(wanted)} is a datastore cluster (storage pod), and the VMs' own files lie on "
            f"one datastore. Its datastores: {names}."
        )
    elif wanted:
        text = (
            "For the VMs' own files there is no datastore "
            f"{shown(wanted)} on the hosts of this place. Datastores: {known}."
        )
    else:
        what = "are several" if there.datastores else "is none that a host here has"
        text = f"For the VMs' own files there {what}. Datastores: {known}."
    fix = "Name one of them as esxi.datastore (--datastore)."
    return Finding(Gravity.ERROR, "esxi.datastore", text, fix)


def _unfit(one: Datastore) -> Iterator[Finding]:
    """Say why a datastore takes no VM now."""
    if what := one.kind:
        yield Finding(
            Gravity.ERROR,
            "esxi.datastore-kind",
            f"Datastore {safe(one.name)} is {what}.",
            "Name another one as esxi.datastore (--datastore).",
        )
    elif not one.accessible:
        yield Finding(
            Gravity.ERROR,
            "esxi.datastore-away",
            f"Datastore {safe(one.name)} is not accessible.",
            "See on the host why, and bring it back.",
        )
    elif one.maintenance:
        yield Finding(
            Gravity.ERROR,
            "esxi.datastore-maintenance",
            f"Datastore {safe(one.name)} is in maintenance mode, so no VM is made there.",
            "Take it out of maintenance mode, or name another one.",
        )


def _no_vm(target: str, found: Finding) -> Problem:
    return Problem(
        found.key,
        f"No VM can be made on target {safe(target)}. {found.text}",
        "No VM was made.",
        found.remedy,
    )
