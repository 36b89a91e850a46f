"""What every backend does around a replay: refuse what does not fit, confirm what was written.

    edits ─► fit: walk the edits over what is there ─► backend writes ─► confirm: read back

Both work on the verbs of `Reading` alone, so that all backends refuse and confirm the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.guests.backend import Ahead, Reading, Stat, Type
from engine.model.errors import Failure, Problem
from engine.model.guest import Action, FileEdit, Owner, VolumeId
from engine.model.text import safe

LIMIT = 256 << 20
"""Longest file in bytes that is replaced, renamed or removed: its digest must be known."""
MAX_PATH = 4096
MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be at a path after the edits; `size` and `digest` of content or link target."""

    type: Type
    digest: str
    owner: Owner


def digest(content: bytes) -> str:
    """Return the SHA-256 of some content as the plan's `before` names it."""
    return hashlib.sha256(content).hexdigest()


def components(path: bytes) -> Sequence[bytes]:
    """Split an absolute path; Failure when it is not a plain one.

    Raises:
        Failure: Relative, `/` itself, too long, or with a component such as `..`.
    """
    parts = path.split(b"/")[1:]
    plain = all(part not in (b"", b".", b"..") and len(part) <= MAX_NAME for part in parts)
    if path[:1] != b"/" or not plain or len(path) > MAX_PATH or b"\0" in path:
        raise refusal(path, "is not a plain absolute path")
    return parts


def parent(path: bytes) -> bytes:
    """Return the folder of an absolute path; `/` for a name in the root folder."""
    return path.rpartition(b"/")[0] or b"/"


def refusal(path: bytes, why: str) -> Failure:
    """Return the error of an edit that is not made, and with it no other one."""
    name = safe(path, 200)
    return Failure(
        Problem(
            "guest.edit.refused",
            f"The guest's file {name} {why}.",
            "Nothing was written.",
            "Look at the guest again: it is not the one that the changes were planned for.",
            {"path": name, "why": why},
        )
    )


class Fit:
    """The guest as it will be after some edits, in memory."""

    def __init__(self, reading: Reading) -> None:
        """Start with what is there."""
        self._reading = reading
        self._changed: dict[tuple[VolumeId, bytes], Expected | None] = {}

    def expected(self) -> Sequence[tuple[VolumeId, bytes, Expected | None]]:
        """Return what must be at each path that an edit named; None: nothing."""
        return [(volume, path, what) for (volume, path), what in self._changed.items()]

    def add(self, edit: FileEdit) -> None:
        """Take one more edit.

        Raises:
            Failure: It does not fit what is there or what earlier edits make of it.
        """
        self._needs_folder(edit.volume, edit.path)
        here = self._at(edit.volume, edit.path)
        self._needs_before(edit, here)
        self._changed[edit.volume, edit.path] = self._outcome(edit, here)

    def _outcome(self, edit: FileEdit, here: Expected | None) -> Expected | None:
        is_folder = here is not None and here.type == Type.FOLDER
        if is_folder and edit.action != Action.REMOVE:
            raise refusal(edit.path, "is a folder and stays one")
        match edit.action:
            case Action.WRITE:
                return Expected(Type.FILE, digest(edit.after), edit.owner)
            case Action.MKDIR:
                return Expected(Type.FOLDER, digest(b""), edit.owner)
            case Action.SYMLINK:
                return Expected(Type.LINK, digest(edit.after), edit.owner)
            case Action.RENAME:
                self._move(edit, here)
            case Action.REMOVE:
                self._needs_empty(edit)
        return None

    def _move(self, edit: FileEdit, here: Expected | None) -> None:
        if here is None:
            raise refusal(edit.path, "is not there to be renamed")
        self._needs_folder(edit.volume, edit.after)
        if self._at(edit.volume, edit.after) is not None:
            raise refusal(edit.after, "is there already")
        self._changed[edit.volume, edit.after] = here

    def _needs_empty(self, edit: FileEdit) -> None:
        here = self._at(edit.volume, edit.path)
        if here is None:
            raise refusal(edit.path, "is not there to be removed")
        if here.type != Type.FOLDER:
            return
        names = self._reading.list(edit.volume, edit.path)
        paths = {edit.path + b"/" + name for name in names}
        paths |= {p for v, p in self._changed if v == edit.volume and parent(p) == edit.path}
        if any(self._at(edit.volume, path) is not None for path in paths):
            raise refusal(edit.path, "is a folder that is not empty")

    def _needs_before(self, edit: FileEdit, here: Expected | None) -> None:
        if edit.before is None and edit.action in (Action.RENAME, Action.REMOVE):
            raise refusal(edit.path, "is to be moved away, but the plan does not say what it holds")
        if edit.before is None and here is not None:
            raise refusal(edit.path, "is there, but should not be")
        if edit.before is not None and here is None:
            raise refusal(edit.path, "is not there any more")
        if edit.before is not None and here is not None and here.digest != edit.before:
            raise refusal(edit.path, "has another content than the one the plan was made for")

    def _needs_folder(self, volume: VolumeId, path: bytes) -> None:
        """Refuse when a component above `path` is missing, a link or a file."""
        above = b""
        for part in components(path)[:-1]:
            above += b"/" + part
            if (volume, above) in self._changed:
                known = self._changed[volume, above]
                kind = known.type if known else None
            else:
                stat = self._reading.stat(volume, above)
                kind = stat.type if stat else None
            if kind != Type.FOLDER:
                raise refusal(above, "is not a folder")

    def _at(self, volume: VolumeId, path: bytes) -> Expected | None:
        if (volume, path) in self._changed:
            return self._changed[volume, path]
        return found(self._reading, volume, path)


def found(reading: Reading, volume: VolumeId, path: bytes) -> Expected | None:
    """Return what is at a path now; None when nothing is."""
    stat = reading.stat(volume, path)
    if stat is None:
        return None
    return Expected(stat.type, _digest_of(reading, volume, path, stat), stat.owner)


def _digest_of(reading: Reading, volume: VolumeId, path: bytes, stat: Stat) -> str:
    match stat.type:
        case Type.FILE:
            return digest(reading.read(volume, path, LIMIT))
        case Type.LINK:
            return digest(reading.link(volume, path))
        case Type.FOLDER:
            return digest(b"")
        case Type.OTHER:
            raise refusal(path, "is neither a file nor a folder nor a link")


def fit(reading: Reading, edits: Sequence[FileEdit]) -> Fit:
    """Walk all edits over what is there; nothing is written.

    Raises:
        Failure: One of them does not fit; it names the first.
    """
    learn(reading, [(edit.volume, edit.path) for edit in edits])
    result = Fit(reading)
    for edit in edits:
        result.add(edit)
    return result


def learn(reading: Reading, places: Sequence[tuple[VolumeId, bytes]]) -> None:
    """Let what is at all these places be learnt at once, where the backend can.

    Raises:
        Failure: A path is not a plain absolute one.
    """
    if isinstance(reading, Ahead):
        for volume in sorted({volume for volume, _ in places}):
            reading.ahead(volume, [path for other, path in places if other == volume])


def confirm(reading: Reading, wanted: Fit, has_owners: Callable[[VolumeId], bool]) -> None:
    """Read everything back that edits named and compare.

    Args:
        has_owners: Whether a volume's file system keeps modes and owners (FAT does not).

    Raises:
        Failure: Something is not as it should be; the twig must be dropped.
    """
    places = wanted.expected()
    learn(reading, [(volume, path) for volume, path, _ in places])
    for volume, path, expected in places:
        seen = found(reading, volume, path)
        if _same(seen, expected, is_owned=has_owners(volume)):
            continue
        name = safe(path, 200)
        raise Failure(
            Problem(
                "guest.edit.lost",
                f"The guest's file {name} was changed, but reads back differently.",
                "Only the twig of this conversion was written; layers below are as they were.",
                "Drop the conversion and convert again; if it fails again, check that the guest's "
                "file system has free space and is healthy.",
                {"path": name},
            )
        )


def _same(seen: Expected | None, wanted: Expected | None, *, is_owned: bool) -> bool:
    if seen is None or wanted is None:
        return seen is wanted
    if (seen.type, seen.digest) != (wanted.type, wanted.digest):
        return False
    if not is_owned:
        return True
    ids = (seen.owner.uid, seen.owner.gid) == (wanted.owner.uid, wanted.owner.gid)
    return ids and (wanted.type == Type.LINK or seen.owner.mode == wanted.owner.mode)


def unreadable(path: bytes, found: Stat | None, limit: int) -> Failure:
    """Return the error of a file that cannot be read, with the reason."""
    if found is None:
        why = "is not there"
    elif found.type != Type.FILE:
        why = f"is not a file but: {found.type.value}"
    else:
        why = f"is {found.size} bytes long, and at most {limit} are read"
    return _unreadable(path, why)


def no_link(path: bytes) -> Failure:
    """Return the error of a path that is no symbolic link."""
    return _unreadable(path, "is no symbolic link")


def _unreadable(path: bytes, why: str) -> Failure:
    name = safe(path, 200)
    facts = {"path": name, "why": why}
    remedy = "Look at this file on the source machine."
    return Failure(
        Problem("guest.file.unreadable", f"The guest's file {name} {why}.", "", remedy, facts)
    )


def no_volume(volume: VolumeId) -> Failure:
    """Return the error of a volume that the guest does not have."""
    name = safe(volume)
    remedy = "Look at the guest again: its disks may have changed."
    happened = f"The guest has no volume {name} that this way of reading can open."
    return Failure(Problem("guest.volume.unknown", happened, "", remedy, {"volume": name}))


_BROKEN = re.compile(
    r"(?i)checksum does not match|corrupt|illegal|bad magic|structure needs cleaning|"
    r"input/output error|bad message|fat problem|fat error|bad fat entry|fat16 code|"
    r"loop detected|cluster # at|ext2 file already exists"
)
_FULL = re.compile(r"(?i)no space left|could not allocate|no free space|disk full|no free cluster")


def told_by(volume: VolumeId, said: str) -> Failure | None:
    """Return what a tool's last words say of the guest itself; None: its trouble is elsewhere.

    The same bytes would meet it again: it is told once, and not tried again by the clock.
    """
    if _FULL.search(said):
        name = safe(volume)
        return Failure(
            Problem(
                "guest.volume.full",
                f"The guest's file system {name} is full: the changes do not fit.",
                "Layers below this conversion's twig are as they were.",
                "Free some room on it on the source machine, then let the next increment arrive.",
                {"volume": name},
            )
        )
    return damaged(volume, f"it was said: {safe(said, 300)}") if _BROKEN.search(said) else None


def folded(volume: VolumeId) -> Failure:
    """Return the error of a file system whose names a kernel does not know how to compare."""
    name = safe(volume)
    return Failure(
        Problem(
            "guest.volume.foreign",
            f"The file system {name} finds names in any case (ext4 with casefold), and the "
            "throw-away kernel cannot read such a one.",
            "The guest was not changed.",
            "Install what the backend guestfs needs; the conversion is tried again by itself.",
            {"volume": name},
        )
    )


def damaged(volume: VolumeId, why: str) -> Failure:
    """Return the error of a file system that contradicts itself."""
    name = safe(volume)
    return Failure(
        Problem(
            "guest.volume.damaged",
            f"The guest's file system {name} is damaged: {why}.",
            "Layers below this conversion's twig are as they were.",
            "Repair the file system on the source machine and make a new backup, or start an "
            "earlier boot point.",
            {"volume": name, "why": why},
        )
    )
