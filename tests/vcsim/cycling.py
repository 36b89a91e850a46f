"""An engine's process in a whole cycle of transport `hotadd`, to be killed anywhere and begun anew.

    python -m tests.vcsim.cycling FOLDER URL DIRECT PIN QUIET

Each process goes on where the last one ended, does what is left, and prints what there is then:
VMs, snapshots, layers, boot points. It raises where a boot point does not read like its image.

FOLDER/lives     a byte for each process
FOLDER/goals     a byte for each goal that is reached
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.hypervisors.esxi.branches import tree_of
from engine.hypervisors.esxi.gate import wait
from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.lastlife import LastLife
from engine.hypervisors.esxi.layers import STATE, VM, read_state
from engine.hypervisors.esxi.session import Account, Session
from engine.hypervisors.esxi.trust import Trust
from engine.jobs.power import Shape
from engine.model.errors import Failure
from engine.model.images import RecoveryPoint
from engine.model.points import Stage
from engine.model.work import JobKind, JobStatus, WantedJob
from engine.state.sqlite import SqliteState
from engine.stores.probe import open_store
from tests.vcsim.appliance import own_of, wishes
from tests.vcsim.kept import Bytes
from tests.vcsim.simulator import PASSWORD, USER
from tests.world import MemoryDisk, MemoryImages, World, data

SIZES = (200_000, 100_000)
TURNS = 30


class Cycle(World):
    """The world of one process: boot points with two disks on a simulated host."""

    def __init__(self, folder: Path, url: str, direct: str, pin: str, quiet_s: float) -> None:
        """Log in, and take up what the last process left."""
        self._folder = folder
        self.other = Session(Account("esx-01", direct, USER, lambda: PASSWORD, Trust(pin)))
        own, uuid = own_of(self.other)
        bytes_, state = Bytes(self.other, own, folder), folder / "state"
        self.life = LastLife(state, quiet_s)
        self.link = HotaddLink(
            Account("esx-01", url, USER, lambda: PASSWORD, Trust(pin)),
            replace(wishes(self.other), production="VM Network"),
            state,
            SystemClock().now,
            timeout_s=20,
            pause=_wait_less,
            uuids=lambda: [uuid],
            devices=bytes_,
            life=self.life,
        )
        bytes_.watch(self.link.connect().branches)
        store = self.link.store(open_store(folder / "papers", "hotadd", "esx-01"))
        super().__init__(store, SqliteState(folder / "state.db"), MemoryImages(), keep=2)
        hypervisor = HotaddHypervisor(self.link, store.chain)
        there = Target("esx-01", "esxi", store, lambda: hypervisor, self.converter)
        self.performer = Performer(self.state, self.clock, self.images, lambda _: there, Shape())
        self.points = [*self._made()]
        self.clock.advance(86400.0 * _counted(folder / "lives"))
        self.since = self.clock.now()
        self.restart()

    def _made(self) -> Iterator[RecoveryPoint]:
        last: RecoveryPoint | None = None
        for number in (1, 2, 3):
            disks = [
                MemoryDisk(size, [data(number * 10_000 + 512 * n, bytes([number, n]) * 4_500)])
                for n, size in enumerate(SIZES)
            ]
            last = self.images.add(disks, last, number)
            yield last

    # --- goals -----------------------------------------------------------------------------

    def goals(self) -> Sequence[Callable[[], bool]]:
        """Return what is done one after another; each is called until it says that it is so."""
        return [
            *(lambda: self.is_ready(0), lambda: self.does(JobKind.ARM)),
            *(lambda: self.does(JobKind.START), lambda: self.does(JobKind.STOP)),
            *(lambda: self.is_ready(1), lambda: self.does(JobKind.ARM)),
            *(lambda: self.is_ready(2), lambda: self.does(JobKind.START)),
            *(lambda: self.does(JobKind.STOP), lambda: self.does(JobKind.ARM)),
        ]

    def is_ready(self, number: int) -> bool:
        """Let a recovery point arrive, work, and tell whether there are boot points of the last."""
        if self.points[number].id not in self.state.read().recovery_points:
            self.arrive(self.points[number])
        self.work()
        live, layers = self.state.read().points_of("erp"), self.store.chain("erp").layers()
        gone = self.state.read().boot_points.keys() - {one.id for one in live}
        return (
            {one.stage for one in live} == {Stage.READY}
            and len(live) == min(number + 1, 2)
            and not any(name.startswith(f"{one}-") for one in gone for name in layers)
        )

    def does(self, kind: JobKind) -> bool:
        """Do a job on the newest boot point; tell whether it was done."""
        state = self.state.read()
        if kind is JobKind.STOP and "erp" not in state.runs:
            return True
        newest = max(state.ready("erp"), key=lambda one: one.sequence)
        self.perform(WantedJob(kind, "erp", newest.id, ""))
        jobs = self.state.read().jobs
        return jobs[max(jobs)].status is JobStatus.DONE

    def go_on(self) -> None:
        """Reach the goals that are left."""
        reached = self._folder / "goals"
        for goal in self.goals()[_size(reached) :]:
            for _ in range(TURNS):
                with contextlib.suppress(Failure):  # looks beside the jobs may fail as well
                    if goal():
                        break
                self.clock.advance(7200)
            else:
                raise AssertionError(f"goal {_size(reached)} is not reached: {self.told()}")
            _counted(reached)

    def told(self) -> Sequence[str]:
        """Return why jobs failed."""
        jobs = self.state.read().jobs.values()
        return [f"{one.kind} {one.status} {one.reason}" for one in jobs]

    # --- at the end ------------------------------------------------------------------------

    def end(self) -> Mapping[str, Any]:
        """Check all bytes, say goodbye, and return what there is, without names of steps."""
        self.check()
        layers = self.store.chain("erp").layers()
        state = self.state.read()
        self.life.end()
        return {
            "vms": sorted(self._vms(), key=json.dumps),
            "layers": {name: [one.kind, one.parent, one.sealed] for name, one in layers.items()},
            "points": sorted([one.recovery_point, one.stage] for one in state.boot_points.values()),
            "run": "erp" in state.runs,
        }

    def _vms(self) -> Iterator[Mapping[str, Any]]:
        paths = ("name", "config.extraConfig", "config.hardware.device", "runtime.powerState")
        for _, seen in self.other.read_all(vim.VirtualMachine, *paths, "snapshot"):
            extra = {one.key: str(one.value) for one in seen.get("config.extraConfig") or ()}
            tree, mark = tree_of(seen.get("snapshot")), read_state(extra.get(STATE, ""))
            names = {one.id: one.name for one in tree.snapshots.values()}
            yield {
                "name": seen["name"],
                "of": extra.get(VM, ""),
                "power": str(seen["runtime.powerState"]),
                "mark": asdict(replace(mark, operation="")) if mark is not None else None,
                "disks": sum(
                    isinstance(one, vim.vm.device.VirtualDisk)
                    for one in seen["config.hardware.device"]
                ),
                "on": names.get(tree.current or "", ""),
                "tree": sorted(
                    [o.name, names.get(o.parent or "", "")] for o in tree.snapshots.values()
                ),
            }


def _wait_less(seconds: float) -> None:
    """Wait a fifth of what hosts get: a simulated one is quick."""
    wait(seconds / 5)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _counted(file: Path) -> int:
    """Return how often this was called before for a file."""
    with file.open("ab") as out:
        out.write(b".")
    return _size(file) - 1


def main(folder: str, url: str, direct: str, pin: str, quiet: str) -> None:
    """Go on to the end, and tell what there is."""
    cycle = Cycle(Path(folder), url, direct, pin, float(quiet))
    cycle.go_on()
    print(json.dumps(cycle.end(), sort_keys=True, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
