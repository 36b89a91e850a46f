"""What a host does with the bytes of snapshots, as documented; vcsim moves none.

Disks are real files on a file system that shares bytes, attached as real loop devices. Whatever a
real host would refuse, or do damage by, is an assertion here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from engine.hypervisors.esxi.blockdevice import Wanted
from engine.hypervisors.esxi.branches import Backing, Standing, disk_uuid
from engine.hypervisors.esxi.layers import Seen, State
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.tree import Mark, Snapshot, Tree
from engine.model.machine import Power
from tests.vcsim.plugged import Plugged

ENGINE = "engine-of-the-tests"


@dataclass
class ShadowVM:
    """A VM on the shadow's host."""

    seen: Seen
    leaf: list[Path]
    uuids: list[str]
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    frozen: dict[str, list[Path]] = field(default_factory=dict)
    current: str | None = None
    used: int = 1000


class Shadow:
    """A host with its VMs' disks, and the appliance they are attached to."""

    def __init__(self, folder: Path, plugged: Plugged) -> None:
        """Keep disks in a folder that can share bytes."""
        self._folder, self.plugged = folder, plugged
        folder.mkdir()
        self.vms: dict[str, ShadowVM] = {}
        self._attached: dict[str, dict[str, str]] = {}
        self.done: list[str] = []

    # --- the VMs -----------------------------------------------------------------------------

    def look(self, vm: str, *, settled: bool = False) -> Standing | None:  # noqa: ARG002 - Steps
        """Return a VM."""
        one = self.vms.get(vm)
        if one is None:
            return None
        seen = replace(one.seen, snapshots=bool(one.snapshots))
        tree = Tree(dict(one.snapshots), one.current)
        return Standing(Machine(vm, seen, []), tree, self._backings(one, one.leaf), one.used)

    def _backings(self, one: ShadowVM, files: Sequence[Path]) -> list[Backing]:
        return [
            Backing(f"{one.seen.home}/{file.name}", uuid, file.stat().st_size)
            for file, uuid in zip(files, one.uuids, strict=True)
        ]

    def frozen(self, there: Standing, snapshot: str) -> Sequence[Backing]:
        """Return the disks that a snapshot froze."""
        one = self.vms[there.seen.vm]
        return self._backings(one, one.frozen[snapshot])

    def make(self, vm: str, sizes: Sequence[int], state: State) -> Standing:
        """Make a VM with empty disks."""
        assert vm not in self.vms
        assert all(size % (1 << 20) == 0 for size in sizes)
        home = f"[ds] {vm}_{len(self.vms)}"  # hosts take another folder when that name is taken
        seen = Seen(vm, ENGINE, vm, "", state, Power.OFF, True, home)
        files = []
        for size in sizes:
            files.append(self._new())
            with files[-1].open("wb") as file:
                file.truncate(size)
        uuids = [disk_uuid(ENGINE, vm, number) for number in range(len(sizes))]
        self.vms[vm] = ShadowVM(seen, files, uuids)
        self.done.append("make")
        return self._now(vm)

    def _new(self) -> Path:
        return self._folder / f"{uuid4().hex}.vmdk"

    def _now(self, vm: str) -> Standing:
        found = self.look(vm)
        assert found is not None
        return found

    def _quiet(self, there: Standing, doing: str) -> ShadowVM:
        """Return a VM that may be changed: off, its disks attached nowhere else."""
        one = self.vms[there.seen.vm]
        assert one.seen.power is Power.OFF, doing
        assert not self._attached.get(one.seen.home), f"{doing} while attached"
        self.done.append(doing)
        return one

    def mark(self, there: Standing, state: State) -> Standing:
        """Write down a step."""
        one = self.vms[there.seen.vm]
        one.seen = replace(one.seen, state=state)
        return self._now(there.seen.vm)

    def _grown(self, files: Sequence[Path]) -> list[Path]:
        new = [self._new() for _ in files]
        for old, path in zip(files, new, strict=True):
            subprocess.run(["cp", "--reflink=always", str(old), str(path)], check=True)
        return new

    def revert(self, there: Standing, snapshot: str, state: State) -> Standing:
        """Drop the leaf, and let another grow."""
        one = self._quiet(there, "revert")
        for file in one.leaf:
            file.unlink()
        one.leaf, one.current = self._grown(one.frozen[snapshot]), snapshot
        return self.mark(there, state)

    def snapshot(self, there: Standing, mark: Mark) -> Standing:
        """Freeze the leaf."""
        one = self._quiet(there, "snapshot")
        new = f"snapshot-{len(self.done)}"
        one.snapshots[new] = Snapshot(new, mark.layer, str(mark), one.current)
        one.frozen[new], one.current = one.leaf, new
        one.leaf = self._grown(one.frozen[new])
        return self._now(there.seen.vm)

    def remove(self, there: Standing, snapshot: str) -> Standing:
        """Fold a snapshot into its only child, or drop a branch that nothing lies on."""
        one = self._quiet(there, "remove")
        gone = one.snapshots[snapshot]
        above = [child for child in one.snapshots.values() if child.parent == snapshot]
        assert len(above) + (one.current == snapshot) <= 1, "a host cannot merge into two"
        assert one.current != snapshot, "its leaf would take the name of what is removed"
        del one.snapshots[snapshot]
        for child in above:
            one.snapshots[child.id] = replace(child, parent=gone.parent)
        for file in one.frozen.pop(snapshot):
            file.unlink()
        return self._now(there.seen.vm)

    def consolidate(self, there: Standing) -> Standing:
        """Merge what was left over."""
        if there.seen.consolidate:
            one = self._quiet(there, "consolidate")
            one.seen = replace(one.seen, consolidate=False)
        return self._now(there.seen.vm)

    def discard(self, there: Standing) -> None:
        """Delete a VM and its files."""
        one = self._quiet(there, "discard")
        for file in (*one.leaf, *(file for files in one.frozen.values() for file in files)):
            file.unlink()
        del self.vms[there.seen.vm]

    def set_aside(self, there: Standing, name: str) -> None:
        """Rename a VM."""
        self.vms[name] = self.vms.pop(there.seen.vm)

    def free(self) -> tuple[int, int]:
        """Return some room."""
        return 5 << 30, 10 << 30

    # --- the appliance -----------------------------------------------------------------------

    def attach(
        self, there: Standing, disks: Sequence[Backing], *, writable: bool
    ) -> tuple[Standing, Sequence[Wanted]]:
        """Plug the files in as disks; frozen ones to read only."""
        home = there.seen.home
        self.detach(there)
        vm = next(one for one in self.vms.values() if one.seen.home == home)
        wanted = []
        for unit, disk in enumerate(disks, start=3):
            file = self._folder / disk.path.rpartition("/")[2]
            assert writable == (file in vm.leaf), "only the leaf is attached to be written"
            name = self.plugged.plug(file, unit, disk.uuid, read_only=not writable)
            self._attached.setdefault(home, {})[disk.path] = name
            wanted.append(Wanted(192, unit, disk.uuid, disk.size))
        self.done.append("attach")
        return self._now(there.seen.vm), wanted

    def detach(self, there: Standing) -> Standing:
        """Unplug what is of a VM."""
        self.unplug(there.seen.home)
        return self.look(there.seen.vm) or there

    def unplug(self, home: str) -> None:
        """Unplug what is of a folder."""
        for name in self._attached.pop(home, {}).values():
            self.plugged.unplug(name)
