"""What one watched folder holds, and what of that is new: the walk of a scan.

listing as before ─► the folder's files as they were, unseen
another listing   ─► file by file: mark as before ─► as it was; else looked into anew
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from engine.local.safedir import SafeDir, mark_of
from engine.model.errors import Problem
from engine.model.images import FileMark, ImagePart
from engine.model.settling import Seen, is_temporary


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The system refused a file; it is tried again with every scan."""

    number: int | None
    text: str


Outcome = ImagePart | Problem | Unreadable | None
"""What a look into a file gave; None: it is no image of a known format."""


@dataclass(slots=True)
class File:
    """One regular file.

    Attributes:
        outcome: Of the newest look into it.
        quiet_s: How long it must be unchanged.
        looked: Whether it was looked into since its mark changed.
        final: Settled, and looked into since: nothing is done until its mark changes.
    """

    seen: Seen
    outcome: Outcome = None
    quiet_s: float = 0.0
    looked: bool = False
    final: bool = False


Listing = list[object]
"""What one folder holds: path, mtime, size, inode, ctime of each file, one after the other.

As one list, so that two are compared at the pace of memory; not the device, whose number is
another one each time a share is mounted.
"""
_FIELDS = 5


@dataclass(slots=True)
class Tree:
    """All files of one watched folder, by path, and what could not be read.

    Attributes:
        listed: Folder -> what was in it when it was walked.
        fresh: How many files were not there before.
        at_rest: Whether every file is final.
    """

    files: dict[str, File] = field(default_factory=dict)
    odd: dict[str, FileMark] = field(default_factory=dict)
    unreadable: dict[str, OSError] = field(default_factory=dict)
    listed: dict[str, Listing] = field(default_factory=dict)
    fresh: int = 0
    at_rest: bool = False

    def is_like(self, before: Tree) -> bool:
        """Tell whether the same files with the same marks are there as before."""
        return self is before or (
            self.fresh == 0
            and len(self.files) == len(before.files)
            and self.odd == before.odd
            and {p: e.errno for p, e in self.unreadable.items()}
            == {p: e.errno for p, e in before.unreadable.items()}
        )

    def drop(self, path: str) -> None:
        """Forget a file that went since it was listed, and how its folder was listed."""
        self.files.pop(path, None)
        self.listed.pop(path.rpartition("/")[0], None)


def walked(
    folder: SafeDir, before: Tree, seen: tuple[int, float], skip: Callable[[str], bool]
) -> Tree:
    """Return the tree as it is now; `before` itself where nothing is different.

    The kernel is asked for each file; a folder that is listed as before costs no more.

    Args:
        folder: Watched.
        before: As of the last scan.
        seen: Number of this scan, and when it began, monotonic seconds.
        skip: Told the name of each folder below; True leaves it out.

    Raises:
        OSError: The folder itself cannot be read.
    """
    tree, alike = Tree(), list[str]()
    for place, files in folder.folders(skip, tree.unreadable.__setitem__):
        now, known = _listing(place, files), before.listed.get(place)
        if known is not None and now == known:
            tree.listed[place] = known
            alike.append(place)
            continue
        _take(tree, before, alike)
        alike.clear()
        tree.listed[place] = now
        _note(tree, before, now, files, seen)
    all_alike = len(alike) == len(tree.listed) == len(before.listed)
    if all_alike and not (tree.unreadable or before.unreadable):
        return before
    _take(tree, before, alike)
    _keep_hidden(tree, before)
    return tree


def _take(tree: Tree, before: Tree, places: Iterable[str]) -> None:
    """Take over all files of folders that are listed as before."""
    for place in places:
        for path in _paths(tree.listed[place]):
            if path in before.files:
                tree.files[path] = before.files[path]
            elif path in before.odd:
                tree.odd[path] = before.odd[path]


def _note(
    tree: Tree,
    before: Tree,
    now: Listing,
    files: Sequence[tuple[str, os.stat_result]],
    seen: tuple[int, float],
) -> None:
    """Put the files of one folder into the tree: those that did not change as they were."""
    for path, (name, found) in zip(_paths(now), files, strict=True):
        old = before.files.get(path)
        if old is not None and _is_unchanged(old.seen.mark, found):
            tree.files[path] = old
        elif is_temporary(name):
            continue
        elif stat.S_ISREG(found.st_mode):
            tree.files[path] = File(Seen(mark_of(found), *seen))
            tree.fresh += 1
        else:
            tree.odd[path] = mark_of(found)


def _listing(place: str, files: Iterable[tuple[str, os.stat_result]]) -> Listing:
    """Return what a folder holds, in a form that is compared in one go."""
    below = f"{place}/" if place else ""
    told: Listing = []
    for name, found in files:
        mtime, ctime = found.st_mtime_ns, found.st_ctime_ns
        told += (below + name, mtime, found.st_size, found.st_ino, ctime)
    return told


def _paths(one: Listing) -> list[str]:
    return cast("list[str]", one[::_FIELDS])


def _is_unchanged(mark: FileMark, found: os.stat_result) -> bool:
    return (
        mark.mtime_ns == found.st_mtime_ns
        and mark.size == found.st_size
        and mark.inode == found.st_ino
        and mark.ctime_ns == found.st_ctime_ns
    )


def _keep_hidden(tree: Tree, before: Tree) -> None:
    """Keep what was known of folders that cannot be read now: absence is never deletion."""
    if not tree.unreadable:
        return
    hidden = tuple(f"{folder}/" for folder in tree.unreadable)
    kept = {path: file for path, file in before.files.items() if path.startswith(hidden)}
    tree.files.update(kept)
