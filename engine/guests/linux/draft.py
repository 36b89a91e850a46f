"""Changes collected file by file: several changes of one file become one edit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.guests.backend import Reading, Stat, Type
from engine.guests.tree import Place, Tree
from engine.model.guest import Action, FileEdit, Owner, VolumeId
from engine.model.text import safe

LIMIT = 1 << 20
"""Longest text file in bytes that is changed."""
_FORBIDDEN = (b"/proc/", b"/sys/", b"/dev/", b"/run/")
_ODD = re.compile(rb"[\0-\x1f\x7f\"'\\]|/[<-]")
"""In names that tools could take for something else; no file that a system needs has one."""


@dataclass(slots=True)
class _Pending:
    """A file that is being changed; `before` None: it does not exist."""

    place: Place
    before: bytes | None
    content: bytes
    owner: Owner
    reasons: list[str]


class Draft:
    """What will be changed, by guest path; nothing is written before `edits()`."""

    def __init__(self, reading: Reading, tree: Tree) -> None:
        """Start without changes."""
        self._reading = reading
        self._tree = tree
        self._files: dict[tuple[VolumeId, bytes], _Pending] = {}
        self._folders: dict[tuple[VolumeId, bytes], FileEdit] = {}
        self._moves: dict[tuple[VolumeId, bytes], FileEdit] = {}
        self.warnings: list[str] = []

    @property
    def tree(self) -> Tree:
        """The guest's tree as it is, without the changes."""
        return self._tree

    def warn(self, sentence: str) -> None:
        """Tell the operator something, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def read(self, path: bytes, limit: int = LIMIT) -> bytes | None:
        """Return a file's content with the changes made so far; None when there is none."""
        place = self._tree.locate(path)
        if place is None:
            return None
        pending = self._files.get((place.volume, place.path))
        if pending is not None:
            return pending.content
        if place.stat is None or not place.is_file:
            return None
        if place.stat.size > limit:
            self.warn(f"{safe(path)} is too long ({place.stat.size} bytes); it is left as it is.")
            return None
        return self._reading.read(place.volume, place.path, limit)

    def write(self, path: bytes, content: bytes, reason: str, limit: int = LIMIT) -> bool:
        """Let a file have this content; folders that are missing are made, owners kept.

        Returns:
            False when nothing can be written there, which is warned of.
        """
        place = self._tree.locate(path)
        if place is None or not self._may_write(path, place, limit):
            self.warn(f"{safe(path)} leads to no place that can be written; it is left as it is.")
            return False
        if _ODD.search(place.path):
            self.warn(f"{safe(path)} has a name that is not safe to write to; it is left as it is.")
            return False
        pending = self._files.get((place.volume, place.path))
        if pending is None:
            before = self._before(place, limit)
            owner = place.stat.owner if place.stat else Owner()
            pending = _Pending(place, before, before or b"", owner, [])
            self._files[place.volume, place.path] = pending
        if content != pending.content or pending.before is None:
            pending.content = content
            if reason not in pending.reasons:
                pending.reasons.append(reason)
        return True

    def rename(self, path: bytes, suffix: bytes, reason: str) -> None:
        """Let a file be out of the way under its name with a suffix."""
        place = self._tree.locate(path)
        content = self.read(path)
        if place is None or content is None:
            return
        target = next((t for t in self._targets(place, suffix)), None)
        if target is None:
            self.warn(f"{safe(path)} cannot be renamed: the names for it are taken.")
            return
        owner = place.stat.owner if place.stat else Owner()
        self._moves[place.volume, place.path] = FileEdit(
            place.volume, place.path, Action.RENAME, digest(content), target, owner, reason
        )

    def edits(self) -> Sequence[FileEdit]:
        """Return all changes that change something, sorted by volume and path."""
        changed = [
            pending
            for pending in self._files.values()
            if pending.before is None or pending.content != pending.before
        ]
        for pending in changed:
            self._make_folders(pending.place)
        found = [*self._folders.values(), *self._moves.values(), *map(_edit, changed)]
        return tuple(sorted(found, key=lambda edit: (edit.volume, edit.path)))

    def _may_write(self, path: bytes, place: Place, limit: int) -> bool:
        if place.guest.startswith(_FORBIDDEN) or path.endswith(b"/"):
            return False
        return place.stat is None or (place.stat.type is Type.FILE and place.stat.size <= limit)

    def _before(self, place: Place, limit: int) -> bytes | None:
        if place.stat is None:
            return None
        return self._reading.read(place.volume, place.path, limit)

    def _targets(self, place: Place, suffix: bytes) -> Sequence[bytes]:
        names = [place.path + suffix, *(place.path + suffix + b".%d" % n for n in range(2, 10))]
        return [name for name in names if self._reading.stat(place.volume, name) is None]

    def _make_folders(self, place: Place) -> None:
        path = place.path.rpartition(b"/")[0]
        while path and (place.volume, path) not in self._folders:
            stat: Stat | None = self._reading.stat(place.volume, path)
            if stat is not None:
                return
            reason = "The folder for a file that is written does not exist."
            self._folders[place.volume, path] = FileEdit(
                place.volume, path, Action.MKDIR, None, b"", Owner(mode=0o755), reason
            )
            path = path.rpartition(b"/")[0]


def digest(content: bytes) -> str:
    """Return the SHA-256 of a content in hex."""
    return hashlib.sha256(content).hexdigest()


def _edit(pending: _Pending) -> FileEdit:
    return FileEdit(
        pending.place.volume,
        pending.place.path,
        Action.WRITE,
        None if pending.before is None else digest(pending.before),
        pending.content,
        pending.owner,
        " ".join(pending.reasons),
    )
