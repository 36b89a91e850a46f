"""Arming: the newest boot point starts by *Power on* in the target's own client, without us.

twig (sealed) ── scratch ── VM, off      re-armed after each new boot point; nothing when it is
                                         armed on that one already
                         └─ VM, on       somebody started it while the engine was away: it is
                                         taken up as a run, and nothing it wrote is thrown away
"""

from __future__ import annotations

import logging

from engine.jobs.power import scratch_of
from engine.jobs.tools import Tools
from engine.model.errors import Problem, Refused
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import VMRef, VMSpec
from engine.model.points import BootPoint, Stage
from engine.model.progress import Progress
from engine.model.work import Run, Severity

log = logging.getLogger(__name__)


def arm(point: BootPoint, spec: VMSpec, t: Tools) -> None:
    """Point the standby VM, powered off, at fresh scratch on a READY boot point; repeatable.

    Raises:
        Refused: Somebody else changed the VM.
        HypervisorError, LayerError, NoSpace: The VM is armed as before, or not at all.
    """
    state = t.state.read()
    now = state.boot_points.get(point.id)
    if now is None or now.stage is not Stage.READY or point.standby in state.runs:
        return
    hypervisor, vm = t.hypervisor(), VMRef(point.standby)
    t.report(Progress("look", 0, None))
    if (layer := hypervisor.started_by_hand(vm)) is not None:
        _take_up(layer, t)
        return
    scratch, layers = scratch_of(point), t.chain.layers()
    try:
        sizes = layers[point.boot].disk_sizes
        t.chain.add(scratch, point.boot, LayerKind.SCRATCH, sizes)
        t.report(Progress("arm", 0, None))
        hypervisor.create(spec)
        hypervisor.arm(vm, scratch)
    except BaseException:
        if scratch not in layers:
            t.chain.drop(scratch)
        raise
    for old in list(t.chain.layers().values()):
        if old.kind is LayerKind.SCRATCH and old.name != scratch:
            t.chain.drop(old.name)
    log.info("armed standby=%s point=%s", point.standby, point.id)


def refuse_started_by_hand(vm: VMRef, t: Tools) -> None:
    """Raise Refused when somebody started the armed VM, after taking that up as a run.

    A run that is known is no such start, but one of ours that was cut short.
    """
    if t.standby.name in t.state.read().runs:
        return
    layer = t.hypervisor().started_by_hand(vm)
    if layer is not None and (told := _take_up(layer, t)):
        raise Refused(told)


def _take_up(layer: LayerName, t: Tools) -> Problem:
    """Store what somebody started as a run of ours, so that it is shown and can be stopped."""
    name = t.standby.name
    found = [one for one in t.state.read().points_of(name) if scratch_of(one) == layer]
    told = Problem(
        "vm.started-by-hand",
        f"{name} was started outside of this program, on the armed scratch layer {layer}.",
        "What it wrote is kept until it is stopped here; its boot points are as before.",
        "Look at it. To throw away what it wrote: bootpoint stop.",
        {"standby": name, "layer": layer},
    )
    with t.state.write() as tx:
        if found and name not in tx.state().runs:
            tx.save_run(Run(name, found[0].id, layer, t.clock.now()))
    t.tell(told.key, told.happened, Severity.WARNING, told.unchanged, told.remedy)
    return told
