"""FAT (the EFI system partition) on a raw disk: read here, written by mtools.

FAT keeps no owners and no links, and does not tell `EFI` from `efi`: names are found in any case.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backend import Stat, Type
from engine.guests.backends import verdict
from engine.guests.backends.cage import caged
from engine.guests.backends.debugfs import FAKE_TIME
from engine.guests.backends.verify import (
    components,
    damaged,
    no_link,
    refusal,
    told_by,
    unreadable,
)
from engine.guests.signatures import FatShape, fat_shape
from engine.local.tools import ToolFailed, run_tool
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, Owner, Volume
from engine.model.text import safe

_LONG, _LABEL, _FOLDER = 0x0F, 0x08, 0x10
_FOLDER_LIMIT = 1 << 21
"""Longest folder in bytes: 65,536 entries, what FAT allows."""
_UNSPEAKABLE = re.compile(rb"[\x00-\x1f\x7f\"'\\*?\[\]:<>|]")
_OWNER = Owner(0o755, 0, 0)
_STEP = 1 << 18
_PAGE = 1 << 16
"""Bytes of the table of clusters that are read at once, and four more: entries may straddle."""
_CHECKED = 512 << 20
"""Most bytes in use of a file system that is checked."""

Runs = list[list[int]]
"""A chain of clusters as neighbours: first and count of each."""


@dataclass(frozen=True, slots=True)
class _Node:
    """An entry of a folder; cluster 0 is the root folder, or an empty file."""

    name: bytes
    cluster: int
    stat: Stat


class FatVolume:
    """One FAT file system; the verbs of a backend without the volume's name."""

    def __init__(self, disk: Path, volume: Volume) -> None:
        """Remember where it lies; nothing is opened yet."""
        self._disk = disk
        self._volume = volume

    def stat(self, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is."""
        node = self._node(path)
        return node.stat if node else None

    def list(self, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        node = self._node(path)
        if node is None or node.stat.type != Type.FOLDER:
            return []
        return sorted(entry.name for entry in self._folder(node.cluster).values())

    def read(self, path: bytes, limit: int) -> bytes:
        """Return a regular file's content."""
        node = self._node(path)
        if node is None or node.stat.type != Type.FILE or node.stat.size > limit:
            raise unreadable(path, node.stat if node else None, limit)
        content = self._chain(node.cluster, node.stat.size)[: node.stat.size]
        if len(content) != node.stat.size:
            raise self._damaged(f"the file {safe(path, 200)} cannot be read to its end")
        return content

    def link(self, path: bytes) -> bytes:
        """Raise: FAT knows no links."""
        raise no_link(path)

    def refuse_unspeakable(self, edits: Sequence[FileEdit]) -> None:
        """Refuse edits that FAT or mtools cannot make.

        Raises:
            Failure: A symbolic link, or a path with characters that FAT or mtools forbid.
        """
        shape = self._shape()
        if shape.data + shape.clusters * shape.cluster > self._volume.size:
            raise self._damaged("it claims to be larger than its partition")
        for edit in edits:
            paths = [edit.path, *([edit.after] if edit.action == Action.RENAME else [])]
            if edit.action == Action.SYMLINK:
                raise refusal(edit.path, "is to become a link, which FAT does not know")
            if any(_UNSPEAKABLE.search(path) for path in paths):
                raise refusal(edit.path, "has a name that FAT or mtools cannot be given")

    def write(self, edits: Sequence[FileEdit]) -> None:
        """Make edits that were seen to fit.

        Raises:
            Failure: mtools failed, by damage or for want of room; the twig must be dropped.
        """
        try:
            self._write(edits)
        except ToolFailed as failed:
            said = str(failed.problem.facts.get("said", ""))
            raise told_by(self._volume.id, said) or failed from failed

    def _write(self, edits: Sequence[FileEdit]) -> None:
        for edit in edits:
            there = b"::" + edit.path
            match edit.action:
                case Action.WRITE:
                    self._copy_in(edit.after, there)
                case Action.MKDIR:
                    self._mtool("mmd", [], there)
                case Action.RENAME:
                    self._mtool("mmove", [], there, b"::" + edit.after)
                case Action.REMOVE:
                    node = self._node(edit.path)
                    is_folder = node is not None and node.stat.type == Type.FOLDER
                    self._mtool("mrd" if is_folder else "mdel", [], there)
                case Action.SYMLINK:  # refused before the first write
                    raise refusal(edit.path, "is to become a link, which FAT does not know")

    def check(self) -> str:
        """Check a copy of it, since the checker takes no part of a disk.

        Raises:
            Failure: It is damaged.
        """
        with tempfile.TemporaryDirectory(prefix="bootpoint-check-") as folder:
            copy = Path(folder) / "fat"
            if not self._copy_out(copy):
                return "skipped(too many bytes are in use for a check)"
            argv = caged(["fsck.vfat", "-n", str(copy)], copy)
            try:
                run_tool(argv, cpu_s=60, memory=2 << 30, timeout_s=60)
            except ToolFailed:
                # Its words are on standard output, which a failure does not have.
                said = run_tool(argv, cpu_s=60, memory=2 << 30, timeout_s=60, accept=(1,))
                bad = verdict.of_fat(1, said)
                if bad:
                    words = safe(b" ".join(bad.split()), 400)
                    raise self._damaged(f"fsck.vfat said: {words}") from None
        return "full"

    def _copy_out(self, copy: Path) -> bool:
        """Copy it, its empty parts as holes; return whether it was short enough."""
        held, at, end = 0, self._volume.start, self._volume.start + self._volume.size
        with self._disk.open("rb", buffering=0) as disk, copy.open("xb", buffering=0) as file:
            file.truncate(self._volume.size)
            while (at := _next_data(disk.fileno(), at, end)) < end:
                piece = os.pread(disk.fileno(), min(_STEP, end - at), at)
                if not piece:
                    break
                if piece.count(0) != len(piece):
                    os.pwrite(file.fileno(), piece, at - self._volume.start)
                    held += len(piece)
                at += len(piece)
                if held > _CHECKED:
                    return False
        return True

    def _copy_in(self, content: bytes, there: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="bootpoint-edit-") as folder:
            file = Path(folder) / "new"
            file.write_bytes(content)
            self._mtool("mcopy", ["-D", "o"], bytes(file), there, folder=Path(folder))

    def _mtool(
        self, tool: str, options: Sequence[str], *paths: bytes, folder: Path | None = None
    ) -> None:
        settings = {"SOURCE_DATE_EPOCH": f"{FAKE_TIME}", "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
        image = f"{self._disk.absolute()}@@{self._volume.start}"
        names = [path.decode("utf-8", "surrogateescape") for path in paths]
        argv: Sequence[str] = [tool, "-i", image, *options, *names]
        argv = caged(argv, self._disk, is_writing=True, folder=folder)
        run_tool(argv, cpu_s=30, memory=1 << 30, timeout_s=60, settings=settings)

    def _node(self, path: bytes) -> _Node | None:
        here: _Node | None = _Node(b"/", 0, Stat(Type.FOLDER, 0, _OWNER))
        for part in [] if path == b"/" else components(path):
            if here is None or here.stat.type != Type.FOLDER:
                return None
            here = self._folder(here.cluster).get(_key(part))
        return here

    def _folder(self, cluster: int) -> Mapping[str, _Node]:
        shape = self._shape()
        if not cluster and shape.bits != 32:
            raw = self._at(shape.root, shape.root_size)
        else:
            raw = self._chain(cluster or shape.first, _FOLDER_LIMIT)
        return {_key(node.name): node for node in _entries(raw)}

    def _chain(self, cluster: int, limit: int) -> bytes:
        """Return the bytes of a chain of clusters; stops at its end, at a loop or at `limit`."""
        shape = self._shape()
        content = bytearray()
        with self._disk.open("rb", buffering=0) as disk:
            for first, count in self._runs(disk.fileno(), shape, cluster, limit):
                place = shape.data + (first - 2) * shape.cluster
                content += self._at(place, count * shape.cluster, disk.fileno())
        return bytes(content)

    def _runs(self, disk: int, shape: FatShape, cluster: int, limit: int) -> Runs:
        """Return a chain, up to `limit` bytes of it."""
        table: dict[int, bytes] = {}

        def following(cluster: int) -> int:
            page, inside = divmod(cluster * shape.bits // 8, _PAGE)
            if page not in table:
                table[page] = self._at(shape.table + page * _PAGE, _PAGE + 4, disk)
            (value,) = struct.unpack("<I", table[page][inside : inside + 4].ljust(4, b"\0"))
            if shape.bits == 12:
                return int(value >> (4 if cluster & 1 else 0)) & 0xFFF
            return int(value & (0xFFFF if shape.bits == 16 else 0x0FFFFFFF))

        runs: Runs = []
        seen: set[int] = set()
        while 2 <= cluster < shape.clusters + 2 and len(seen) * shape.cluster < limit:
            seen.add(cluster)
            if runs and cluster == sum(runs[-1]):
                runs[-1][1] += 1
            else:
                runs.append([cluster, 1])
            cluster = following(cluster)
            if cluster in seen:
                raise self._damaged("a chain of clusters is a loop")
        return runs

    def _shape(self) -> FatShape:
        shape = fat_shape(self._at(0, 512))
        if shape is None:
            raise self._damaged("its boot sector cannot be read")
        return shape

    def _at(self, offset: int, length: int, disk: int | None = None) -> bytes:
        """Return bytes of the volume, as many as it has; `disk`: its file, when it is open."""
        if disk is None:
            with self._disk.open("rb", buffering=0) as file:
                return self._at(offset, length, file.fileno())
        length = max(0, min(length, self._volume.size - offset))
        return os.pread(disk, length, self._volume.start + offset)

    def _damaged(self, why: str) -> Failure:
        return damaged(self._volume.id, why)


def _next_data(disk: int, at: int, end: int) -> int:
    """Return where data begins at or behind a place; the end when there is none."""
    try:
        return os.lseek(disk, at, os.SEEK_DATA)
    except OSError as error:
        # A block device, or a file system that does not know holes, is all data.
        return end if error.errno == errno.ENXIO else at


def _key(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").casefold()


def _entries(raw: bytes) -> Iterator[_Node]:
    """Yield the files and folders of a folder's bytes, with their long names."""
    long: list[bytes] = []
    for at in range(0, len(raw) - 31, 32):
        entry = raw[at : at + 32]
        if not entry[0]:
            return
        if entry[11] == _LONG and entry[0] != 0xE5:
            long = ([] if entry[0] & 0x40 else long)[:20]
            long.insert(0, entry[1:11] + entry[14:26] + entry[28:32])
            checksum = entry[13]
            continue
        name = _long_name(long) if long and checksum == _checksum(entry) else _short_name(entry)
        long = []
        if entry[0] not in (0xE5, 0x2E) and not entry[11] & _LABEL:
            yield _Node(name, *_place(entry))


def _place(entry: bytes) -> tuple[int, Stat]:
    high, low, size = struct.unpack("<H4xHI", entry[20:32])
    if entry[11] & _FOLDER:
        return high << 16 | low, Stat(Type.FOLDER, 0, _OWNER)
    return high << 16 | low, Stat(Type.FILE, size, _OWNER)


def _checksum(entry: bytes) -> int:
    total = 0
    for byte in entry[:11]:
        total = (((total & 1) << 7) + (total >> 1) + byte) & 0xFF
    return total


def _long_name(pieces: Sequence[bytes]) -> bytes:
    text = b"".join(pieces).decode("utf-16-le", "replace")
    return text.partition("\0")[0].rstrip("\uffff").encode("utf-8", "replace")


def _short_name(entry: bytes) -> bytes:
    base, extension = (entry[a:b].decode("cp437").rstrip(" ") for a, b in ((0, 8), (8, 11)))
    base = base.lower() if entry[12] & 0x08 else base
    extension = extension.lower() if entry[12] & 0x10 else extension
    return (f"{base}.{extension}" if extension else base).encode()
