"""Layers as snapshots of the standby VM, written through disks attached to this machine (`hotadd`).

    add    revert to the parent's snapshot: a leaf grows, marked with layer and step
    open   attach the leaf, or a frozen disk to read only ── read, write ── flush
    seal   flush · papers · detach · snapshot               only then the layer counts as sealed
    fold   detach · RemoveSnapshot · consolidate · papers   only while the VM is off
    drop   the leaf: revert to the parent.  A snapshot: leave it, then remove it

The host has the bytes and the tree, and is the truth about both. The *papers* beside it, a store
without bytes on this machine, have what snapshots have no room for: manifests, hashes, notes, and
where each layer was written. One layer of a VM is attached at a time: all have the same name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from engine.hypervisors.esxi import faults, leaf
from engine.hypervisors.esxi.attached import HotaddDevice, Plugs, Steps, Turns, told
from engine.hypervisors.esxi.blockdevice import AttachedDisk, Devices, Wanted
from engine.hypervisors.esxi.branches import Backing, Standing
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.leaf import refused
from engine.hypervisors.esxi.reverts import Reverts
from engine.hypervisors.esxi.tree import MOST_POINTS, Mark
from engine.hypervisors.esxi.vmdk import whole_units
from engine.model.errors import Failure, HypervisorError
from engine.model.extents import Extent, Kind
from engine.model.layers import Gain, Layer, LayerKind, LayerManifest, LayerName, children
from engine.ports import NEVER, BlockDevice, Cancel, Copied, DiskChain, DiskFile, unseen


class HotaddChain:
    """The layers of one standby as snapshots of its VM. Thread-safe."""

    folds_files = False
    deepest: int | None = MOST_POINTS + 2

    def __init__(
        self,
        vm: str,
        papers: DiskChain,
        reverts: Reverts,
        steps: Steps,
        plugs: Plugs,
        devices: Devices,
        engine: str,
        now: Callable[[], datetime],
        turns: Turns,
    ) -> None:
        """Know the VM; it is made with the first layer.

        Args:
            papers: Of this standby, in a store of kind `hotadd`.
            reverts: Of this VM.
            engine: Its id, in the mark of each snapshot.
        """
        self._vm, self._papers, self._reverts, self._steps = vm, papers, reverts, steps
        self._plugs, self._devices, self._engine = plugs, devices, engine
        self._now, self._turns, self._lock = now, turns, turns.vm
        self._attached: tuple[Layer, Sequence[Wanted]] | None = None
        self._grown: tuple[Layer, Standing] | None = None
        self._written: tuple[LayerName, Sequence[str]] = LayerName(""), ()
        self._users = 0

    # --- looking ---------------------------------------------------------------------------

    def _look(self, *, settled: bool = False) -> Standing | None:
        self._grown = None
        return self._steps.look(self._vm, settled=settled)

    def layers(self) -> Mapping[LayerName, Layer]:
        """Return the layers; sealed are those that have a snapshot and a manifest."""
        known = self._papers.layers()
        there = self._look() if any(one.sealed for one in known.values()) else None
        return {name: leaf.as_found(one, there) for name, one in known.items()}

    def _known(self, name: LayerName, *, settled: bool = False) -> tuple[Layer, Standing | None]:
        """Return a layer and its VM. LayerError when there is no such layer."""
        self._papers.noted(name)  # refuses names that are none
        found, there = self._papers.layers().get(name), self._look(settled=settled)
        if found is None:
            raise refused("missing", f"There is no layer {name}.")
        return leaf.as_found(found, there), there

    def manifest(self, layer: LayerName) -> LayerManifest:
        """Return a sealed layer's manifest with hashes."""
        found, _ = self._known(layer)
        if not found.sealed:
            raise refused("manifest", f"{layer} is not sealed: it has no manifest that counts.")
        return self._papers.manifest(layer)

    def note(self, layer: LayerName, text: str) -> None:
        """Keep a text beside an unsealed layer, as long as it is the leaf it is now."""
        self._papers.note(layer, leaf.on_files(text, self._files(layer)))

    def _files(self, layer: LayerName) -> Sequence[str]:
        """Return the files of a leaf that was attached last; empty when it was another one."""
        return self._written[1] if self._written[0] == layer else ()

    def noted(self, layer: LayerName) -> str:
        """Return the text kept by `note`; empty when the leaf it tells of is gone."""
        text, found = self._papers.noted(layer), self._papers.layers().get(layer)
        there = self._look() if text and found is not None else None
        return leaf.told(text, there, found)

    def changed(self, layer: LayerName, disk: int) -> Iterator[Extent]:
        """Yield what the layer holds itself; all of scratch that a VM may have written to."""
        noted = self._papers.changed(layer, disk)
        found, there = self._known(layer)
        if found.parent is None:
            return (one for one in noted if one.kind is Kind.DATA)
        if there is not None and leaf.ran(there, found, self._papers.noted(layer)):
            return iter([Extent(0, found.disk_sizes[disk], Kind.DATA)])
        return noted

    def gain(self, gone: Sequence[LayerName]) -> Gain:
        """Return about what comes back when layers go."""
        return self._papers.gain(gone)

    def free(self) -> int:
        """Return the bytes that the datastore of the VM can still take."""
        return self._steps.free()[0]

    # --- the disks -------------------------------------------------------------------------

    @contextlib.contextmanager
    def open(self, layer: LayerName, disk: int, cancel: Cancel = NEVER) -> Iterator[BlockDevice]:
        """Open one disk; its layer is attached meanwhile, and no other one."""
        with self._writing(layer, cancel), self._papers.open(layer, disk) as paper:
            device = HotaddDevice(paper, self._take(layer, disk, cancel))
            try:
                yield device
            finally:
                with self._lock():
                    self._users -= 1
                    device.close()

    def _writing(self, layer: LayerName, cancel: Cancel) -> contextlib.AbstractContextManager[None]:
        found = self._papers.layers().get(layer)
        is_leaf = found is not None and not found.sealed
        return self._turns.writing(cancel) if is_leaf else contextlib.nullcontext()

    def _take(self, layer: LayerName, disk: int, cancel: Cancel) -> AttachedDisk:
        with self._lock(cancel):
            found, wanted = self._attach(layer)
            size, device = found.disk_sizes[disk], self._devices.find(wanted[disk])
            taken = AttachedDisk(self._devices, device, size, writable=not found.sealed)
            self._users += 1
            return taken

    def _attach(self, layer: LayerName) -> tuple[Layer, Sequence[Wanted]]:
        """Have a layer attached, and no other; what is attached already stays."""
        if self._attached is not None and self._attached[0].name == layer:
            return self._attached
        found, there = self._grown_or_known(layer)
        if there is None:
            raise leaf.lost(layer)
        if self._users and self._attached is not None:
            raise refused("in-use", f"{self._attached[0].name} is attached: one layer at a time.")
        there = self._rest(there)
        snapshot = there.tree.layer(layer)
        if snapshot is not None:
            disks = self._steps.frozen(there, snapshot.id)
        else:
            there = self._unchanged(there)
            leaf.check_holds(there, found)
            disks = there.disks
        if [one.size for one in disks] != [whole_units(size) for size in found.disk_sizes]:
            raise leaf.resized(layer)
        if snapshot is None:
            self._attached = found, self._attach_leaf(there, found, disks)
        else:
            self._attached = found, self._plugs.attach(there, disks, writable=False)[1]
        return self._attached

    def _grown_or_known(self, layer: LayerName) -> tuple[Layer, Standing | None]:
        """Return a layer and its VM: what `add` found last, if nobody looked since."""
        grown, self._grown = self._grown, None
        is_it = grown is not None and grown[0].name == layer
        return grown if grown is not None and is_it else self._known(layer, settled=True)

    def _attach_leaf(
        self, there: Standing, layer: Layer, disks: Sequence[Backing]
    ) -> Sequence[Wanted]:
        """Attach a leaf, and see before its first byte that it still is this layer's."""
        try:
            there, wanted = self._plugs.attach(there, disks, writable=True)
        except HypervisorError:
            if (now := self._look()) is not None:
                self._unchanged(now)  # whoever changed the VM is a better reason
            raise
        try:
            there = self._unchanged(there)
            self._written = layer.name, leaf.paths(disks)
            leaf.check_holds(there, layer, self._written[1])
        except Failure:
            self._rest(there)
            raise
        return wanted

    def _rest(self, there: Standing) -> Standing:
        """Take out of this machine whatever is attached of the VM, also by an earlier run."""
        if self._users:
            raise refused("in-use", f"A disk of {self._vm} is being read or written.")
        there = self._plugs.detach(there)
        self._attached = None
        return there

    def ready(self, layer: LayerName | None = None) -> Standing:
        """Return the VM, off, as the last step left it, with its disks for itself alone.

        Args:
            layer: They must hold this one, unsealed; None: whatever they hold.

        Raises:
            Refused: Somebody else changed or started it.
            LayerError: It is not there, or a disk of it is being read or written.
        """
        with self._lock():
            there = self._look(settled=True)
            found = self._papers.layers().get(layer) if layer is not None else None
            if there is None or (layer is not None and found is None):
                raise leaf.lost(layer or self._vm)
            there = self._rest(self._unchanged(there, merge=False))
            if found is not None:
                leaf.check_holds(there, found)
            return there

    def attached(self) -> str:
        """Return how the disks that are attached now are known, for a report."""
        return told(self._attached[1] if self._attached is not None else ())

    def disk_files(self, layer: LayerName) -> Sequence[DiskFile]:
        """Return the block devices of a layer; they are there until another layer is wanted."""
        self._papers.disk_files(layer)
        with self._lock():
            found, wanted = self._attach(layer)
            if not found.sealed:
                for number in range(len(found.disk_sizes)):
                    with self._papers.open(layer, number) as paper:
                        paper.write(0, memoryview(b""))  # refuses what is sealed in the papers
                        leaf.written_anywhere(paper)
            there = self._devices
            return [DiskFile(there.path(there.find(one)), "raw") for one in wanted]

    # --- growing ---------------------------------------------------------------------------

    def add(
        self, name: LayerName, parent: LayerName | None, kind: LayerKind, sizes: Sequence[int]
    ) -> Layer:
        """Let a leaf grow on the parent's snapshot; scratch that nobody ran from goes for it."""
        with self._lock():
            there, known = self._look(settled=True), self._papers.layers()
            before = {one.name: leaf.as_found(one, there) for one in known.values()}
            above = before.get(parent) if parent is not None else None
            if above is not None and not above.sealed:
                raise refused("parent", f"{name} cannot lie on {parent}, which is not sealed.")
            made = self._papers.add(name, parent, kind, sizes)
            try:
                now = self._grow(made, above, before, there)
            except BaseException:
                if name not in before:
                    self._papers.drop(name)
                raise
            self._grown = (made, now) if now is not None else None
            return made

    def _grow(
        self,
        made: Layer,
        above: Layer | None,
        before: Mapping[LayerName, Layer],
        there: Standing | None,
    ) -> Standing | None:
        """Return the VM with the leaf; None when that was there already."""
        state = State(uuid4().hex, made.name)
        if there is not None and made.name in before and leaf.is_grown(there, made):
            return None
        if above is None:
            return self._plant(made, there, state, others=bool(before.keys() - {made.name}))
        below = there.tree.layer(above.name) if there is not None else None
        if there is None or below is None:
            raise leaf.lost(above.name)
        leaf.check_sizes(made, above)
        there = self._unchanged(there, merge=made.kind is not LayerKind.SCRATCH)
        leaf.check_grow(there, made, before, self._papers)
        there = self._revert(self._rest(there), below.id, state)
        for one in before.values():
            if one.kind is LayerKind.SCRATCH and one.name != made.name:
                self._papers.drop(one.name)
        return there

    def _plant(
        self, made: Layer, there: Standing | None, state: State, *, others: bool
    ) -> Standing:
        """Make the VM with the first layer's disks; one without a snapshot is made anew."""
        if there is not None:
            there = self._unchanged(there)
            if there.tree.snapshots or others:
                raise leaf.second_trunk(made.name, self._vm)
            self._steps.discard(self._rest(there))
        return self._steps.make(self._vm, [whole_units(size) for size in made.disk_sizes], state)

    # --- sealing ---------------------------------------------------------------------------

    def seal(self, layer: LayerName, manifest: LayerManifest) -> None:
        """Write out, keep the papers, detach, make the snapshot: a lost reply makes no second."""
        with self._lock():
            found, there = self._known(layer, settled=True)
            if found.sealed:
                return
            if there is None:
                raise leaf.lost(layer)
            there = self._unchanged(there)
            leaf.check_holds(there, found, self._files(layer))
            if self._attached is not None and not self._users:
                for one in self._attached[1]:
                    AttachedDisk(self._devices, self._devices.find(one), 0, writable=True).close()
            self._papers.seal(layer, manifest)
            there = self._unchanged(self._rest(there))
            leaf.check_holds(there, found, self._files(layer))
            state = there.seen.state or State()
            at, point = self._now(), manifest.recovery_point
            mark = Mark(self._engine, self._vm, layer, found.kind, state.operation, point, at)
            self._steps.snapshot(there, mark)

    # --- taking away -----------------------------------------------------------------------

    def fold(self, layer: LayerName, cancel: Cancel, copied: Copied = unseen) -> None:
        """Take a trunk layer away; its child goes on reading the same bytes."""
        with self._turns.merging(cancel), self._lock():
            known = self._papers.layers()
            if layer in known:
                leaf.check_fold(known, layer)
                cancel.check()
                there = self._look(settled=True)
                snapshot = there.tree.layer(layer) if there is not None else None
                if there is not None and snapshot is not None:
                    there = self._unchanged(there)
                    tip, there = there.tree.trunk()[-1], self._rest(there)
                    if there.tree.current == snapshot.id:
                        there = self._revert(there, tip.id, State())
                    self._steps.remove(there, snapshot.id)
            self._papers.fold(layer, cancel, copied)

    def drop(self, layer: LayerName) -> None:
        """Delete a layer without children: its snapshot, or the leaf."""
        with self._lock():
            known = self._papers.layers()
            found, there = known.get(layer), None
            if found is not None and not any(True for _ in children(known, layer)):
                there = self._look(settled=True)
            if found is not None and there is not None:
                self._leave(found, there, alone=len(known) == 1)
            self._papers.drop(layer)

    def _leave(self, layer: Layer, there: Standing, *, alone: bool) -> None:
        """Remove from the host what a layer has there."""
        snapshot = there.tree.layer(layer.name)
        if snapshot is None and not leaf.holds(there, layer):
            return
        there = self._unchanged(there)
        if snapshot is not None and there.tree.children(snapshot.id):
            raise refused("children", f"The host has snapshots on {layer.name}.")
        there = self._rest(there)
        below = there.tree.layer(layer.parent) if layer.parent is not None else None
        if below is None:
            if alone or not there.tree.snapshots:
                self._steps.discard(there)
                return
            raise leaf.lost(layer.parent or layer.name)
        if snapshot is None or there.tree.current == snapshot.id:
            there = self._revert(there, below.id, State())
        if snapshot is not None:
            self._steps.remove(there, snapshot.id)

    def _revert(self, there: Standing, snapshot: str, state: State) -> Standing:
        with self._reverts.of(there, snapshot):
            return self._steps.revert(there, snapshot, state)

    def _unchanged(self, there: Standing, *, merge: bool = True) -> Standing:
        """Return the VM, off and as the last step left it. Refused otherwise.

        Args:
            merge: Consolidate what an earlier removal left over; a start does not wait for that.
        """
        if why := leaf.drift(there, self._papers.layers(), self._engine, self._vm, self._reverts):
            raise faults.drifted(self._vm, why)
        return self._steps.consolidate(there) if merge else there

    def set_aside(self, stamp: str) -> None:
        """Rename the VM, so that the standby's name is free and an operator may delete it."""
        with self._lock():
            if (there := self._look(settled=True)) is not None:
                self._steps.set_aside(self._rest(there), f"{self._vm}-{stamp}")
            self._reverts.forget()
