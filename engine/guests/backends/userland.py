"""Raw disks through small programs of user space: e2fsprogs, mtools, ntfs-3g.

    fit ─► journals ─► fit again ─► debugfs, mtools, ntfs-3g ─► read back ─► e2fsck -fn (check)

No kernel of this host ever sees a guest's file system; a damaged one ends a child process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.guests.backend import WHOLE, Stat
from engine.guests.backends.ext import ExtVolume
from engine.guests.backends.fat import FatVolume
from engine.guests.backends.ntfs import NtfsVolume
from engine.guests.backends.verify import confirm, fit, no_volume
from engine.guests.volumes import find_volumes
from engine.model.errors import Problem, WrongUse
from engine.model.guest import Action, FileEdit, FileSystem, Obstacle, Volume, VolumeId
from engine.model.text import safe


def open_userland(disks: Sequence[Path]) -> UserlandBackend:
    """Return a backend over raw disks (flat files or block devices), in the guest's order.

    Nothing is written before `recover` or `replay`. Close it, or use it as a context.

    Raises:
        WrongUse: A disk's path holds characters that the programs would read as something else.
        Failure: A partition table is damaged.
    """
    return UserlandBackend(disks)


class UserlandBackend:
    """Backend for ext, FAT and NTFS on raw disks; see `engine.guests.backend` for the promises."""

    name = "userland"

    def __init__(self, disks: Sequence[Path]) -> None:
        """Find the volumes of all disks."""
        for disk in disks:
            if any(mark in str(disk) for mark in "?@\\"):
                raise WrongUse(_odd_path(disk))
        self._disks = tuple(disks)
        self._volumes = find_volumes(self._read_disk, [_size(disk) for disk in disks])
        self._ext = {v.id: ExtVolume(disks[v.disk], v) for v in self._of(FileSystem.EXT)}
        self._fat = {v.id: FatVolume(disks[v.disk], v) for v in self._of(FileSystem.FAT)}
        self._ntfs = {v.id: NtfsVolume(disks[v.disk], v) for v in self._of(FileSystem.NTFS)}

    def __enter__(self) -> Self:
        """Return the backend."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, however the context ended."""
        self.close()

    def close(self) -> None:
        """End the programs that were started; the next question starts them again."""
        for volume in self._ext.values():
            volume.close()
        for other in self._ntfs.values():
            other.close()

    def volumes(self) -> Sequence[Volume]:
        """Return all volumes of all disks, by disk and start."""
        return self._volumes

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is."""
        return self._at(volume).stat(path)

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        return self._at(volume).list(path)

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a regular file's content."""
        return self._at(volume).read(path, limit)

    def part(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a regular file, on NTFS without reading the rest.

        Raises:
            Failure: There is none, or it is longer than `WHOLE` and not on NTFS.
        """
        found = self._ntfs.get(volume)
        if found is not None:
            return found.part(path, offset, length)
        return self.read(volume, path, WHOLE)[offset : offset + length]

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a symbolic link points."""
        return self._at(volume).link(path)

    def room(self, volume: VolumeId) -> int | None:
        """Return the free bytes of a volume of ext; None of the others."""
        found = self._ext.get(volume)
        return None if found is None else found.room()

    def recover(self, volumes: Sequence[VolumeId] = ()) -> None:
        """Replay journals and drop orphans: on the twig, before planning.

        A guest that was not shut down has its newest files in the journal only.

        Args:
            volumes: Those to recover; all of ext and NTFS when none is named.

        Raises:
            Failure: A journal of ext cannot be replayed; NTFS keeps it for `trouble`.
        """
        for identifier, volume in self._ext.items():
            if (not volumes or identifier in volumes) and volume.is_dirty():
                volume.recover()
        for identifier, other in self._ntfs.items():
            if not volumes or identifier in volumes:
                other.recover()

    def trouble(self, volume: VolumeId) -> Obstacle | None:
        """Return why a volume that can be read cannot be written; None when it can."""
        found = self._ntfs.get(volume)
        return found.trouble() if found else None

    def unable(self, volumes: Sequence[Volume]) -> Sequence[str]:
        """Return why some volumes need another backend, a sentence for each."""
        odd = {v.id: self._ext[v.id].unable() for v in volumes if v.id in self._ext}
        return [
            f"Volume {safe(identifier)} (ext4 with {why}) needs another backend: uml or guestfs."
            for identifier, why in odd.items()
            if why
        ]

    def replay(self, edits: Sequence[FileEdit]) -> int:
        """Make all edits, after all were seen to fit; read back; return bytes written.

        Raises:
            Failure: An edit does not fit (nothing was written), or a tool failed.
        """
        for volume in {edit.volume for edit in edits}:
            self._at(volume).refuse_unspeakable([e for e in edits if e.volume == volume])
        wanted = fit(self, edits)
        recovered = [volume for volume in self._touched(edits) if self._recovered(volume)]
        if recovered:
            wanted = fit(self, edits)
        written = 0
        for volume in self._touched(edits):
            written += self._written(volume, [edit for edit in edits if edit.volume == volume])
        confirm(self, wanted, lambda volume: volume in self._ext)
        self._sync()
        return written

    def check(self, volumes: Sequence[VolumeId]) -> str:
        """Check file systems; return `full` or the first `skipped(reason)`.

        Raises:
            Failure: One of them is damaged.
        """
        outcomes = [self._at(volume).check() for volume in volumes]
        return next((outcome for outcome in outcomes if outcome != "full"), "full")

    def _recovered(self, volume: VolumeId) -> bool:
        """Replay one volume's journal; return whether that may have changed what is there."""
        if volume in self._ntfs:
            return self._ntfs[volume].recover()
        if volume not in self._ext or not self._ext[volume].is_dirty():
            return False
        self._ext[volume].recover()
        return True

    def _written(self, volume: VolumeId, edits: Sequence[FileEdit]) -> int:
        """Make one volume's edits; return the bytes written."""
        if volume in self._ntfs:
            return self._ntfs[volume].write(edits)
        self._at(volume).write(edits)
        return sum(len(edit.after) for edit in edits if edit.action == Action.WRITE)

    def _touched(self, edits: Sequence[FileEdit]) -> Sequence[VolumeId]:
        return sorted({edit.volume for edit in edits})

    def _of(self, kind: FileSystem) -> Sequence[Volume]:
        return [volume for volume in self._volumes if volume.kind == kind]

    def _at(self, volume: VolumeId) -> ExtVolume | FatVolume | NtfsVolume:
        found = self._ext.get(volume) or self._fat.get(volume) or self._ntfs.get(volume)
        if found is None:
            raise no_volume(volume)
        return found

    def _read_disk(self, disk: int, offset: int, length: int) -> bytes:
        with self._disks[disk].open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _sync(self) -> None:
        for disk in self._disks:
            with disk.open("rb") as file:
                os.fdatasync(file.fileno())


def _size(disk: Path) -> int:
    """Return the bytes of a file or block device."""
    with disk.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def _odd_path(disk: Path) -> Problem:
    name = safe(str(disk), 300)
    happened = f"The disk {name} has a question mark, an at sign or a backslash in its path."
    remedy = "Use a folder and a machine name without these characters."
    return Problem("guest.disk.path", happened, "Nothing was changed.", remedy, {"path": name})
