"""Check every hash of image files, manifests and the links between them.

each file: structure ─► every frame, record, ZERO frame    each manifest: its files, its parent
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from engine.images.bpi import layout
from engine.images.bpi.chains import continues
from engine.images.bpi.frames import Frames
from engine.images.bpi.layout import Entry
from engine.images.bpi.manifest import KINDS, DiskLine, Manifest, read_manifest
from engine.images.bpi.opening import OpenedFile, open_file
from engine.images.tally import Tally
from engine.local.parallel import run
from engine.model.errors import Failure, NotFound, Problem
from engine.model.text import safe
from engine.ports import Cancel, Clock, Report

_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check came to; nothing is wrong when there are no `problems`.

    Attributes:
        files, points: Image files and manifests looked at.
        bytes: Stored bytes whose checksums were checked.
        problems: What is wrong, in the order it was found.
        notes: What cannot be judged from these files alone, sentences.
    """

    files: int
    points: int
    bytes: int
    problems: Sequence[Problem]
    notes: Sequence[str] = ()

    @property
    def good(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Found:
    """What a check has gathered so far."""

    opened: dict[Path, OpenedFile] = field(default_factory=dict)
    manifests: dict[Path, Manifest] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_path(path: Path, *, clock: Clock, cancel: Cancel, report: Report) -> Verified:
    """Check a file, or everything below a folder, byte for byte.

    Damage does not end the check; it is in the answer. Names that begin with a dot or end with
    `.part` are passed over, symbolic links are not followed.

    Args:
        path: A `.bpi` file, a manifest, or a folder.

    Raises:
        NotFound: There is nothing of that name, or no image file below it.
        Cancelled: `cancel` fired.
    """
    paths = list(_image_files(path))
    if not paths:
        raise NotFound(
            Problem(
                "image.none",
                f"There is no image file at {safe(str(path))}.",
                remedy="Name a .bpi file, a manifest, or a folder that holds some.",
            )
        )
    found = _Found()
    tally = Tally("verify", sum(one.lstat().st_size for one in paths), clock, report)
    for one in paths:
        cancel.check()
        try:
            _check_file(one, found, cancel, tally)
        except Failure as failure:
            found.problems.append(failure.problem)
        except OSError as error:
            found.problems.append(_unreadable(one, error))
    _check_points(found)
    _check_links(found)
    tally.end()
    disks = sum(one.suffix == ".bpi" for one in paths)
    return Verified(
        disks, len(paths) - disks, tally.done, tuple(found.problems), tuple(found.notes)
    )


def _image_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if path.is_file():
            yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            one = Path(folder, name)
            if not name.startswith(".") and _is_image(one):
                yield one


def _is_image(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    if path.suffix == ".json":
        with path.open("rb") as file:
            return b'"bootpoint-point"' in file.read(4096)
    return path.suffix == ".bpi"


def _check_file(path: Path, found: _Found, cancel: Cancel, tally: Tally) -> None:
    with _open(path) as fd:
        if path.suffix == ".json":
            found.manifests[path] = read_manifest(fd, path.name)
            tally.add(os.fstat(fd).st_size)
            return
        opened = open_file(fd, path.name)
        found.opened[path] = opened
        check_frames(fd, opened, cancel, tally)


def check_frames(fd: int, opened: OpenedFile, cancel: Cancel, tally: Tally) -> None:
    """Check every frame and every record of an opened file.

    Raises:
        ImageCorrupt: The first that does not hold.
        OSError: The medium failed.
    """
    threads = threading.local()

    def check(entry: Entry) -> None:
        if not hasattr(threads, "frames"):
            threads.frames = Frames(fd, opened.path, opened.header.hash_alg)
        frames = threads.frames
        if opened.header.encrypted:
            _check_encrypted(frames, entry, opened)
        elif entry.kind == layout.ZERO:
            if frames.stored(entry) != layout.zero_frame(entry.length):
                raise frames.wrong(entry, "its zeros are not stored as zeros")
        else:
            frames.plain(entry)
        tally.add(entry.stored + layout.RECORD)

    run(opened.index.entries(fd), check, cancel=cancel)
    tail = opened.footer.spans[0].pos if opened.footer.spans else layout.HEADER
    tally.add(layout.HEADER + opened.size - tail)
    opened.index.release()


def _check_encrypted(frames: Frames, entry: Entry, opened: OpenedFile) -> None:
    """Check what can be checked without the key: hashes are over the stored bytes."""
    stored = frames.stored(entry)
    if entry.kind == layout.DATA and layout.h16(opened.header.hash_alg, stored) != entry.digest:
        raise frames.wrong(entry, "its checksum is wrong")


def _check_points(found: _Found) -> None:
    """Compare each manifest with the files it lists."""
    for path, manifest in found.manifests.items():
        for line in manifest.disks:
            opened = found.opened.get(path.parent / line.file)
            if opened is not None:
                _compare(path, manifest, line, opened, found)
            elif not (path.parent / line.file).exists():
                found.problems.append(_missing(path, line.file))


def _compare(
    path: Path, manifest: Manifest, line: DiskLine, opened: OpenedFile, found: _Found
) -> None:
    header, footer = opened.header, opened.footer
    same = (
        (header.set, manifest.set),
        (header.point, manifest.point),
        (header.machine, manifest.machine),
        (header.disk, line.uuid),
        (header.disk_size, line.disk_size),
        (KINDS[layout.FileKind(header.kind)], line.kind),
        (opened.size, line.size),
        (footer.root.hex(), line.root),
    )
    if any(one != other for one, other in same):
        found.problems.append(_disagree(path, line.file, "identity, size or content hash"))
    elif line.sha256 and _sha256(path.parent / line.file) != line.sha256:
        found.problems.append(_disagree(path, line.file, "SHA-256 of the whole file"))


def _check_links(found: _Found) -> None:
    """Check that each increment continues a file that is here (C1 to C4)."""
    files = list(found.opened.values())
    by_disk: dict[tuple[UUID, UUID], list[OpenedFile]] = {}
    for one in files:
        by_disk.setdefault((one.header.set, one.header.disk), []).append(one)
    for path, one in found.opened.items():
        if one.header.is_base:
            continue
        others = by_disk[one.header.set, one.header.disk]
        if any(continues(one, other) for other in others if other is not one):
            continue
        named = [other for other in others if other.header.point == one.header.parent]
        if named:
            found.problems.append(_wrong_parent(one, named[0]))
        else:
            found.notes.append(
                f"{safe(path.name)} continues point {one.header.parent}, which is not here."
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def _missing(path: Path, name: str) -> Problem:
    return Problem(
        "image.missing-file",
        f"{safe(path.name)} lists {safe(name)}, which is not beside it.",
        remedy="Replicate the missing file again.",
        facts={"manifest": safe(path.name), "file": safe(name)},
    )


def _disagree(path: Path, name: str, what: str) -> Problem:
    return Problem(
        "image.disagrees",
        f"{safe(name)} is not the file that {safe(path.name)} describes: {what} differ.",
        remedy="Replicate both files again from the source.",
        facts={"manifest": safe(path.name), "file": safe(name)},
    )


def _wrong_parent(child: OpenedFile, parent: OpenedFile) -> Problem:
    return Problem(
        "image.wrong-parent",
        f"{safe(child.path)} continues another version of point {child.header.parent} than "
        f"{safe(parent.path)} is.",
        remedy="Replicate the parent again; if the source has only this version, start a new "
        "chain with a full image.",
        facts={"file": safe(child.path), "parent": safe(parent.path)},
    )


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(
        "image.unreadable",
        f"{safe(str(path))} could not be read: {error.strerror}.",
        remedy="Check the permissions of the file and the health of the disk it is on.",
        facts={"file": safe(str(path))},
    )
