"""Whether UML can be used here: seen by booting it, once for each boot of this host.

boot without the shim ─► works │ compile the shim ─► boot with it ─► works │ missing, in words
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from engine.guests.backends import cage
from engine.guests.backends.appliance import locked
from engine.guests.backends.probe import Ability
from engine.guests.backends.uml.kernel import Kernel
from engine.guests.backends.uml.machine import WAYS
from engine.guests.backends.uml.shim import compiled, compiler
from engine.local.durable import durable_replace, open_folder, read_bounded
from engine.local.tools import ENVIRONMENT, ToolFailed
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Volume

_PACKAGES = {
    "linux.uml": "user-mode-linux",
    "qemu-storage-daemon": "qemu-utils",
    "bwrap": "bubblewrap",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
}
_TOOLS = {
    FileSystem.EXT: ("e2fsck", "e2fsprogs"),
    FileSystem.XFS: ("xfs_repair", "xfsprogs"),
    FileSystem.BTRFS: ("btrfs", "btrfs-progs"),
    FileSystem.FAT: ("fsck.vfat", "dosfstools"),
    FileSystem.LVM: ("lvm", "lvm2"),
    FileSystem.RAID: ("mdadm", "mdadm"),
}
_SEEN = "uml.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NO_CAGE = (
    "The throw-away kernel must run in a sandbox: install the package bubblewrap, and allow user "
    "namespaces."
)
_NO_COMPILER = (
    "UML does not start on this processor without a library that must be compiled: install the "
    "packages gcc and libc6-dev, or use the backend guestfs."
)


def probe_uml(volumes: Sequence[Volume], work: Path) -> Ability:
    """Tell whether a throw-away kernel can write these volumes; boots one if none was seen to.

    Args:
        volumes: Those that a plan reads or writes, not all of the guest's.
        work: Folder of the engine's own; what was seen is kept there for this boot of the host.
    """
    kinds = {volume.kind for volume in volumes}
    needed = _PACKAGES | dict(_TOOLS[kind] for kind in kinds if kind in _TOOLS)
    missing = [
        f"The program {tool} is missing: install the package {package}."
        for tool, package in needed.items()
        if not _is_there(tool)
    ]
    unknown = sorted(kinds - WAYS.keys() - _TOOLS.keys())
    missing += [f"{kind.value} cannot be opened by the throw-away kernel." for kind in unknown]
    if not missing and not cage.is_available():
        missing.append(_NO_CAGE)
    if not missing:
        try:
            find_shim(work)
        except Failure as failure:
            missing.append(str(failure.problem.happened + " " + failure.problem.remedy))
            if compiler() is None:
                missing.append(_NO_COMPILER)
    return Ability("uml", tuple(missing))


def find_shim(work: Path) -> Path | None:
    """Return the library that UML needs on this processor; None when it needs none.

    Raises:
        ToolFailed: UML does not start, with or without it.
    """
    key = _key()
    known = _known(work, key)
    if known is None:
        known = _try_both(work)
        _remember(work, key, known)
    return Path(known) if known else None


def _try_both(work: Path) -> str:
    try:
        _boot(work, None)
        return ""
    except ToolFailed:
        if compiler() is None:
            raise
    shim = compiled(work)
    _boot(work, shim)
    return str(shim)


def _boot(work: Path, shim: Path | None) -> None:
    kernel = Kernel((), work, is_writing=False, shim=shim)
    kernel.finish()


def _key() -> str:
    """Name this boot of the host and the kernel that would be started."""
    program = shutil.which("linux.uml", path=ENVIRONMENT["PATH"])
    seen = Path(program).stat() if program else None
    words = f"{_BOOT.read_text()} {(seen.st_mtime_ns, seen.st_size) if seen else ''}"
    return hashlib.sha256(words.encode()).hexdigest()


def _known(work: Path, key: str) -> str | None:
    """Return what was seen since the host was booted; None when nothing was."""
    try:
        seen = json.loads(read_bounded(work / _SEEN, 4096))
        shim = str(seen["shim"])
        return shim if seen["key"] == key and (not shim or Path(shim).exists()) else None
    except (OSError, ValueError, KeyError, TypeError, Failure):
        return None


def _remember(work: Path, key: str, shim: str) -> None:
    with locked(work), open_folder(work) as folder:
        durable_replace(folder, _SEEN, json.dumps({"key": key, "shim": shim}).encode())


def _is_there(tool: str) -> bool:
    return shutil.which(tool, path=ENVIRONMENT["PATH"]) is not None
