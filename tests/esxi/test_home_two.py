"""Two appliances on one vCenter start a standby VM each and bring it home, at the same moments."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi.host import EsxiHypervisor
from engine.model.errors import HypervisorError
from engine.model.layers import LayerKind
from engine.model.machine import Gravity, Network, Power, VMRef
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


def test_two_of_one_name_in_one_cluster_are_told_before_a_start(
    made: Certificate, xfs: Path, tmp_path: Path
) -> None:
    """The share has the target's name, and hosts take each name once: the second one is told."""
    with running(tmp_path, made, *TWO) as sim, contextlib.ExitStack() as stack:
        each = []
        for number in (1, 2):
            store = open_store(xfs / f"{tmp_path.name}-{number}", "reflink", "esx-01")
            stack.callback(store.close)
            state, server = tmp_path / f"state-{number}", f"127.0.0.{number}"
            target = hypervisor(sim, store, state, place="DC0_C0", server=server)
            each.append(Appliance(target, store, VMRef(f"web-{number}")))
        assert not [one for one in each[0].target.preflight() if one.key == "target.other-share"]
        each[0].start()
        assert not [one for one in each[0].target.preflight() if one.key == "target.other-share"]
        (found,) = [one for one in each[1].target.preflight() if one.key == "target.other-share"]
        assert found.gravity is Gravity.ERROR
        assert "another name" in found.remedy
        with pytest.raises(HypervisorError, match=re.escape(found.text)):
            each[1].start()
