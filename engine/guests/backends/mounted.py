"""What backends share that let another kernel mount the guest's file systems.

    fit ─► mount for writing (journals) ─► fit again ─► write ─► unmount ─► read back ─► check

What differs is how that kernel is asked: `uml` rings a throw-away kernel, `guestfs` types commands
into a virtual machine. No kernel of this host ever sees a guest's file system.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from engine.guests.backend import Stat, Type
from engine.guests.backends.guestfs_places import Way
from engine.guests.backends.verify import confirm, damaged, fit, no_link, refusal, unreadable
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, Volume, VolumeId
from engine.model.text import safe

log = logging.getLogger(__name__)

CHECK_S = 120
CHECK_USED = 64 << 30
"""A full check has these limits: seconds, and bytes in use."""
TOOK_TOO_LONG = 124
"""Exit code of a check that was ended."""
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f\"\\*?:<>|]")
"""What FAT and NTFS do not allow in names."""


class Mounter(Protocol):
    """A machine of some kind that runs another kernel, with the guest's disks."""

    volumes: Sequence[Volume]

    @property
    def mountable(self) -> Sequence[VolumeId]:
        """The volumes with a file system that can be mounted there."""

    def is_running(self) -> bool:
        """Whether it can be asked."""

    def close(self) -> None:
        """Unmount everything, end it and remove its files; repeatable."""

    def abandon(self) -> None:
        """End it at once, as something failed and the twig is dropped; repeatable."""

    def way(self, volume: VolumeId) -> Way:
        """Return how a volume is used. Failure when it cannot be mounted there."""

    def needs_recovery(self, volume: VolumeId) -> bool:
        """Whether mounting a volume for writing may change what is seen in it."""

    def mount(self, volume: VolumeId, *, is_writing: bool) -> None:
        """Mount a volume. Failure when it cannot be mounted so."""

    def unmount(self, volume: VolumeId) -> None:
        """Unmount a volume, if it is mounted; what was seen of it is forgotten."""

    def sync(self) -> None:
        """Let everything written reach the host's disks."""

    def used(self, volume: VolumeId) -> int | None:
        """Return the bytes in use; None when that cannot be told."""

    def free(self, volume: VolumeId) -> int | None:
        """Return the bytes that are free; None when that cannot be told."""

    def check(self, volume: VolumeId, limit_s: int) -> tuple[int, bytes]:
        """Run the way's check on an unmounted volume; return its exit code and last words."""


M = TypeVar("M", bound=Mounter)


class MountedBackend(ABC, Generic[M]):
    """A backend over such a machine; see `engine.guests.backend` for the promises.

    Attributes:
        part_limit: Longest part of a file in bytes that is asked for at once.
    """

    part_limit = 1 << 20

    def __init__(self, machine: M) -> None:
        """Use a running machine."""
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
            self.machine.abandon()
        self.close()

    def close(self) -> None:
        """End the machine and remove its files; repeatable."""
        self.machine.close()

    @abstractmethod
    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is, or no folder leads there."""

    @abstractmethod
    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""

    @abstractmethod
    def content(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return bytes of what was seen to be a file that has them; fewer when it is damaged."""

    @abstractmethod
    def target(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where what was seen to be a link points."""

    @abstractmethod
    def refuse(self, edit: FileEdit) -> None:
        """Refuse an edit that this machine cannot be told. Failure when it is one."""

    @abstractmethod
    def write(self, edits: Sequence[FileEdit]) -> None:
        """Make edits that were seen to fit, in this order, on volumes mounted for writing."""

    def volumes(self) -> Sequence[Volume]:
        """Return all volumes of all disks, by disk and start; those inside of others at the end."""
        return self.machine.volumes

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a regular file's content."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.FILE or found.size > limit:
            raise unreadable(path, found, limit)
        content = self.content(volume, path, 0, found.size) if found.size else b""
        if len(content) != found.size:
            raise damaged(volume, f"the file {safe(path, 200)} cannot be read to its end")
        return content

    def part(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes (`part_limit` at most) of a regular file."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.FILE:
            raise unreadable(path, found, length)
        length = max(0, min(length, self.part_limit, found.size - offset))
        return self.content(volume, path, offset, length) if length else b""

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a symbolic link points."""
        found = self.stat(volume, path)
        if found is None or found.type != Type.LINK:
            raise no_link(path)
        return self.target(volume, path)

    def unable(self, _volumes: Sequence[Volume]) -> Sequence[str]:
        """Return nothing: what its kernel cannot do, mounting will tell."""
        return ()

    def recover(self, volumes: Sequence[VolumeId] = ()) -> None:
        """Replay journals, as the guest's kernel does when it mounts: on the twig, before planning.

        Args:
            volumes: Those to recover; when none is named, all that may need it, and one that is
                damaged is left: it may be none that matters, and writing to it will fail.

        Raises:
            Failure: A named one cannot be mounted for writing.
        """
        for identifier in volumes or self.machine.mountable:
            if not self.machine.needs_recovery(identifier):
                continue
            try:
                self.machine.mount(identifier, is_writing=True)
            except Failure as error:
                if volumes or not self.machine.is_running():
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
        self.write(edits)
        for volume in touched:
            self.machine.unmount(volume)
        confirm(self, wanted, lambda volume: self.machine.way(volume).has_owners)
        self.machine.sync()
        return sum(len(edit.after) for edit in edits if edit.action == Action.WRITE)

    def check(self, volumes: Sequence[VolumeId]) -> str:
        """Check file systems; return the first that is not `full`: `files` or `skipped(reason)`.

        Raises:
            Failure: One of them is damaged.
        """
        outcomes = [self._check(volume) for volume in volumes]
        return next((outcome for outcome in outcomes if outcome != "full"), "full")

    def room(self, volume: VolumeId) -> int | None:
        """Return the free bytes of a volume; None when that cannot be told."""
        return self.machine.free(volume)

    def _check(self, volume: VolumeId) -> str:
        way = self.machine.way(volume)
        used = self.machine.used(volume)
        if used is None or used > CHECK_USED:
            return "skipped(too many bytes are in use for a full check)"
        self.machine.unmount(volume)
        code, said = self.machine.check(volume, CHECK_S)
        if code == TOOK_TOO_LONG:
            return f"skipped(a full check takes longer than {CHECK_S} s)"
        bad = way.damage(code, said)
        if bad:
            raise damaged(volume, f"{way.checker} said: {safe(b' '.join(bad.split()), 400)}")
        return way.depth

    def _refuse_unspeakable(self, edit: FileEdit) -> None:
        way = self.machine.way(edit.volume)
        is_link = edit.action == Action.SYMLINK
        paths = [edit.path, *([edit.after] if edit.action == Action.RENAME else [])]
        if is_link and (b"\0" in edit.after or not edit.after):
            raise refusal(edit.path, "is to become a link that points nowhere")
        if is_link and not way.has_owners:
            raise refusal(edit.path, f"is to become a link, which {way.type} does not know")
        if not way.has_owners and any(_FORBIDDEN.search(path) for path in paths):
            raise refusal(edit.path, f"has a name that {way.type} cannot be given")
        self.refuse(edit)
