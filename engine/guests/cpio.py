"""Archives that a Linux kernel unpacks at boot: cpio, format "newc"; written here, and listed.

header (110 hex digits) │ name, zero │ pad to 4 │ content │ pad to 4 │ … │ TRAILER!!!

Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from blake3 import blake3

MAGIC = (b"070701", b"070702")
NAME = 4096
"""Longest name and longest link target; the kernel's own limit."""
_TRAILER = b"TRAILER!!!"
_HEADER = 110
_BLOCK = 512
_PIECE = 1 << 20


class Damaged(ValueError):
    """The bytes are no archive; in words for a sentence."""


class Unsupported(Damaged):
    """The bytes may be an archive, packed in a way that is not known here."""


@dataclass(slots=True)
class Archive:
    """An archive in the making. Parents must be added before what they hold.

    Same additions, same bytes: inode numbers count from 1, everything belongs to root, no times.
    """

    _data: bytearray = field(default_factory=bytearray)
    _entries: int = 0

    def folder(self, path: bytes) -> None:
        """Add a folder."""
        self._add(path, stat.S_IFDIR | 0o755)

    def file(self, path: bytes, content: bytes, mode: int = 0o644) -> None:
        """Add a file, owned by root."""
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: bytes, target: bytes) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target)

    def device(self, path: bytes, major: int, minor: int) -> None:
        """Add a character device; here, unlike in a folder, that takes no privilege."""
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def finish(self) -> bytes:
        """Return the whole archive, a multiple of 512 bytes long."""
        self._add(_TRAILER, 0)
        self._data += bytes(-len(self._data) % _BLOCK)
        return bytes(self._data)

    def _add(
        self, path: bytes, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        self._entries += 1
        name = path + b"\0"
        numbers = (
            self._entries, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0,
        )  # fmt: skip
        self._data += b"070701" + b"".join(b"%08X" % number for number in numbers) + name
        self._pad()
        self._data += content
        self._pad()

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)


class Source(Protocol):
    """Bytes that come one after the other."""

    def take(self, size: int) -> bytes:
        """Return exactly the next `size` bytes; Damaged when there are fewer."""

    def skip(self, size: int) -> None:
        """Pass over `size` bytes; Damaged when there are fewer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in an archive, without leading slash.

    Attributes:
        target: Of a symbolic link, else empty.
        digest: Of a kernel module's content (BLAKE3), else empty.
    """

    path: bytes
    mode: int
    target: bytes = b""
    digest: bytes = b""

    @property
    def is_module(self) -> bool:
        """Return whether it is named as a kernel module, packed or not."""
        return _is_module(self.path)


def entries(source: Source) -> Iterator[Entry]:
    """Yield what one archive holds, up to its trailer; contents are passed over, modules hashed.

    Raises:
        Damaged: A header, a name or a length cannot be.
    """
    while True:
        header = source.take(_HEADER)
        if header[:6] not in MAGIC:
            raise Damaged("something else stands where an entry should begin")
        numbers = _numbers(header[6:])
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        if not 0 < name_size <= NAME:
            raise Damaged(f"an entry's name is {name_size} bytes long")
        name = source.take(name_size + -(_HEADER + name_size) % 4)[:name_size].split(b"\0")[0]
        if name == _TRAILER:
            source.skip(size + -size % 4)
            return
        path = _plain(name)
        if stat.S_ISREG(mode) and _is_module(path):
            yield Entry(path, mode, digest=_digest(source, size))
        else:
            yield Entry(path, mode, _content(source, mode, size))


def _numbers(digits: bytes) -> Sequence[int]:
    """Return the header's 13 numbers."""
    # int() would take signs, blanks and underscores, fromhex() blanks.
    if len(digits.translate(None, b"0123456789abcdefABCDEF")):
        raise Damaged("an entry's header has something else than digits")
    return [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]


def _plain(name: bytes) -> bytes:
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def _is_module(path: bytes) -> bool:
    return b".ko" in path[-7:] and b"/modules/" in path


def _digest(source: Source, size: int) -> bytes:
    """Return the digest of a content, taken in pieces."""
    digest = blake3()
    for at in range(0, size, _PIECE):
        digest.update(source.take(min(_PIECE, size - at)))
    source.skip(-size % 4)
    return digest.digest()


def _content(source: Source, mode: int, size: int) -> bytes:
    """Return a link's target; pass over any other content."""
    padded = size + -size % 4
    if not stat.S_ISLNK(mode):
        source.skip(padded)
        return b""
    if size > NAME:
        raise Damaged(f"a link's target is {size} bytes long")
    return source.take(padded)[:size]
