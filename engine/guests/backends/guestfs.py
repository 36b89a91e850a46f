"""Any guest's disks through libguestfs: a virtual machine of its own mounts the file systems.

    fit ─► mount for writing (journals) ─► fit again ─► write ─► unmount ─► read back ─► check

Twenty seconds to start without KVM, then milliseconds for each question. No kernel of this host
ever sees a guest's file system, and no program of the guest is run.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.guests.backend import GuestDisk, Stat, Type
from engine.guests.backends.appliance import TCG
from engine.guests.backends.guestfish import command, failed, quoted
from engine.guests.backends.guestfs_machine import Machine
from engine.guests.backends.verify import (
    components,
    confirm,
    damaged,
    fit,
    no_link,
    parent,
    refusal,
    unreadable,
)
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, Obstacle, Volume, VolumeId
from engine.model.text import safe

log = logging.getLogger(__name__)

CHECK_S = 120
CHECK_USED = 64 << 30
"""A full check has these limits: seconds, and bytes in use."""
PART = 1 << 20
"""Longest part of a file in bytes that comes in one answer; longer ones come as a file."""
_LABEL = b"security.selinux"
_NO_LABEL = (b": No data available", b": Operation not supported")
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f\"\\*?:<>|]")
"""What FAT and NTFS do not allow in names."""
_ROOM = 7500
"""Longest arguments of one command in bytes, quoted."""


def open_guestfs(
    disks: Sequence[GuestDisk],
    *,
    cache: Path | None = None,
    is_writing: bool = True,
    accelerator: str = TCG,
) -> GuestfsBackend:
    """Return a backend over disks in the guest's order; starts its virtual machine.

    Nothing is written before `recover` or `replay`. Close it, or use it as a context.

    Args:
        cache: Folder of the engine's own for the virtual machine's files, 370 MB; None: one in
            /var/tmp that belongs to this user.
        is_writing: Whether the disks may be written.
        accelerator: `kvm` only where a guest was seen to make progress under it, else `tcg`; the
            environment's BOOTPOINT_ACCEL overrides it.

    Raises:
        Failure: libguestfs cannot be used here, or a partition table is damaged.
    """
    place = cache or Path(f"/var/tmp/bootpoint-{os.geteuid()}")  # noqa: S108 - checked to be ours
    return GuestfsBackend(Machine(disks, place, accelerator, is_writing=is_writing))


class GuestfsBackend:
    """Backend for all file systems; see `engine.guests.backend` for the promises."""

    name = "guestfs"

    def __init__(self, machine: Machine) -> None:
        """Use a running virtual machine."""
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
        """Close, however the context ended."""
        self.close()

    def close(self) -> None:
        """End the virtual machine and remove its files; the next question starts another one."""
        self.machine.close()

    def volumes(self) -> Sequence[Volume]:
        """Return all volumes of all disks, by disk and start."""
        return self.machine.volumes

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is, or no folder leads there."""
        return self._find(volume, path)[0]

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        found, there = self._find(volume, path)
        if found is None or found.type != Type.FOLDER:
            return []
        return self._names(there)

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a regular file's content."""
        found, there = self._find(volume, path)
        if found is None or found.type != Type.FILE or found.size > limit:
            raise unreadable(path, found, limit)
        if found.size <= PART:
            content = self.machine.do("pread", there, found.size, 0) if found.size else b""
        else:
            copy = self.machine.scratch / "content"
            self.machine.do("download", there, bytes(copy))
            content = copy.read_bytes()
            copy.unlink()
        if len(content) != found.size:
            raise damaged(volume, f"the file {safe(path, 200)} cannot be read to its end")
        return content

    def part(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes (1 MiB at most) of a regular file; fewer at its end."""
        found, there = self._find(volume, path)
        if found is None or found.type != Type.FILE:
            raise unreadable(path, found, length)
        length = max(0, min(length, PART, found.size - offset))
        return self.machine.do("pread", there, length, offset) if length else b""

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a symbolic link points."""
        found, there = self._find(volume, path)
        if found is None or found.type != Type.LINK:
            raise no_link(path)
        return self.machine.do("readlink", there).removesuffix(b"\n")

    def trouble(self, volume: VolumeId) -> Obstacle | None:
        """Return why a volume that can be read cannot be written; None when it can."""
        return self.machine.trouble(volume)

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
        for edit in edits:
            self._write(edit)
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
        used = self._used(volume)
        if used > CHECK_USED:
            return f"skipped({used >> 30} GiB are in use, too many for a full check)"
        self.machine.unmount(volume)
        line = f"timeout {CHECK_S} {way.check} {self.machine.device(volume)}"
        said, code = self.machine.shell(line, CHECK_S + 60)
        if code == 124:  # of `timeout`
            return f"skipped(a full check takes longer than {CHECK_S} s)"
        if code:
            words = safe(b" ".join(said.split()), 400)
            tool = way.check.removeprefix("env ").split(" -")[0].split(" ")[-1]
            raise damaged(volume, f"{tool} said: {words}")
        return "full"

    def _used(self, volume: VolumeId) -> int:
        answer = self.machine.do("statvfs", self.machine.inside(volume, b"/"))
        found = dict(line.split(b": ") for line in answer.splitlines() if b": " in line)
        blocks, free = int(found.get(b"blocks", 0)), int(found.get(b"bfree", 0))
        return max(0, blocks - free) * int(found.get(b"frsize", 0))

    def _refuse_unspeakable(self, edit: FileEdit) -> None:
        way = self.machine.way(edit.volume)
        paths = [edit.path, *([edit.after] if edit.action == Action.RENAME else [])]
        if edit.action == Action.SYMLINK and not way.has_owners:
            raise refusal(edit.path, f"is to become a link, which {way.type} does not know")
        if not way.has_owners and any(_FORBIDDEN.search(path) for path in paths):
            raise refusal(edit.path, f"has a name that {way.type} cannot be given")
        texts = paths if edit.action != Action.SYMLINK else [edit.path, edit.after]
        if any(b"\0" in text for text in texts) or len(b"".join(map(quoted, texts))) > _ROOM:
            raise refusal(edit.path, "has a name or target that guestfish cannot be given")

    def _find(self, volume: VolumeId, path: bytes) -> tuple[Stat | None, bytes]:
        """Return what is at a path of a guest, and where that is in the virtual machine.

        No link is followed. NTFS finds names in any case, as Windows does.
        """
        here, there = self.machine.lstat(volume, b""), self.machine.inside(volume, b"/")
        above = b""
        for part in [] if path == b"/" else components(path):
            if here is None or here.type != Type.FOLDER:
                return None, there + b"/" + part
            found = self.machine.lstat(volume, above + b"/" + part)
            if found is None and self.machine.way(volume).ignores_case:
                part = self._spelled(there, part)
                found = self.machine.lstat(volume, above + b"/" + part)
            here, above, there = found, above + b"/" + part, there + b"/" + part
        return here, there

    def _spelled(self, folder: bytes, name: bytes) -> bytes:
        """Return the name in a folder that differs in case only; the name itself without one."""
        wanted = name.decode("utf-8", "replace").casefold()
        same = (n for n in self._names(folder) if n.decode("utf-8", "replace").casefold() == wanted)
        return next(same, name)

    def _names(self, there: bytes) -> Sequence[bytes]:
        names = self.machine.scratch / "names"
        self.machine.do("ls0", there, bytes(names))
        return sorted(name for name in names.read_bytes().split(b"\0") if name)

    def _write(self, edit: FileEdit) -> None:
        has_owners = self.machine.way(edit.volume).has_owners
        mark = self._label(edit) if has_owners else b""
        found, there = self._find(edit.volume, edit.path)
        if found is not None and has_owners and edit.action in (Action.WRITE, Action.SYMLINK):
            self.machine.do("rm", there)  # other hard links keep what they had
        match edit.action:
            case Action.WRITE:
                new = self.machine.scratch / "new"
                new.write_bytes(edit.after)
                self.machine.do("upload", bytes(new), there)
            case Action.MKDIR:
                self.machine.do("mkdir", there)
            case Action.SYMLINK:
                self.machine.do("ln-s", edit.after, there)
            case Action.RENAME:
                self.machine.do("rename", there, self._find(edit.volume, edit.after)[1])
            case Action.REMOVE:
                is_folder = found is not None and found.type == Type.FOLDER
                self.machine.do("rmdir" if is_folder else "rm", there)
        self.machine.forget()
        if has_owners and edit.action not in (Action.RENAME, Action.REMOVE):
            self._own(edit, there, mark)

    def _own(self, edit: FileEdit, there: bytes, mark: bytes) -> None:
        self.machine.do("lchown", edit.owner.uid, edit.owner.gid, there)
        if edit.action != Action.SYMLINK:
            self.machine.do("chmod", edit.owner.mode, there)
        if mark:
            self.machine.do("lsetxattr", _LABEL, mark, len(mark), there)

    def _label(self, edit: FileEdit) -> bytes:
        """Return the SELinux label that a file has, or its folder; empty when there is none."""
        for path in (edit.path, parent(edit.path)):
            found, there = self._find(edit.volume, path)
            if found is not None:
                answer, said = self.machine.fish.ask(command("lgetxattr", there, _LABEL))
                if said and not said.endswith(_NO_LABEL):
                    raise failed("could not read a label", said)
                return b"" if said else answer.rstrip(b"\0\n")
        return b""
