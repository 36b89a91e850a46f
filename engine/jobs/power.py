"""Starting a boot point on scratch, and stopping it again.

twig (sealed) ── scratch ── VM      start: scratch is laid on the twig, the VM runs on it
                 dropped            stop:  power off, scratch is dropped; the twig never changed
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from engine.jobs.tools import Tools
from engine.model.cards import vm_cards
from engine.model.conversion import ConversionMode
from engine.model.errors import Failure, Problem, Refused
from engine.model.layers import LayerKind, LayerName, layer_name
from engine.model.machine import (
    CardModel,
    DiskBus,
    Firmware,
    Hints,
    Network,
    Nic,
    Power,
    VMRef,
    VMSpec,
)
from engine.model.points import BootPoint, Stage
from engine.model.progress import Progress
from engine.model.standby import Standby
from engine.model.work import Run

log = logging.getLogger(__name__)

DEFAULT_MEMORY = 1 << 30
DEFAULT_CPUS = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """Defaults and limits for VMs whose image says little: memory in bytes."""

    memory: int = DEFAULT_MEMORY
    cpus: int = DEFAULT_CPUS


def vm_spec(standby: Standby, hints: Hints, shape: Shape) -> VMSpec:
    """Return the standby VM's shape: from its definition, else the image's hints, else defaults.

    Windows has drivers of its own for AHCI and e1000e only; an operator who names another bus has
    given it the others.
    """
    is_windows = "windows" in hints.os.lower()
    in_box = is_windows and standby.bus in (None, DiskBus.SATA)
    return VMSpec(
        name=standby.name,
        firmware=standby.firmware or hints.firmware or Firmware.BIOS,
        cpus=standby.cpus or hints.cpus or shape.cpus,
        memory=standby.memory or hints.memory or shape.memory,
        nics=_cards(standby, hints),
        bus=standby.bus or (DiskBus.SATA if is_windows else DiskBus.VIRTIO),
        card=CardModel.E1000E if in_box else CardModel.VIRTIO,
    )


def _cards(standby: Standby, hints: Hints) -> Sequence[Nic]:
    """Return the addresses that the guest was converted for, else those it had."""
    if standby.conversion is ConversionMode.AUTO:
        return vm_cards(standby.name, hints)
    return hints.nics or (Nic("nic0", ""),)


def scratch_of(point: BootPoint) -> LayerName:
    """Return the name of the layer that a VM started from this boot point writes to."""
    return layer_name(point.id, LayerKind.SCRATCH)


def start(point: BootPoint, spec: VMSpec, network: Network, t: Tools) -> None:
    """Start a READY boot point on a fresh scratch layer.

    Raises:
        Refused: It is not READY, or another boot point of this standby runs.
        HypervisorError, LayerError, NoSpace: The VM does not run and the scratch layer is gone.
    """
    scratch = scratch_of(point)
    _remember(point, scratch, t)
    try:
        _step(t, "scratch")
        _clear_scratch(t)
        sizes = t.chain.layers()[point.boot].disk_sizes
        t.chain.add(scratch, point.boot, LayerKind.SCRATCH, sizes)
        hypervisor = t.hypervisor()
        _step(t, "define")
        vm = hypervisor.create(spec)
        t.cancel.check()
        _step(t, "power on")
        hypervisor.power_on(vm, scratch, network)
    except BaseException:
        _undo(point, t)
        raise
    t.tell(
        "vm.started",
        f"{point.standby} runs from boot point {point.id} (data as of "
        f"{point.taken_at:%Y-%m-%d %H:%M:%S} UTC) on a scratch layer, network {network}.",
    )


def stop(t: Tools) -> None:
    """Cut the power of the standby's VM and drop what it wrote; repeatable."""
    name = t.standby.name
    hypervisor = t.hypervisor()
    _step(t, "power off")
    hypervisor.power_off(VMRef(name), grace=0)
    if hypervisor.signs_of_life(VMRef(name)).power is not Power.OFF:
        raise Failure(
            Problem(
                "vm.still-on",
                f"{name} is still running after its power was cut.",
                "Its scratch layer was kept.",
                "Stop the VM on the target by hand, then stop it here again.",
            )
        )
    _step(t, "drop scratch")
    _clear_scratch(t)
    hypervisor.delete(VMRef(name))
    with t.state.write() as tx:
        tx.remove_run(name)
    t.tell(
        "vm.stopped", f"{name} was stopped; what it wrote is gone, its boot points are as before."
    )


def _remember(point: BootPoint, scratch: LayerName, t: Tools) -> None:
    with t.state.write() as tx:
        state = tx.state()
        now = state.boot_points.get(point.id)
        if now is None or now.stage is not Stage.READY:
            raise Refused(
                Problem(
                    "point.not-ready",
                    f"Boot point {point.id} is {'gone' if now is None else now.stage}, not ready.",
                    "Nothing was changed.",
                    "Choose a boot point that is ready.",
                )
            )
        if point.standby in state.runs:
            raise Refused(
                Problem(
                    "vm.running",
                    f"{point.standby} runs already, from {state.runs[point.standby].boot_point}.",
                    "Nothing was changed.",
                    "Stop it first.",
                )
            )
        tx.save_run(Run(point.standby, point.id, scratch, t.clock.now()))


def _undo(point: BootPoint, t: Tools) -> None:
    """Leave neither VM nor scratch behind; the first failure is the one that is told."""
    try:
        t.hypervisor().power_off(VMRef(point.standby), grace=0)
        _clear_scratch(t)
    except Failure as failure:
        log.warning("cleaning up after a failed start: %s", failure)
    with t.state.write() as tx:
        tx.remove_run(point.standby)


def _clear_scratch(t: Tools) -> None:
    for layer in list(t.chain.layers().values()):
        if layer.kind is LayerKind.SCRATCH:
            t.chain.drop(layer.name)


def _step(t: Tools, step: str) -> None:
    t.report(Progress(step, 0, None))
