"""Layers as flat files that share their bytes: XFS and btrfs.

    seed/disk-0.raw   AAAABBBBCCCC
    day1/disk-0.raw   AAAAbbBBCCCC     starts as a clone; only `bb` takes room

Every layer is a plain disk that any tool can boot; a fold only unlinks.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from engine.local.durable import FULL, no_space
from engine.model.extents import Extent, Kind, overlay, subtract
from engine.model.layers import Gain, LayerName
from engine.ports import Cancel, Copied
from engine.stores.diskkind import DiskTree, FoldedDisk
from engine.stores.layerfolders import Stack
from engine.stores.rawdisk import RawDevice, clone, differing, mapped

_NO_MAP = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL})
"""What a file system answers that does not tell where a file lies (NFS)."""


class Reflink:
    """A disk of a layer as a reflink clone of its parent's."""

    format = "raw"
    folds_files = False
    deepest: int | None = None

    def make(self, path: Path, size: int, below: Stack) -> None:
        """Clone the file below, cut or lengthened to `size`."""
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if below:
                source = os.open(below[0], os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    clone(source, fd)
                finally:
                    os.close(source)
            os.ftruncate(fd, size)
        except OSError as error:
            if error.errno in FULL:
                raise no_space(error, path) from error
            raise
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def open(self, stack: Stack, size: int, *, writable: bool) -> Iterator[RawDevice]:
        """Open the flat file."""
        device = RawDevice(stack[0], size, writable=writable)
        try:
            yield device
        finally:
            device.close()

    def changed(self, stack: Stack, size: int) -> Iterator[Extent]:
        """Yield where the file does not share its bytes with the one below."""
        try:
            return iter(self._differing(stack, size, settle=True))
        except OSError as error:
            if error.errno not in _NO_MAP:
                raise
            return iter([Extent(0, size, Kind.DATA)] if size else [])

    def used(self, stack: Stack, size: int) -> int:
        """Return the bytes that are not shared with the file below."""
        try:
            own = self._differing(stack, size, settle=False)
        except OSError as error:
            if error.errno not in _NO_MAP:
                raise
            return stack[0].stat().st_blocks * 512
        return sum(extent.length for extent in own if extent.kind is Kind.DATA)

    def _differing(self, stack: Stack, size: int, *, settle: bool) -> list[Extent]:
        with contextlib.ExitStack() as files:
            maps = []
            for file in stack[:2]:
                fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                files.callback(os.close, fd)
                maps.append(mapped(fd, settle=settle))
            return list(differing(maps[0], maps[1] if len(maps) > 1 else iter(()), size))

    def check(self, stack: Stack, *, loose: bool) -> None:
        """Do nothing: flat files refer to nothing."""

    def fold(self, disk: FoldedDisk, cancel: Cancel, copied: Copied) -> None:
        """Do nothing: the children's bytes are their own."""

    def gain(self, disk: DiskTree, gone: Sequence[LayerName]) -> Gain:
        """Return the bytes on the medium that no file but those of the layers refers to.

        Exact on XFS. btrfs keeps a whole extent while any byte of it is used, and sharing with
        files outside the store is not seen: then less may come back.
        """
        going = [file for name, file in disk.files.items() if name in set(gone)]
        staying = [file for name, file in disk.files.items() if name not in set(gone)]
        if not going:
            return Gain()
        exact = os.statvfs(going[0]).f_files > 0  # btrfs makes inodes as it needs them: it has 0
        try:
            free = _places(going)
            used = _places(staying)
        except OSError as error:
            if error.errno not in _NO_MAP:
                raise
            return Gain(sum(file.stat().st_blocks * 512 for file in going), exact=False)
        return Gain(sum(one.length for one in subtract(free, used)), exact=exact)


def _places(files: Iterable[Path]) -> list[Extent]:
    """Return where on the medium the bytes of files lie, each place once."""
    found: list[Extent] = []
    for file in files:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            own = [
                Extent(one.place, one.length, Kind.DATA)
                for one in mapped(fd, settle=False)
                if one.place is not None
            ]
        finally:
            os.close(fd)
        found = list(overlay(_whole(own), found))
    return found


def _whole(ranges: Iterable[Extent]) -> list[Extent]:
    """Return ranges sorted, what several of them cover once."""
    found: list[Extent] = []
    for one in sorted(ranges):
        if found and one.start <= found[-1].end:
            end = max(found[-1].end, one.end)
            found[-1] = Extent(found[-1].start, end - found[-1].start, Kind.DATA)
        else:
            found.append(one)
    return found
