"""Two appliances on one vCenter start a standby VM each and bring it home, at the same moments."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi.host import EsxiHypervisor
from engine.model.layers import LayerKind
from engine.model.machine import Network, Power, VMRef
from engine.ports import NeverCancelled
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow
from tests.esxi.test_home import TWO
from tests.vcsim.proxy import Delay, Drop
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.stage import SPEC
from tests.vcsim.standby import hypervisor

PLACES = {
    "one cluster": ({"place": "DC1_C0"}, {"place": "DC1_C0", "target": "esx-02"}),
    "one name": ({"place": "DC0_C0"}, {"place": "DC1_C0"}),
}
"""In one cluster, with a name each; in two datacenters, with the same names of everything."""
CALLS = (
    "RetrievePropertiesEx",
    "AddPortGroup",
    "AddVirtualSwitch",
    "CreateNasDatastore",
    "CreateVM_Task",
    "ReconfigVM_Task",
    "RelocateVM_Task",
    "RemoveDatastore",
)


@dataclass(frozen=True, slots=True)
class Appliance:
    """An engine of its own, with a store of its own and one standby VM."""

    target: EsxiHypervisor
    store: Any
    vm: VMRef

    def start(self) -> None:
        """Make the VM and let it run from the share."""
        self.target.create(replace(SPEC, name=self.vm))
        chain, sizes = self.store.chain(self.vm), (MIB,)
        grow(chain, "bp1-replica", None, sizes=sizes)
        layer = grow(chain, "bp1-scratch", "bp1-replica", kind=LayerKind.SCRATCH, sizes=sizes)
        self.target.power_on(self.vm, layer, Network.ISOLATED)


@pytest.fixture(params=list(PLACES))
def both(
    request: pytest.FixtureRequest, made: Certificate, xfs: Path, tmp_path: Path
) -> Iterator[tuple[Sim, list[Appliance]]]:
    """Yield a vCenter with two datacenters of two hosts, and the appliances."""
    with running(tmp_path, made, *TWO) as sim, contextlib.ExitStack() as stack:
        found = []
        for number, changes in enumerate(PLACES[request.param]):
            name = changes.get("target", "esx-01")
            store = open_store(xfs / f"{tmp_path.name}-{number}", "reflink", name)
            stack.callback(store.close)
            state, server = tmp_path / f"state-{number}", f"127.0.0.{number + 1}"
            target = hypervisor(sim, store, state, pauses=[], server=server, **changes)
            found.append(Appliance(target, store, VMRef(f"web-{name}")))
        sim.proxy.effects["RelocateVM_Task"] = sim.moved
        yield sim, found


def _at_once(each: list[Appliance], does: Callable[[Appliance], Any]) -> list[Any]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(does, each))


@pytest.mark.parametrize("seed", [0, *[pytest.param(n, marks=pytest.mark.nightly) for n in (1, 2)]])
def test_each_brings_its_own_home(both: tuple[Sim, list[Appliance]], seed: int) -> None:
    """Replies come late and get lost: each VM moves, and no host keeps either share."""
    sim, each = both
    rng = random.Random(seed)
    for call in CALLS:
        sim.proxy.plan(call, *[Delay(rng.random() / 20) for _ in range(30)])
    _at_once(each, Appliance.start)
    sim.proxy.spare()
    sim.proxy.plan("RelocateVM_Task", rng.choice([Drop(), Drop(after=True)]))
    sim.proxy.plan("RemoveDatastore", Delay(0.05), rng.choice([Drop(), Drop(after=True)]))
    came = _at_once(each, lambda one: one.target.bring_home(one.vm, "LocalDS_1", NeverCancelled()))
    assert [(one.datastore, one.was_there, one.stays) for one in came] == [
        ("LocalDS_1", False, "")
    ] * 2
    signs = [one.target.signs_of_life(one.vm) for one in each]
    assert [(one.power, one.home, one.leaving) for one in signs] == [
        (Power.ON, "LocalDS_1", "")
    ] * 2
    left = [seen["name"] for _, seen in sim.foreigner().read_all(vim.Datastore, "name")]
    assert set(left) == {"LocalDS_0", "LocalDS_1"}
