"""Bringing a started VM home: onto a datastore of its target, off our store.

twig (sealed) ── scratch ── VM      started
                 dropped    VM      home: its disks lie on the target, what it wrote as well
"""

from __future__ import annotations

from engine.jobs.power import clear_scratch_of
from engine.jobs.tools import Tools
from engine.model.errors import Problem, Refused
from engine.model.machine import VMRef
from engine.model.progress import Progress


def home(to: str, t: Tools) -> None:
    """Bring the standby's started VM home; one that is there is said to be.

    Args:
        to: Datastore; empty: where the VM's own files are.
        t: The world.

    Raises:
        Refused: It does not run, or somebody else changed it.
        Cancelled, HypervisorError, WrongUse: It runs on from where it was.
        LayerError: It is at home; its scratch layer is left.
    """
    name = t.standby.name
    if name not in t.state.read().runs:
        raise Refused(Problem("vm.not-running", f"{name} does not run.", "Nothing was changed."))
    t.report(Progress("look", 0, None))
    came = t.hypervisor().bring_home(VMRef(name), to, t.cancel, t.report)
    # The target read back that no disk of the VM is ours any more.
    clear_scratch_of("is at home", t)
    said = "is at home already" if came.was_there else "was brought home"
    share = (
        f"The share stays mounted on its hosts: {came.stays}."
        if came.stays
        else "The share is not mounted on its hosts any more."
    )
    t.tell(
        "vm.home",
        f"{name} {said}, to datastore {came.datastore}: it needs this machine's disks no more. "
        f"{share}",
    )
