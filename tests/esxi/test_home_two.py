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
from engine.model.errors import Cancelled, HypervisorError
from engine.model.layers import LayerKind
from engine.model.machine import Gravity, Network, Power, VMRef
from engine.ports import CancelFlag, NeverCancelled
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow
from tests.esxi.test_home import TWO
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.stage import SPEC
from tests.vcsim.standby import hypervisor
from tests.vcsim.steps import Delay, Drop

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


@pytest.mark.parametrize("others", ["ends", "is cancelled"])
def test_a_copy_of_another_appliance_is_not_taken_for_ours(
    made: Certificate, xfs: Path, tmp_path: Path, others: str
) -> None:
    """A single host lost our call, and copies for the other one at that moment: each has its own.

    Its copy was followed as ours, and ours was missing once all disks were to be re-pointed.
    """
    with running(tmp_path, made, "-esx") as sim, contextlib.ExitStack() as stack:
        ours, other = (
            stack.enter_context(_appliance(sim, xfs, tmp_path, number)) for number in (1, 2)
        )
        for one in (ours, other):
            one.start()
        homeward, flag = ours.target._homecoming._homeward, CancelFlag()
        begun = homeward._begun

        def meanwhile(known: set[str], seconds: float) -> list[Any]:
            homeward._begun = begun  # type: ignore[method-assign]
            other.target.bring_home(other.vm, "", NeverCancelled())
            if others == "is cancelled":
                flag.set()
            return begun(known, seconds)

        homeward._begun = meanwhile  # type: ignore[method-assign]
        sim.proxy.plan("CopyVirtualDisk_Task", Drop())
        if others == "ends":
            ours.target.bring_home(ours.vm, "", flag)
        else:
            with pytest.raises(Cancelled):
                ours.target.bring_home(ours.vm, "", flag)
        assert sim.proxy.count("CancelTask") == 0
        home = "LocalDS_0" if others == "ends" else ""
        signs = [one.target.signs_of_life(one.vm) for one in (ours, other)]
        assert [one.home for one in signs] == [home, "LocalDS_0"]
        assert {one.power for one in signs} == {Power.ON}


@contextlib.contextmanager
def _appliance(sim: Sim, xfs: Path, folder: Path, number: int) -> Iterator[Appliance]:
    name = f"esx-0{number}"
    store = open_store(xfs / f"{folder.name}-{number}", "reflink", name)
    server = f"127.0.0.{number}"
    target = hypervisor(
        sim, store, folder / f"state-{number}", pauses=[], server=server, target=name
    )
    yield Appliance(target, store, VMRef(f"web-{name}"))
    store.close()
