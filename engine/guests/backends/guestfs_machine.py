"""The virtual machine that holds a guest's disks, and what is mounted in it.

guestfish ─► QEMU ─► /dev/disk/guestfs/diska2 ─► /v1     started when first asked, and again
                                                         when it was closed or died
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backend import GuestDisk, Stat
from engine.guests.backends.appliance import Scratch, build, caged, settings
from engine.guests.backends.guestfish import ANSWER_S, Guestfish, command, failed
from engine.guests.backends.guestfs_inner import LIST_INNER, Inner, inner_volumes, parse_inner
from engine.guests.backends.guestfs_places import (
    LIST_PLACES,
    WAYS,
    Place,
    Way,
    device,
    is_clean,
    label,
    ntfs_obstacle,
    parse_stat,
    places,
)
from engine.guests.backends.ntfs import Trouble
from engine.guests.backends.verify import damaged, no_volume
from engine.guests.volumes import find_volumes
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.guest import FileSystem, Obstacle, Volume, VolumeId

SLOW_S = 600.0
"""Longest wait for a start, and for what may replay a journal or write a lot out."""
_NOT_THERE = (b": No such file or directory", b": Not a directory")


@dataclass(frozen=True, slots=True)
class _Running:
    """A virtual machine that was started, and what its kernel sees."""

    fish: Guestfish
    scratch: Scratch
    places: Mapping[str, Place]
    inner: Sequence[Inner]


class Machine:
    """A virtual machine with a guest's disks."""

    def __init__(
        self, disks: Sequence[GuestDisk], cache: Path, accelerator: str, *, is_writing: bool
    ) -> None:
        """Start it and find the volumes of all disks; see `open_guestfs`."""
        self._disks = tuple(disks)
        self._cache = cache
        self._accelerator = accelerator
        self._is_writing = is_writing
        self._started: _Running | None = None
        self._points: dict[VolumeId, bytes] = {}
        self._stats: dict[bytes, Stat | None] = {}
        self._targets: dict[bytes, bytes] = {}
        try:
            sizes = [self._running.places[label(number)].size for number in range(len(disks))]
            outer = find_volumes(self._read_disk, sizes)
            inner = inner_volumes(self._running.inner, outer, self._read)
            self.volumes: Sequence[Volume] = (*outer, *(volume for volume, _ in inner))
        except BaseException:
            self.abandon()
            raise
        self._devices = {volume.id: at for volume, at in inner}
        self._known = {volume.id: volume for volume in self.volumes if volume.kind in WAYS}

    @property
    def _running(self) -> _Running:
        """The running machine; started when there is none."""
        if self._started is None or not self._started.fish.is_running():
            self.abandon()
            self._started = self._start()
        return self._started

    @property
    def fish(self) -> Guestfish:
        """The running guestfish; started when there is none."""
        return self._running.fish

    @property
    def mountable(self) -> Sequence[VolumeId]:
        """The volumes with a file system that can be mounted here."""
        return tuple(self._known)

    @property
    def scratch(self) -> Path:
        """The folder that a running machine shares with us."""
        return self._running.scratch.path

    def is_running(self) -> bool:
        """Whether it runs; it is started again by the next question."""
        return self._started is not None and self._started.fish.is_running()

    def close(self) -> None:
        """Shut it down and remove its files."""
        if self._started is not None and self._started.fish.is_running():
            self._stop_arrays(self._started)
            self._started.fish.finish()
        self.abandon()

    def abandon(self) -> None:
        """End it at once and remove its files."""
        started, self._started = self._started, None
        self._points.clear()
        self.forget()
        if started is not None:
            started.fish.close()
            started.scratch.close()

    def do(self, verb: str, *arguments: bytes | int, timeout_s: float = ANSWER_S) -> bytes:
        """Return what a command of guestfish printed. ToolFailed when it complained."""
        return self.fish.do(command(verb, *arguments), timeout_s)

    def shell(self, line: str, timeout_s: float) -> tuple[bytes, int]:
        """Run a line of our own in it; return its last 4,000 bytes and its exit code."""
        script = f'out=$( {line} 2>&1 </dev/null); rc=$?; echo "$out" | tail -c 4000; echo rc=$rc'
        answer = self.do("debug", b"sh", script.encode(), timeout_s=timeout_s)
        said, _, code = answer.rstrip().rpartition(b"rc=")
        if not code.isdigit():
            raise failed("printed something else than an exit code", answer)
        return said, int(code)

    def used(self, volume: VolumeId) -> int | None:
        """Return the bytes in use; None when the answer cannot be read."""
        seen = self._statvfs(volume)
        return None if seen is None else max(0, seen[0] - seen[1])

    def free(self, volume: VolumeId) -> int | None:
        """Return the bytes that are free; None when the answer cannot be read."""
        seen = self._statvfs(volume)
        return None if seen is None else seen[1]

    def _statvfs(self, volume: VolumeId) -> tuple[int, int] | None:
        """Return the bytes of a file system, and those that are free."""
        answer = self.do("statvfs", self.inside(volume, b"/"))
        found = dict(line.split(b": ", 1) for line in answer.splitlines() if b": " in line)
        numbers = [found.get(name, b"") for name in (b"blocks", b"bfree", b"frsize")]
        if not all(number.isdigit() for number in numbers):
            return None
        blocks, free, size = map(int, numbers)
        return blocks * size, free * size

    def check(self, volume: VolumeId, limit_s: int) -> tuple[int, bytes]:
        """Run the way's check; return its exit code (124: took too long) and last words."""
        line = f"timeout {limit_s} {self.way(volume).check} {self.device(volume)}"
        said, code = self.shell(line, limit_s + 60)
        return code, said

    def sync(self) -> None:
        """Let everything written reach the disks' files, and these the host's disks."""
        self.do("sync", timeout_s=SLOW_S)
        for disk in self._disks:
            with disk.path.open("rb") as file:
                os.fdatasync(file.fileno())

    def way(self, volume: VolumeId) -> Way:
        """Return how a volume is used. Failure when there is none that can be mounted."""
        return WAYS[self._volume(volume).kind]

    def device(self, volume: VolumeId) -> str:
        """Return a volume's device in the virtual machine."""
        at = self._devices.get(volume)
        return at or device(self._volume(volume), self._running.places)

    def needs_recovery(self, volume: VolumeId) -> bool:
        """Whether mounting a volume for writing may change what is seen in it."""
        found = self._volume(volume)
        if found.kind is not FileSystem.EXT:
            return found.kind in (FileSystem.XFS, FileSystem.BTRFS)
        raw = self.do("pread-device", self.device(volume).encode(), 1024, 1024)
        return not is_clean(raw)

    def lstat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path, whose folders are no links; empty: the root folder."""
        there = self.inside(volume, path)
        if there not in self._stats:
            answer, said = self.fish.ask(command("lstatns", there))
            if said and not said.endswith(_NOT_THERE):
                raise failed("could not look at a file", said)
            has_owners = self.way(volume).has_owners
            self._stats[there] = None if said else parse_stat(answer, has_owners=has_owners)
        return self._stats[there]

    def target(self, there: bytes) -> bytes:
        """Return where a link in the virtual machine points."""
        if there not in self._targets:
            self._targets[there] = self.do("readlink", there).removesuffix(b"\n")
        return self._targets[there]

    def inside(self, volume: VolumeId, path: bytes) -> bytes:
        """Return a guest's path in the virtual machine; the volume is mounted, at least to read."""
        if volume not in self._points or not self.is_running():
            self.mount(volume, is_writing=False)
        return self._points[volume] + (b"" if path == b"/" else path)

    def mount(self, volume: VolumeId, *, is_writing: bool) -> None:
        """Mount a volume for writing, which replays its journal, or for reading, which does not.

        Raises:
            WrongUse: The disks were opened for reading only.
            Failure: It cannot be mounted so.
        """
        if is_writing and not self._is_writing:
            happened = "The guest was opened for reading and cannot be changed."
            raise WrongUse(Problem("guest.backend.reading", happened))
        way, there = self.way(volume), self.device(volume).encode()
        self.unmount(volume)
        trouble = self.trouble(volume) if is_writing else None
        if trouble is not None:
            raise Trouble(trouble)
        point = f"/v{self.mountable.index(volume)}".encode()
        self.do("mkmountpoint", point)
        options = way.write if is_writing else way.read
        try:
            self.do(
                "mount-vfs", options.encode(), way.type.encode(), there, point, timeout_s=SLOW_S
            )
        except Failure as error:
            if self.is_running():
                self.fish.ask(command("rmmountpoint", point))
            raise damaged(volume, f"it cannot be mounted ({error.problem.happened})") from error
        self._points[volume] = point

    def trouble(self, volume: VolumeId) -> Obstacle | None:
        """Return why NTFS cannot be written; None when it can, and for all others.

        Source: ntfs-3g.probe(8), "Exit codes".
        """
        if self._volume(volume).kind is not FileSystem.NTFS:
            return None
        self.unmount(volume)
        code = self.do("ntfs-3g-probe", b"true", self.device(volume).encode()).strip()
        return ntfs_obstacle(self._volume(volume), int(code)) if code.isdigit() else None

    def unmount(self, volume: VolumeId) -> None:
        """Unmount a volume, if it is mounted."""
        self.forget()
        point = self._points.pop(volume, None)
        if point is not None and self.is_running():
            self.do("umount", point, timeout_s=SLOW_S)
            self.do("rmmountpoint", point)

    def forget(self) -> None:
        """Forget what was seen: something was changed."""
        self._stats.clear()
        self._targets.clear()

    def _start(self) -> _Running:
        appliance = build(self._cache)
        with contextlib.ExitStack() as undo:
            scratch = Scratch(self._cache)
            undo.callback(scratch.close)
            argv = caged(
                ["guestfish", "--rw" if self._is_writing else "--ro", "--no-progress-bars"],
                self._disks,
                appliance=appliance,
                scratch=scratch.path,
                is_writing=self._is_writing,
                accelerator=self._accelerator,
            )
            told = settings(appliance, scratch.path, self._accelerator)
            fish = Guestfish(argv, told, scratch.path)
            undo.callback(fish.close)
            self._run(fish)
            seen = places(fish.do(command("debug", b"sh", LIST_PLACES.encode())))
            if any(label(number) not in seen for number in range(len(self._disks))):
                raise failed("shows fewer disks than it was given")
            inner = parse_inner(fish.do(command("debug", b"sh", LIST_INNER.encode())))
            undo.pop_all()
        return _Running(fish, scratch, seen, inner)

    def _run(self, fish: Guestfish) -> None:
        """Give it the disks and start it."""
        for number, disk in enumerate(self._disks):
            line = command(
                "add-drive",
                bytes(disk.path.absolute()),
                readonly="false" if self._is_writing else "true",
                format=disk.format,  # stated, or a guest could choose its own
                label=label(number),
            )
            fish.do(line)
        fish.do(b"run", SLOW_S)

    def _stop_arrays(self, running: _Running) -> None:
        """Let arrays note that they are clean; what fails is mended by the guest at its start."""
        arrays = [one for one in running.inner if one.holder is FileSystem.RAID]
        if arrays:
            with contextlib.suppress(Failure):
                running.fish.ask(b"umount-all", SLOW_S)
                running.fish.ask(b"vg-activate-all false", SLOW_S)
                for one in arrays:
                    running.fish.ask(command("md-stop", one.device.encode()))

    def _read_disk(self, disk: int, offset: int, length: int) -> bytes:
        length = max(0, min(length, self._running.places[label(disk)].size - offset))
        return self._read(f"/dev/disk/guestfs/{label(disk)}", offset, length)

    def _read(self, at: str, offset: int, length: int) -> bytes:
        return self.do("pread-device", at.encode(), length, offset) if length else b""

    def _volume(self, volume: VolumeId) -> Volume:
        if volume not in self._known:
            raise no_volume(volume)
        return self._known[volume]
