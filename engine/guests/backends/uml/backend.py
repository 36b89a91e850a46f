"""Any file system that Linux knows, on raw and qcow2 disks, in a throw-away kernel.

    fit ─► mount for writing (journals) ─► fit again ─► write ─► unmount ─► read back ─► check

A second or two to start, a few milliseconds for each question. No kernel of this host ever sees a
guest's file system; one that makes a kernel panic ends a child process.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.guests.backend import GuestDisk, Stat, Type
from engine.guests.backends.uml.kernel import RefusedInside
from engine.guests.backends.uml.machine import Machine
from engine.guests.backends.verify import (
    components,
    confirm,
    damaged,
    fit,
    no_link,
    refusal,
    unreadable,
)
from engine.model.errors import Failure, Problem
from engine.model.guest import Action, FileEdit, Volume, VolumeId
from engine.model.text import safe

log = logging.getLogger(__name__)

CHECK_S = 120
CHECK_USED = 64 << 30
"""A full check has these limits: seconds, and bytes in use."""
PART = 32 << 20
"""Longest part of a file in bytes that is asked for at once."""
RUN = 1000
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f\"\\*?:<>|]")
"""What FAT does not allow in names."""


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


class UmlBackend:
    """Backend for ext, xfs, btrfs, FAT, in LVM and md too; see `engine.guests.backend`."""

    name = "uml"

    def __init__(self, machine: Machine) -> None:
        """Use a running kernel."""
        self.machine = machine

    def __enter__(self) -> Self:
        """Return the backend."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; after an error at once, since the twig is dropped."""
        if error is not None:
            self.machine.kernel.close()
        self.close()

    def close(self) -> None:
        """Unmount everything, end the kernel and remove its files; repeatable."""
        self.machine.close()

    def volumes(self) -> Sequence[Volume]:
        """Return all volumes of all disks, by disk and start; those inside of others at the end."""
        return self.machine.volumes

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

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a regular file's content."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.FILE or found.size > limit:
            raise unreadable(path, found, limit)
        content = b""
        while len(content) < found.size:
            piece = self.part(volume, path, len(content), found.size - len(content))
            if not piece:
                raise damaged(volume, f"the file {safe(path, 200)} cannot be read to its end")
            content += piece
        return content

    def part(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes (32 MiB at most) of a regular file; fewer at its end."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.FILE:
            raise unreadable(path, found, length)
        length = max(0, min(length, PART, found.size - offset))
        if not length:
            return b""
        try:
            content = self.machine.content("read", volume, path, offset=offset, length=length)
        except RefusedInside as error:
            why = f"the file {safe(path, 200)} cannot be read ({safe(error.why)})"
            raise damaged(volume, why) from error
        return content[:length]

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a symbolic link points."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.LINK:
            raise no_link(path)
        return self.machine.content("link", volume, path)

    def ahead(self, volume: VolumeId, paths: Sequence[bytes]) -> None:
        """Learn at once what is at paths, and on the way to them."""
        for path in paths:
            if path != b"/":
                components(path)
        self.machine.ahead(volume, paths)

    def recover(self, volumes: Sequence[VolumeId] = ()) -> None:
        """Replay journals, as the guest's kernel does when it mounts: on the twig, before planning.

        Args:
            volumes: Those to recover; when none is named, all that may need it, and one that is
                damaged is left: it may be none that matters, and writing to it will fail.

        Raises:
            Failure: A named one cannot be mounted for writing.
        """
        for identifier in volumes or tuple(self.machine.known):
            if not self.machine.needs_recovery(identifier):
                continue
            try:
                self.machine.mount(identifier, is_writing=True)
            except Failure as error:
                if volumes or not self.machine.kernel.is_running():
                    raise
                log.warning("left as it is: %s", error)
            self.machine.unmount(identifier)
        self.machine.sync()

    def replay(self, edits: Sequence[FileEdit]) -> int:
        """Make all edits, after all were seen to fit; read back; return bytes written.

        Raises:
            Failure: An edit does not fit (nothing was written), or a tool failed.
        """
        for edit in edits:
            self._refuse_unspeakable(edit)
        fit(self, edits)
        touched = sorted({edit.volume for edit in edits})
        for volume in touched:
            self.machine.mount(volume, is_writing=True)
        wanted = fit(self, edits)
        self._write(edits)
        for volume in touched:
            self.machine.unmount(volume)
        confirm(self, wanted, lambda volume: self.machine.way(volume).has_owners)
        self.machine.sync()
        return sum(len(edit.after) for edit in edits if edit.action == Action.WRITE)

    def check(self, volumes: Sequence[VolumeId]) -> str:
        """Check file systems; return `full` or the first `skipped(reason)`.

        Raises:
            Failure: One of them is damaged.
        """
        outcomes = [self._check(volume) for volume in volumes]
        return next((outcome for outcome in outcomes if outcome != "full"), "full")

    def _check(self, volume: VolumeId) -> str:
        way = self.machine.way(volume)
        if not way.check:
            return f"skipped(nothing here checks {way.type} without writing to it)"
        used = self.machine.ask("used", volume).value
        if not isinstance(used, int) or used > CHECK_USED:
            return "skipped(too many bytes are in use for a full check)"
        self.machine.unmount(volume)
        argv = [*way.check.split(" "), self.machine.device(volume)]
        kernel = self.machine.kernel
        answer = kernel.ask("run", timeout_s=CHECK_S + 60, argv=argv, check_s=CHECK_S)
        if answer.value == 124:  # of `timeout`
            return f"skipped(a full check takes longer than {CHECK_S} s)"
        if answer.value != 0:
            tool = next(word for word in argv if "=" not in word and word != "env")
            words = safe(b" ".join(answer.content.split()), 400)
            raise damaged(volume, f"{tool} said: {words}")
        return "full"

    def _refuse_unspeakable(self, edit: FileEdit) -> None:
        way = self.machine.way(edit.volume)
        paths = [edit.path, *([edit.after] if edit.action == Action.RENAME else [])]
        if edit.action == Action.SYMLINK and (b"\0" in edit.after or not edit.after):
            raise refusal(edit.path, "is to become a link that points nowhere")
        if way.has_owners:
            return
        if edit.action == Action.SYMLINK:
            raise refusal(edit.path, f"is to become a link, which {way.type} does not know")
        if any(_FORBIDDEN.search(path) for path in paths):
            raise refusal(edit.path, f"has a name that {way.type} cannot be given")

    def _write(self, edits: Sequence[FileEdit]) -> None:
        """Let the kernel make all edits, in this order, many at once."""
        try:
            for some in batches(edits):
                body = b"".join(edit.after for edit in some)
                told = [self._told(edit) for edit in some]
                self.machine.kernel.ask("edit", body, timeout_s=300, edits=told)
        except RefusedInside as error:
            raise Failure(_not_written(error.why)) from error
        finally:
            self.machine.forget()

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
