"""VMs whose host is out: a start in an emergency works where another host of the cluster does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi.answers import ref_id
from engine.model.errors import HypervisorError, Refused
from engine.model.machine import Network, Power
from tests.esxi.test_fault_sequences import make_twin
from tests.vcsim.simulator import Certificate, running
from tests.vcsim.stage import SPEC, VM, Stage, staged
from tests.vcsim.standby import hypervisor
from tests.vcsim.steps import Drop, Fault

AWAY = ("runtime.connectionState", "notResponding")
MAINTENANCE = ("runtime.inMaintenanceMode", True)
ASLEEP = ("runtime.powerState", "standBy")


class Cluster:
    """A target on a cluster of three hosts, with a standby VM that is armed."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.sim, self.target = stage, stage.sim, stage.target
        self.layer = stage.boot_point()
        self.target.create(SPEC)
        self.target.arm(VM, self.layer)
        self.vm = stage.ref()
        self.host = self._host(self.vm)

    def _host(self, vm: Any) -> Any:
        return self.stage.other.read(vm, "runtime.host")["runtime.host"]

    @property
    def hosts(self) -> list[Any]:
        """Return all hosts, that of the VM first."""
        found = [ref for ref, _ in self.stage.other.read_all(vim.HostSystem, "name")]
        return sorted(found, key=lambda ref: ref_id(ref) != ref_id(self.host))

    def goes(self) -> None:
        """Let the vCenter lose the VM's host: what it is told of the VM is refused."""
        self.sim.set(self.host, *AWAY)
        self.sim.set(self.vm, "runtime.connectionState", "disconnected")

    def returns(self) -> None:
        """Let the host be back."""
        self.sim.set(self.host, "runtime.connectionState", "connected")
        self.sim.set(self.vm, "runtime.connectionState", "connected")

    def start(self) -> None:
        """Start it, as a job does."""
        self.target.create(SPEC)
        self.target.power_on(VM, self.layer, Network.ISOLATED)

    def run(self) -> Any:
        """Return the only VM of ours that runs, which is not on the host that is out."""
        read = self.stage.other.read_all(
            vim.VirtualMachine, "config.extraConfig", "runtime.powerState"
        )
        (ref,) = (
            ref
            for ref, seen in read
            if self.stage._is_own(seen) and str(seen["runtime.powerState"]) == "poweredOn"
        )
        assert ref_id(self._host(ref)) != ref_id(self.host)
        return ref

    def folders(self) -> list[str]:
        """Return the run folders of the VM."""
        place = self.stage.store.path / ".run" / VM
        return [one.name for one in place.iterdir()] if place.exists() else []


@pytest.fixture
def cluster(tmp_path: Path, made: Certificate, xfs: Path) -> Iterator[Cluster]:
    """Yield it on a simulated vCenter."""
    with running(tmp_path, made, "-hosts", "3", "-alone", "0") as sim:
        for stage in staged(sim, xfs, tmp_path):
            yield Cluster(stage)


def test_a_vm_in_maintenance_is_made_on_another_host(cluster: Cluster) -> None:
    """It holds no data of its own; there is one VM as before, and it runs."""
    cluster.sim.set(cluster.host, *MAINTENANCE)
    cluster.start()
    cluster.run()
    assert cluster.stage.own_vms() == 1


def test_a_vm_on_a_host_that_is_away_gets_a_stand_in(cluster: Cluster) -> None:
    """The old one's disks are gone, so nobody can start it; nothing is asked of its host."""
    (before,) = cluster.folders()
    cluster.goes()
    cluster.sim.proxy.calls.clear()
    cluster.start()
    assert ref_id(cluster.run()) != ref_id(cluster.vm)
    assert cluster.stage.vms() == ["DC0_C0_RP0_VM0", VM, f"{VM} (2)"]
    assert before not in cluster.folders()
    assert cluster.sim.proxy.count("Destroy_Task") == 0
    assert cluster.target.signs_of_life(VM).power is Power.ON


def test_when_the_host_is_back_the_stand_in_stays_the_vm(cluster: Cluster) -> None:
    """Also for an engine that was started anew; the old one goes, and the running one stays."""
    cluster.goes()
    cluster.start()
    cluster.returns()
    running_one, state = cluster.run(), cluster.stage.folder / "state"
    again = hypervisor(cluster.sim, cluster.stage.store, state, production="VM Network")
    assert again.signs_of_life(VM).power is Power.ON
    again.power_on(VM, cluster.layer, Network.ISOLATED)
    assert ref_id(cluster.run()) == ref_id(running_one)
    again.power_off(VM, grace=0)
    again.create(SPEC)
    assert cluster.stage.vms() == ["DC0_C0_RP0_VM0", f"{VM} (2)"]
    again.arm(VM, cluster.layer)
    again.delete(VM)
    assert cluster.stage.vms() == ["DC0_C0_RP0_VM0"]


def test_a_stand_in_is_stopped_while_the_old_host_is_still_away(cluster: Cluster) -> None:
    """The old VM cannot be deleted and does not hinder; the next start has a stand-in again."""
    cluster.goes()
    cluster.start()
    cluster.target.power_off(VM, grace=0)
    cluster.sim.proxy.calls.clear()
    cluster.target.delete(VM, home=True)
    assert cluster.stage.vms() == ["DC0_C0_RP0_VM0", VM]
    assert cluster.sim.proxy.count("Destroy_Task") == 1
    cluster.start()
    cluster.run()
    assert cluster.stage.own_vms() == 2


def test_two_hosts_may_go_one_after_the_other(cluster: Cluster) -> None:
    """Each time another one is made; with all of them back one VM is left."""
    cluster.goes()
    cluster.target.create(SPEC)
    cluster.target.arm(VM, cluster.layer)
    first, cluster.vm = cluster.vm, cluster.stage.other.read_all(vim.VirtualMachine, "name")
    (second,) = (ref for ref, seen in cluster.vm if seen["name"] == f"{VM} (2)")
    lost, cluster.vm, cluster.host = cluster.host, second, cluster._host(second)
    cluster.goes()
    cluster.start()
    assert ref_id(cluster._host(cluster.run())) not in {ref_id(lost), ref_id(cluster.host)}
    cluster.returns()
    cluster.vm, cluster.host = first, lost
    cluster.returns()
    cluster.target.power_off(VM, grace=0)
    cluster.target.create(SPEC)
    assert cluster.stage.vms() == ["DC0_C0_RP0_VM0", f"{VM} (3)"]


def test_a_vm_that_may_run_on_a_lost_host_gets_none(cluster: Cluster) -> None:
    """A host that has its disks open, or wrote to them, may run it: never two at once."""
    (operation,) = cluster.folders()
    folder = cluster.stage.store.path / ".run" / VM / operation
    cluster.goes()
    (folder / ".lck-0100000000000000").touch()
    with pytest.raises(HypervisorError) as told:
        cluster.start()
    assert told.value.problem.key == "vm.host-open"
    (folder / "serial.log").touch()
    with pytest.raises(Refused):
        cluster.start()
    assert cluster.stage.own_vms() == 1


def test_a_stand_in_whose_reply_is_lost_is_made_once(cluster: Cluster) -> None:
    """It is found by its mark; the old VM of the same id is not taken for it."""
    cluster.goes()
    cluster.sim.proxy.plan("CreateVM_Task", Fault("HostCommunication", after=True))
    cluster.start()
    cluster.run()
    assert cluster.stage.own_vms() == 2


def test_a_twin_that_a_lost_call_made_goes(one: Stage) -> None:
    """The host made an empty VM of the same id late: an engine started anew deletes it."""
    one.target.create(SPEC)
    one.target.arm(VM, one.boot_point())
    make_twin(one)
    again = hypervisor(one.sim, one.store, one.folder / "state")
    again.create(SPEC)
    (vm,) = (
        ref for ref, seen in one.other.read_all(vim.VirtualMachine, "name") if seen["name"] == VM
    )
    assert len(one.target._machines.look(vm).seen.disks) == 2


def test_a_twin_that_is_made_late_goes_with_the_next_step(one: Stage) -> None:
    """The same in one life of the engine: a creation whose reply was lost is kept in mind."""
    one.sim.proxy.plan("CreateVM_Task", Drop(after=True))
    one.target.create(SPEC)
    one.target.arm(VM, one.boot_point())
    make_twin(one)
    one.target.create(SPEC)
    assert one.own_vms() == 1
    assert len(one.target._machines.find(VM).seen.disks) == 2


@pytest.mark.parametrize("state", [AWAY, MAINTENANCE, ASLEEP], ids=["away", "kept", "asleep"])
def test_where_no_host_starts_it_the_way_out_is_told(
    cluster: Cluster, state: tuple[str, Any]
) -> None:
    """Whose host, why, and what to do; nothing is changed."""
    for host in cluster.hosts:
        cluster.sim.set(host, *state)
    if state == AWAY:
        cluster.goes()
    with pytest.raises(HypervisorError) as told:
        cluster.start()
    assert told.value.problem.key == "vm.host-out"
    name = str(cluster.stage.other.read(cluster.host, "name")["name"])
    assert name in told.value.problem.happened
    assert (cluster.stage.own_vms(), len(cluster.folders())) == (1, 1)


def test_a_stop_on_a_lost_host_says_what_to_do(cluster: Cluster) -> None:
    """What its vCenter calls running may run or not: nothing is done, and that is told."""
    cluster.start()
    cluster.vm, cluster.host = cluster.stage.ref(), cluster._host(cluster.stage.ref())
    cluster.goes()
    cluster.sim.proxy.plan("PowerOffVM_Task", *[Fault("HostNotConnected")] * 3)
    with pytest.raises(HypervisorError) as told:
        cluster.target.power_off(VM, grace=0)
    assert told.value.problem.key == "vm.host-away"
    assert "inventory" in told.value.problem.remedy
    cluster.vm.PowerOffVM_Task()
    cluster.vm.UnregisterVM()  # its host was removed from the inventory
    cluster.target.power_off(VM, grace=0)
    cluster.target.delete(VM, home=True)
    cluster.start()
    cluster.run()
    assert cluster.stage.own_vms() == 1
