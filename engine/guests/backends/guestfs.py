"""Any guest's disks through libguestfs: a virtual machine of its own mounts the file systems.

Twenty seconds to start without KVM, then milliseconds for each question. No program of the guest is
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.guests.backend import GuestDisk, Stat, Type
from engine.guests.backends.guestfish import command, failed, quoted
from engine.guests.backends.guestfs_machine import Machine
from engine.guests.backends.mounted import MountedBackend
from engine.guests.backends.verify import components, parent, refusal
from engine.local.accelerator import TCG
from engine.model.guest import Action, FileEdit, Obstacle, VolumeId

PART = 1 << 20
"""Longest part of a file in bytes that comes in one answer; longer ones come as a file."""
_LABEL = b"security.selinux"
_NO_LABEL = (b": No data available", b": Operation not supported")
_ROOM = 7500
"""Longest arguments of one command in bytes, quoted."""


def open_guestfs(
    disks: Sequence[GuestDisk],
    *,
    cache: Path,
    is_writing: bool = True,
    accelerator: str = TCG,
) -> GuestfsBackend:
    """Return a backend over disks in the guest's order; starts its virtual machine.

    Nothing is written before `recover` or `replay`. Close it, or use it as a context.

    Args:
        cache: Folder of the engine's own for the virtual machine's files, 370 MB.
        is_writing: Whether the disks may be written.
        accelerator: `kvm` only where a guest was seen to make progress under it, else `tcg`; see
            `engine.local.accelerator`.

    Raises:
        Failure: libguestfs cannot be used here, or a partition table is damaged.
    """
    return GuestfsBackend(Machine(disks, cache, accelerator, is_writing=is_writing))


class GuestfsBackend(MountedBackend[Machine]):
    """Backend for all file systems; started again by the next question when it was closed."""

    name = "guestfs"
    part_limit = PART

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is, or no folder leads there."""
        return self._find(volume, path)[0]

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        found, there = self._find(volume, path)
        if found is None or found.type != Type.FOLDER:
            return []
        return self._names(there)

    def content(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return bytes of a file; more than come in one answer only from its start."""
        there = self._find(volume, path)[1]
        if length <= PART:
            return self.machine.do("pread", there, length, offset)
        copy = self.machine.scratch / "content"
        self.machine.do("download", there, bytes(copy))
        content = copy.read_bytes()
        copy.unlink()
        return content

    def target(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a link points."""
        return self.machine.target(self._find(volume, path)[1])

    def refuse(self, edit: FileEdit) -> None:
        """Refuse what does not fit into a line for guestfish."""
        texts = [edit.path]
        if edit.action in (Action.RENAME, Action.SYMLINK):
            texts.append(edit.after)
        if any(b"\0" in text for text in texts) or len(b"".join(map(quoted, texts))) > _ROOM:
            raise refusal(edit.path, "has a name or target that guestfish cannot be given")

    def write(self, edits: Sequence[FileEdit]) -> None:
        """Make edits one by one."""
        for edit in edits:
            self._write(edit)

    def trouble(self, volume: VolumeId) -> Obstacle | None:
        """Return why a volume that can be read cannot be written; None when it can."""
        return self.machine.trouble(volume)

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
