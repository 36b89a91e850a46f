"""A simulated host, the target on it, its store, and somebody else on the same host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi.host import EsxiHypervisor
from engine.hypervisors.esxi.layers import ENGINE
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import Firmware, Nic, VMRef, VMSpec
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow
from tests.vcsim.simulator import Sim
from tests.vcsim.standby import hypervisor

VM = VMRef("web01")
SPEC = VMSpec("web01", Firmware.UEFI, 2, 64 * MIB, (Nic("eth0", "00:50:56:11:22:33"),))


@dataclass
class Stage:
    """A simulated host, the target on it, its store, and somebody else on the same host."""

    sim: Sim
    store: Any
    target: EsxiHypervisor
    other: Session
    folder: Path

    def boot_point(self, number: int = 1, sizes: tuple[int, ...] = (MIB, 3 * MIB)) -> LayerName:
        """Make a boot point and scratch on it; return the scratch layer."""
        chain, name = self.store.chain("web01"), f"bp{number:06}"
        data = {0: [(0, b"trunk%d" % number)]}
        grow(chain, f"{name}-replica", None, data, sizes=sizes)
        twig = f"{name}-conversion"
        grow(chain, twig, f"{name}-replica", kind=LayerKind.CONVERSION, sizes=sizes)
        return grow(chain, f"{name}-scratch", twig, kind=LayerKind.SCRATCH, sizes=sizes)

    def vms(self) -> list[str]:
        """Return the names of all VMs, as somebody else sees them."""
        return sorted(one["name"] for _, one in self.other.read_all(vim.VirtualMachine, "name"))

    def ref(self, name: str = "web01") -> Any:
        """Return a VM as somebody else holds it; of several with the name, this engine's."""
        found = self.other.read_all(vim.VirtualMachine, "name", "config.extraConfig")
        named = [(ref, seen) for ref, seen in found if seen["name"] == name]
        return next((ref for ref, seen in named if self._is_own(seen)), named[0][0])

    def _is_own(self, seen: Any) -> bool:
        told = {one.key: one.value for one in seen.get("config.extraConfig") or ()}
        return told.get(ENGINE) == self.target._engine

    def on(self, name: str) -> Path:
        """Return the folder that the datastore of a name is, as the VM's own host knows names."""
        host = self.other.read(self.ref(), "runtime.host")["runtime.host"]
        for store in self.other.read(host, "datastore")["datastore"]:
            seen = self.other.read(store, "name", "info")
            if seen["name"] == name:
                return self.sim.folder / seen["info"].url
        raise AssertionError(name)

    def do(self, task: Any) -> Any:
        """Let somebody else's task end."""
        return TaskWaiter(self.other).result(task, "somebody's", deadline_s=30)

    def own_vms(self) -> int:
        """Return how many VMs carry this engine's mark."""
        read = self.other.read_all(vim.VirtualMachine, "config.extraConfig")
        return sum(self._is_own(seen) for _, seen in read)


def staged(sim: Sim, xfs: Path, tmp_path: Path, **changes: str) -> Iterator[Stage]:
    """Yield an empty target on a simulated host.

    Args:
        changes: Of the target, such as `place`.
    """
    store = open_store(xfs / f"store-{tmp_path.name}-{id(sim)}", "reflink", "esx-01")
    target = hypervisor(sim, store, tmp_path / "state", **({"production": "VM Network"} | changes))
    yield Stage(sim, store, target, sim.foreigner(), tmp_path)
    store.close()
