"""A VM that runs from our share on a simulated host, and what to look at after it was moved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi.answers import ref_id
from engine.model.machine import Network, Power
from tests.vcsim.simulator import Sim
from tests.vcsim.stage import SPEC, VM, Stage, staged

SHARE = "bp-esx-01"


def from_share(sim: Sim, xfs: Path, folder: Path, **changes: str) -> Iterator[Stage]:
    """Yield a target with a VM that runs from the share; afterwards nothing of it is left.

    Args:
        changes: Of the target, such as `place`.
    """
    link, before = sim.folder / SHARE, what_is_there(sim)
    link.unlink(missing_ok=True)
    for stage in staged(sim, xfs, folder, **changes):
        stage.target.create(SPEC)
        stage.target.power_on(VM, stage.boot_point(), Network.ISOLATED)
        sim.proxy.calls.clear()
        sim.proxy.effects["RelocateVM_Task"] = sim.moved
        yield stage
        sim.proxy.forget()
        _clear(stage)
    # The next test begins as this one did.
    assert what_is_there(sim) ^ before == set()


def what_is_there(sim: Sim) -> set[str]:
    """Return what a test may leave behind on a host that all of them use."""
    other = sim.foreigner()
    vms = other.read_all(vim.VirtualMachine, "name", "snapshot", "runtime.powerState")
    stores = other.read_all(vim.Datastore, "name", "info")
    folders = [Path(seen["info"].url) for _, seen in stores if "LocalDS" in seen["name"]]
    return {
        *(f"{ref_id(ref)} {seen}" for ref, seen in vms),
        *(f"{ref_id(ref)} {seen['name']}" for ref, seen in stores),
        *(
            f"{seen['name']} has {ref_id(one)}"
            for _, seen in other.read_all(vim.HostSystem, "name", "datastore")
            for one in seen["datastore"]
        ),
        *(str(path) for folder in folders for path in folder.rglob("*")),
    }


def anothers_share(sim: Sim, centre: str) -> None:
    """Mount the share of another appliance, of our share's name, on the hosts of a datacenter."""
    (sim.folder / SHARE).mkdir(exist_ok=True)
    spec = vim.host.NasVolume.Specification(
        remoteHost="127.0.0.9", remotePath="/another", localPath=SHARE, accessMode="readWrite"
    )
    told = ("name", "configManager.datastoreSystem")
    for _, seen in sim.foreigner().read_all(vim.HostSystem, *told):
        if seen["name"].startswith(centre):
            seen[told[1]].CreateNasDatastore(spec)
    (sim.folder / SHARE).rmdir()


def _clear(stage: Stage) -> None:
    """Take away what a test made, also one that failed in the middle."""
    for ref, seen in stage.other.read_all(vim.VirtualMachine, "name", "snapshot"):
        if seen["name"] == VM and seen.get("snapshot") is not None:
            stage.do(ref.RemoveAllSnapshots_Task())
    stores = [stage.on(name) for name in ("LocalDS_0", "LocalDS_1")]
    stage.target.delete(VM, home=True)
    stage.target._ground.unmounted([])
    for store in stores:  # the folder of copies stays behind, empty
        for left in (VM, f"bootpoint-{VM}-*"):
            for folder in store.glob(left):
                shutil.rmtree(folder)


def disks(stage: Stage) -> list[Any]:
    """Return the VM's disks."""
    devices = stage.other.read(stage.ref(), "config.hardware.device")["config.hardware.device"]
    return [one for one in devices if isinstance(one, vim.vm.device.VirtualDisk)]


def stores(stage: Stage) -> set[str]:
    """Return the names of the datastores that the VM's disks lie on."""
    return {one.backing.fileName.partition("]")[0][1:] for one in disks(stage)}


def mounted(stage: Stage) -> list[str]:
    """Return the hosts that have our share mounted, by their names."""
    run = str(stage.store.path / ".run")
    there = {
        ref_id(ref)
        for ref, seen in stage.other.read_all(vim.Datastore, "info")
        if (nas := getattr(seen["info"], "nas", None)) is not None and nas.remotePath == run
    }
    return sorted(
        str(seen["name"])
        for _, seen in stage.other.read_all(vim.HostSystem, "name", "datastore")
        if there & {ref_id(one) for one in seen["datastore"]}
    )


def is_home(stage: Stage, on: str = "LocalDS_0", power: Power = Power.ON) -> None:
    """Check that all of the VM is home, and that nothing of ours is left on the share."""
    assert stores(stage) == {on}
    for one in disks(stage):
        assert (stage.on(on) / one.backing.fileName.partition("] ")[2]).exists()
    signs = stage.target.signs_of_life(VM)
    assert (signs.power, signs.home, signs.leaving) == (power, on, "")
    assert not (stage.store.path / ".run" / "web01").exists()
    assert stage.own_vms() == 1


def is_as_before(stage: Stage, power: Power = Power.ON) -> None:
    """Check that the VM runs from the share as if nothing had been asked."""
    assert stores(stage) == {SHARE}
    signs = stage.target.signs_of_life(VM)
    assert (signs.power, signs.home, signs.leaving) == (power, "", "")
