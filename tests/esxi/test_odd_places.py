"""Places that are no clusters of a textbook: which host gets a VM, and what an empty one says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi.inventory import look
from engine.model.errors import WrongUse
from engine.model.machine import VMRef
from tests.vcsim.simulator import Certificate, running
from tests.vcsim.stage import SPEC, Stage, staged


@pytest.fixture
def four(tmp_path: Path, made: Certificate, xfs: Path) -> Iterator[Stage]:
    """Yield a target on a cluster of four hosts."""
    with running(tmp_path, made, "-hosts", "4", "-alone", "0", "-vms", "0") as sim:
        yield from staged(sim, xfs, tmp_path)


def _hosts(stage: Stage) -> dict[str, object]:
    return {seen["name"]: ref for ref, seen in stage.other.read_all(vim.HostSystem, "name")}


def _at(stage: Stage, names: list[str]) -> list[str]:
    """Return the hosts that VMs of these names were made on."""
    by_ref = {str(ref): name for name, ref in _hosts(stage).items()}
    told = {
        seen["name"]: by_ref[str(seen["runtime.host"])]
        for _, seen in stage.other.read_all(vim.VirtualMachine, "name", "runtime.host")
    }
    return [told[name] for name in names]


def test_a_vm_is_made_on_a_host_that_starts_it(four: Stage) -> None:
    """A cluster without DRS chooses no host, and none that is away starts anything.

    Source: `Folder.CreateVM_Task` of VMware's vSphere API reference, `host`.
    """
    hosts = _hosts(four)
    four.sim.set(hosts["DC0_C0_H0"], "runtime.inMaintenanceMode", True)
    four.sim.set(hosts["DC0_C0_H1"], "runtime.connectionState", "notResponding")
    four.sim.set(hosts["DC0_C0_H2"], "runtime.powerState", "standBy")
    names = [f"web{number:02}" for number in range(6)]
    for name in names:
        four.target.create(replace(SPEC, name=name))
    assert set(_at(four, names)) == {"DC0_C0_H3"}


def test_vms_are_spread_over_the_hosts(four: Stage) -> None:
    """Each has a host by its id: the same one again, however often it is made."""
    names = [f"web{number:02}" for number in range(8)]
    for name in names:
        four.target.create(replace(SPEC, name=name))
    before = _at(four, names)
    assert len(set(before)) > 1
    four.target.delete(VMRef(names[0]))
    four.target.create(replace(SPEC, name=names[0]))
    assert _at(four, names) == before


def test_a_vcenter_without_hosts_says_so(tmp_path: Path, made: Certificate) -> None:
    """Nothing can be named there, so nobody is asked for a name."""
    with running(tmp_path, made, "-dc", "0") as sim:
        for place, says in (
            ("", "has no cluster and no host"),
            ("web", "Place web on target esx-01 has no cluster"),
        ):
            with pytest.raises(WrongUse, match=says):
                look(sim.session(), place)


def test_a_cluster_may_be_called_as_its_pool_is(four: Stage) -> None:
    """Each cluster has a pool of that name, which is the same place."""
    (cluster, _), *_ = four.other.read_all(vim.ClusterComputeResource, "name")
    four.sim.set(cluster, "name", "Resources")
    assert len(look(four.sim.session(), "DC0/Resources").hosts) == 4
