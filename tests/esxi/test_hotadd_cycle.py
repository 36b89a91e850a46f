"""Transport `hotadd` as the engine's own jobs drive it, on a simulated host with bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.jobs.power import Shape
from engine.model.images import RecoveryPoint
from engine.model.work import JobKind, WantedJob
from engine.state.memory import MemoryState
from tests.vcsim.kept import hotadd
from tests.vcsim.simulator import Sim
from tests.world import MemoryDisk, MemoryImages, World, data

SIZE = 200_000
CALLS = 25
"""Most calls of a boot point with its bytes, of arming it, of retiring one."""


class Counted(World):
    """A world that counts what each job asks of the host."""

    sim: Sim
    counts: list[tuple[JobKind, int]]
    last: RecoveryPoint | None = None

    def arrive_next(self) -> None:
        """Let the next increment arrive."""
        number = self.last.sequence + 1 if self.last is not None else 1
        disks = [MemoryDisk(SIZE, [data(number * 10_000, bytes([number]) * 9_000)])]
        self.last = self.images.add(disks, self.last, number)
        self.arrive(self.last)

    def perform(self, wanted: WantedJob) -> None:
        """Perform a job."""
        before = len(self.sim.proxy.calls)
        super().perform(wanted)
        self.counts.append((wanted.kind, len(self.sim.proxy.calls) - before))

    def do(self, kind: JobKind) -> int:
        """Perform a job on the newest boot point; return how many calls it took."""
        newest = max(self.state.read().ready("erp"), key=lambda one: one.sequence)
        self.perform(WantedJob(kind, "erp", newest.id, ""))
        return self.counts[-1][1]


@pytest.fixture
def world(sim: Sim, tmp_path: Path) -> Iterator[Counted]:
    """Yield a world that keeps two boot points on a simulated host."""
    link, store = hotadd(sim, tmp_path)
    target = HotaddHypervisor(link, store.chain)
    made = Counted(store, MemoryState(), MemoryImages(), keep=2)
    made.sim, made.counts = sim, []
    there = Target("esx-01", "esxi", store, lambda: target, made.converter)
    made.performer = Performer(made.state, made.clock, made.images, lambda _name: there, Shape())
    yield made
    store.close()


def test_a_boot_point_with_its_bytes_needs_few_calls(world: Counted) -> None:
    """Five changes for each of its two layers, two calls each, and five looks."""
    for _ in range(3):
        world.arrive_next()
        world.work()
    assert [kind for kind, _ in world.counts] == [JobKind.SYNC] * 3 + [JobKind.RETIRE]
    assert world.counts[2][1] <= CALLS
    assert world.counts[3][1] <= 9
