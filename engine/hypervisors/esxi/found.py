"""What a target told of its inventory, and which part of it a configured place means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi.answers import Told, ref_id
from engine.hypervisors.esxi.naming import Names, fits, is_named, listed, nearest
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

_NEST = 64


class Found:
    """Everything that one reading brought."""

    def __init__(self, everything: Sequence[tuple[Any, Told]]) -> None:
        self._all = everything
        self.by_id = {ref_id(ref): (ref, seen) for ref, seen in everything}

    def of(self, kind: Any) -> Sequence[tuple[Any, Told]]:
        """Return the objects of a kind, or of a kind of that kind."""
        return [(ref, seen) for ref, seen in self._all if isinstance(ref, kind)]

    def way(self, ref: Any) -> Iterator[tuple[Any, Told]]:
        """Yield an object and what it is in, outwards, as far as this user may see."""
        at = ref
        for _ in range(_NEST):
            known = self.by_id.get(ref_id(at)) if at is not None else None
            if known is None:
                return
            yield known
            at = known[1].get("parent")

    def centre(self, ref: Any) -> Any:
        """Return the datacenter that an object is in; None when that is not seen."""
        return next((at for at, _ in self.way(ref) if isinstance(at, vim.Datacenter)), None)

    def names(self, ref: Any) -> Names:
        """Return the names on the way to an object, the outermost first."""
        return tuple(str(seen.get("name", "")) for _, seen in self.way(ref))[::-1]


def chosen(session: Session, place: str, found: Found) -> tuple[Told, Any]:
    """Return the compute resource and the pool that a name means."""
    wholes, parts = computes(found), pools(found)
    ways = [way for way, _, _ in wholes]
    if not (wholes or parts):
        raise no_place(session, place, "has no cluster and no host that this user may see")
    if not place and len(wholes) == 1:
        return wholes[0][1:]
    if not place:
        told = f"must be named, for there are {len(wholes)}: {listed(ways)}"
        raise no_place(session, place, told)
    meant = set(fits([way for way, _, _ in (*wholes, *parts)], place))
    fitting = [one for one in (*wholes, *parts) if one[0] in meant]
    if len({ref_id(pool) for _, _, pool in fitting}) == 1:  # a cluster, and its own whole pool
        return fitting[0][1:]
    shown = listed([way for way, _, _ in fitting])
    if fitting and len(meant) < len(fitting):
        told = (
            f"is the name of {len(fitting)}: {shown}. This user does not see what they are in, so "
            "they cannot be told apart"
        )
    elif fitting:
        told = f"is the name of {len(fitting)}: {shown}. Say which, by more of the way"
    elif cluster := _cluster_of(found, place):
        told = f"is one host of cluster {safe(cluster)}, which itself says where VMs run"
    else:
        there = listed(nearest(ways, place))
        told = f"is no pool, cluster or host of its own that this user may see; there are: {there}"
    raise no_place(session, place, told)


_Way = tuple[Names, Told, Any]


def computes(found: Found) -> Sequence[_Way]:
    """Return the clusters and the hosts of their own: way, what it is, its whole pool."""
    return [
        (found.names(ref), seen, pool)
        for ref, seen in found.of(vim.ComputeResource)
        if (pool := seen.get("resourcePool")) is not None
    ]


def pools(found: Found) -> Sequence[_Way]:
    """Return the resource pools and vApps: way, what it is a part of, the pool."""
    return [
        (_way_of_pool(found, pool, owner), known[1], pool)
        for pool, seen in found.of(vim.ResourcePool)
        if (owner := seen.get("owner")) is not None
        and (known := found.by_id.get(ref_id(owner))) is not None
    ]


def _way_of_pool(found: Found, pool: Any, owner: Any) -> Names:
    """Return the names on the way to a pool, also where this user may not see all that is on it."""
    is_whole = any(ref_id(at) == ref_id(owner) for at, _ in found.way(pool))
    return found.names(pool) if is_whole else (*found.names(owner), *found.names(pool))


def _cluster_of(found: Found, name: str) -> str:
    """Return the cluster that a host of this name is a part of; empty without one."""
    ways = [found.names(ref) for ref, _ in found.of(vim.HostSystem)]
    return next((way[-2] for way in ways if len(way) > 1 and is_named(way[-1], name)), "")


def no_place(session: Session, place: str, why: str) -> WrongUse:
    """Return the refusal of a place, with the reason."""
    named = f"Place {safe(place)}" if place else "The place for VMs"
    return WrongUse(
        Problem(
            "target.place",
            f"{named} on target {safe(session.account.target)} {why}.",
            "Nothing was changed.",
            "Name a resource pool, a cluster or a host of its own as esxi.place (--place).",
        )
    )
