"""Whether libguestfs can be used here, and what to install where it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from engine.guests.backends import cage
from engine.guests.backends.appliance import kernels, recipe
from engine.guests.backends.guestfs_places import WAYS
from engine.guests.backends.probe import Ability
from engine.local.tools import ENVIRONMENT
from engine.model.guest import FileSystem, Volume

_PACKAGES = {
    "guestfish": "guestfish",
    "supermin": "supermin",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
}
_NO_CAGE = (
    "The virtual machine that reads the guest runs without a sandbox: install the package "
    "bubblewrap, and allow user namespaces."
)


def probe_guestfs(volumes: Sequence[Volume]) -> Ability:
    """Tell whether a virtual machine of libguestfs can write these volumes; starts none.

    Args:
        volumes: Those that a plan reads or writes, not all of the guest's.
    """
    missing = [
        f"The program {tool} is missing: install the package {package}."
        for tool, package in _PACKAGES.items()
        if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None
    ]
    source = recipe()
    if source is None:
        missing.append("libguestfs is not installed: install the package libguestfs0.")
    if not kernels():
        missing.append(
            "There is no kernel in /boot with modules that this user may read, which libguestfs "
            "could start: install the package linux-image-cloud-amd64."
        )
    kinds = {volume.kind for volume in volumes}
    if FileSystem.XFS in kinds and source is not None and not (source / "packages-xfs").exists():
        missing.append("libguestfs cannot open xfs: install the package libguestfs-xfs.")
    missing += [
        f"{kind.value} cannot be opened by libguestfs." for kind in sorted(kinds - WAYS.keys())
    ]
    return Ability("guestfs", tuple(missing), () if cage.is_available() else (_NO_CAGE,))
