"""What is wrong with files that cannot be used, in words, and bounded in number.

Files of other products and files that are no images are told once per folder, not once per file.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from engine.model.errors import Problem
from engine.model.images import BadFile, FileMark
from engine.model.text import safe

LIMIT = 500
"""More files than this are not told one by one."""

_NO_FILE = FileMark(0, 0, 0, 0, 0)
"""The mark of a note about several files: it never changes, so it is told once."""

_EXAMPLES = 3
_WORST_FIRST = ("image.damaged", "image.truncated", "image.unsupported", "image.unreadable")


def broken(path: str, mark: FileMark, problem: Problem, *, settled: bool) -> BadFile:
    """Return the note about a file that its format refuses.

    Before the file is settled that means "wait": nothing is concluded from an unfinished file.
    """
    if settled:
        remedy = problem.remedy or "Replicate the file again."
        return BadFile(path, mark, problem.key, False, problem.happened, remedy)
    reason = f"{_name(path)} is still arriving: {mark.size:,} bytes so far."
    return BadFile(path, mark, problem.key, True, reason, "Nothing needs to be done.")


def unreadable(path: str, mark: FileMark, error: OSError) -> BadFile:
    """Return the note about a file or folder that the system does not let us read."""
    remedy = "Check the medium and the connection; it is tried again with every scan."
    if error.errno in (errno.EACCES, errno.EPERM):
        remedy = "Give the user the engine runs as the right to read it."
    if error.errno == errno.ENAMETOOLONG:
        remedy = "Move the images to a folder with a shorter path."
    reason = f"{safe(path, 200)} cannot be read: {error.strerror or 'unknown error'}."
    return BadFile(path, mark, "image.unreadable", False, reason, remedy)


def foreign(product: str, files: Iterable[tuple[str, FileMark]]) -> list[BadFile]:
    """Return a note for each folder that holds images of another product."""
    notes = []
    for folder, own in _by_folder(files).items():
        newest = _time(max(mark.mtime_ns for _, mark in own))
        reason = (
            f"{_count(len(own), 'image')} of {product} in {_folder(folder)}, the newest of "
            f"{newest}. bootpoint does not read this format."
        )
        remedy = f"Open the point with {product}'s own mount tool and add the disk as a raw source."
        notes.append(BadFile(folder, _NO_FILE, "image.foreign", False, reason, remedy))
    return notes


def unknown(files: Iterable[tuple[str, FileMark]]) -> list[BadFile]:
    """Return a note for each folder that holds files that are no images."""
    notes = []
    for folder, own in _by_folder(files).items():
        names = sorted(_name(path) for path, _ in own)
        listed = ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
        what = "is no known image" if len(own) == 1 else "are no known images"
        reason = f"{_count(len(own), 'file')} in {_folder(folder)} {what}: {listed}."
        remedy = "Nothing needs to be done, unless one of them should be an image."
        notes.append(BadFile(folder, _NO_FILE, "image.unknown", False, reason, remedy))
    return notes


def bounded(notes: list[BadFile]) -> list[BadFile]:
    """Return the gravest notes, at most `LIMIT`, sorted by path, and one that counts the others."""
    if len(notes) > LIMIT:
        notes = sorted(notes, key=_gravity)
        rest = len(notes) - LIMIT
        more = BadFile(
            "",
            _NO_FILE,
            "image.more",
            False,
            f"{rest:,} more files cannot be used; they are not listed one by one.",
            "Look at the listed ones first.",
        )
        notes = [*notes[:LIMIT], more]
    return sorted(notes, key=lambda note: (note.path, note.key, note.reason))


def _gravity(note: BadFile) -> tuple[bool, int, str]:
    at = _WORST_FIRST.index(note.key) if note.key in _WORST_FIRST else len(_WORST_FIRST)
    return note.waiting, at, note.path


def _by_folder(
    files: Iterable[tuple[str, FileMark]],
) -> dict[str, list[tuple[str, FileMark]]]:
    found: dict[str, list[tuple[str, FileMark]]] = defaultdict(list)
    for path, mark in files:
        found[path.rpartition("/")[0]].append((path, mark))
    return found


def _time(mtime_ns: int) -> str:
    """Return a file's time; files can claim years that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(mtime_ns // 10**9, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "an impossible date"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _folder(path: str) -> str:
    return safe(path, 200) if path else "the watched folder"


def _name(path: str) -> str:
    return safe(path.rpartition("/")[2], 120)


def offline_reason(error: OSError) -> str:
    """Return why a watched folder cannot be scanned."""
    if error.errno == errno.ENOENT:
        return "There is no such folder."
    why = error.strerror or os.strerror(error.errno or errno.EIO)
    return f"It cannot be read: {why}."
