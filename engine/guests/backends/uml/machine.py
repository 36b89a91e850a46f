"""The volumes of a guest in a throw-away kernel, and what is mounted there.

vda2, md127, dm-0 ─► a `Volume` each ─► mounted on /mnt/0, /mnt/1 …     to read, until told else
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from engine.guests.backend import GuestDisk, Stat, Type
from engine.guests.backends.guestfs_inner import inner_volumes, parse_inner
from engine.guests.backends.guestfs_places import WAYS as ALL_WAYS
from engine.guests.backends.guestfs_places import Way, is_clean
from engine.guests.backends.uml.kernel import Asked, Kernel, RefusedInside
from engine.guests.backends.verify import damaged, folded, no_volume, parent
from engine.guests.members import further
from engine.guests.volumes import find_volumes
from engine.model.errors import Problem, WrongUse
from engine.model.guest import FileSystem, Owner, Volume, VolumeId
from engine.model.text import safe

WAYS: Mapping[FileSystem, Way] = {
    **{kind: way for kind, way in ALL_WAYS.items() if kind is not FileSystem.NTFS},
    # Reading ahead in threads takes this kernel, which has one processor, twice as long.
    FileSystem.XFS: replace(ALL_WAYS[FileSystem.XFS], check="xfs_repair -n -P"),
}
"""The file systems that this kernel mounts."""
SLOW_S = 300.0
"""Longest wait for what may replay a journal or write a lot out."""
HELD = 32 << 20
"""Bytes of contents that are remembered until something changes."""
_INCOMPATIBLE, _CASEFOLD = 1024 + 0x60, 0x20000
"""Where ext4 tells features without which it may not be read, and one of them."""
_FIXED_OWNER = Owner(0o755, 0, 0)


class Machine:
    """A running kernel with a guest's disks; see `Kernel` for the arguments.

    Attributes:
        foreign: Volumes that it was seen not to mount though they are not damaged.
    """

    def __init__(
        self, disks: Sequence[GuestDisk], work: Path, *, is_writing: bool, shim: Path | None = None
    ) -> None:
        """Start it and find all volumes."""
        self._disks = tuple(disks)
        self._is_writing = is_writing
        self._points: dict[VolumeId, str] = {}
        self._stats: dict[tuple[VolumeId, bytes], Stat | None] = {}
        self._contents: dict[tuple[object, ...], bytes] = {}
        self._held = 0
        self.foreign: set[VolumeId] = set()
        self._known_ahead: set[tuple[VolumeId, bytes]] = set()
        self._folders: dict[tuple[VolumeId, bytes], Mapping[bytes, Stat] | None] = {}
        self.kernel = Kernel(disks, work, is_writing=is_writing, shim=shim)
        try:
            self._sizes = self._devices()
            outer = find_volumes(self._read_disk, [self._sizes[_disk(n)][1] for n in self._numbers])
            inner = self._inner(outer)
        except BaseException:
            self.kernel.close()
            raise
        self.volumes: Sequence[Volume] = (*outer, *inner)
        others = further(self.volumes)
        self.known = {v.id: v for v in self.volumes if v.kind in WAYS and v.id not in others}

    def close(self) -> None:
        """Unmount everything and end; what cannot be ended well is killed.

        Raises:
            ToolFailed: It did not end well, so that what was written may be lost.
        """
        if self.kernel.is_running():
            self.kernel.finish()
        self.kernel.close()

    def abandon(self) -> None:
        """Kill it; what it did not write is lost."""
        self.kernel.close()

    @property
    def mountable(self) -> Sequence[VolumeId]:
        """The volumes with a file system that can be mounted here."""
        return tuple(self.known)

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self.kernel.is_running()

    def used(self, volume: VolumeId) -> int | None:
        """Return the bytes in use; None when the kernel does not tell."""
        used = self.ask("used", volume).value
        return used if isinstance(used, int) else None

    def free(self, volume: VolumeId) -> int | None:
        """Return the bytes that are free; None when the kernel does not tell."""
        free = self.ask("free", volume).value
        return free if isinstance(free, int) else None

    def check(self, volume: VolumeId, limit_s: int) -> tuple[int, bytes]:
        """Run the way's check; return its exit code (124: took too long) and last words."""
        argv = [*self.way(volume).check.split(" "), self.device(volume)]
        answer = self.kernel.ask("run", timeout_s=limit_s + 60, argv=argv, check_s=limit_s)
        return (answer.value if isinstance(answer.value, int) else -1), answer.content

    def way(self, volume: VolumeId) -> Way:
        """Return how a volume is used. Failure when there is none that can be mounted."""
        return WAYS[self._volume(volume).kind]

    def device(self, volume: VolumeId) -> str:
        """Return a volume's device in the kernel. Failure where it sees it elsewhere."""
        return self._place(self._volume(volume))

    def _is_seen(self, found: Volume) -> bool:
        return self._sizes.get(_name(found)) == (found.start, found.size)

    def _place(self, found: Volume) -> str:
        if found.id in self._inside:
            return self._inside[found.id]
        if not self._is_seen(found):
            why = "the throw-away kernel sees it at another place than its table"
            raise damaged(found.id, why)
        return f"/dev/{_name(found)}"

    def ask(self, verb: str, volume: VolumeId, path: bytes = b"/", **values: object) -> Asked:
        """Ask for something in a volume, which is mounted, at least to read."""
        if volume not in self._points:
            self.mount(volume, is_writing=False)
        point, there = self._points[volume], path.decode("latin-1")
        return self.kernel.ask(verb, timeout_s=SLOW_S, point=point, path=there, **values)

    def content(self, verb: str, volume: VolumeId, path: bytes, **values: int) -> bytes:
        """Ask for bytes in a volume; a planner asks for the same ones many times."""
        key = (verb, volume, path, *values.values())
        if key in self._contents:
            return self._contents[key]
        content = self.ask(verb, volume, path, **values).content
        self._hold(key, content)
        return content

    def point(self, volume: VolumeId) -> str:
        """Return where a mounted volume is."""
        return self._points[volume]

    def look(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is, or no folder leads there."""
        key = (volume, path)
        if key not in self._stats:
            is_exact = path != b"/" and not self.ignores_case(volume)
            folder = self.folder(volume, parent(path)) if is_exact else None
            if folder is not None:
                return folder.get(path.rpartition(b"/")[2])
            answer = self.ask("look", volume, path).value
            self._stats[key] = _stat(volume, answer, has_owners=self.way(volume).has_owners)
        return self._stats[key]

    def folder(self, volume: VolumeId, path: bytes) -> Mapping[bytes, Stat] | None:
        """Return all names in a folder, none where there is no folder; None when they are many."""
        key = (volume, path)
        if key not in self._folders:
            is_none = path != b"/" and self._is_no_folder(volume, path)
            self._names(volume, path, {} if is_none else self.ask("folder", volume, path).value)
        return self._folders[key]

    def _is_no_folder(self, volume: VolumeId, path: bytes) -> bool:
        """Whether what is known of the folders above tells that no folder can be at a path."""
        above = parent(path)
        names = self._folders.get((volume, above))
        if names is not None or (volume, path) in self._stats:
            found = self._stats.get((volume, path)) or (names or {}).get(path.rpartition(b"/")[2])
            return found is None or found.type is not Type.FOLDER
        return above != b"/" and self._is_no_folder(volume, above)

    def ahead(self, volume: VolumeId, paths: Sequence[bytes]) -> None:
        """Learn at once what is at paths and on the way to them; it is there when asked for."""
        new = [path for path in paths if (volume, path) not in self._known_ahead]
        self._known_ahead.update((volume, path) for path in new)
        if not new or self.ignores_case(volume):
            return
        asked = self.ask("ahead", volume, paths=[path.decode("latin-1") for path in new])
        told = asked.value if isinstance(asked.value, dict) else {}
        has_owners = self.way(volume).has_owners
        for path, answer in _items(told.get("folders")):
            self._names(volume, path, answer)
        for path, answer in _items(told.get("stats")):
            self._stats[volume, path] = _stat(volume, answer, has_owners=has_owners)
        at = 0
        for path, length in _lengths(told.get("files")):
            content = asked.content[at : at + length]
            at += length
            seen = self.look(volume, path)
            if seen is not None and seen.size == len(content):
                self._hold(("read", volume, path, 0, length), content)

    def _names(self, volume: VolumeId, path: bytes, answer: object) -> None:
        """Remember what was told of a folder: its names with what they are, and links' targets."""
        seen: dict[bytes, Stat] | None = None
        if isinstance(answer, dict):
            has_owners, seen = self.way(volume).has_owners, {}
            for name, one in _items(answer):
                match one:
                    case [*stat, str(target)] if len(stat) == 5:
                        there = path.rstrip(b"/") + b"/" + name
                        self._hold(("link", volume, there), target.encode("latin-1", "replace"))
                        one = stat
                found = _stat(volume, one, has_owners=has_owners)
                if found is not None:
                    seen[name] = found
        self._folders[volume, path] = seen

    def _hold(self, key: tuple[object, ...], content: bytes) -> None:
        """Remember bytes, as long as they are not too many."""
        if self._held + len(content) <= HELD:
            self._held += len(content)
            self._contents[key] = content

    def ignores_case(self, volume: VolumeId) -> bool:
        """Whether names are found in any case."""
        return self._volume(volume).kind is FileSystem.FAT

    def needs_recovery(self, volume: VolumeId) -> bool:
        """Whether mounting a volume for writing may change what is seen in it."""
        kind = self._volume(volume).kind
        if kind is not FileSystem.EXT:
            return kind in (FileSystem.XFS, FileSystem.BTRFS)
        return not is_clean(self._read(self.device(volume), 1024, 1024))

    def mount(self, volume: VolumeId, *, is_writing: bool) -> None:
        """Mount a volume for writing, which replays its journal, or for reading, which does not.

        Raises:
            WrongUse: The disks were opened for reading only.
            Failure: It cannot be mounted so.
        """
        if is_writing and not self._is_writing:
            happened = "The guest was opened for reading and cannot be changed."
            raise WrongUse(Problem("guest.backend.reading", happened))
        way, device = self.way(volume), self.device(volume)
        self.unmount(volume)
        point = f"/mnt/{list(self.known).index(volume)}"
        options = ",".join([way.write if is_writing else way.read, *self._companions(volume)])
        try:
            self.kernel.ask("mount", timeout_s=SLOW_S, device=device, point=point, type=way.type,
                            options=options)  # fmt: skip
        except RefusedInside as error:
            if self._has_folded_names(volume):
                self.foreign.add(volume)
                raise folded(volume) from error
            raise damaged(volume, f"it cannot be mounted ({safe(error.why)})") from error
        self._points[volume] = point

    def _has_folded_names(self, volume: VolumeId) -> bool:
        """Whether an ext4 may have names in any case: Debian's kernel here is built without."""
        if self._volume(volume).kind is not FileSystem.EXT:
            return False
        features = self._read(self.device(volume), _INCOMPATIBLE, 4)
        return bool(int.from_bytes(features, "little") & _CASEFOLD)

    def _companions(self, volume: VolumeId) -> Sequence[str]:
        """Return the mount options that name the other devices of a btrfs over several."""
        whole = self.known[volume].member
        if whole is None:
            return ()
        there = [v for v in self.volumes if v.member is not None and v.member.whole == whole.whole]
        return [f"device={self._place(other)}" for other in there if other.id != volume]

    def unmount(self, volume: VolumeId) -> None:
        """Unmount a volume, if it is mounted."""
        self.forget()
        if volume in self._points:
            self.kernel.ask("unmount", timeout_s=SLOW_S, point=self._points[volume])
            del self._points[volume]

    def forget(self) -> None:
        """Forget what was seen: something was changed."""
        self._stats.clear()
        self._folders.clear()
        self._contents.clear()
        self._known_ahead.clear()
        self._held = 0

    def sync(self) -> None:
        """Let everything written reach the disks' files, and these the host's disks."""
        self.kernel.ask("sync", timeout_s=SLOW_S)
        for disk in self._disks:
            with disk.path.open("rb") as file:
                os.fdatasync(file.fileno())

    @property
    def _numbers(self) -> range:
        return range(len(self._disks))

    def _devices(self) -> Mapping[str, tuple[int, int]]:
        answer = self.kernel.ask("devices").value
        found = {}
        for name, place in answer.items() if isinstance(answer, dict) else ():
            match place:
                case [int(start), int(size)]:
                    found[str(name)] = (start, size)
        if any(_disk(number) not in found for number in self._numbers):
            raise RefusedInside("it shows fewer disks than it was given")
        return found

    def _inner(self, outer: Sequence[Volume]) -> Sequence[Volume]:
        """Put together what is made of several volumes; return the volumes in it."""
        kinds = {volume.kind for volume in outer}
        self._inside: dict[VolumeId, str] = {}
        if not kinds & {FileSystem.LVM, FileSystem.RAID}:
            return ()
        members = [
            self._place(volume)
            for volume in outer
            if volume.kind is FileSystem.RAID and self._is_seen(volume)
        ]
        answer = self.kernel.ask(
            "inner",
            timeout_s=SLOW_S,
            members=members,
            raid=FileSystem.RAID in kinds,
            lvm=True,
            writing=self._is_writing,
        ).value
        lines = answer if isinstance(answer, list) else []
        listing = "\n".join(str(line) for line in lines).encode()
        found = inner_volumes(parse_inner(listing), outer, self._read)
        self._inside = {volume.id: device for volume, device in found}
        return tuple(volume for volume, _ in found)

    def _read_disk(self, disk: int, offset: int, length: int) -> bytes:
        return self._read(f"/dev/{_disk(disk)}", offset, length)

    def _read(self, device: str, offset: int, length: int) -> bytes:
        if length <= 0:
            return b""
        answer = self.kernel.ask("pread", device=device, offset=offset, length=length)
        return answer.content[:length]

    def _volume(self, volume: VolumeId) -> Volume:
        if volume not in self.known:
            raise no_volume(volume)
        return self.known[volume]


def _disk(number: int) -> str:
    """Return the name of a disk: vda, vdb … vdz, vdaa."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"vd{letters}"


def _name(found: Volume) -> str:
    """Return the name of a disk's volume: vda1, or vda without a table."""
    return _disk(found.disk) + (str(found.number) if found.number else "")


def _items(told: object) -> Iterator[tuple[bytes, object]]:
    """Yield what a kernel says by path or name."""
    for name, one in told.items() if isinstance(told, dict) else ():
        yield str(name).encode("latin-1", "replace"), one


def _lengths(told: object) -> Iterator[tuple[bytes, int]]:
    """Yield the paths and lengths of contents; ends where they are none."""
    for one in told if isinstance(told, list) else ():
        match one:
            case [str(path), int(length)] if length >= 0:
                yield path.encode("latin-1", "replace"), length
            case _:
                return


def _stat(volume: VolumeId, answer: object, *, has_owners: bool) -> Stat | None:
    match answer:
        case None:
            return None
        case [str(kind), int(size), int(mode), int(uid), int(gid)] if kind in set(Type):
            owner = Owner(mode, uid, gid) if has_owners else _FIXED_OWNER
            return Stat(Type(kind), size, owner)
    raise damaged(volume, "what the throw-away kernel says of a file is nonsense")
