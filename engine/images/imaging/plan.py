"""What the next recovery point is: which set, which sequence, compared with what."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from engine.images.bpi.layout import Consistency
from engine.images.bpi.manifest import DiskLine, datetime_to_ns
from engine.images.imaging.folder import MachineFolder, Memory, Published
from engine.images.imaging.hashmap import HashMap, MapDraft, map_name, open_map
from engine.images.imaging.rebuild import rebuild_map
from engine.images.imaging.source import SourceDisk
from engine.local.durable import open_folder, publish
from engine.model.machine import Hints
from engine.ports import Cancel, Clock, Report

DRAFT = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class ImagingOptions:
    """How a point is made.

    Attributes:
        full: Start a new set with full images, whatever is there.
        state: Folder for hash maps and memory; None: `.state` in the machine's folder.
        hints: What the machine looks like; None: what the point before said.
        taken_at: Time of the source snapshot; None: now.
        workers: Threads; None: one for each processor, at most 4.
    """

    full: bool = False
    state: Path | None = None
    hints: Hints | None = None
    taken_at: datetime | None = None
    consistency: Consistency = Consistency.UNKNOWN
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the new point is.

    Attributes:
        before: The point it continues; None for a new set.
        uuids: Of each disk.
        maps: Of each disk at `before`; None where the disk is written whole.
        why_full: Why it starts a new set although there was a point; empty otherwise.
    """

    set: UUID
    folder: Path
    point: UUID
    sequence: int
    taken_ns: int
    machine: UUID
    hints: Hints
    before: Published | None
    uuids: Sequence[UUID]
    maps: Sequence[HashMap | None]
    why_full: str = ""

    def close(self) -> None:
        """Release the maps; repeatable."""
        for one in self.maps:
            if one is not None:
                one.close()


@dataclass(frozen=True, slots=True)
class Planner:
    """Looks at the machine's folder and decides."""

    folder: MachineFolder
    options: ImagingOptions
    clock: Clock
    cancel: Cancel
    report: Report

    def plan(self, disks: Sequence[SourceDisk]) -> Plan:
        """Return the plan of the next point; its maps are open.

        Raises:
            Refused: The folder is another machine's.
            Cancelled: While a lost map was being made again.
        """
        memory, newest = self.folder.remembered(), self.folder.newest()
        uuids = identify(disks, memory, newest)
        maps: list[HashMap | None] = [None] * len(disks)
        why = "" if newest is None else self._why_full(newest)
        before = None if why else newest
        if before is not None and not self._open_maps(before, uuids, maps):
            before, why, maps = (
                None,
                "what the newest point holds cannot be read",
                [None] * len(maps),
            )
        set_id, folder = (
            self.folder.new_set() if before is None else (before.manifest.set, before.path.parent)
        )
        told = newest.manifest if newest else None
        return Plan(
            set=set_id,
            folder=folder,
            point=uuid4(),
            sequence=before.manifest.sequence + 1 if before else 1,
            taken_ns=datetime_to_ns(self.options.taken_at or self.clock.now()),
            machine=(told.machine if told else memory.machine) or uuid4(),
            hints=self.options.hints or (told.hints if told else Hints()),
            before=before,
            uuids=uuids,
            maps=maps,
            why_full=why,
        )

    def _why_full(self, newest: Published) -> str:
        if self.options.full:
            return "it was asked for"
        if self.folder.has_unreadable(newest.manifest.set):
            return "a manifest in the set's folder is damaged"
        if not newest.has_all_files():
            return "files of the newest point are not in the folder any more"
        return "the newest point is encrypted" if newest.manifest.encrypted else ""

    def _open_maps(
        self, before: Published, uuids: Sequence[UUID], maps: list[HashMap | None]
    ) -> bool:
        """Open the map of each disk that the point before has; False when one cannot be had."""
        lines = {line.uuid: line for line in before.manifest.disks}
        for at, uuid in enumerate(uuids):
            if uuid not in lines:
                continue
            found = self._map(before, lines[uuid])
            if found is None:
                for one in maps:
                    if one is not None:
                        one.close()
                return False
            maps[at] = found
        return True

    def _map(self, before: Published, line: DiskLine) -> HashMap | None:
        point, root = before.manifest.point, bytes.fromhex(line.root)
        name = map_name(line.uuid, point)
        path = str(self.folder.state / name)
        found = open_map(path, point, root)
        if found is None and self._make_again(before, line, name):
            found = open_map(path, point, root)
        return found

    def _make_again(self, before: Published, line: DiskLine, name: str) -> bool:
        points = self.folder.points_of(before.manifest.set)
        with open_folder(self.folder.state) as state:
            fd = os.open(f"{name}.part", DRAFT, 0o600, dir_fd=state)
            try:
                draft = MapDraft(fd, line.disk_size)
                if not rebuild_map(
                    points, before, line.uuid, draft, self.cancel, self.clock, self.report
                ):
                    os.unlink(f"{name}.part", dir_fd=state)
                    return False
                draft.finish(before.manifest.set, before.manifest.point, bytes.fromhex(line.root))
            finally:
                os.close(fd)
            publish(state, f"{name}.part", name)
        return True


def identify(
    disks: Sequence[SourceDisk], memory: Memory, newest: Published | None
) -> Sequence[UUID]:
    """Return the UUID of each disk: by the path it was read from last time, else by its place.

    Device names change and snapshots are named anew, so a disk that is not remembered takes the
    identity of the one in its place, unless that one is here under its own name. A wrong guess
    costs a larger increment, never a wrong one: contents are compared.
    """
    by_path = [memory.sources.get(os.path.realpath(disk.path)) for disk in disks]
    lines = {line.number: line.uuid for line in newest.manifest.disks} if newest else {}
    found: list[UUID] = []
    for number, remembered in enumerate(by_path):
        in_place = lines.get(number)
        free = in_place is not None and in_place not in by_path and in_place not in found
        found.append(remembered or (in_place if free and in_place else uuid4()))
    return found
