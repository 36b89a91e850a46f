"""Standby VMs whose snapshots are their boot points, on a host or a vCenter (transport `hotadd`).

    start    the leaf on the twig is scratch already ── shape, cards and mark in one change ── power
    stop     power off; the chain drops scratch by a revert
    delete   only a VM without layers: the others *are* the boot points

The VM is made by its first layer and goes with its last; here it gets its shape and its power.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from uuid import uuid4

from engine.hypervisors import rules
from engine.hypervisors.esxi import faults, hotaddlook, layers, leaf, specs
from engine.hypervisors.esxi.branches import Standing, standing
from engine.hypervisors.esxi.console import Screens
from engine.hypervisors.esxi.hotadd import HotaddChain
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.inventory import Inventory
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.onhost import OnHost
from engine.hypervisors.esxi.tree import MOST_POINTS
from engine.model.layers import LayerName
from engine.model.machine import (
    Capabilities,
    CardModel,
    DiskBus,
    Home,
    Network,
    Power,
    VMRef,
    VMSpec,
)
from engine.model.text import safe
from engine.ports import Cancel, DiskChain, Finding, Report, unreported

log = logging.getLogger(__name__)


class HotaddHypervisor(OnHost):
    """A host or a vCenter whose datastore has the disks. Thread-safe."""

    def __init__(self, link: HotaddLink, chains: Callable[[str], DiskChain]) -> None:
        """Log in.

        Args:
            chains: Gives the layer tree of a VM by its name: a `HotaddChain`.

        Raises:
            HypervisorError: The host cannot be reached, is not the trusted one, or refuses us.
        """
        self.name = link.account.target
        self.capabilities = Capabilities(
            MOST_POINTS + 2,
            "esxi",
            screen=True,
            serial=False,
            buses=(DiskBus.PVSCSI, DiskBus.SATA),
            cards=(CardModel.VMXNET3, CardModel.E1000E),
            arms=True,
        )
        self._link, self._chains, self._gate, self._life = link, chains, link.gate, link.life
        self._wishes, self._now, self._pause = link.wishes, link.now, link.pause
        there = link.connect(at_once=True)
        self._session, self._machines, self._ground = there.session, there.machines, there.ground
        self._screens = Screens(self._session, self._gate)
        self._branches, self._appliance = there.branches, there.appliance

    def _findings(self, there: Inventory | None) -> Iterator[Finding]:
        """Yield what is to be said of appliance and snapshots."""
        own, engine = self._appliance, self._link.engine
        return hotaddlook.findings(self._session, self._wishes, own, engine, there)

    def chain(self, vm: VMRef) -> DiskChain:
        """Return the layer tree of the VM."""
        return self._chains(vm)

    def _own(self, vm: str) -> HotaddChain:
        chain = self._chains(vm)
        if not isinstance(chain, HotaddChain):
            raise TypeError(f"layers of {vm} are kept by {type(chain).__name__}")
        return chain

    # --- VMs -------------------------------------------------------------------------------

    def create(self, spec: VMSpec) -> VMRef:
        """Give the VM its shape; one that runs keeps the one it has.

        Raises:
            Refused: A VM of this name is not ours, or somebody else changed it.
            HypervisorError: The host does not take it.
        """
        rules.check_name(spec.name)
        with self._gate.vm(spec.name):
            there = self._branches.look(spec.name, settled=True)
            if there is None:
                self._make(spec)  # its first layer makes it anew, with disks
            elif there.seen.power is Power.OFF and there.seen.shape != layers.shape(spec):
                machine = self._moved(self._own(spec.name).ready().machine, spec.bus)
                _, network = self._ground.isolated(self._ground.look())
                self._machines.until(
                    machine,
                    "ReconfigVM_Task",
                    lambda seen: seen.shape == layers.shape(spec),
                    lambda now: now.ref.ReconfigVM_Task(
                        specs.shape_spec(now.devices, spec, network)
                    ),
                )
        return VMRef(spec.name)

    def _moved(self, machine: Machine, bus: DiskBus) -> Machine:
        """Return a VM after its disks, where it has several, hang on the bus's controller."""
        return self._machines.bring(
            machine,
            "ReconfigVM_Task",
            lambda now, _: specs.rehang_spec(now.devices, bus) is None,
            lambda now: now.ref.ReconfigVM_Task(specs.rehang_spec(now.devices, bus)),
        )

    def power_on(
        self, vm: VMRef, layer: LayerName, network: Network, report: Report = unreported
    ) -> None:
        """Start the VM on a SCRATCH layer; nothing happens when it runs on it already.

        Raises:
            Refused: It runs on another layer, somebody else changed or started it, or there is no
                such network.
        """
        with self._gate.vm(vm):
            there = self._created(vm)
            rules.check_scratch(self._chains(vm), layer)
            if network is Network.PRODUCTION and not self._wishes.production:
                raise rules.no_network(self.name, network)
            if there.seen.power is not Power.OFF:
                self._check_runs(there.machine, layer, network)
                return
            there = self._unused(vm, layer)
            given = self._give(there, layer, network, armed=False)
            self._machines.power_on(given, report)
            log.info("started vm=%s layer=%s network=%s", safe(vm), safe(layer), network)

    def arm(self, vm: VMRef, layer: LayerName) -> None:
        """Leave the VM, off, ready for a power-on by hand, its cards unconnected; repeatable.

        Raises:
            Refused: It runs, or somebody else changed or started it.
        """
        with self._gate.vm(vm):
            there = self._created(vm)
            rules.check_scratch(self._chains(vm), layer)
            state = there.seen.state
            if there.seen.power is not Power.OFF:
                raise rules.runs_already(vm, state.layer if state else "")
            there = self._unused(vm, layer)
            if state is not None and state.armed and state.layer == layer:
                return
            # Before the mark: a start by hand is never taken for none.
            self._chains(vm).note(layer, leaf.armed_note(there))
            self._give(there, layer, Network.NONE, armed=True)

    def started_by_hand(self, vm: VMRef) -> LayerName | None:
        """Return the armed layer that somebody started the VM on, running or off again."""
        there = self._branches.look(vm)
        state = there.seen.state if there is not None else None
        if there is None or state is None or not state.armed:
            return None
        layer = LayerName(state.layer)
        is_used = there.seen.power is not Power.OFF or self._is_touched(there, layer)
        return layer if is_used else None

    def _is_touched(self, there: Standing, layer: LayerName) -> bool:
        return leaf.grew(there, self._chains(there.seen.vm).noted(layer))

    def _unused(self, vm: VMRef, layer: LayerName) -> Standing:
        """Return the VM with its disks for itself, which hold this layer, not started meanwhile."""
        there = self._own(vm).ready(layer)
        state = there.seen.state
        if state is not None and state.armed and self._is_touched(there, layer):
            raise faults.drifted(vm, "it was started by somebody else")
        return there

    def _give(self, there: Standing, layer: LayerName, network: Network, *, armed: bool) -> Machine:
        """Set the cards of a VM that is off, and write down the step: one change."""
        inventory = self._ground.look()
        if network is not Network.PRODUCTION:
            self._check_place(there.machine, inventory)
        _, port = self._ground.port(inventory, network)
        state = State(uuid4().hex, layer, network, armed)
        connected = network is not Network.NONE
        return self._machines.until(
            there.machine,
            "ReconfigVM_Task",
            lambda seen: seen.state == state,
            lambda now: now.ref.ReconfigVM_Task(
                specs.cards_spec(now.devices, port, str(state), connected=connected)
            ),
        )

    def _release(self, there: Machine) -> None:
        """Do nothing: what the VM wrote is dropped or kept by whoever stopped it."""

    def bring_home(
        self,
        vm: VMRef,  # noqa: ARG002 - the protocol's
        to: str,  # noqa: ARG002 - the protocol's
        cancel: Cancel,  # noqa: ARG002 - the protocol's
        report: Report = unreported,  # noqa: ARG002 - the protocol's
    ) -> Home:
        """Refuse: disks of this target lie on the host's own datastore."""
        raise rules.no_homing(self.name)

    def delete(self, vm: VMRef, *, home: bool = False) -> None:  # noqa: ARG002 - the protocol's
        """Cut the power; delete the VM if it has no layers, or take its shape away. Repeatable.

        Raises:
            Refused: A VM of its id is not ours, or somebody else started it.
        """
        rules.check_name(vm)
        with self._gate.vm(vm):
            there = self._branches.look(vm, settled=True)
            if there is None:
                self._machines.check_not_lost(vm)
                return
            if there.seen.template:
                raise faults.drifted(vm, layers.TEMPLATE)
            if there.seen.power is not Power.OFF:
                self._check_started_by_us(there.machine)
                there = standing(self._machines.power_off(there.machine))
            if not there.tree.snapshots and not self._chains(vm).layers():
                self._branches.discard(there)
            elif there.seen.shape:
                self._branches.forget(there)

    def serial(self, vm: VMRef, after: int) -> tuple[bytes, int]:  # noqa: ARG002 - the protocol's
        """Return nothing: what a serial port prints stays on the host."""
        rules.check_name(vm)
        return b"", 0

    def _created(self, vm: VMRef) -> Standing:
        """Return the VM; HypervisorError when only its layers are there, and it has no shape."""
        there = self._branches.look(vm, settled=True)
        if there is None or (there.seen.power is Power.OFF and not there.seen.shape):
            raise rules.unknown(vm)
        return there
