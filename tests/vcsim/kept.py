"""The bytes of a simulated host's disks, which vcsim has none of, and this machine that sees them.

CreateSnapshot  the leaf's bytes are frozen       RevertToSnapshot  the leaf is what was frozen
RemoveSnapshot  what was frozen goes              Destroy           all of it goes

Bytes follow what the host's tree shows after each such call, also one whose answer is lost. For one
standby VM at a time.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi.blockdevice import Device, Devices, Wanted
from engine.hypervisors.esxi.branches import Backing, Branches, Standing, tree_of
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.hotaddstore import HotaddStore
from engine.hypervisors.esxi.layers import VM
from engine.hypervisors.esxi.session import Session
from engine.stores.probe import open_store
from tests.vcsim.appliance import own_vm, wishes
from tests.vcsim.simulator import Sim

_LEAF = "leaf"


class Bytes(Devices):
    """This machine: what is attached to its VM is found here as a file."""

    def __init__(self, other: Session, own: Any, folder: Path) -> None:
        """Know the files, which `Kept` makes.

        Args:
            other: Past the proxy.
            own: The VM that this machine is.
        """
        super().__init__(lambda _seconds: None, sys=folder / "no-sys")
        self._folder, self._other, self._own = folder / "kept", other, own
        self._frozen = ""

    def watch(self, branches: Branches) -> None:
        """Learn which snapshot's disks are asked for: on vcsim their paths are the leaf's."""
        frozen = branches.frozen

        def asked(there: Standing, snapshot: str) -> Sequence[Backing]:
            self._frozen = snapshot
            return frozen(there, snapshot)

        branches.frozen = asked  # type: ignore[method-assign]  # this one alone

    def look(self, wanted: Wanted) -> tuple[Device | None, str]:
        """Return a disk that the host has attached here, its name the file that has its bytes."""
        told = self._other.read(self._own, "config.hardware.device")
        for one in told["config.hardware.device"]:
            if isinstance(one, vim.vm.device.VirtualDisk) and one.unitNumber == wanted.unit:
                is_leaf = one.backing.diskMode == "independent_persistent"
                name = f"{wanted.uuid}/{_LEAF if is_leaf else self._frozen}"
                place = self._folder / name
                place.parent.mkdir(exist_ok=True)
                if place.is_file() or is_leaf:  # no file: attached by a process that was killed
                    with place.open("ab") as file:
                        file.truncate(wanted.size)
                return Device(
                    name, "", (0, 0, wanted.unit, 0), frozenset(), wanted.size, (0, 0)
                ), ""
        return None, "the host has attached none"

    def forget(self, device: Device) -> None:
        """Let go of nothing: it is a file."""

    def path(self, device: Device) -> Path:
        """Return the file."""
        return self._folder / device.name

    def open(self, device: Device, *, writable: bool) -> int:
        """Open the file."""
        return os.open(self.path(device), os.O_RDWR if writable else os.O_RDONLY)


class Kept(Bytes):
    """The host's side: bytes that follow what its tree shows. Thread-safe."""

    def __init__(self, sim: Sim, folder: Path) -> None:
        """Follow a simulated host, with files in a folder of this test."""
        super().__init__(sim.foreigner(), own_vm(sim)[0], folder)
        self._folder.mkdir()
        self._following = threading.Lock()
        for method in ("CreateSnapshot_Task", "RemoveSnapshot_Task", "Destroy_Task"):
            sim.proxy.effects[method] = self.follow
        sim.proxy.effects["RevertToSnapshot_Task"] = lambda: self.follow(reverted=True)

    def _standbys(self) -> Iterator[tuple[Any, Sequence[Any]]]:
        """Yield the snapshots and the disks of each standby VM."""
        paths = ("config.extraConfig", "config.hardware.device", "snapshot")
        for _, told in self._other.read_all(vim.VirtualMachine, *paths):
            if any(one.key == VM for one in told.get("config.extraConfig") or ()):
                devices = told.get("config.hardware.device") or ()
                yield (
                    told.get("snapshot"),
                    [one for one in devices if isinstance(one, vim.vm.device.VirtualDisk)],
                )

    def follow(self, *, reverted: bool = False) -> None:
        """Let the bytes be as the host's tree says."""
        with self._following:
            self._follow(reverted=reverted)

    def _follow(self, *, reverted: bool) -> None:
        known = set()
        for info, disks in self._standbys():
            tree = tree_of(info)
            for disk in disks:
                known.add(place := self._folder / disk.backing.uuid)
                self._branch(place, set(tree.snapshots), tree.current if reverted else None)
                self._touch(disk.backing.fileName)
        for place in set(self._folder.iterdir()) - known:
            shutil.rmtree(place)

    def _branch(self, place: Path, snapshots: set[str], current: str | None) -> None:
        place.mkdir(exist_ok=True)
        leaf = place / _LEAF
        leaf.touch()
        there = {one.name for one in place.iterdir()} - {_LEAF}
        for new in snapshots - there:
            shutil.copyfile(leaf, place / new)
        for gone in there - snapshots:
            (place / gone).unlink()
        if current is not None:
            shutil.copyfile(place / current, leaf)

    def _touch(self, file: str) -> None:
        """Put back what vcsim deletes with a snapshot: it takes a leaf's file for its own."""
        store, path = file[1:].split("] ", 1)
        for _, told in self._other.read_all(vim.Datastore, "name", "summary.url"):
            if told["name"] == store:
                at = Path(urlsplit(told["summary.url"]).path) / path
                for one in (at, at.with_name(f"{at.stem}-flat.vmdk")):
                    one.touch()


def hotadd(
    sim: Sim,
    folder: Path,
    *,
    production: str = "VM Network",
    pauses: list[float] | None = None,
) -> tuple[HotaddLink, HotaddStore]:
    """Return the connection of a target with transport `hotadd`, and its store, with bytes.

    Args:
        folder: For what is remembered of the target, papers and bytes.
        pauses: Gets the seconds that would be waited, instead of a wait.
    """
    bytes_, (_, uuid) = Kept(sim, folder), own_vm(sim)
    link = HotaddLink(
        sim.account(),
        replace(wishes(sim.foreigner()), production=production),
        folder / "state",
        SystemClock().now,
        timeout_s=20,
        pause=(pauses if pauses is not None else []).append,
        uuids=lambda: [uuid],
        devices=bytes_,
    )
    there = link.connect()
    sim.opened.append(there.session)
    bytes_.watch(there.branches)
    return link, link.store(open_store(folder / "papers", "hotadd", "esx-01"))
