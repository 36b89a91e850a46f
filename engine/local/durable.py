"""Files and folders that survive a power cut: the only place that renames.

    draft ─write─► fsync ─rename─► name ─fsync folder─► durable

A reader sees the old content or the new one, never a part of either.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from engine.model.errors import Failure, NoSpace, Problem
from engine.model.text import safe

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_START_WRITING = 2
_libc = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_DRAFT = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class LockHeld(Failure):
    """Another process holds the lock; it goes on working undisturbed."""


def durable_replace(folder: int, name: str, data: bytes) -> None:
    """Give the file `name` new content that survives a power cut, or leave the old content.

    Args:
        folder: Descriptor of the open folder.
        name: Plain file name inside it.

    Raises:
        OSError: Writing failed; the old content stays and no draft is left.
    """
    with replacing(folder, {name: data}):
        pass


@contextlib.contextmanager
def replacing(folder: int, files: Mapping[str, bytes], last: str = "") -> Iterator[None]:
    """Give files new content as `durable_replace` does, at the end of the block.

    The drafts are on their way to the medium meanwhile: what the block makes durable, and they,
    wait for it together. An error in the block leaves all as it was.

        drafts ─write─► block ─► fsync all ─rename─► fsync folder ─► the last one's rename, fsync

    After a power cut each file by itself has its old content or the new one, `last` the new one
    only if all have it. After the block all have the new one.

    Args:
        folder: Descriptor of the open folder.
        files: Content by plain file name.
        last: The one of them that says that the others are there.

    Raises:
        OSError: Writing failed; those not yet replaced keep their content, no draft is left.
    """
    drafts = {name: f".{name}.{uuid4().hex}.tmp" for name in files}
    first = [name for name in files if name != last]
    try:
        with contextlib.ExitStack() as opened:
            fds = [_draft(opened, folder, drafts[name], data) for name, data in files.items()]
            yield
            for fd in fds:
                os.fsync(fd)
        for names in filter(None, (first, [last] if last else [])):
            for name in names:
                os.rename(drafts[name], name, src_dir_fd=folder, dst_dir_fd=folder)  # noqa: TID251 - here only
            os.fsync(folder)
    except BaseException:
        for draft in drafts.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
        raise


def write_new(folder: int, name: str, data: bytes) -> None:
    """Write a file that is not there yet; `settle` of its folder makes it durable."""
    with contextlib.ExitStack() as opened:
        _draft(opened, folder, name, data)


def settle(folder: int) -> None:
    """Make the files of a folder durable, and their names: all on their way, then one by one.

    Raises:
        OSError: One of them is no regular file, or writing failed.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.ExitStack() as opened:
        fds = []
        for name in os.listdir(folder):
            fd = os.open(name, flags, dir_fd=folder)
            opened.callback(os.close, fd)
            start_writing(fd, 0, 0)
            fds.append(fd)
        for fd in (*fds, folder):
            os.fsync(fd)


def _draft(opened: contextlib.ExitStack, folder: int, name: str, data: bytes) -> int:
    """Return a new file with all of `data` on its way to the medium, open until `opened` ends."""
    fd = os.open(name, _DRAFT, 0o600, dir_fd=folder)
    opened.callback(os.close, fd)
    write_all(fd, data)
    start_writing(fd, 0, 0)
    return fd


def publish(folder: int, draft: str, name: str) -> None:
    """Make a written draft durable and give it its final name, replacing what had it.

    Args:
        folder: Descriptor of the open folder that holds both.
    """
    fd = os.open(draft, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)  # noqa: TID251 - the one place
    os.fsync(folder)


def move_folder(old: Path, new: Path) -> None:
    """Rename a folder to a place that is free, durably in both parents.

    Raises:
        FileExistsError: `new` exists already.
    """
    if new.exists() or new.is_symlink():
        raise FileExistsError(errno.EEXIST, "the place is taken", str(new))
    os.rename(old, new)  # noqa: TID251, PTH104 - the one place
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


def move_file(old: Path, new: Path) -> None:
    """Give a durable file another file's place, replacing it, durably in both folders."""
    os.rename(old, new)  # noqa: TID251, PTH104 - the one place
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """Open a folder, not through a symbolic link, and yield its descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    with open_folder(path) as folder:
        os.fsync(folder)


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder and its missing parents, durably; nothing happens where it exists."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent, mode)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode)
    sync_folder(path.parent)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[None]:
    """Let this process's temporary files lie in a folder of its own, and leave none of them.

    What an earlier process left when it was killed (parts of guests' files among it) is deleted
    first, so the folder must be this process's alone.
    """
    remove_tree(path)
    make_folder(path)
    before, tempfile.tempdir = tempfile.tempdir, str(path)
    try:
        yield
    finally:
        tempfile.tempdir = before
        remove_tree(path)


def remove_tree(path: Path) -> None:
    """Delete a file or a folder with all it holds, durably; repeatable.

    Symbolic links are deleted, never followed.
    """
    try:
        with open_folder(path.parent) as parent:
            _remove(parent, path.name)
            os.fsync(parent)
    except FileNotFoundError:
        return


def _remove(parent: int, name: str) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    folder = os.open(
        name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=parent
    )
    try:
        for entry in os.listdir(folder):  # noqa: PTH208 - a descriptor is no path
            _remove(folder, entry)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes, not through a symbolic link.

    Raises:
        OSError: The file is missing or unreadable; EFBIG: it is longer than `limit`; EINVAL: it
            is no regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit} bytes", str(path))
    return data


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data` at the descriptor's position; loops over short writes."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def start_writing(fd: int, offset: int, length: int) -> None:
    """Ask the system to begin writing a range to the medium, so that a later fsync is short.

    A length of 0 reaches to the file's end.

    Only a hint: what it cannot do, the fsync does.
    """
    _libc.sync_file_range(fd, offset, length, _START_WRITING)


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool = False) -> Iterator[int]:
    """Hold an exclusive lock on a file, made if missing, until the block ends.

    Args:
        wait: Wait, however long, until nobody else has it.

    Yields:
        The file's descriptor.

    Raises:
        LockHeld: Another process, or another holder in this one, has it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockHeld(_held(path)) from error
        yield fd
    finally:
        os.close(fd)


def no_space(error: OSError, path: Path) -> NoSpace:
    """Return the error to raise for a write below `path` that failed with ENOSPC or EDQUOT."""
    return NoSpace(
        Problem(
            "store.full",
            f"There is no room left for {safe(str(path))}: {error.strerror}.",
            "Ready boot points are not touched.",
            "Free space or enlarge the file system; the work is tried again by itself.",
            {"path": safe(str(path)), "errno": error.errno or 0},
        )
    )


def _held(path: Path) -> Problem:
    return Problem(
        "lock.held",
        f"Another process holds {safe(str(path))}.",
        "Nothing was changed; the other process goes on.",
        "Stop the other process first, or use its own console.",
        {"path": safe(str(path))},
    )
