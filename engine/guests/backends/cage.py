"""The sandbox for programs that parse guests' file systems.

    ┌ bubblewrap ─────────────────────────────────────────┐
    │ /usr (read only)   the disk   one folder of our own │  no network, no other process, no rights
    └─────────────────────────────────────────────────────┘

Where bubblewrap is missing or may not make namespaces, programs run with limits only, and the
probe says so.
"""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from engine.local.tools import ENVIRONMENT, ToolFailed, run_tool

WALLS = (
    *("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin"),
    *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
    *("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"),  # noqa: S108 - the sandbox's own
)
"""The sandbox's command without what is shared with it."""


def caged(
    argv: Sequence[str], disk: Path, *, is_writing: bool = False, folder: Path | None = None
) -> Sequence[str]:
    """Return the command that runs `argv` in the sandbox, or `argv` where there is none.

    Args:
        disk: The only disk that the program sees, at the same path.
        is_writing: Whether it may be written.
        folder: Files for the program, at the same path and as its working folder.
    """
    if not is_available():
        return argv
    if stat.S_ISBLK(disk.stat().st_mode):
        how = "--dev-bind"
    else:
        how = "--bind" if is_writing else "--ro-bind"
    shared = [how, str(disk.absolute()), str(disk.absolute())]
    if folder is not None:
        shared += ["--bind", str(folder), str(folder), "--chdir", str(folder)]
    return [*WALLS, *shared, "--", *argv]


def is_available() -> bool:
    """Whether the sandbox works here; tried until it did, for a moment's failure must not last."""
    if not _WORKED.is_set() and _works():
        _WORKED.set()
    return _WORKED.is_set()


def _works() -> bool:
    if shutil.which("bwrap", path=ENVIRONMENT["PATH"]) is None:
        return False
    try:
        run_tool([*WALLS, "--", "true"], cpu_s=5, memory=1 << 30, timeout_s=30)
    except ToolFailed:
        return False
    return True


_WORKED = threading.Event()
"""Set once the sandbox was seen to work."""
