"""Starting a boot point on scratch, and stopping it again.

twig (sealed) ── scratch ── VM      start: scratch is laid on the twig, the VM runs on it
                 dropped            stop:  power off, scratch is dropped; the twig never changed
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.jobs.tools import Tools
from engine.model.cards import vm_cards
from engine.model.conversion import ConversionMode
from engine.model.errors import Failure, LayerError, Problem, Refused
from engine.model.layers import LayerKind, LayerName, layer_name
from engine.model.machine import (
    Capabilities,
    CardModel,
    DiskBus,
    Firmware,
    Hints,
    Network,
    Nic,
    Power,
    Signs,
    VMRef,
    VMSpec,
)
from engine.model.points import BootPoint, Stage
from engine.model.progress import Progress
from engine.model.standby import Standby
from engine.model.work import Run

log = logging.getLogger(__name__)

_AS_BEFORE, _AGAIN = "Its boot points are as before.", "Ask for the same again."

DEFAULT_MEMORY = 1 << 30
DEFAULT_CPUS = 2
_SETTLING_S = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """Defaults and limits for VMs whose image says little: memory in bytes."""

    memory: int = DEFAULT_MEMORY
    cpus: int = DEFAULT_CPUS


_BUS_DRIVERS = {DiskBus.VIRTIO: "viostor", DiskBus.SCSI: "vioscsi", DiskBus.PVSCSI: "pvscsi"}
_CARD_DRIVERS = {CardModel.VIRTIO: "netkvm", CardModel.VMXNET3: "vmxnet3"}
"""What a Windows must have for hardware that it does not know by itself."""


def vm_spec(standby: Standby, hints: Hints, shape: Shape, target: Capabilities) -> VMSpec:
    """Return the standby VM's shape: from its definition, else the image's hints, else defaults.

    Linux has drivers for all that a target offers. Windows has drivers of its own for AHCI and
    e1000e only; it gets better hardware where its conversion found or injected drivers for it.
    """
    is_windows = "windows" in hints.os.lower()
    return VMSpec(
        name=standby.name,
        firmware=standby.firmware or hints.firmware or Firmware.BIOS,
        cpus=standby.cpus or hints.cpus or shape.cpus,
        memory=standby.memory or hints.memory or shape.memory,
        nics=_cards(standby, hints),
        bus=standby.bus or (_windows_bus(hints, target) if is_windows else target.buses[0]),
        card=_windows_card(standby, hints, target) if is_windows else target.cards[0],
        boot_disk=hints.boot_disk or 0,
    )


def _windows_bus(hints: Hints, target: Capabilities) -> DiskBus:
    """Return the best controller of a target that a Windows has a driver for."""
    fitting = (bus for bus in target.buses if _BUS_DRIVERS.get(bus) in hints.drivers)
    return next(fitting, DiskBus.SATA)


def _windows_card(standby: Standby, hints: Hints, target: Capabilities) -> CardModel:
    """Return the best card of a target that a Windows has a driver for.

    Of a Windows that was not converted nothing is known; an operator who names a controller for
    it has given it drivers.
    """
    if not hints.drivers and standby.bus not in (None, DiskBus.SATA):
        return target.cards[0]
    fitting = (card for card in target.cards if _CARD_DRIVERS.get(card) in hints.drivers)
    return next(fitting, CardModel.E1000E)


def _cards(standby: Standby, hints: Hints) -> Sequence[Nic]:
    """Return the addresses that the guest was converted for, else those it had."""
    if standby.conversion is ConversionMode.AUTO:
        return vm_cards(standby.name, hints)
    return hints.nics or (Nic("nic0", ""),)


def scratch_of(point: BootPoint) -> LayerName:
    """Return the name of the layer that a VM started from this boot point writes to."""
    return layer_name(point.id, LayerKind.SCRATCH)


def start(point: BootPoint, spec: VMSpec, network: Network, t: Tools) -> None:
    """Start a READY boot point on a fresh scratch layer; one that was cut short is gone on with.

    Raises:
        Refused: It is not READY, another boot point of this standby runs, or a start that was cut
            short left a VM that ran and is off.
        HypervisorError, LayerError, NoSpace: The VM does not run and the scratch layer is gone.
    """
    scratch = scratch_of(point)
    if not _runs(point, scratch, t):
        _remember(point, scratch, t)
        _bring_up(point, scratch, spec, network, t)
    t.tell(
        "vm.started",
        f"{point.standby} runs from boot point {point.id} (data as of "
        f"{point.taken_at:%Y-%m-%d %H:%M:%S} UTC) on a scratch layer, network {network}.",
    )


def _runs(point: BootPoint, scratch: LayerName, t: Tools) -> bool:
    """Tell whether a start that ended with its engine had come as far as to start the VM."""
    run = t.state.read().runs.get(point.standby)
    if run is None or (run.boot_point, run.scratch) != (point.id, scratch):
        return False
    _step(t, "look")
    if _settled(VMRef(point.standby), t).power is not Power.OFF:
        return True
    made = t.chain.layers().get(scratch)
    disks = range(len(made.disk_sizes)) if made is not None else ()
    if any(True for disk in disks for _ in t.chain.changed(scratch, disk)):
        raise Refused(
            Problem(
                "vm.ran",
                f"{point.standby} was started from {point.id}, wrote to its disks, and is off.",
                "What it wrote is kept; nothing was started.",
                f"To throw that away: bootpoint stop {point.standby}. Then start it again.",
            )
        )
    return False


def _settled(vm: VMRef, t: Tools) -> Signs:
    """Return signs of life after the target is done with a start that it was told before."""
    signs = t.hypervisor().signs_of_life(vm)
    for _ in range(_SETTLING_S):
        if not signs.settles:
            break
        t.clock.sleep(1.0, t.cancel)
        signs = t.hypervisor().signs_of_life(vm)
    return signs


def _bring_up(
    point: BootPoint, scratch: LayerName, spec: VMSpec, network: Network, t: Tools
) -> None:
    try:
        _step(t, "scratch")
        clear_scratch(t)
        sizes = t.chain.layers()[point.boot].disk_sizes
        t.chain.add(scratch, point.boot, LayerKind.SCRATCH, sizes)
        hypervisor = t.hypervisor()
        _step(t, "define")
        vm = hypervisor.create(spec)
        t.cancel.check()
        _step(t, "power on")
        hypervisor.power_on(vm, scratch, network, t.report)
    except BaseException:
        _undo(point, t)
        raise


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
    clear_scratch_of("is off", t)
    hypervisor.delete(VMRef(name), home=True)
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
        run = state.runs.get(point.standby)
        if run is not None and (run.boot_point, run.scratch) != (point.id, scratch):
            raise Refused(
                Problem(
                    "vm.running",
                    f"{point.standby} runs already, from {run.boot_point}.",
                    "Nothing was changed.",
                    "Stop it first.",
                )
            )
        tx.save_run(Run(point.standby, point.id, scratch, t.clock.now()))


def _undo(point: BootPoint, t: Tools) -> None:
    """Leave neither VM nor scratch behind; the first failure is the one that is told."""
    try:
        t.hypervisor().power_off(VMRef(point.standby), grace=0)
        clear_scratch(t)
    except Failure as failure:
        log.warning("cleaning up after a failed start: %s", failure)
    with t.state.write() as tx:
        tx.remove_run(point.standby)


def clear_scratch(t: Tools) -> None:
    """Drop all scratch layers of the standby; nothing may run on them."""
    for layer in list(t.chain.layers().values()):
        if layer.kind is LayerKind.SCRATCH:
            t.chain.drop(layer.name)


def clear_scratch_of(done: str, t: Tools) -> None:
    """Drop all scratch layers once the VM has left them; an error tells what is `done` already.

    Raises:
        LayerError: One is in use; to ask for the same again does the rest.
    """
    try:
        clear_scratch(t)
    except LayerError as error:
        name, why = t.standby.name, error.problem
        happened = f"{name} {done}, but what it wrote here could not be dropped: {why.happened}"
        remedy = f"{why.remedy} Then ask for the same again." if why.remedy else _AGAIN
        told = replace(why, happened=happened, unchanged=_AS_BEFORE, remedy=remedy)
        raise LayerError(told) from error


def _step(t: Tools, step: str) -> None:
    t.report(Progress(step, 0, None))
