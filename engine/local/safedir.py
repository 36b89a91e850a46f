"""A folder whose files are opened only below it, never through a link.

Everything below a watched folder is hostile: names may be links to anywhere, FIFOs that block
whoever opens them, devices. `SafeDir` holds one descriptor of the folder; all it opens is resolved
by the kernel below that descriptor (`openat2`), and must be a regular file.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from engine.model.images import FileMark

_OPENAT2 = 437
_BENEATH = 0x08 | 0x04 | 0x02  # RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_ABSENT = frozenset({errno.ENOSYS, errno.EPERM})
_AGAIN = frozenset({errno.EAGAIN, errno.EINTR})
_TRIES = 16

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Statfs(ctypes.Structure):
    """Only the type is read; the rest is room for what the kernel writes."""

    _fields_ = (("type", ctypes.c_long), ("rest", ctypes.c_char * 248))


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells that a folder is the same one on the same file system.

    Attributes:
        device, inode: Of the folder itself.
        file_system: Type number as `statfs` gives it, such as 0x6969 for NFS.
    """

    device: int
    inode: int
    file_system: int

    @property
    def is_network(self) -> bool:
        """Tell whether the files may be written by other hosts, or come through user space."""
        return self.file_system in _NETWORK


_NETWORK = frozenset(
    {
        0x6969,  # NFS
        0xFF534D42,  # CIFS
        0xFE534D42,  # SMB2
        0x517B,  # SMB
        0x65735546,  # FUSE: sshfs, rclone, s3fs
        0x00C36400,  # Ceph
        0x01021997,  # 9p
    }
)


def mark_of(found: os.stat_result) -> FileMark:
    """Return what tells whether a file is still the same one."""
    return FileMark(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class SafeDir:
    """An open folder. Close it, or use it in a `with` block. Thread-safe after opening.

    Paths are relative, separated by `/`, undecodable bytes as surrogates.
    """

    def __init__(self, path: str) -> None:
        """Open the folder; it may itself be reached through links.

        Raises:
            OSError: It is not there, is no folder, or may not be read.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder; repeatable."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def identity(self) -> Identity:
        """Return what folder this is.

        Raises:
            OSError: The file system does not answer any more.
        """
        found = os.fstat(self._fd)
        told = _Statfs()
        if _libc.fstatfs(self._fd, ctypes.byref(told)) != 0:
            raise _os_error(self.path)
        return Identity(found.st_dev, found.st_ino, told.type & 0xFFFFFFFF)

    def open(self, path: str) -> int:
        """Open a regular file for reading and return its descriptor, which the caller closes.

        Raises:
            OSError: EXDEV: the path leads out of the folder; ELOOP: a part of it is a symbolic
                link; EINVAL: it is no regular file; and whatever else the system says.
        """
        fd = _open_below(self._fd, path, _FILE)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", path)
        return fd

    def walk(
        self, skip: Callable[[str], bool], failed: Callable[[str, OSError], None]
    ) -> Iterator[tuple[str, os.stat_result]]:
        """Yield everything below the folder that is no folder, with its `lstat`.

        Args, errors: As of `folders`.

        Yields:
            Path and `lstat`, folder by folder, unsorted.
        """
        for folder, files in self.folders(skip, failed):
            below = f"{folder}/" if folder else ""
            for name, found in files:
                yield below + name, found

    def folders(
        self, skip: Callable[[str], bool], failed: Callable[[str, OSError], None]
    ) -> Iterator[tuple[str, list[tuple[str, os.stat_result]]]]:
        """Yield the folder and each one below it, with what is in it that is no folder.

        Links are never followed. Any depth the kernel can name is visited with one descriptor;
        deeper folders are told to `failed` (ENAMETOOLONG).

        Args:
            skip: Told the name of each folder below; True leaves it out.
            failed: Told the path of each folder below that cannot be read, and why.

        Yields:
            Path (empty for the folder itself), and names with their `lstat`, unsorted.

        Raises:
            OSError: The folder itself cannot be read.
        """
        todo = [""]
        while todo:
            folder = todo.pop()
            try:
                files, folders = self._list(folder)
            except OSError as error:
                if not folder:
                    raise
                if error.errno != errno.ENOENT:
                    failed(folder, error)
                continue
            below = f"{folder}/" if folder else ""
            todo += [below + name for name in folders if not skip(name)]
            yield folder, files

    def _list(self, folder: str) -> tuple[list[tuple[str, os.stat_result]], list[str]]:
        """Return files with their `lstat`, and the names of folders, of one folder."""
        files: list[tuple[str, os.stat_result]] = []
        folders: list[str] = []
        fd = _open_below(self._fd, folder or ".", _FOLDER)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.name)
                        else:
                            files.append((entry.name, entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue  # it went between listing and looking
        finally:
            os.close(fd)
        return files, folders


def _open_below(folder: int, path: str, flags: int) -> int:
    """Open `path` below a descriptor, without following any link."""
    parts = path.split("/")
    if not path or "" in parts or ".." in parts:
        raise OSError(errno.EXDEV, "leads out of the folder", path)
    if "\0" in path:
        raise OSError(errno.EINVAL, "a name cannot hold a zero byte", path)
    if _HAS_OPENAT2:
        return _openat2(folder, path, flags)
    return _open_stepwise(folder, parts, flags)


def _openat2(folder: int, path: str, flags: int) -> int:
    how = _How(flags, 0, _BENEATH)
    name = os.fsencode(path)
    for _ in range(_TRIES):
        # EAGAIN: the kernel could not rule out a race with a rename; EINTR: a slow file system.
        fd: int = _libc.syscall(_OPENAT2, folder, name, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        if ctypes.get_errno() not in _AGAIN:
            break
    raise _os_error(path)


def _open_stepwise(folder: int, parts: list[str], flags: int) -> int:
    """Do the same without `openat2` (before Linux 5.6, or forbidden): one part after another."""
    at = folder
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=at)
            if at != folder:
                os.close(at)
            at = below
        return os.open(parts[-1], flags, dir_fd=at)
    except NotADirectoryError as error:
        # O_NOFOLLOW with O_DIRECTORY says ENOTDIR where openat2 says ELOOP.
        raise OSError(errno.ELOOP, "a symbolic link, or no folder, in the path", part) from error
    finally:
        if at != folder:
            os.close(at)


def _os_error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def _probe() -> bool:
    how = _How(os.O_PATH | os.O_CLOEXEC, 0, _BENEATH)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        fd: int = _libc.syscall(_OPENAT2, root, b".", ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            os.close(fd)
        return fd >= 0
    finally:
        os.close(root)


_HAS_OPENAT2 = _probe()
