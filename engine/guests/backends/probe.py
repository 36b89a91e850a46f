"""Which backend can convert a guest here, and what is missing where none can."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from engine.guests.backends import ntfs_cage
from engine.guests.backends.cage import is_available
from engine.local.tools import ENVIRONMENT
from engine.model.guest import FileSystem, Volume

_PACKAGES = {
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "mcopy": "mtools",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "bwrap": "bubblewrap",
    "qemu-storage-daemon": "qemu-utils",
    "ntfs-3g": "ntfs-3g",
    "ntfs-3g.probe": "ntfs-3g",
    "ntfsrecover": "ntfs-3g",
    "ntfsfix": "ntfs-3g",
    "fsck.vfat": "dosfstools",
}
_TOOLS = {
    FileSystem.EXT: ("setpriv", "prlimit", "debugfs", "e2fsck"),
    FileSystem.FAT: ("setpriv", "prlimit", "mcopy", "fsck.vfat"),
    FileSystem.NTFS: ntfs_cage.PROGRAMS,
}
_NO_CAGE = (
    "Programs that parse the guest run without a sandbox: install the package bubblewrap, and "
    "allow user namespaces."
)
_NO_FUSE = (
    "NTFS cannot be mounted in a sandbox here: allow user namespaces and the use of /dev/fuse, or "
    "use another backend."
)


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether a backend can write some volumes.

    Attributes:
        missing: What stands against it, one sentence each with its remedy; empty when it can.
        warnings: What is worse than it could be, for the ledger.
    """

    backend: str
    missing: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def is_able(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def probe_userland(volumes: Sequence[Volume]) -> Ability:
    """Tell whether small programs of user space can write these volumes on raw disks.

    Args:
        volumes: Those that a plan reads or writes, not all of the guest's.
    """
    missing = []
    for kind in sorted({volume.kind for volume in volumes}):
        tools = _TOOLS.get(kind)
        if tools is None:
            missing.append(f"{kind.value} needs another backend: uml or guestfs.")
        else:
            missing += [_sentence(tool) for tool in tools if not _is_there(tool)]
        if kind is FileSystem.NTFS and not missing and not ntfs_cage.is_able():
            missing.append(_NO_FUSE)
    warnings = () if is_available() else (_NO_CAGE,)
    return Ability("userland", tuple(dict.fromkeys(missing)), warnings)


def _is_there(tool: str) -> bool:
    return shutil.which(tool, path=ENVIRONMENT["PATH"]) is not None


def _sentence(tool: str) -> str:
    return f"The program {tool} is missing: install the package {_PACKAGES[tool]}."
