"""Volumes that are folders: the backend of the golden tests, and the plainest one to read.

Every path is walked component by component from the folder's descriptor with `O_NOFOLLOW`:
no link of the guest leads out of its volume.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backend import Stat, Type
from engine.guests.backends.verify import (
    components,
    confirm,
    fit,
    no_link,
    no_volume,
    unreadable,
)
from engine.model.guest import Action, FileEdit, FileSystem, Owner, Volume, VolumeId

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_TYPES = {modes.S_IFREG: Type.FILE, modes.S_IFDIR: Type.FOLDER, modes.S_IFLNK: Type.LINK}


@dataclass(frozen=True, slots=True)
class Folder:
    """A volume and the folder that holds its tree."""

    volume: Volume
    path: Path


def folder(identifier: str, path: Path, kind: FileSystem = FileSystem.EXT) -> Folder:
    """Return a volume made of a folder, with a name and no place on any disk."""
    return Folder(Volume(VolumeId(identifier), 0, 0, 0, 0, kind), path)


def open_directory(folders: Sequence[Folder]) -> DirectoryBackend:
    """Return a backend whose volumes are folders."""
    return DirectoryBackend(folders)


class DirectoryBackend:
    """Backend over folders; see `engine.guests.backend` for the promises of its verbs."""

    name = "directory"

    def __init__(self, folders: Sequence[Folder]) -> None:
        """Remember the folders; nothing is opened yet."""
        self._folders = tuple(folders)
        self._has_owners = os.geteuid() == 0

    def volumes(self) -> Sequence[Volume]:
        """Return the volumes in the order they were given."""
        return [folder.volume for folder in self._folders]

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is, or no folder leads there."""
        with self._parent(volume, path) as (above, name):
            if above is None:
                return None
            try:
                found = os.stat(name, dir_fd=above, follow_symlinks=False)
            except FileNotFoundError:
                return None
        kind = _TYPES.get(modes.S_IFMT(found.st_mode), Type.OTHER)
        owner = Owner(modes.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
        return Stat(kind, found.st_size, owner)

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        with self._parent(volume, path) as (above, name):
            if above is None:
                return []
            try:
                here = os.open(name, _FOLDER, dir_fd=above)
            except OSError:
                return []
            try:
                with os.scandir(here) as entries:
                    return sorted(os.fsencode(entry.name) for entry in entries)
            finally:
                os.close(here)

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a regular file's content."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.FILE or found.size > limit:
            raise unreadable(path, found, limit)
        with self._parent(volume, path) as (above, name):
            here = os.open(name, _FILE, dir_fd=above)
            with os.fdopen(here, "rb") as file:
                return file.read(limit)

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a symbolic link points."""
        with self._parent(volume, path) as (above, name):
            try:
                return os.readlink(name, dir_fd=above if above is not None else -1)
            except OSError as error:
                raise no_link(path) from error

    def replay(self, edits: Sequence[FileEdit]) -> int:
        """Make all edits, after all were seen to fit; read back; return bytes written."""
        wanted = fit(self, edits)
        for edit in edits:
            with self._parent(edit.volume, edit.path) as (above, name):
                if above is not None:
                    self._apply(edit, above, name)
        confirm(self, wanted, lambda _: self._has_owners)
        return sum(len(edit.after) for edit in edits if edit.action == Action.WRITE)

    def check(self, volumes: Sequence[VolumeId]) -> str:
        """Return that folders have no file system of their own to check."""
        return f"skipped({len(volumes)} folders have no file system of their own)"

    def _apply(self, edit: FileEdit, above: int, name: bytes) -> None:
        match edit.action:
            case Action.WRITE:
                self._write(edit, above, name)
            case Action.MKDIR:
                os.mkdir(name, dir_fd=above)
                self._own(edit, above, name)
            case Action.SYMLINK:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=above)
                os.symlink(edit.after, name, dir_fd=above)
                self._own(edit, above, name)
            case Action.RENAME:
                with self._parent(edit.volume, edit.after) as (beyond, new):
                    os.link(name, new, src_dir_fd=above, dst_dir_fd=beyond, follow_symlinks=False)
                os.unlink(name, dir_fd=above)
            case Action.REMOVE:
                _remove(above, name)

    def _write(self, edit: FileEdit, above: int, name: bytes) -> None:
        """Put a new file in the place of the old one: other hard links keep what they had."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=above)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=above), "wb") as file:
            file.write(edit.after)
        self._own(edit, above, name)

    def _own(self, edit: FileEdit, above: int, name: bytes) -> None:
        if self._has_owners:
            owner = edit.owner
            os.chown(name, owner.uid, owner.gid, dir_fd=above, follow_symlinks=False)
        if edit.action != Action.SYMLINK:
            os.chmod(name, edit.owner.mode, dir_fd=above)

    @contextlib.contextmanager
    def _parent(self, volume: VolumeId, path: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Give a descriptor of the folder above `path` (None: no such folder) and the last name."""
        *above, name = [b"."] if path == b"/" else components(path)
        here: int | None = os.open(self._path(volume), _FOLDER)
        try:
            for part in above:
                here = _step(here, part)
            yield here, name
        finally:
            if here is not None:
                os.close(here)

    def _path(self, volume: VolumeId) -> Path:
        for folder in self._folders:
            if folder.volume.id == volume:
                return folder.path
        raise no_volume(volume)


def _step(here: int | None, part: bytes) -> int | None:
    if here is None:
        return None
    try:
        return os.open(part, _FOLDER, dir_fd=here)
    except OSError:
        return None
    finally:
        os.close(here)


def _remove(above: int, name: bytes) -> None:
    found = os.stat(name, dir_fd=above, follow_symlinks=False)
    if modes.S_ISDIR(found.st_mode):
        os.rmdir(name, dir_fd=above)
    else:
        os.unlink(name, dir_fd=above)
