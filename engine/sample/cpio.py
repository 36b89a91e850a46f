"""Archives that a Linux kernel unpacks at boot: cpio, format "newc"."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

_TRAILER = "TRAILER!!!"


@dataclass(slots=True)
class Archive:
    """An archive in the making. Parents must be added before what they hold."""

    _data: bytearray = field(default_factory=bytearray)
    _entries: int = 0

    def folder(self, path: str) -> None:
        """Add a folder."""
        self._add(path, stat.S_IFDIR | 0o755)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file, owned by root."""
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a character device; here, unlike in a folder, that takes no privilege."""
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def finish(self) -> bytes:
        """Return the whole archive."""
        self._add(_TRAILER, 0)
        return bytes(self._data)

    def _add(
        self, path: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        # Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst
        self._entries += 1
        name = path.encode() + b"\0"
        numbers = (
            self._entries, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0,
        )  # fmt: skip
        self._data += b"070701" + b"".join(b"%08X" % number for number in numbers) + name
        self._pad()
        self._data += content
        self._pad()

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)
