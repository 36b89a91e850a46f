"""The list at the end of docs/ESXI.md: which check tries which item, and how the rest is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.model.selftests import Check, Outcome

TRIED: Mapping[str, Mapping[str, Sequence[int]]] = {
    "nfs": {
        "version": (7, 14),
        "preflight": (8,),
        "isolated": (9,),
        "mount": (1,),
        "create": (5,),
        "hardware": (6,),
        "replace": (4,),
        "attach": (2,),
        "untouched": (13,),
        "atomic": (3,),
        "lock": (1,),
        "serial": (11,),
        "screen": (11,),
        "destroy": (4,),
    },
    "hotadd": {
        "version": (7, 14),
        "preflight": (8,),
        "seed": (5, 20, 21),
        "seal": (20, 22),
        "twig": (23,),
        "trunk": (23,),
        "start": (6, 9),
        "grown": (26,),
        "revert": (23,),
        "retire": (24,),
    },
}
"""Transport -> key of a check -> numbers in the list."""

_ALWAYS: Mapping[int, tuple[str, str]] = {
    10: (
        "VMware Tools of a converted guest report addresses.",
        "start a boot point, and see `bootpoint show`",
    ),
    12: (
        "A VM's question has the ids and choices that are known.",
        "when a start asks something, keep what `bootpoint answer NAME` lists",
    ),
    17: (
        "A VM that is gone is left out of an answer, and the rest is told.",
        "delete a standby's VM that is off on the host, and see that the next start makes it anew",
    ),
    18: (
        "What the session sees of the inventory stays up to date.",
        "add a port group on the host, and see that `bootpoint target check` knows it the same day",
    ),
    19: (
        "A switch of 31 bytes, or with other letters than ASCII, is taken.",
        "set `isolated` to such a name, and run this again",
    ),
}
_NFS: Mapping[int, tuple[str, str]] = {
    1: (
        "A running VM survives a restart of the NFS server within 140 s.",
        "try it by hand with a VM that does not matter",
    ),
    15: (
        "A running VM leaves the share, its serial port's file on it.",
        "with a vCenter: start a boot point that does not matter, then `bootpoint home NAME`",
    ),
    16: (
        "Disks are copied thin, and a copy that is cancelled leaves nothing.",
        "on a single host: start one that does not matter, `bootpoint home NAME`, cancel it; again",
    ),
    30: (
        "A start works while the VM's own host is in maintenance mode, or away.",
        "with a vCenter: put that host into maintenance, then pull its cable; start a VM each time",
    ),
}
_HOTADD: Mapping[int, tuple[str, str]] = {
    25: (
        "31 snapshots on a VM that is off, and how long a merge takes there.",
        "keep 30 boot points of a machine that does not matter, and see the journal",
    ),
    27: (
        "Disks move from PVSCSI to SATA below snapshots.",
        "make a boot point of a Windows without a driver for PVSCSI, and start it",
    ),
    28: (
        "What happens to the appliance when the datastore is full.",
        "try it by hand on a datastore that does not matter",
    ),
    29: (
        "The firmware starts a system that is not on the first disk.",
        "start a boot point of such a machine",
    ),
}


def by_hand(transport: str) -> Iterator[Check]:
    """Yield what a self-test cannot try, with how a person does."""
    own = _HOTADD if transport == "hotadd" else _NFS
    for number, (claim, how) in sorted({**_ALWAYS, **own}.items()):
        yield Check(f"item-{number}", claim, Outcome.SKIPPED, f"by hand: {how}", 0.0, (number,))


def numbered(transport: str, key: str) -> Sequence[int]:
    """Return which items a check is about."""
    return TRIED[transport].get(key, ())
