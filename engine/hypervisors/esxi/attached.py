"""What the layers of transport `hotadd` need of the host and of this machine; a disk of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.hypervisors.esxi import leaf
from engine.hypervisors.esxi.blockdevice import AttachedDisk, Wanted
from engine.hypervisors.esxi.branches import Backing, Standing
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.tree import Mark
from engine.ports import BlockDevice, Cancel


class Steps(Protocol):
    """What is done to standby VMs on the host; `Branches` does it."""

    def look(self, vm: str, *, settled: bool = False) -> Standing | None:
        """Return the VM of a standby; `settled`: after what its host was told before."""

    def frozen(self, there: Standing, snapshot: str) -> Sequence[Backing]:
        """Return the disks that a snapshot froze."""

    def make(self, vm: str, sizes: Sequence[int], state: State) -> Standing:
        """Make the VM and its first disks."""

    def mark(self, there: Standing, state: State) -> Standing:
        """Write down a step."""

    def revert(self, there: Standing, snapshot: str, state: State) -> Standing:
        """Let the disks lie on a snapshot, and write down the step."""

    def snapshot(self, there: Standing, mark: Mark) -> Standing:
        """Seal what the disks hold."""

    def remove(self, there: Standing, snapshot: str) -> Standing:
        """Fold a snapshot away."""

    def consolidate(self, there: Standing) -> Standing:
        """Merge what an earlier removal left over."""

    def discard(self, there: Standing) -> None:
        """Delete the VM with its disks."""

    def set_aside(self, there: Standing, name: str) -> None:
        """Rename the VM and take its mark away."""

    def free(self) -> tuple[int, int]:
        """Return free and all bytes of the datastore."""


class Plugs(Protocol):
    """What attaches disks to this machine; `Appliance` does it."""

    def attach(
        self, there: Standing, disks: Sequence[Backing], *, writable: bool
    ) -> tuple[Standing, Sequence[Wanted]]:
        """Attach disks of a VM; return it as it is then."""

    def detach(self, there: Standing) -> Standing:
        """Take out what is attached of a VM; return it as it is then."""


def _at_once(_cancel: Cancel) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Turns:
    """When it is a standby's turn; see `gate.py`.

    Attributes:
        vm: Held while anything is changed or attached; its holder may take it again. Takes what
            ends the waiting, or nothing.
        writing: Held while the bytes of a leaf are written. Taken before `vm`: no start waits.
        merging: Held while a snapshot is merged into the next, likewise.
    """

    vm: Callable[..., contextlib.AbstractContextManager[None]]
    writing: Callable[[Cancel], contextlib.AbstractContextManager[None]] = _at_once
    merging: Callable[[Cancel], contextlib.AbstractContextManager[None]] = _at_once


class HotaddDevice:
    """A disk of an attached layer: what is written is noted in the papers first."""

    def __init__(self, paper: BlockDevice, disk: AttachedDisk) -> None:
        """Take an open paper and an open device."""
        self._paper, self._disk = paper, disk
        self.size, self.block_size = paper.size, disk.block_size

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""
        self._paper.read(offset, into)
        self._disk.read(offset, into)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        self._paper.write(offset, data)
        with self._breaking():
            self._disk.write(offset, data)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""
        self._paper.zero(offset, length)
        if length:
            with self._breaking():
                self._disk.zero(offset, length)

    def flush(self) -> None:
        """Make all writes durable."""
        self._paper.flush()
        with self._breaking():
            self._disk.flush()

    def evict(self) -> None:
        """Forget cached pages."""
        self._disk.evict()

    def close(self) -> None:
        """Write out what was not flushed, and close."""
        with self._breaking():
            self._disk.close()

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """Once a write failed, the layer is of no use any more."""
        try:
            yield
        except BaseException:
            leaf.broken(self._paper)
            raise


def told(attached: Sequence[Wanted]) -> str:
    """Return how attached disks are known, for a report."""
    shown = [f"slot {one.slot}, unit {one.unit}, wwn {one.name[:12]}…" for one in attached]
    return "; ".join(shown) or "nothing is attached"
