"""A qcow2 disk as a flat file, for programs that know no qcow2: by FUSE, from a daemon of QEMU's.

twig.qcow2 ── qemu-storage-daemon ── FOLDER/disk-0 ── debugfs, mtools …
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from engine.guests.backend import GuestDisk
from engine.local.ending import wait_for
from engine.local.tools import ENVIRONMENT, run_tool
from engine.model.errors import Failure, Problem
from engine.model.text import safe


class ExportFailed(Failure):
    """A qcow2 disk cannot be shown flat here; another backend may not need it to be."""


START_S = 20.0
_STEP_S = 0.01
_MOUNTS = Path("/proc/self/mounts")


@contextlib.contextmanager
def flat(disks: Sequence[GuestDisk], work: Path, *, is_writing: bool) -> Iterator[Sequence[Path]]:
    """Yield one path per disk under which its bytes lie flat.

    Args:
        disks: Raw ones are yielded as they are.
        work: Folder for what is exported; a folder in it is made, and gone afterwards.
        is_writing: Whether the disks may be written.

    Raises:
        ExportFailed: The daemon is not installed or could not export a disk.
    """
    if all(disk.format == "raw" for disk in disks):
        yield [disk.path for disk in disks]
        return
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="flat-", dir=work))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        paths = []
        for number, disk in enumerate(disks):
            if disk.format == "raw":
                paths.append(disk.path)
            else:
                point = folder / f"disk-{number}"
                stack.enter_context(_exported(disk, point, is_writing=is_writing))
                paths.append(point)
        yield paths


def clear(work: Path) -> None:
    """Take away what a killed engine left mounted or lying in the work folder."""
    for point in _mounted_below(work):
        _unmount(point)
    for left in work.glob("flat-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _exported(disk: GuestDisk, point: Path, *, is_writing: bool) -> Iterator[None]:
    point.touch(0o600)
    mode = "on" if is_writing else "off"
    read_only = "off" if is_writing else "on"
    with tempfile.TemporaryFile() as complaints:
        process = _start(
            [
                *("setpriv", "--pdeathsig", "KILL", "--", "qemu-storage-daemon"),
                *("--blockdev", _options(driver="file", filename=str(disk.path), node_name="file",
                                         read_only=read_only)),
                *("--blockdev", f"driver=qcow2,file=file,node-name=disk,read-only={read_only}"),
                *("--export", _options(type="fuse", id="flat", node_name="disk",
                                       mountpoint=str(point), writable=mode)),
            ],
            complaints,
        )  # fmt: skip
        try:
            _await(process, point, complaints)
            yield
        finally:
            _stop(process)
            if _is_mounted(point):
                _unmount(point)


def _options(**values: str) -> str:
    """Return options in QEMU's own form, in which a comma is written twice."""
    return ",".join(
        f"{key.replace('_', '-')}={value.replace(',', ',,')}" for key, value in values.items()
    )


def _start(argv: Sequence[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env=dict(ENVIRONMENT),
            start_new_session=True,
        )
    except OSError as error:
        raise ExportFailed(_problem(f"could not be started: {error.strerror}")) from error


def _await(process: subprocess.Popen[bytes], point: Path, complaints: IO[bytes]) -> None:
    end = time.monotonic() + START_S
    while not _is_mounted(point):
        if process.poll() is not None or time.monotonic() > end:
            complaints.seek(0)
            said = complaints.read(1000)
            raise ExportFailed(_problem(f"did not export the disk: {safe(said, 500)}"))
        with contextlib.suppress(subprocess.TimeoutExpired):
            wait_for(process, _STEP_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let the daemon write what it holds and end; kill it when it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        wait_for(process, START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_mounted(point: Path) -> bool:
    return point in _mounted_below(point.parent)


def _mounted_below(folder: Path) -> Sequence[Path]:
    """Return the mount points below a folder, as the kernel lists them."""
    found = []
    for line in os.fsencode(_MOUNTS.read_bytes()).split(b"\n"):
        parts = line.split(b" ")
        if len(parts) > 1:
            path = Path(os.fsdecode(parts[1].decode("unicode_escape").encode("latin-1")))
            if folder.absolute() in path.parents:
                found.append(path)
    return found


def _unmount(point: Path) -> None:
    with contextlib.suppress(Failure):
        run_tool(["fusermount3", "-u", "-z", str(point)], cpu_s=5, memory=1 << 30, timeout_s=10)


def _problem(how: str) -> Problem:
    return Problem(
        "guest.export",
        f"qemu-storage-daemon, which lets conversion see a qcow2 disk, {how}.",
        "The disk was not changed.",
        "Check that the packages qemu-utils and fuse3 are installed and that /dev/fuse exists.",
    )
