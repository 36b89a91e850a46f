"""Opens recovery points for jobs: all files at once, below their watched folder, as seen before."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from engine.local.safedir import SafeDir, mark_of
from engine.model.errors import FormatError, Problem, SourceChanged, SourceMissing
from engine.model.images import FileMark, ImagePart, PointDisk, RecoveryPoint
from engine.model.text import safe
from engine.ports import NEVER, Cancel, DiskReader, ImageFormat

_NOT_THE_FILE = frozenset({errno.ELOOP, errno.EXDEV, errno.EINVAL, errno.ENXIO})


@dataclass(slots=True)
class OpenedPoint:
    """All disks of one recovery point, opened once (a `PointReader`)."""

    disks: Sequence[DiskReader]
    _files: list[tuple[int, PointDisk, FileMark]] = field(default_factory=list)

    def unchanged(self) -> None:
        """Raise `SourceChanged` if a file is not the one that was opened any more."""
        for fd, disk, mark in self._files:
            try:
                found = mark_of(os.fstat(fd))
            except OSError as error:
                raise SourceMissing(_gone(disk.path, error)) from error
            if not _is_same(mark, found):
                raise SourceChanged(_changed(disk.path, "it was written to while it was read"))


class FolderSource:
    """Opens recovery points below watched folders. Thread-safe."""

    def __init__(self, formats: Sequence[ImageFormat]) -> None:
        """Keep the formats, by name."""
        self._formats = {one.name: one for one in formats}

    @contextmanager
    def open(
        self,
        point: RecoveryPoint,
        cancel: Cancel = NEVER,  # noqa: ARG002 - waits for the kernel
    ) -> Iterator[OpenedPoint]:
        """Open all files of a COMPLETE point below its watched root.

        Raises:
            SourceMissing: Folder offline or a file is gone.
            SourceChanged: A file is not the one the scan saw.
            FormatError: A file does not parse any more.
        """
        known = self._formats.get(point.format)
        if known is None:
            raise FormatError(_no_format(point))
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(SafeDir(point.root))
            except OSError as error:
                raise SourceMissing(_gone(point.root, error)) from error
            opened = OpenedPoint([])
            readers: list[DiskReader] = []
            for disk in point.disks:
                fd = _open(folder, disk)
                stack.callback(os.close, fd)
                opened._files.append((fd, disk, _checked(fd, disk, point, known)))  # noqa: SLF001 - its own module
                reader = known.open_disk(fd, disk.path)
                stack.callback(reader.close)
                readers.append(reader)
            opened.disks = readers
            opened.unchanged()
            yield opened


def _open(folder: SafeDir, disk: PointDisk) -> int:
    if not disk.path:
        raise SourceMissing(_gone(disk.part.name or f"disk {disk.part.number}", None))
    try:
        return folder.open(disk.path)
    except OSError as error:
        if error.errno in _NOT_THE_FILE:
            raise SourceChanged(_changed(disk.path, "it is no regular file any more")) from error
        raise SourceMissing(_gone(disk.path, error)) from error


def _checked(fd: int, disk: PointDisk, point: RecoveryPoint, known: ImageFormat) -> FileMark:
    """Return the mark of an open file that is the one the scan saw, by mark and by content."""
    mark = mark_of(os.fstat(fd))
    if disk.mark is not None and not _is_same(disk.mark, mark):
        raise SourceChanged(_changed(disk.path, "it was replaced or written to"))
    wrong = _difference(known.describe(fd, disk.path), disk, point)
    if wrong:
        raise SourceChanged(_changed(disk.path, wrong))
    return mark


def _difference(part: ImagePart, disk: PointDisk, point: RecoveryPoint) -> str:
    """Return what a file says otherwise than the scan did; empty when all is the same."""
    found = part.disks[0] if len(part.disks) == 1 else None
    if part.set_id != point.set_id or part.point != point.id or found is None:
        return "it belongs to another recovery point"
    if found.uuid != disk.part.uuid or found.size != disk.part.size:
        return "it holds another disk"
    if found.root != disk.part.root or found.parent_root != disk.part.parent_root:
        return "its content is another one"
    return ""


def _is_same(one: FileMark, other: FileMark) -> bool:
    """Compare what changes with content.

    Not the device, which changes when a share is mounted again, and not `ctime`, which changes
    with owner, rights and the number of names.
    """
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def _gone(path: str, error: OSError | None) -> Problem:
    why = f": {error.strerror}" if error is not None and error.strerror else ""
    return Problem(
        "image.missing",
        f"{safe(path, 200)} cannot be opened{why}.",
        "Ready boot points are not affected.",
        "Check that the folder is mounted and the file is there; it is tried again by itself.",
        {"path": safe(path, 200), "errno": (error.errno or 0) if error is not None else 0},
    )


def _changed(path: str, why: str) -> Problem:
    return Problem(
        "image.changed",
        f"{safe(path, 200)} is not the file that the last scan saw: {why}.",
        "Nothing of it was taken over.",
        "Nothing needs to be done; it is used once it has stopped changing.",
        {"path": safe(path, 200)},
    )


def _no_format(point: RecoveryPoint) -> Problem:
    return Problem(
        "image.unsupported",
        f"Recovery point {point.sequence} of {safe(point.machine_name)} is of the format "
        f"{safe(point.format)}, which this version does not read.",
        "Nothing was changed.",
        "Use a version that reads this format.",
    )
