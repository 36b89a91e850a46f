"""The sandbox of NTFS: ntfs-3g mounts by FUSE in name spaces of its own, where no one else looks.

    ┌ bubblewrap: user, mount, process, network name spaces ──────────────────────┐
    │ /tmp/disk ─ qemu-storage-daemon ─ ntfs-3g ─ /tmp/mount ─ ntfs_inside.py ────┼─ stdin, stdout
    └─────────────────────────────────────────────────────────────────────────────┘

It is root in there and nobody outside. The kernel of this host speaks FUSE with ntfs-3g and never
sees the file system; whatever a hostile one does, ends with the sandbox, mounts included.

ntfs-3g wants to drop groups before it mounts, which a user name space forbids; a system call
filter answers that one call with success, since there are no groups to drop.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from engine.guests.backends.cage import WALLS
from engine.local.ending import wait_for
from engine.local.tools import ENVIRONMENT

PROGRAMS = ("bwrap", "setpriv", "prlimit", "qemu-storage-daemon", "ntfs-3g", "ntfs-3g.probe",
            "ntfsrecover", "ntfsfix")  # fmt: skip
_INSIDE = Path(__file__).with_name("ntfs_inside.py")
_THERE = "/tmp/inside.py"  # noqa: S108 - the sandbox's own
_ROOT = ("--uid", "0", "--gid", "0", "--cap-add", "CAP_SYS_ADMIN")
_LEASH = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("prlimit", f"--as={4 << 30}", "--cpu=300", "--nofile=256", "--"),
)
_SETGROUPS = {"x86_64": (0xC000003E, 116), "aarch64": (0xC00000B7, 159)}
"""Number of the architecture and of the call (Linux, audit.h and the tables of system calls)."""


def command(disk: Path, arguments: Sequence[str], *, is_writing: bool) -> Sequence[str]:
    """Return the command that serves a file system on a disk; 0 is its standard input.

    Args:
        disk: The only file of a guest that the sandbox sees.
        arguments: Of `ntfs_inside.py`.
    """
    if stat.S_ISBLK(disk.stat().st_mode):
        how = "--dev-bind"
    else:
        how = "--bind" if is_writing else "--ro-bind"
    shared = [how, str(disk.absolute()), "/tmp/disk"]  # noqa: S108 - the sandbox's own
    return [*_sandbox(), *shared, "--", *_program(), *arguments]


def start(argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    """Start a command of the sandbox; it dies with the thread that starts it.

    Raises:
        OSError: A program is missing, or this processor is not known.
    """
    if platform.machine() not in _SETGROUPS:
        raise OSError(errno.ENOSYS, "there is no filter for this processor")
    filter_ = _filter()
    try:
        argv = [*_LEASH, argv[0], "--seccomp", str(filter_), *argv[1:]]
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=ENVIRONMENT,
            start_new_session=True,
            pass_fds=(filter_,),
            bufsize=0,
        )
    finally:
        os.close(filter_)


def is_able() -> bool:
    """Whether FUSE can be mounted in the sandbox; tried until it could, a tenth of a second."""
    if not _WORKED.is_set() and _works():
        _WORKED.set()
    return _WORKED.is_set()


_WORKED = threading.Event()
"""Set once it was seen to work."""


def _works() -> bool:
    if missing() or platform.machine() not in _SETGROUPS or not Path("/dev/fuse").exists():
        return False
    argv = [*_sandbox(), "--", *_program(), "try"]
    process = start(argv, subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL)
    try:
        return wait_for(process, 20) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def missing() -> Sequence[str]:
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]


def _sandbox() -> Sequence[str]:
    shared = ["--dev-bind", "/dev/fuse", "/dev/fuse", "--ro-bind", str(_INSIDE), _THERE]
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        shared += ["--ro-bind", str(prefix), str(prefix)]
    return [*WALLS, *_ROOT, *shared]


def _program() -> Sequence[str]:
    return [str(Path(sys.executable).resolve()), "-I", "-S", "-X", "utf8", _THERE]


def _filter() -> int:
    """Return a pipe that holds the filter: `setgroups` succeeds and does nothing.

    Source: Linux, Documentation/userspace-api/seccomp_filter.rst; bwrap(1), --seccomp.
    """
    machine, call = _SETGROUPS[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    lines = (
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 0, 3, machine),
        (load, 0, 0, 0),  # seccomp_data.nr
        (equal, 0, 1, call),
        (give, 0, 0, 0x0005_0000),  # errno 0: success without doing it
        (give, 0, 0, 0x7FFF_0000),  # allow
    )
    out, into = os.pipe()
    os.write(into, b"".join(struct.pack("<HBBI", *line) for line in lines))
    os.close(into)
    return out
