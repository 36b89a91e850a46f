"""The small virtual machine of libguestfs: made here by supermin, started in the sandbox.

    host's kernel, packages ─ supermin ─► kernel, initrd, root ─► guestfish ─► QEMU ─► guest's disks
                             (5 s; once, and when a package changed)     in the sandbox

Only supermin sees the host, and only the virtual machine sees the guest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import struct
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.guests.backend import GuestDisk
from engine.guests.backends.cage import WALLS, is_available
from engine.local.accelerator import KVM
from engine.local.durable import file_lock
from engine.local.tools import run_tool
from engine.model.errors import Failure, Problem
from engine.model.text import safe

BUILD_S = 300.0
MEMORY_MIB = 768
"""Of the virtual machine."""
_PLACES = ("/usr/lib/*/guestfs/supermin.d", "/usr/lib*/guestfs/supermin.d")
_FIXED = "README.fixed"
"""libguestfs takes a folder with a file of this name as a ready appliance."""
_LONGEST_CHAIN = 4096
_RUN = "run-"


def recipe() -> Path | None:
    """Return the folder with what the distribution says an appliance is made of."""
    usr = Path("/")
    found = [path for place in _PLACES for path in sorted(usr.glob(place[1:])) if path.is_dir()]
    return found[0] if found else None


def kernels() -> Sequence[Path]:
    """Return the kernels in /boot that this user may read and that have modules."""
    return [
        path
        for path in sorted(Path("/boot").glob("vmlinuz-*"))
        if os.access(path, os.R_OK)
        and (Path("/lib/modules") / path.name.removeprefix("vmlinuz-")).is_dir()
    ]


def build(cache: Path) -> Path:
    """Return a folder with a ready appliance; made anew when a package or kernel changed.

    Args:
        cache: Folder of our own, made if missing; 370 MB on the disk.

    Raises:
        Failure: The folder is not ours, or supermin failed.
    """
    source = recipe()
    if source is None:
        raise Failure(_problem("libguestfs is not installed", "Install the package libguestfs0."))
    with locked(cache):
        made = cache / "appliance"
        argv = ["supermin", "--build", "--if-newer", "--copy-kernel", "-f", "ext2",
                "--host-cpu", os.uname().machine, str(source), "-o", str(made)]  # fmt: skip
        run_tool(
            argv,
            cpu_s=int(BUILD_S),
            memory=8 << 30,
            timeout_s=BUILD_S,
            settings={"TMPDIR": str(cache)},
        )
        (made / _FIXED).touch()
    return made


class Scratch:
    """A folder that one virtual machine shares with us; `clear` takes it away when we were killed.

    It is locked as long as this object is open: by the kernel, so a killed process holds nothing.
    """

    def __init__(self, cache: Path) -> None:
        """Make it, in the appliance's folder."""
        with locked(cache):
            self.path = Path(tempfile.mkdtemp(prefix=_RUN, dir=cache))
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._end = weakref.finalize(self, _remove, self.path, self._fd)

    def close(self) -> None:
        """Remove it."""
        self._end()


def clear(cache: Path) -> None:
    """Remove the folders of virtual machines whose process was killed."""
    if not cache.is_dir():
        return
    with locked(cache):
        for left in cache.glob(_RUN + "*"):
            fd = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            os.close(fd)


def _remove(path: Path, fd: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(fd)


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Hold the only right to build there."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        name = safe(str(cache), 300)
        remedy = f"Remove {name}, or make it a folder that only the engine's user may write."
        raise Failure(_problem(f"{name} is not a folder of our own", remedy))
    with file_lock(cache / "lock", wait=True):
        yield


def settings(appliance: Path, scratch: Path, accelerator: str) -> Mapping[str, str]:
    """Return the environment of guestfish.

    Args:
        appliance: What `build` returned.
        scratch: Folder for its sockets and overlays.
        accelerator: `kvm` or `tcg`; see `engine.local.accelerator`.
    """
    return {
        "LIBGUESTFS_PATH": str(appliance),
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_BACKEND_SETTINGS": "" if accelerator == KVM else "force_tcg",
        "LIBGUESTFS_MEMSIZE": str(MEMORY_MIB),
        "LIBGUESTFS_TMPDIR": str(scratch),
        "LIBGUESTFS_CACHEDIR": str(scratch),
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
    }


def caged(
    argv: Sequence[str],
    disks: Sequence[GuestDisk],
    *,
    appliance: Path,
    scratch: Path,
    is_writing: bool,
    accelerator: str,
) -> Sequence[str]:
    """Return the command in the sandbox: /usr, the appliance, the disks and one folder, no network.

    Without a sandbox the command is returned as it is.

    Raises:
        Failure: A disk's file cannot be read.
    """
    if not is_available():
        return argv
    shared = ["--ro-bind", str(appliance), str(appliance), "--bind", str(scratch), str(scratch)]
    if accelerator == KVM:
        shared += ["--dev-bind", "/dev/kvm", "/dev/kvm"]
    below = [path for disk in disks if disk.format == "qcow2" for path in chain(disk.path)]
    for path in dict.fromkeys(below):
        shared += ["--ro-bind", str(path), str(path)]
    for disk in disks:
        path = disk.path.absolute()
        how = "--bind" if is_writing else "--ro-bind"
        how = "--dev-bind" if stat.S_ISBLK(path.stat().st_mode) else how
        shared += [how, str(path), str(path)]
    return [*WALLS, *shared, "--chdir", str(scratch), "--", *argv]


def chain(path: Path) -> Sequence[Path]:
    """Return the files below a qcow2 file, nearest first, as QEMU finds them.

    Raises:
        Failure: One cannot be read, or the chain is a loop.

    Source: QEMU, docs/interop/qcow2.rst, "Header".
    """
    found: list[Path] = []
    here = path.absolute()
    while True:
        name = _backing(here)
        if not name:
            return found
        here = here.parent / os.fsdecode(name)
        if here in found or len(found) == _LONGEST_CHAIN:
            raise Failure(_problem(f"the chain of {safe(str(path), 200)} is a loop"))
        found.append(here)


def _backing(path: Path) -> bytes:
    """Return the name of the file below; empty when there is none, also for a raw file."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
            if len(head) < 20 or head[:4] != b"QFI\xfb":
                return b""
            place, length = struct.unpack(">QI", head[8:20])
            if not place or not 0 < length <= 1023:
                return b""
            file.seek(place)
            return file.read(length)
    except (OSError, OverflowError) as error:
        why = f"{safe(str(path), 200)} cannot be read: {error}"
        raise Failure(_problem(why)) from error


def _problem(why: str, remedy: str = "Look at the store: its files changed.") -> Problem:
    happened = f"The virtual machine of libguestfs cannot be used: {why}."
    return Problem("guest.appliance", happened, "Nothing was changed.", remedy)
