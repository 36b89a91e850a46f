"""The virtual machine that holds a guest's disks, and what is mounted in it.

guestfish ─► QEMU ─► /dev/disk/guestfs/diska2 ─► /v1     started when first asked, and again
                                                         when it was closed or died
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.guests.backend import GuestDisk, Stat
from engine.guests.backends.appliance import Scratch, accelerated, build, caged, settings
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


class Machine:
    """A virtual machine with a guest's disks."""

    def __init__(
        self, disks: Sequence[GuestDisk], cache: Path, accelerator: str, *, is_writing: bool
    ) -> None:
        """Start it and find the volumes of all disks; see `open_guestfs`."""
        self._disks = tuple(disks)
        self._cache = cache
        self._accelerator = accelerated(accelerator)
        self._is_writing = is_writing
        self._scratch: Scratch | None = None
        self._fish: Guestfish | None = None
        self._places: Mapping[str, Place] = {}
        self._inner: Sequence[Inner] = ()
        self._points: dict[VolumeId, bytes] = {}
        self._stats: dict[bytes, Stat | None] = {}
        try:
            self._start()
            sizes = [self._places[label(number)].size for number in range(len(disks))]
            outer = find_volumes(self._read_disk, sizes)
            inner = inner_volumes(self._inner, outer, self._read)
            self.volumes = (*outer, *(volume for volume, _ in inner))
        except BaseException:
            self.close()
            raise
        self._devices = {volume.id: at for volume, at in inner}
        self._known = {volume.id: volume for volume in self.volumes if volume.kind in WAYS}

    @property
    def fish(self) -> Guestfish:
        """The running guestfish; started when there is none."""
        if self._fish is None or not self._fish.is_running():
            self.close()
            self._start()
        assert self._fish is not None  # noqa: S101 - started above
        return self._fish

    @property
    def mountable(self) -> Sequence[VolumeId]:
        """The volumes with a file system that can be mounted here."""
        return tuple(self._known)

    @property
    def scratch(self) -> Path:
        """The folder that a running machine shares with us."""
        self.fish  # noqa: B018 - started when it is not running
        assert self._scratch is not None  # noqa: S101 - made at the start
        return self._scratch.path

    def is_running(self) -> bool:
        """Whether it runs; it is started again by the next question."""
        return self._fish is not None and self._fish.is_running()

    def close(self) -> None:
        """Shut it down and remove its files."""
        fish, self._fish = self._fish, None
        self._points.clear()
        self._stats.clear()
        if fish is not None and fish.is_running():
            self._stop_arrays(fish)
            fish.finish()
        elif fish is not None:
            fish.close()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.close()

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
        return at or device(self._volume(volume), self._places)

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

    def _start(self) -> None:
        appliance = build(self._cache)
        self._scratch = Scratch(self._cache)
        argv = caged(
            ["guestfish", "--rw" if self._is_writing else "--ro", "--no-progress-bars"],
            self._disks,
            appliance=appliance,
            scratch=self._scratch.path,
            is_writing=self._is_writing,
            accelerator=self._accelerator,
        )
        fish = Guestfish(
            argv, settings(appliance, self._scratch.path, self._accelerator), self._scratch.path
        )
        self._fish = fish
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
        self._places = places(fish.do(command("debug", b"sh", LIST_PLACES.encode())))
        if any(label(number) not in self._places for number in range(len(self._disks))):
            raise failed("shows fewer disks than it was given")
        self._inner = parse_inner(fish.do(command("debug", b"sh", LIST_INNER.encode())))

    def _stop_arrays(self, fish: Guestfish) -> None:
        """Let arrays note that they are clean; what fails is mended by the guest at its start."""
        if any(one.holder is FileSystem.RAID for one in self._inner):
            with contextlib.suppress(Failure):
                fish.ask(b"umount-all", SLOW_S)
                fish.ask(b"vg-activate-all false", SLOW_S)
                for one in self._inner:
                    if one.holder is FileSystem.RAID:
                        fish.ask(command("md-stop", one.device.encode()))

    def _read_disk(self, disk: int, offset: int, length: int) -> bytes:
        length = max(0, min(length, self._places[label(disk)].size - offset))
        return self._read(f"/dev/disk/guestfs/{label(disk)}", offset, length)

    def _read(self, at: str, offset: int, length: int) -> bytes:
        return self.do("pread-device", at.encode(), length, offset) if length else b""

    def _volume(self, volume: VolumeId) -> Volume:
        if volume not in self._known:
            raise no_volume(volume)
        return self._known[volume]
