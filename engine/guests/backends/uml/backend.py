"""Any file system that Linux knows, on raw and qcow2 disks, in a throw-away kernel.

Half a second to start on a quiet machine, a few milliseconds for each question. A file system that
makes a kernel panic ends a child process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.guests.backend import GuestDisk, Stat
from engine.guests.backends.mounted import MountedBackend
from engine.guests.backends.uml.kernel import RefusedInside
from engine.guests.backends.uml.machine import Machine
from engine.guests.backends.verify import components, damaged, told_by
from engine.model.errors import Failure, Problem
from engine.model.guest import FileEdit, Volume, VolumeId
from engine.model.text import safe

PART = 32 << 20
"""Longest part of a file in bytes that is asked for at once."""
RUN = 1000


def open_uml(
    disks: Sequence[GuestDisk], *, work: Path, is_writing: bool = True, shim: Path | None = None
) -> UmlBackend:
    """Return a backend over disks in the guest's order; starts its kernel.

    Nothing is written before `recover` or `replay`. Close it, or use it as a context.

    Args:
        work: Folder of the engine's own for what is exchanged with the kernel.
        is_writing: Whether the disks may be written.
        shim: Library for processors with a long register state; see `probe.find_shim`.

    Raises:
        Failure: The kernel cannot be started, or a partition table is damaged.
    """
    return UmlBackend(Machine(disks, work, is_writing=is_writing, shim=shim))


class UmlBackend(MountedBackend[Machine]):
    """Backend for ext, xfs, btrfs, FAT, in LVM and md too."""

    name = "uml"
    part_limit = PART

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is, or no folder leads there."""
        if path != b"/":
            components(path)
        return self.machine.look(volume, path)

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        if path != b"/":
            components(path)
        folder = self.machine.folder(volume, path)
        if folder is not None:
            return sorted(folder)
        content = self.machine.ask("list", volume, path).content
        return sorted(name for name in content.split(b"\0") if name)

    def content(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return bytes of a file, in pieces that fit into one answer."""
        content, end = b"", offset + length
        while offset < end:
            wanted = min(PART, end - offset)
            try:
                piece = self.machine.content("read", volume, path, offset=offset, length=wanted)
            except RefusedInside as error:
                why = f"the file {safe(path, 200)} cannot be read ({safe(error.why)})"
                raise damaged(volume, why) from error
            content += piece[:wanted]
            offset += len(piece)
            if not piece:
                break
        return content

    def target(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a link points."""
        return self.machine.content("link", volume, path)

    def default_subvolume(self, volume: VolumeId) -> bytes:
        """Return the subvolume of btrfs that is mounted without a name; empty for the top."""
        self.machine.look(volume, b"/")
        argv = ["btrfs", "subvolume", "get-default", self.machine.point(volume)]
        answer = self.machine.kernel.ask("run", argv=argv, check_s=30)
        return answer.content.partition(b" path ")[2].strip(b"\n/")

    def unable(self, volumes: Sequence[Volume]) -> Sequence[str]:
        """Return why some volumes need another backend, a sentence for each."""
        return [
            f"Volume {safe(volume.id)} (ext4 with casefold) needs another backend: guestfs."
            for volume in volumes
            if volume.id in self.machine.foreign
        ]

    def refuse(self, edit: FileEdit) -> None:
        """Refuse nothing more: all bytes can be told to it."""

    def ahead(self, volume: VolumeId, paths: Sequence[bytes]) -> None:
        """Learn at once what is at paths, and on the way to them."""
        for path in paths:
            if path != b"/":
                components(path)
        self.machine.ahead(volume, paths)

    def write(self, edits: Sequence[FileEdit]) -> None:
        """Let the kernel make all edits, in this order, many at once."""
        try:
            for some in batches(edits):
                self._write(some)
        finally:
            self.machine.forget()

    def _write(self, edits: Sequence[FileEdit]) -> None:
        body = b"".join(edit.after for edit in edits)
        told = [self._told(edit) for edit in edits]
        try:
            self.machine.kernel.ask("edit", body, timeout_s=300, edits=told)
        except RefusedInside as error:
            paths = ((edit.volume, edit.path.decode("latin-1")) for edit in edits)
            meant = (volume for volume, path in paths if error.why.startswith(f"{path}: "))
            volume = next(meant, edits[0].volume)
            known = told_by(volume, error.why.rpartition(": ")[2])
            raise known or Failure(_not_written(error.why)) from error

    def _told(self, edit: FileEdit) -> dict[str, object]:
        return {
            "point": self.machine.point(edit.volume),
            "path": edit.path.decode("latin-1"),
            "action": edit.action.value,
            "length": len(edit.after),
            "mode": edit.owner.mode,
            "uid": edit.owner.uid,
            "gid": edit.owner.gid,
            "has_owners": self.machine.way(edit.volume).has_owners,
        }


def batches(edits: Sequence[FileEdit]) -> Iterator[Sequence[FileEdit]]:
    """Yield all edits in order, in runs that hold 32 MiB and 1,000 edits at most, or one edit."""
    some: list[FileEdit] = []
    held = 0
    for edit in edits:
        if some and (held + len(edit.after) > PART or len(some) == RUN):
            yield some
            some, held = [], 0
        some.append(edit)
        held += len(edit.after)
    if some:
        yield some


def _not_written(why: str) -> Problem:
    words = safe(why, 400)
    return Problem(
        "guest.edit.failed",
        f"The throw-away kernel could not change the guest: {words}.",
        "Only the twig of this conversion was written; layers below are as they were.",
        "Check that the guest's file system has free space and is healthy.",
        {"said": words},
    )
