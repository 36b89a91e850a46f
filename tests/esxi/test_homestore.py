"""The datastore for VMs' own files: looked at before a VM is made, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import destination, selftest
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.inventory import look
from engine.hypervisors.esxi.preflight import Wishes, findings
from engine.hypervisors.owner import owner
from engine.model.errors import HypervisorError, WrongUse
from engine.model.machine import Gravity
from engine.model.selftests import Outcome
from engine.ports import Finding
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.stage import SPEC, Stage, staged

WISHES = Wishes("DC0_C0", "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", "/srv/bp/.run")


@pytest.fixture
def pod(tmp_path: Path, made: Certificate) -> Iterator[Sim]:
    """Yield a vCenter with a datastore cluster that both datastores are in."""
    with running(tmp_path, made, "-hosts", "1", "-alone", "0", "-pods", "1") as started:
        other = started.foreigner()
        ((cluster, _),) = other.read_all(vim.StoragePod, "name")
        for ref, _ in other.read_all(vim.Datastore, "name"):  # vcsim's views look into no cluster
            started.set(ref, "parent", {"Type": "StoragePod", "Value": ref_id(cluster)})
        yield started


def _found(sim: Sim, datastore: str) -> dict[str, Finding]:
    wishes = replace(WISHES, datastore=datastore)
    return {one.key: one for one in findings(sim.session(), wishes, SystemClock().now)}


def _is(stage: Stage, path: str, value: Any) -> None:
    """Let the datastore of the target be so."""
    stores = stage.other.read_all(vim.Datastore, "name")
    ref = next(one for one, seen in stores if seen["name"] == "LocalDS_0")
    stage.sim.set(ref, path, value)


UNFIT = {
    "not accessible": ("summary.accessible", False),
    "maintenance mode": ("summary.maintenanceMode", "inMaintenance"),
    "a cache of flash disks": ("summary.type", "VFFS"),
    "persistent memory": ("summary.type", "PMEM"),
}


@pytest.mark.parametrize("says", list(UNFIT))
def test_no_vm_is_made_where_none_can_be(one: Stage, says: str) -> None:
    """What its datastore lacks is told at once, and the host is asked for nothing."""
    _is(one, *UNFIT[says])
    with pytest.raises(HypervisorError, match=says) as told:
        one.target.create(SPEC)
    assert told.value.problem.remedy
    assert one.sim.proxy.count("CreateVM_Task") == 0
    test = selftest.SelfTest(
        one.target._session,
        one.target._wishes,
        owner(one.folder / "state"),
        one.store.path / ".run",
        one.target._now,
        patience_s=0.0,
    )
    found = {check.key: check for check in test.run()}
    assert found["create"].outcome is Outcome.FAILED
    assert says in found["create"].said
    assert one.sim.proxy.count("CreateVM_Task") == 0


def test_a_datastore_that_is_none_is_told_with_those_there_are(one: Stage) -> None:
    """By the self-test too, which would wait for a VM that never comes."""
    wishes = replace(one.target._wishes, datastore="LocalDS_9")
    one.target._wishes = wishes
    with pytest.raises(WrongUse, match=r"no datastore LocalDS_9 .* LocalDS_0, LocalDS_1"):
        one.target.create(SPEC)
    test = selftest.SelfTest(
        one.target._session, wishes, "engine", one.store.path / ".run", one.target._now
    )
    found = {check.key: check for check in test.run()}
    assert found["create"].outcome is Outcome.FAILED
    assert "no datastore DATASTORE" in found["create"].said
    assert one.sim.proxy.count("CreateVM_Task") == 0


def test_a_datastore_cluster_is_no_datastore(pod: Sim, xfs: Path, tmp_path: Path) -> None:
    """It is said to be one, with the datastores in it; also where a VM shall go home to."""
    (cluster,) = look(pod.session(), "DC0_C0").pods
    one = _found(pod, cluster.name)["esxi.datastore"]
    assert f"{cluster.name} is a datastore cluster (storage pod)" in one.text
    assert one.text.endswith("Its datastores: LocalDS_0, LocalDS_1.")
    for stage in staged(pod, xfs, tmp_path):
        stage.target.create(SPEC)
        there, inventory = stage.target._machines.find("web01"), stage.target._ground.look()
        assert there is not None
        with pytest.raises(WrongUse, match=r"storage pod.*LocalDS_0, LocalDS_1"):
            destination.destination(stage.target._session, there, inventory, cluster.name, "bp")


@pytest.mark.parametrize(("kind", "word"), [("VFFS", "cache"), ("PMEM", "persistent memory")])
def test_a_datastore_of_a_kind_for_no_vm_is_told_and_never_chosen(
    pod: Sim, kind: str, word: str
) -> None:
    """It says what it is; where no name is given, it does not count among those that may be."""
    assert "several" in _found(pod, "")["esxi.datastore"].text
    found = look(pod.session(), "DC0_C0").datastore("LocalDS_1")
    assert found is not None
    pod.set(found.ref, "summary.type", kind)
    one = _found(pod, "LocalDS_1")["esxi.datastore-kind"]
    assert (one.gravity, word in one.text) == (Gravity.ERROR, True)
    assert "esxi.datastore" not in _found(pod, "")
    assert "Datastores: LocalDS_0." in _found(pod, "LocalDS_9")["esxi.datastore"].text
