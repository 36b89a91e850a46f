"""The standby VM whose snapshots are the layers (transport `hotadd`): each step on the host, once.

    look      one reading: the VM, its tree, its disks
    make      VM, then its first disks         revert    drop what the disks hold above a snapshot
    snapshot  seal what they hold              remove    fold a snapshot away, consolidate while off

Each step may lose its reply. Then the host's tasks are awaited and the VM is looked at: what a step
made is known by the step's id in its mark, so nothing is made twice. What a step may do at all is
decided by the caller and in `tree.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from pyVmomi import vim

from engine.hypervisors.esxi import homestore, specs
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.layers import SHAPE, STATE, VM, Seen, State, identity
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tree import Mark, Snapshot, Tree
from engine.model.errors import HypervisorError, Problem
from engine.model.machine import Firmware, Power, VMSpec
from engine.model.text import safe

log = logging.getLogger(__name__)

_SHORT_S, _MERGE_S = 300.0, 6 * 3600.0
_DISK_PREFIX = "6000c29"
"""VMware's own NAA prefix; a disk that is given another gets one of the host's making."""


@dataclass(frozen=True, slots=True)
class Backing:
    """A disk file on a datastore.

    Attributes:
        path: As the host writes it, such as `[datastore1] web01/web01-000002.vmdk`.
        uuid: What a guest sees as the disk's world wide name.
        size: Bytes.
    """

    path: str
    uuid: str
    size: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A standby VM as one reading found it.

    Attributes:
        disks: Of the VM as it is now, in order: the leaves.
        used: Bytes of the files of its leaves; grows when somebody starts it, and in no other way.
    """

    machine: Machine
    tree: Tree
    disks: Sequence[Backing] = ()
    used: int = 0

    @property
    def seen(self) -> Seen:
        """Return what the VM says of itself."""
        return self.machine.seen


class Branches:
    """The standby VMs of one engine on one target. One thread at a time per VM."""

    def __init__(
        self,
        session: Session,
        machines: Machines,
        ground: Ground,
        wishes: Wishes,
        engine: str,
    ) -> None:
        """Belong to an engine by its id."""
        self._session, self._machines = session, machines
        self._ground, self._wishes, self._engine = ground, wishes, engine

    # --- looking ---------------------------------------------------------------------------

    def look(self, vm: str, *, settled: bool = False) -> Standing | None:
        """Return the VM of a standby; None without one. Refused when it is not ours.

        Args:
            settled: After its host is done with what it was told before.
        """
        found = self._machines.settled(vm) if settled else self._machines.find(vm)
        return standing(found) if found is not None else None

    def frozen(self, there: Standing, snapshot: str) -> Sequence[Backing]:
        """Return the disk files that a snapshot froze, in order."""
        ref = refs(there.machine.snapshot)[snapshot]
        told = self._session.read(ref, "config.hardware.device")
        return list(_backings(told.get("config.hardware.device") or ()))

    # --- changing --------------------------------------------------------------------------

    def make(self, vm: str, sizes: Sequence[int], state: State) -> Standing:
        """Make the VM with its first disks, or return the one that this step made.

        It has no shape that counts: whoever starts it gives it the one it needs.

        Args:
            sizes: Bytes, in whole MiB.
            state: What its mark shall say.
        """
        inventory = self._ground.look()
        target = self._session.account.target
        home = homestore.fit(inventory, self._wishes.datastore, target).name
        inventory, network = self._ground.isolated(inventory)
        spec = VMSpec(vm, Firmware.BIOS, 1, 256 << 20, ())
        made = self._machines.create(spec, inventory, home, network)
        told = specs.first_disks_spec(
            made.devices,
            home,
            [(size, disk_uuid(self._engine, vm, n)) for n, size in enumerate(sizes)],
        )
        told.extraConfig = specs.options({STATE: str(state), SHAPE: ""})
        return standing(
            self._machines.until(
                made,
                "ReconfigVM_Task",
                lambda seen: seen.state == state and len(seen.disks) == len(sizes),
                lambda now: now.ref.ReconfigVM_Task(told),
            )
        )

    def mark(self, there: Standing, state: State) -> Standing:
        """Write down the step that is being done."""
        told = specs.note_spec({STATE: str(state)})
        return standing(
            self._machines.until(
                there.machine,
                "ReconfigVM_Task",
                lambda seen: seen.state == state,
                lambda now: now.ref.ReconfigVM_Task(told),
            )
        )

    def forget(self, there: Standing) -> Standing:
        """Take away the shape that a start gave, and the arming; the layers stay."""
        state = there.seen.state or State()
        told = {SHAPE: "", STATE: str(State(state.operation, state.layer))}
        return standing(
            self._machines.until(
                there.machine,
                "ReconfigVM_Task",
                lambda seen: not seen.shape,
                lambda now: now.ref.ReconfigVM_Task(specs.note_spec(told)),
            )
        )

    def revert(self, there: Standing, snapshot: str, state: State) -> Standing:
        """Let the disks lie on a snapshot, with nothing above it, and write down the step.

        Once more after a lost reply: what it drops is dropped already.
        """

        def is_done(now: Standing, tries: int) -> bool:
            return tries > 0 and now.tree.current == snapshot

        def change(now: Standing) -> Any:
            ref = refs(now.machine.snapshot)[snapshot]
            return ref.RevertToSnapshot_Task(None, True)

        return self.mark(self._once(there, "RevertToSnapshot_Task", is_done, change), state)

    def snapshot(self, there: Standing, mark: Mark) -> Standing:
        """Seal what the disks hold now; a snapshot with the mark's operation is this very step."""

        def is_done(now: Standing, _tries: int) -> bool:
            return now.tree.made_by(mark.operation) is not None

        def change(now: Standing) -> Any:
            return now.machine.ref.CreateSnapshot_Task(mark.layer, str(mark), False, False)

        return self._once(there, "CreateSnapshot_Task", is_done, change)

    def remove(self, there: Standing, snapshot: str) -> Standing:
        """Fold a snapshot away, or drop a branch; what is left over is consolidated.

        Raises:
            HypervisorError: The host says that the disks need consolidation, and it did not help.
        """

        def change(now: Standing) -> Any:
            ref = refs(now.machine.snapshot)[snapshot]
            return ref.RemoveSnapshot_Task(False, True)

        there = self._once(
            there, "RemoveSnapshot_Task", lambda now, _: snapshot not in now.tree.snapshots, change
        )
        return self.consolidate(there)

    def consolidate(self, there: Standing) -> Standing:
        """Let the host merge what an earlier removal left over; only a VM that is off."""
        if not there.seen.consolidate:
            return there
        if there.seen.power is not Power.OFF:
            raise HypervisorError(_not_while_on(there.seen.vm))
        return self._once(
            there,
            "ConsolidateVMDisks_Task",
            lambda now, _: not now.seen.consolidate,
            lambda now: now.machine.ref.ConsolidateVMDisks_Task(),
        )

    def discard(self, there: Standing) -> None:
        """Delete the VM with all its layers: only of a standby that has none, or gives them up."""
        self._machines.destroy(self._machines.alone(there.machine))

    def set_aside(self, there: Standing, name: str) -> None:
        """Give the VM another name and no mark of a standby, for an operator to delete."""
        told = vim.vm.ConfigSpec(
            name=name,
            uuid=str(identity(self._engine, name)),
            annotation=f"Set aside by Bootpoint as {name}. Delete it when nobody needs it.",
            extraConfig=specs.options({VM: f"aside/{name}", STATE: ""}),
        )
        self._machines.until(
            there.machine,
            "ReconfigVM_Task",
            lambda seen: seen.vm == f"aside/{name}",
            lambda now: now.ref.ReconfigVM_Task(told),
        )

    def free(self) -> tuple[int, int]:
        """Return the free and all bytes of the datastore that the VMs lie on."""
        inventory = self._ground.look()
        target = self._session.account.target
        found = homestore.meant(inventory, self._wishes.datastore, target)
        return found.free, found.capacity

    def _once(
        self,
        there: Standing,
        doing: str,
        is_done: Callable[[Standing, int], bool],
        change: Callable[[Standing], Any],
    ) -> Standing:
        """Make a change until what is found is what was wanted; each try looks first.

        Args:
            is_done: Is told how many tries ended without a failure.
        """
        return standing(
            self._machines.bring(
                there.machine,
                doing,
                lambda now, done: is_done(standing(now), done),
                lambda now: change(standing(now)),
                deadline_s=_MERGE_S,
                unchanged=_AS_THEY_WERE,
            )
        )


def standing(machine: Machine) -> Standing:
    """Return what a reading of a VM means for its layers."""
    tree, disks = tree_of(machine.snapshot), list(_backings(machine.devices))
    return Standing(machine, tree, disks, _leaf_bytes(machine.layout))


def _leaf_bytes(layout: Any) -> int:
    """Return the bytes of the last files in each disk's chain; of all disks where none is told."""
    files = [one for one in getattr(layout, "file", None) or () if str(one.type).startswith("disk")]
    chains = [one.chain for one in getattr(layout, "disk", None) or () if one.chain]
    leaves = {key for chain in chains for key in chain[-1].fileKey or ()}
    return sum(int(one.size or 0) for one in files if not leaves or one.key in leaves)


def tree_of(info: Any) -> Tree:
    """Return the snapshots that a VM told of."""
    found = {one.id: one for one in _walk(info)}
    current = getattr(info, "currentSnapshot", None)
    return Tree(found, ref_id(current) if current is not None else None)


def refs(info: Any) -> Mapping[str, Any]:
    """Return id -> managed object of each snapshot."""
    return {ref_id(one.snapshot): one.snapshot for one, _ in _nodes(info)}


def _walk(info: Any) -> Iterator[Snapshot]:
    for one, parent in _nodes(info):
        yield Snapshot(
            ref_id(one.snapshot),
            str(one.name),
            str(one.description or ""),
            parent,
            off=str(one.state) == "poweredOff",
        )


def _nodes(info: Any) -> Iterator[tuple[Any, str | None]]:
    waiting: list[tuple[Any, str | None]] = [
        (one, None) for one in getattr(info, "rootSnapshotList", None) or ()
    ]
    while waiting:
        one, parent = waiting.pop(0)
        yield one, parent
        waiting += [(child, ref_id(one.snapshot)) for child in one.childSnapshotList or ()]


def _backings(devices: Sequence[Any]) -> Iterator[Backing]:
    """Yield the disks in the order of their place on the controller."""
    disks = [one for one in devices if isinstance(one, vim.vm.device.VirtualDisk)]
    for one in sorted(disks, key=lambda disk: (disk.controllerKey or 0, disk.unitNumber or 0)):
        yield Backing(
            str(getattr(one.backing, "fileName", "") or ""),
            str(getattr(one.backing, "uuid", "") or ""),
            disk_bytes(one),
        )


def disk_bytes(disk: Any) -> int:
    """Return the bytes of a disk; old hosts tell KiB only."""
    return int(disk.capacityInBytes or (disk.capacityInKB or 0) << 10)


def disk_uuid(engine: str, vm: str, number: int) -> str:
    """Return the UUID that a new disk is given, as hosts write it."""
    text = _DISK_PREFIX + uuid5(identity(engine, vm), f"disk/{number}").hex[len(_DISK_PREFIX) :]
    return str(UUID(text))


_AS_THEY_WERE = "Boot points that are ready are as they were."


def _not_while_on(vm: str) -> Problem:
    return Problem(
        "vm.consolidate",
        f"The disks of {safe(vm)} need consolidation, and it runs.",
        "Nothing was merged: a merge below a running VM may stop it.",
        "It is merged after the VM was stopped.",
        {"vm": safe(vm)},
    )
