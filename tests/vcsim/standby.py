"""The ESXi target on a simulated host, with its disks in a real store."""

from __future__ import annotations

from pathlib import Path

from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi.host import EsxiHypervisor, Place
from engine.hypervisors.esxi.preflight import Wishes
from engine.ports import Store
from tests.vcsim.simulator import Sim

TARGET = "esx-01"


def hypervisor(
    sim: Sim, store: Store, state: Path, *, pauses: list[float] | None = None, **changes: str
) -> EsxiHypervisor:
    """Open the target; the simulated host sees the store's run folders as a datastore.

    Args:
        pauses: Gets the seconds that would be waited, instead of a wait.

    vcsim looks a mount's name up in its working directory, so a symbolic link stands for NFS.
    """
    run = store.path / ".run"
    place = "DC0_C0" if "DC0" in _place(sim) else ""
    told = {"place": place, "production": "", "isolated": "bp-isolated", "server": "127.0.0.1"}
    told |= {"target": TARGET} | changes
    link = sim.folder / f"bp-{told['target']}"
    if not link.is_symlink():
        link.symlink_to(run)
    wishes = Wishes(
        told["place"], "LocalDS_0", told["production"], told["isolated"], told["server"], str(run)
    )
    opened = EsxiHypervisor(
        sim.account(target=told["target"]),
        wishes,
        Place(state, run),
        store.chain,
        SystemClock().now,
        timeout_s=20,
        pause=(pauses if pauses is not None else []).append,
    )
    sim.opened.append(opened._session)
    return opened


def _place(sim: Sim) -> str:
    """Return the name of the first place for VMs."""
    session = sim.foreigner()
    return str(session.read_all(vim.ComputeResource, "name")[0][1]["name"])
