"""Pure: how far a VM is on its way from our share to a datastore of its host.

bootpoint.home      the way's id, where to, which copies are whole; empty: on no way

The mark is on the VM itself, so that whoever comes next, after a crash too, goes on with the same
way and begins no second one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from engine.hypervisors.esxi.layers import TEMPLATE, Seen

HOME = "bootpoint.home"
_GIB = 1 << 30
_RESERVE = 50 * _GIB


@dataclass(frozen=True, slots=True)
class Homing:
    """A way home.

    Attributes:
        operation: Its id, part of the names of all it makes.
        datastore: Where to.
        folder: Where copies go, as a host writes it, such as `[datastore1] web`.
        ran: The VM had power when it began, so it has power when it ends.
        copied: So many disks are copied whole; only where disks are copied.
        stamp: What the disks were like when copying began; see `RunFolders.stamp`. Empty: no copy
            is of any use; after one was made, the way is being given up.
        done: It is home.
    """

    operation: str
    datastore: str
    folder: str
    ran: bool = False
    copied: int = 0
    stamp: str = ""
    done: bool = False

    def __str__(self) -> str:
        """Return it as the VM keeps it."""
        return json.dumps(asdict(self), sort_keys=True)

    def copy(self, number: int) -> str:
        """Return the path of a disk's copy."""
        return f"{self.folder}/bootpoint-{self.operation}-disk{number}.vmdk"

    def is_copy(self, path: str) -> bool:
        """Tell whether a disk is a copy that this way made."""
        return path.startswith(f"{self.folder}/bootpoint-{self.operation}-disk")


def read_homing(text: str) -> Homing | None:
    """Return a way as a VM keeps it; None for none, or a text that is not ours."""
    try:
        told = json.loads(text) if text else {}
        words = [str(told[key]) for key in ("operation", "datastore", "folder")]
        flags = bool(told["ran"]), int(told["copied"]), str(told["stamp"]), bool(told["done"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    ok = all(words) and words[0].isalnum() and words[2].startswith(f"[{words[1]}]")
    return Homing(words[0], words[1], words[2], *flags) if ok else None


def needed(allocated: int, capacity: int) -> int:
    """Return the bytes that must be free: the disks, a third more to grow, and a reserve.

    Args:
        allocated: What the disks hold now.
        capacity: Of the datastore.
    """
    return allocated + allocated * 3 // 10 + min(capacity // 10, _RESERVE)


def unmovable(seen: Seen) -> str:
    """Return why a VM cannot be brought home now; empty if it can."""
    wrong = (
        (not seen.connected, "the host has lost it (disconnected, orphaned or inaccessible)"),
        (seen.template, TEMPLATE),
        (bool(seen.asks), seen.asks),
        (seen.snapshots, "it has a snapshot that is not ours"),
        (seen.consolidate, "its disks need consolidation"),
        (not seen.disks, "it has no disks"),
    )
    return next((why for is_so, why in wrong if is_so), "")
