r"""Which Windows is installed: a few values of the hive SOFTWARE, read where they lie.

A hive has a hundred megabytes and more, and is hostile; this reads some kilobytes of it, by
offsets that are checked, and nothing is changed. Whoever changes a hive uses another module.

Source: Windows registry file format specification (M. Suhanov), "Format of primary files".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

ReadHive = Callable[[int, int], bytes]
r"""Return up to `length` bytes at `offset` of a hive; fewer at its end."""

BASE = 4096
"""Bytes of the base block; cells are counted from its end."""
_PATH = ("Microsoft", "Windows NT", "CurrentVersion")
_PAGE = 4096
_PAGES = 4096
"""Most pages that are read."""
_CELL = 1 << 20
_KEYS = 1 << 14
_VALUES = 1000
_WINDOWS_11 = 22000
"""First build of Windows 11, which still calls itself Windows 10 in the registry."""


@dataclass(frozen=True, slots=True)
class WindowsVersion:
    """What the registry says of itself.

    Attributes:
        name: Such as `Windows Server 2019 Standard`.
        release: Such as `1809`, `22H2` or `Service Pack 1`; may be empty.
        major, minor, build, update: 10, 0, 17763, 5329; 0 where nothing is said.
        is_server: Whether it is a server's edition.
    """

    name: str
    release: str
    major: int
    minor: int
    build: int
    update: int
    is_server: bool

    @property
    def number(self) -> str:
        """Return `10.0.17763.5329`."""
        parts = [self.major, self.minor, self.build, *([self.update] if self.update else [])]
        return ".".join(str(part) for part in parts)


class HiveDamaged(Exception):
    """A hive does not have the form it should have."""


def read_version(read: ReadHive) -> WindowsVersion:
    """Return the version that a hive SOFTWARE names.

    Raises:
        HiveDamaged: It is no hive, or what leads to the version is damaged.
    """
    values = _Hive(read).values(_PATH)
    build = _number(values, "CurrentBuildNumber") or _number(values, "CurrentBuild")
    major, minor = _number(values, "CurrentMajorVersionNumber"), 0
    if major:
        minor = _number(values, "CurrentMinorVersionNumber")
    else:
        major, minor = _dotted(_text(values, "CurrentVersion"))
    name = _text(values, "ProductName") or "Windows"
    kind = _text(values, "InstallationType").lower()
    is_server = kind.startswith("server") or (not kind and "server" in name.lower())
    if build >= _WINDOWS_11 and not is_server:
        name = name.replace("Windows 10", "Windows 11", 1)
    names = ("DisplayVersion", "ReleaseId", "CSDVersion")
    release = next((text for text in (_text(values, key) for key in names) if text), "")
    update = _number(values, "UBR")
    return WindowsVersion(name, release, major, minor, build, update, is_server)


def is_dirty(head: bytes) -> bool:
    """Return whether a hive's base block says that a write was not finished.

    Args:
        head: The first 512 bytes.

    Raises:
        HiveDamaged: It is no hive.
    """
    if len(head) < 512 or head[:4] != b"regf":
        raise HiveDamaged
    first, second = struct.unpack_from("<II", head, 4)
    return bool(first != second or checksum(head) != struct.unpack_from("<I", head, 508)[0])


def checksum(head: bytes) -> int:
    """Return the checksum of a base block."""
    total = 0
    for word in struct.unpack_from("<127I", head):
        total ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total, total)


def _text(values: Mapping[str, bytes | int], name: str) -> str:
    value = values.get(name.lower())
    if not isinstance(value, bytes):
        return ""
    text = value.decode("utf-16-le", "replace").partition("\0")[0]
    return "".join(c for c in text if c.isprintable()).strip()[:200]


def _number(values: Mapping[str, bytes | int], name: str) -> int:
    value = values.get(name.lower())
    if isinstance(value, int):
        return value
    text = _text(values, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _dotted(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    fits = all(part.isascii() and part.isdigit() and len(part) < 4 for part in (major, minor))
    return (int(major), int(minor)) if fits else (0, 0)


class _Hive:
    """Cells of a hive by their offsets."""

    def __init__(self, read: ReadHive) -> None:
        self._read = read
        self._pages: dict[int, bytes] = {}
        head = self._at(0, 512)
        if head[:4] != b"regf":
            raise HiveDamaged
        self._root = self._number("<I", head, 36)

    def values(self, path: tuple[str, ...]) -> Mapping[str, bytes | int]:
        """Return a key's short values by their names in lower case: texts raw, numbers decoded."""
        key = self._cell(self._root)
        for name in path:
            key = self._child(key, name)
        if key[:2] != b"nk" or len(key) < 76:
            raise HiveDamaged
        count, where = self._number("<I", key, 36), self._number("<I", key, 40)
        if not count:
            return {}
        offsets = self._cell(where)
        count = min(count, len(offsets) // 4, _VALUES)
        pairs = (self._value(offset) for offset in struct.unpack_from(f"<{count}I", offsets))
        return dict(pairs)

    def _value(self, offset: int) -> tuple[str, bytes | int]:
        cell = self._cell(offset)
        if cell[:2] != b"vk" or len(cell) < 20:
            raise HiveDamaged
        length, size, data, kind, flags = struct.unpack_from("<HIIIH", cell, 2)
        raw = cell[20 : 20 + length]
        name = raw.decode("latin-1" if flags & 1 else "utf-16-le", "replace").lower()
        if size & 0x80000000:
            content = cell[8 : 8 + min(size & 0x7FFFFFFF, 4)]
        elif kind in (1, 2) and size <= 2048:
            content = self._cell(data)[:size]
        else:
            return name, b""
        return name, int.from_bytes(content, "little") if kind == 4 else content

    def _child(self, key: bytes, name: str) -> bytes:
        if key[:2] != b"nk" or len(key) < 76:
            raise HiveDamaged
        wanted = name.upper()
        count, where = self._number("<I", key, 20), self._number("<I", key, 28)
        for offset in self._children(where, wanted) if count else ():
            child = self._cell(offset)
            if len(child) < 76 or child[:2] != b"nk":
                raise HiveDamaged
            length = self._number("<H", child, 72)
            raw = child[76 : 76 + length]
            form = "latin-1" if self._number("<H", child, 2) & 0x20 else "utf-16-le"
            if raw.decode(form, "replace").upper() == wanted:
                return child
        raise HiveDamaged

    def _children(self, where: int, wanted: str) -> Iterator[int]:
        """Yield the offsets of the keys that may have the wanted name."""
        table = self._cell(where)
        if table[:2] != b"ri":
            yield from _entries(table, wanted)
            return
        for number, offset in enumerate(_numbers(table, 1)):
            if number > _KEYS:
                raise HiveDamaged
            yield from _entries(self._cell(offset), wanted)

    def _cell(self, offset: int) -> bytes:
        size = -struct.unpack("<i", self._at(BASE + offset, 4))[0]
        if not 8 <= size <= _CELL:
            raise HiveDamaged
        return self._at(BASE + offset + 4, size - 4)

    def _at(self, offset: int, length: int) -> bytes:
        content = b"".join(
            self._page(page) for page in range(offset // _PAGE, -(-(offset + length) // _PAGE))
        )
        piece = content[offset % _PAGE :][:length]
        if len(piece) != length:
            raise HiveDamaged
        return piece

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            if len(self._pages) == _PAGES:
                raise HiveDamaged
            self._pages[number] = self._read(number * _PAGE, _PAGE)
        return self._pages[number]

    @staticmethod
    def _number(form: str, raw: bytes, at: int) -> int:
        return int(struct.unpack_from(form, raw, at)[0])


def _entries(table: bytes, wanted: str) -> Iterator[int]:
    """Yield what a list of keys holds; of `lh` only what has the wanted name's hash."""
    match table[:2]:
        case b"li":
            yield from _numbers(table, 1)
        case b"lf":
            yield from _numbers(table, 2)[::2]
        case b"lh":
            numbers, mine = _numbers(table, 2), _hash(wanted)
            yield from (
                key for key, its in zip(numbers[::2], numbers[1::2], strict=True) if its == mine
            )
        case _:
            raise HiveDamaged


def _numbers(table: bytes, width: int) -> Sequence[int]:
    """Return the numbers in a list of keys, `width` for each."""
    count = width * int(struct.unpack_from("<H", table, 2)[0])
    if 4 + 4 * count > len(table):
        raise HiveDamaged
    return struct.unpack_from(f"<{count}I", table, 4)


def _hash(name: str) -> int:
    total = 0
    for character in name:
        total = (total * 37 + ord(character)) & 0xFFFFFFFF
    return total
