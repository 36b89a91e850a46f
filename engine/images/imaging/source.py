"""A disk to be imaged: a raw file or a block device, read once, in order, holes skipped."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.model.errors import Failure, NotFound, Problem, WrongUse
from engine.model.text import safe

_BLKSSZGET, _BLKPBSZGET = 0x1268, 0x127B
_FOREIGN = {
    b"QFI\xfb": "a qcow2 image",
    b"KDMV": "a VMDK image",
    b"vhdxfile": "a VHDX image",
    b"conectix": "a VHD image",
    b"P*M\x18\xf8\x0f\0\0BPI-HEAD": "an image file of this program",
}


class SourceFailed(Failure):
    """A disk could not be read; the point was not made."""


class Span(NamedTuple):
    """A range of a disk; `hole` when it reads zeros without being stored."""

    start: int
    length: int
    hole: bool


class SourceDisk:
    """An open disk. `read` may be called from several threads."""

    def __init__(self, path: Path) -> None:
        """Open it, for reading only.

        Raises:
            NotFound: There is no such file.
            WrongUse: It is no raw disk.
            SourceFailed: It cannot be opened.
        """
        self.path = path
        self._fd = _open(path)
        try:
            self._regular = _is_regular(self._fd, path)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
            self._refuse()
            self.logical_sector, self.physical_sector = self._sectors()
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        except BaseException:
            self.close()
            raise

    def spans(self, grain: int) -> Iterator[Span]:
        """Yield the whole disk as data and holes, in order, cut at multiples of `grain`."""
        at = 0
        while at < self.size:
            data = self._seek(at, os.SEEK_DATA) if self._regular else at
            if data >= self.size:
                yield Span(at, self.size - at, hole=True)
                return
            begin = max(at, data // grain * grain)
            if begin > at:
                yield Span(at, begin - at, hole=True)
            hole = self._seek(data, os.SEEK_HOLE) if self._regular else self.size
            at = min(self.size, -(-hole // grain) * grain)
            yield Span(begin, at - begin, hole=False)

    def read(self, start: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `start`. SourceFailed where that is not possible."""
        while into:
            try:
                count = os.preadv(self._fd, [into], start)
            except OSError as error:
                raise self._failed(start, error.strerror or "unknown error") from error
            if not count:
                raise self._failed(start, "it became shorter while it was being read")
            start, into = start + count, into[count:]

    def close(self) -> None:
        """Release the disk; repeatable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _seek(self, at: int, whence: int) -> int:
        """Return the next data or hole at or after `at`; everything is data where none can tell."""
        try:
            return os.lseek(self._fd, at, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self.size
            return at if whence == os.SEEK_DATA else self.size

    def _sectors(self) -> tuple[int, int]:
        if self._regular:
            return 512, 0
        asked = [
            struct.unpack("i", fcntl.ioctl(self._fd, request, bytes(4)))[0]
            for request in (_BLKSSZGET, _BLKPBSZGET)
        ]
        return (asked[0] if asked[0] in (512, 4096) else 512), asked[1]

    def _refuse(self) -> None:
        name = safe(str(self.path))
        head = os.pread(self._fd, 512, 0)
        if not self.size:
            raise _wrong(name, "it is empty", "Name a raw disk file or a block device.")
        for magic, what in _FOREIGN.items():
            if self._regular and head.startswith(magic):
                raise _wrong(
                    name,
                    f"it is {what}, not the bytes of a disk",
                    "Name the raw disk itself, or convert the image to raw first.",
                )

    def _failed(self, start: int, why: str) -> SourceFailed:
        name = safe(str(self.path))
        return SourceFailed(
            Problem(
                "imaging.source",
                f"{name} could not be read at offset {start}: {why}.",
                "No recovery point was made; the earlier ones are as they were.",
                "Check the disk and the system's log for read errors, then run it again.",
                {"disk": name, "offset": start},
            )
        )


def _open(path: Path) -> int:
    name = safe(str(path))
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFound(
            Problem(
                "imaging.no-disk",
                f"There is no disk {name}.",
                remedy="Name a raw disk file or a block device that exists.",
                facts={"disk": name},
            )
        ) from error
    except OSError as error:
        raise SourceFailed(
            Problem(
                "imaging.source",
                f"{name} could not be opened: {error.strerror}.",
                "No recovery point was made; the earlier ones are as they were.",
                "Check that the disk may be read by this user.",
                {"disk": name},
            )
        ) from error


def _is_regular(fd: int, path: Path) -> bool:
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise _wrong(safe(str(path)), "it is no file", "Name a raw disk file or a block device.")
    return stat.S_ISREG(mode)


def _wrong(name: str, why: str, remedy: str) -> WrongUse:
    return WrongUse(
        Problem(
            "imaging.wrong-disk",
            f"{name} cannot be imaged: {why}.",
            "Nothing was written.",
            remedy,
            {"disk": name},
        )
    )
