"""Files on datastores by their paths, such as `[datastore1] web/disk0.vmdk`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from engine.hypervisors.esxi.session import Session
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

_END = re.compile(r"\] ")


def may_be_on(path: str) -> Sequence[str]:
    """Return the names that the datastore of a path may have, the longest first; none: no path.

    Names of datastores and of folders may hold the very characters that end a datastore's name.
    """
    ends = [found.start() for found in _END.finditer(path)] if path.startswith("[") else []
    return [path[1:end] for end in reversed(ends) if end > 1]


def is_on(path: str, names: Collection[str]) -> str:
    """Return the datastore of a path, of those with these names; empty: of none of them."""
    return next((one for one in may_be_on(path) if one in names), "")


def datastore_of(session: Session, vm: Any, path: str) -> str:
    """Return the datastore of a file of a VM.

    The host is asked for names only where the path can be read in more than one way.

    Args:
        vm: The VM as a managed object.

    Raises:
        HypervisorError: It is the path of no datastore that this VM uses.
    """
    may_be = may_be_on(path)
    if len(may_be) == 1:
        return may_be[0]
    if may_be:
        used = session.read(vm, "datastore").get("datastore") or ()
        names = {str(seen.get("name", "")) for _, seen in session.read_each(used, "name")}
        if found := is_on(path, names):
            return found
    raise HypervisorError(_unknown(session.account.target, path))


def _unknown(target: str, path: str) -> Problem:
    return Problem(
        "vm.which-datastore",
        f"Target {safe(target)} names a file {safe(path, 200)}, and nobody can tell on which "
        "datastore: the VM uses none that the name begins with.",
        "The VM is as it was.",
        'See that the role may read the VM\'s datastores, or give that one a name without "] ".',
    )
